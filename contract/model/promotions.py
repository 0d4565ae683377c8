"""Requests about a protected model, each of which a second person decides: to promote a version, or to unprotect it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from contract.release import known

MOST_NOTE = 1_000
"""Most characters of a note."""


class PromotionEnding(StrEnum):
    """What became of a request. `replaced`: a newer one took its place. `gone`: its version was deleted."""

    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    REPLACED = "replaced"
    GONE = "gone"


@dataclass(frozen=True)
class Person:
    """Who asks or decides: the `owner` of a key and the `key`, by its id. `name`: what others read. What asks without a
    key, such as a training, has no `key`, and the owner of its job or ''."""

    name: str
    owner: str = ""
    key: str = ""

    def may_decide(self, asker: Person) -> bool:
        """Return whether this is a second person: with a key, and neither the key nor the owner of the asker."""
        return bool(self.key) and self.key != asker.key and self.owner != asker.owner


@dataclass(frozen=True)
class PromotionRequest:
    """A request of `asker` to make `version` current; None: to unprotect the model. Times are RFC 3339 in UTC.

    `ending`: what `decided_by` made of it, at `ended_at`; None: it waits.
    """

    id: str
    version: int | None
    asker: Person
    asked_at: str
    note: str = ""
    ending: PromotionEnding | None = None
    ended_at: str | None = None
    decided_by: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def shown(self) -> dict[str, Any]:
        """Return what callers see: no ids of keys."""
        return {**self.to_json(), "asker": self.asker.name}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PromotionRequest:
        """Raises `ValueError`, `TypeError` and `KeyError` for what `to_json` has not written."""
        ending = data.get("ending")
        asker = Person(**known(Person, data["asker"]))
        return cls(
            **{**known(cls, data), "asker": asker, "ending": None if ending is None else PromotionEnding(ending)}
        )
