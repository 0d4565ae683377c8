"""What the observer finds out about a version, as all services say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class HealthState(StrEnum):
    """DRIFTED: its rows no longer look like those of the training, or are refused because of a field. DEGRADED:
    outcomes show that it is worse than its report promised. OK: neither is known."""

    OK = "ok"
    DRIFTED = "drifted"
    DEGRADED = "degraded"


@dataclass(frozen=True)
class ModelHealth:
    """The worst `state` of a version, and each of its `findings` as a sentence, the worst first. They are as they are
    since `changed_at` (RFC 3339 in UTC)."""

    state: HealthState
    findings: tuple[str, ...]
    changed_at: str

    def to_json(self) -> dict[str, Any]:
        return {"state": self.state, "findings": list(self.findings), "changed_at": self.changed_at}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelHealth:
        return cls(HealthState(data["state"]), tuple(data["findings"]), data["changed_at"])
