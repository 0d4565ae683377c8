"""Estimators by (model, version): loaded on first use, least recently used out, within a budget."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

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
    """Keeps models whose artifacts together have at most `budget` bytes; the last one used always stays.

    A scorer begins with the models that the template had when it was forked, and goes on by itself.
    """

    def __init__(self, repository: Repository, budget: int, trust: Trust) -> None:
        self._repository = repository
        self._budget = budget
        self._trust = trust
        self._models: OrderedDict[tuple[str, int], Model] = OrderedDict()

    def __contains__(self, key: tuple[str, int]) -> bool:
        return key in self._models

    def get(self, name: str, version: int) -> Model:
        """Raises `ModelgateError` when manifest or artifact cannot be used; the next call tries again. Raises
        `MemoryError`."""
        key = (name, version)
        if key not in self._models:
            manifest = self._repository.manifest(name, version)
            while self._models and not self._fits(manifest):
                self._models.popitem(last=False)
            folder = self._repository.version_dir(name, version)
            self._models[key] = Model(manifest, load(manifest, folder, self._trust))
        self._models.move_to_end(key)
        return self._models[key]

    def fits(self, name: str, version: int) -> bool:
        """Whether the version could be loaded without dropping another. Raises `ModelgateError`."""
        return self._fits(self._repository.manifest(name, version))

    def keep(self, wanted: Container[tuple[str, int]]) -> bool:
        """Drops all that is not `wanted`; whether there was something."""
        dropped = [key for key in self._models if key not in wanted]
        for key in dropped:
            del self._models[key]
        return bool(dropped)

    def _fits(self, manifest: ModelManifest) -> bool:
        used = sum(model.manifest.artifact.size for model in self._models.values())
        return used + manifest.artifact.size <= self._budget
