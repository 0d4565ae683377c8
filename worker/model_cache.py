"""Estimators by model and version: loaded on first use, and evicted least recently used first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from contract.errors import ModelgateError
from contract.manifest import ModelManifest
from contract.repository import Repository
from scoring.artifacts import load
from scoring.trust import Trust


@dataclass(frozen=True)
class Model:
    """An estimator in memory, with the manifest that says how to use it."""

    manifest: ModelManifest
    estimator: Any


class ModelCache:
    """Holds models whose artifacts take at most `budget` bytes together; the last one used always stays.

    A scorer starts with the models of its template and continues on its own.
    """

    def __init__(self, repository: Repository, budget: int, trust: Trust) -> None:
        self._repository = repository
        self._budget = budget
        self._trust = trust
        self._models: OrderedDict[tuple[str, int], Model] = OrderedDict()

    def __contains__(self, key: tuple[str, int]) -> bool:
        return key in self._models

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self._models)

    def get(self, name: str, version: int) -> Model:
        """Return the model, and load it if it is not in memory.

        Raises `ModelgateError` if its manifest or artifact is unusable, and `MemoryError`; the next call tries again.
        """
        key = (name, version)
        if key not in self._models:
            manifest = self._repository.manifest(name, version)
            while self._models and self._excess(manifest) > 0:
                self._models.popitem(last=False)
            self._models[key] = Model(manifest, self._load(manifest))
        self._models.move_to_end(key)
        return self._models[key]

    def make_room(self, name: str, version: int, evictable: Collection[tuple[str, int]]) -> bool:
        """Evict as many of `evictable` as the version needs, and none if all of them would not be enough.

        Returns whether the version fits now. Raises `ModelgateError`.
        """
        excess = self._excess(self._repository.manifest(name, version))
        dropped = []
        for key in evictable:
            if excess > 0 and key in self._models:
                dropped.append(key)
                excess -= self._models[key].manifest.artifact.size
        if excess > 0:
            return False
        self.evict(dropped)
        return True

    def evict(self, keys: Collection[tuple[str, int]]) -> None:
        for key in keys:
            del self._models[key]

    def _excess(self, manifest: ModelManifest) -> int:
        """Return by how many bytes the budget would be exceeded with this model."""
        used = sum(model.manifest.artifact.size for model in self._models.values())
        return used + manifest.artifact.size - self._budget

    def _load(self, manifest: ModelManifest) -> Any:
        try:
            return load(manifest, self._repository.version_dir(manifest.name, manifest.version), self._trust)
        except ModelgateError:
            # If it was deleted meanwhile, this raises an error that says so.
            self._repository.read_manifest(manifest.name, manifest.version)
            raise
