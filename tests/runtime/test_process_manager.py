"""The process manager notices signals at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import count
from types import FrameType

import pytest
from supervisor import poller

from runtime.process_manager import _Poller


@pytest.fixture
def alarms() -> Iterator[None]:
    """Send this process a signal every hundredth of a second, and fail at the hundredth."""
    numbers = count(1)

    def fail_at_the_hundredth(_signal: int, _frame: FrameType | None) -> None:
        assert next(numbers) < 100, "a hundred signals ended no poll"

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
