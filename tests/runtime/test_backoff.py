"""Pauses grow with each failure, up to a limit, and a success ends them."""

from __future__ import annotations

from runtime.backoff import Backoff


def test_each_pause_is_twice_the_one_before_up_to_the_longest_less_up_to_half() -> None:
    backoff = Backoff(shortest=1, longest=5)
    for longest in (1, 2, 4, 5, 5):
        assert longest / 2 <= backoff.failed() <= longest
    assert backoff.failing
    assert not backoff.over


def test_a_success_ends_the_pause_and_the_next_one_is_short_again() -> None:
    backoff = Backoff(shortest=1, longest=100)
    assert backoff.over
    for _ in range(5):
        backoff.failed()
    backoff.worked()
    assert (backoff.over, backoff.failing) == (True, False)
    assert backoff.failed() <= 1
