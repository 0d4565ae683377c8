"""Versions that the gateway's machine has and this one does not have yet: their jobs go to others, or wait."""

from __future__ import annotations

import time
from collections.abc import Callable

from contract.model.repository import Repository
from storage.models.mirror_notes import MirrorNotes

LOOK_AGAIN = 0.5
"""Seconds after which a scorer takes jobs of such a model again."""


class AwaitedVersions:
    """Finds versions that the mirror of this machine has not fetched, and names their models for a while."""

    def __init__(self, repository: Repository, *, mirrored: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """`mirrored`: whether there is a mirror. `clock` returns seconds."""
        self._mirrored = mirrored
        self._repository = repository
        self._notes = MirrorNotes(repository.root)
        self._clock = clock
        self._until: dict[str, float] = {}
        self._models: frozenset[str] = frozenset()

    def awaits(self, model: str, version: int) -> bool:
        """Whether the version is not here and may come; then its model is left out for a while."""
        missing = self._mirrored and not self._repository.has_version(model, version)
        if not (missing and self._notes.may_come(model, version)):
            return False
        self._until[model] = self._clock() + LOOK_AGAIN
        self._models = frozenset(self._until)
        return True

    def models(self) -> frozenset[str]:
        """Return the models to leave out."""
        if self._until and any(self._clock() >= until for until in self._until.values()):
            self._until = {model: until for model, until in self._until.items() if self._clock() < until}
            self._models = frozenset(self._until)
        return self._models
