"""Models whose rows have timed out lately: they count as slow, and rows with a second time-out are refused (SUBMIT)."""

from __future__ import annotations

from typing import Any

TIMEOUT_COUNTS = 600.0
"""Seconds for which a time-out is remembered."""

TIMEOUTS = "mg:timeouts"
"""The key of the models, each with the time until which its last time-out counts (ms)."""


def timed_out(members: Any, now: float) -> list[str]:
    """Return the models in the members of `TIMEOUTS` with their scores, at `now` in seconds. A worker may have made the
    key something else: an error is none."""
    if not isinstance(members, list):
        return []
    return sorted(model.decode(errors="replace") for model, until in members if until > now * 1000)
