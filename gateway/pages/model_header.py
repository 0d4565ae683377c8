"""The head of every page about a model: its name, its current version, and its tabs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from contract.model.repository import CURRENT, Repository
from contract.work.api_keys import Detail, Key, Scope
from gateway.pages.changes import ModelPurpose

_TABS = (
    ("Try", "", Scope.PREDICT),
    ("Versions", "/versions", Scope.READ),
    ("Traffic", "/traffic", Scope.READ),
    ("API", "/api", Scope.PREDICT),
)


@dataclass(frozen=True)
class ModelHeader:
    """`current` is None for a model without a current version. `aliases`: those of each version. `tabs`: labels and
    addresses of the pages that the caller may open. `prediction`: what the current version predicts; None if that is
    unknown, or none of the caller's business."""

    name: str
    current: int | None
    aliases: Mapping[int, list[str]]
    tabs: list[tuple[str, str]]
    prediction: ModelPurpose | None

    @classmethod
    def of(cls, repository: Repository, name: str, caller: Key) -> ModelHeader:
        aliases = repository.aliases(name)
        by_version: dict[int, list[str]] = {}
        for alias, version in sorted(aliases.items(), key=lambda item: (item[0] != CURRENT, item)):
            by_version.setdefault(version, []).append(alias)
        tabs = [(label, f"/ui/models/{name}{path}") for label, path, scope in _TABS if caller.allows(scope)]
        current = aliases.get(CURRENT)
        prediction = ModelPurpose.of(repository, name, current) if sees_inputs(caller) else None
        return cls(name, current, by_version, tabs, prediction)


def sees_inputs(caller: Key) -> bool:
    """Return whether the caller may learn the inputs of a model. A terse key needs the scope `read` for it."""
    return caller.detail is Detail.FULL or caller.allows(Scope.READ)
