"""Allowances: an owner's share of a common limit, and the state of one, such as rows a second."""

from __future__ import annotations

from dataclasses import dataclass

PER_FREE = 9
"""How many units of a common limit an owner may have for each free one, so that others find room (ADR 44)."""


def most_of_one_owner(whole: int) -> int:
    """Return how many of `whole` an owner may have while others have none: nine tenths, and at least one."""
    return max(1, whole * PER_FREE // (PER_FREE + 1))


@dataclass(frozen=True, slots=True)
class Quota:
    """An allowance of `limit` units in `window` seconds. `remaining` units may be used now; after `reset` seconds it is
    all of them again."""

    name: str
    limit: int
    window: int
    remaining: int
    reset: float
