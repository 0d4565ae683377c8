"""The state of an allowance, such as rows a second."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quota:
    """An allowance of `limit` units in `window` seconds. `remaining` units may be used now; after `reset` seconds it is
    all of them again."""

    name: str
    limit: int
    window: int
    remaining: int
    reset: float
