"""A process that may ask no model has kernels compared in a child."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import numpy as np
import pytest

from tests.support import alive, until
from worker.forked import compare_in_child

NOT_COMPARED = "cannot be compared (the process that asked the model died, or took too long)"


@pytest.mark.parametrize("found", [None, "answer the golden rows differently"])
def test_the_verdict_of_the_child_is_returned(found: str | None) -> None:
    assert compare_in_child(lambda: None, 0, lambda: found) == found


def test_what_the_model_changes_ends_with_the_child() -> None:
    def compare() -> None:
        np.seterr(all="raise")
        os.environ["TZ"] = "Asia/Tokyo"

    assert compare_in_child(lambda: None, 0, compare) is None
    assert np.geterr()["divide"] == "warn"
    assert os.environ.get("TZ") != "Asia/Tokyo"


@pytest.mark.parametrize(
    "harm",
    [
        lambda: os.kill(os.getpid(), signal.SIGKILL),
        lambda: os._exit(0),
        lambda: 1 / 0,
        lambda: time.sleep(60),
        lambda: signal.signal(signal.SIGALRM, signal.SIG_IGN) or time.sleep(60),
        lambda: [np.ones(50_000_000) for _ in range(1000)],
    ],
    ids=["is killed", "ends", "raises", "hangs", "hangs on", "eats memory"],
)
def test_a_child_that_gives_no_verdict_finds_that_nothing_can_be_compared(harm: Callable[[], None]) -> None:
    assert compare_in_child(lambda: None, 200, harm, seconds=1) == NOT_COMPARED


def test_what_a_model_starts_in_the_child_ends_with_it() -> None:
    ours, theirs = os.pipe()

    def compare() -> None:
        if (child := os.fork()) == 0:
            time.sleep(60)
        os.write(theirs, str(child).encode())

    assert compare_in_child(lambda: None, 0, compare) is None
    grandchild = int(os.read(ours, 20))
    until(lambda: not alive(grandchild), "it has ended")
    os.close(ours)
    os.close(theirs)
