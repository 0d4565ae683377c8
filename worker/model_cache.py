"""Estimators by (model, version): loaded on first use, least recently used out, within a budget."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from contract.manifest import ModelManifest
from contract.repository import Repository
from scoring.artifacts import load


@dataclass(frozen=True)
class Model:
    """An estimator in memory, with the manifest that says how to use it."""

    manifest: ModelManifest
    estimator: Any


class ModelCache:
    """Keeps models whose artifacts together have at most `budget` bytes; the last one used always stays."""

    def __init__(self, repository: Repository, budget: int) -> None:
        self._repository = repository
        self._budget = budget
        self._models: OrderedDict[tuple[str, int], Model] = OrderedDict()

    def get(self, name: str, version: int) -> Model:
        """Raises `ModelgateError` when manifest or artifact cannot be used; the next call tries again."""
        key = (name, version)
        if key not in self._models:
            manifest = self._repository.manifest(name, version)
            self._make_room(manifest.artifact.size)
            self._models[key] = Model(manifest, load(manifest, self._repository.version_dir(name, version)))
        self._models.move_to_end(key)
        return self._models[key]

    def _make_room(self, size: int) -> None:
        used = sum(model.manifest.artifact.size for model in self._models.values())
        while self._models and used + size > self._budget:
            _, oldest = self._models.popitem(last=False)
            used -= oldest.manifest.artifact.size
