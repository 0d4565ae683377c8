"""What the observer finds out about a version, as all services say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class HealthState(StrEnum):
    """DRIFTED: its rows no longer look like those of the training, or are refused because of a field. DEGRADED:
    outcomes show that it is worse than its report promised. OK: neither is known."""

    OK = "ok"
    DRIFTED = "drifted"
    DEGRADED = "degraded"


Spell = tuple[HealthState, str, str | None]
"""A state of a version, when it began, and when it ended (RFC 3339 in UTC; None: it goes on)."""


@dataclass(frozen=True)
class ModelHealth:
    """The worst `state` of a version, and each of its `findings` as a sentence, the worst first. They are as they are
    since `changed_at` (RFC 3339 in UTC). `spells`: the times in which it was drifted or degraded, the oldest first."""

    state: HealthState
    findings: tuple[str, ...]
    changed_at: str
    spells: tuple[Spell, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "findings": list(self.findings),
            "changed_at": self.changed_at,
            "spells": list(self.spells),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelHealth:
        spells = tuple((HealthState(state), began, ended) for state, began, ended in data.get("spells", ()))
        return cls(HealthState(data["state"]), tuple(data["findings"]), data["changed_at"], spells)


def joined(state: HealthState, times: Iterable[tuple[str, str | None]]) -> list[Spell]:
    """Return the spells that times make, which may overlap: when each began, and when it ended."""
    spells: list[Spell] = []
    for began, ended in sorted(times, key=lambda time: time[0]):
        last = spells[-1] if spells else None
        if last and (last[2] is None or began <= last[2]):
            spells[-1] = (state, last[1], ended and last[2] and max(ended, last[2]))
        else:
            spells.append((state, began, ended))
    return spells
