"""The process manager notices signals at once, and keeps its log small."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import FrameType

import pytest
from supervisor import poller

from runtime.process_manager import LOG_BYTES, _Poller
from tests.support import DEADLINE, PROJECT


@pytest.fixture
def alarms() -> Iterator[None]:
    """Send this process a signal every hundredth of a second, and fail at the hundredth."""
    numbers = count(1)

    def fail_at_the_hundredth(_signal: int, _frame: FrameType | None) -> None:
        assert next(numbers) != 100, "a hundred signals ended no poll"

    before, wakes = signal.signal(signal.SIGALRM, fail_at_the_hundredth), signal.set_wakeup_fd(-1)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    signal.set_wakeup_fd(wakes)


@pytest.mark.usefixtures("alarms")
def test_a_signal_ends_a_poll() -> None:
    ours = _Poller(options=None)  # type: ignore[no-untyped-call]
    for _ in range(3):
        assert ours.poll(3600) == ([], [])


@pytest.mark.usefixtures("alarms")
def test_a_poll_of_supervisord_goes_on_after_a_signal() -> None:
    plain = poller.Poller(options=None)
    with pytest.raises(AssertionError, match="a hundred signals"):
        plain.poll(3600)


def test_a_log_beyond_its_size_moves_to_a_second_file(tmp_path: Path) -> None:
    file = tmp_path / "modelgate.log"
    code = f"""
from runtime import process_manager
for text in ("a" * process_manager.LOG_BYTES, "b", "c"):
    print(text, flush=True)
    process_manager._shorten({str(file)!r})
"""
    with file.open("ab") as log:
        subprocess.run([sys.executable, "-c", code], stdout=log, check=True, timeout=DEADLINE, cwd=PROJECT)
    assert (file.read_text(), len(file.with_name("modelgate.log.1").read_text())) == ("b\nc\n", LOG_BYTES + 1)
