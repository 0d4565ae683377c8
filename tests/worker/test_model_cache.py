"""The model cache keeps the models in use, within its budget."""

from __future__ import annotations

import gc
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from contract.errors import ModelgateError
from contract.model.repository import Repository
from scoring.trust import Trust
from tests.support import Sum, numbers, write_version
from worker import memory
from worker.model_cache import Model, ModelCache, ModelLoader, Version

MB = 2**20


class Heavy(Sum):
    """Sums, and takes `megabytes` of memory in pieces that come from the heap."""

    def __init__(self, megabytes: int) -> None:
        self.pieces = [np.full(8000, number, dtype=float) for number in range(megabytes * 16)]


@pytest.fixture
def loader(models: Path) -> ModelLoader:
    """Models of 4 MB: `a` to `d`."""
    for name in "abcd":
        write_version(models, name, Heavy(4), numbers("x"))
    return ModelLoader(Repository(models), Trust())


def names(cache: ModelCache) -> str:
    return "".join(name for name, _ in cache.own)


def test_the_least_recently_used_model_is_evicted(loader: ModelLoader) -> None:
    cache = ModelCache(loader, lambda: 9 * MB)
    first, second = cache.get("a", 1), cache.get("b", 1)
    assert cache.get("a", 1) is first
    cache.get("c", 1)
    assert names(cache) == "ac"
    assert cache.get("a", 1) is first
    assert cache.get("b", 1) is not second


def test_a_model_larger_than_the_budget_is_served_alone(loader: ModelLoader) -> None:
    cache = ModelCache(loader, lambda: 1)
    assert cache.get("a", 1) is cache.get("a", 1)
    assert cache.get("b", 1) is cache.get("b", 1)
    assert names(cache) == "b"


def test_a_model_that_another_scorer_holds_too_goes_first(loader: ModelLoader) -> None:
    elsewhere: Collection[str] = {"b"}
    cache = ModelCache(loader, lambda: 13 * MB, elsewhere=lambda: elsewhere)
    for name in "abcd":
        cache.get(name, 1)
    assert names(cache) == "acd"


def test_shared_models_are_used_and_take_nothing_of_the_budget(loader: ModelLoader) -> None:
    shared: dict[Version, Model] = {("a", 1): loader.load("a", 1)}
    cache = ModelCache(loader, lambda: 5 * MB, shared)
    assert cache.get("a", 1) is shared["a", 1]
    cache.get("b", 1)
    assert (names(cache), cache.shares("a"), cache.shares("b")) == ("b", True, False)
    assert ("a", 1) in cache and ("b", 1) in cache


def test_a_budget_that_shrinks_evicts_models_and_returns_their_memory(loader: ModelLoader) -> None:
    budget = [100 * MB]
    cache = ModelCache(loader, lambda: budget[0])
    memory.give_back(collect=True)
    before = _private()
    for name in "abcd":
        cache.get(name, 1)
    full = _private()
    assert full - before > 15 * MB
    budget[0] = 5 * MB
    cache.tidy()
    assert names(cache) == "d"
    assert full - _private() > 11 * MB


class Cyclic(Heavy):
    """Refers to itself, so that only the garbage collector can free it."""

    def __init__(self, megabytes: int) -> None:
        super().__init__(megabytes)
        self.itself = self


def test_models_that_refer_to_themselves_are_freed_too(models: Path) -> None:
    for name in "abcdefgh":
        write_version(models, name, Cyclic(4), numbers("x"))
    cache = ModelCache(ModelLoader(Repository(models), Trust()), lambda: 9 * MB)
    gc.collect()
    gc.disable()  # it would be lucky timing
    try:
        before = memory.allocated()
        for name in "abcdefgh" * 2:
            cache.get(name, 1)
            cache.tidy()
        assert names(cache) == "gh"
        assert memory.allocated() - before < 14 * MB
    finally:
        gc.enable()


def _private() -> int:
    return memory.private_bytes(os.getpid())


@pytest.mark.parametrize("compressed", [0, 3])
def test_a_model_counts_with_what_it_takes_in_memory(models: Path, compressed: int, monkeypatch: Any) -> None:
    """Not with the bytes of its artifact, which may be compressed."""

    dump = joblib.dump
    monkeypatch.setattr(joblib, "dump", lambda value, file: dump(value, file, compress=compressed))
    manifest = write_version(models, "a", Heavy(8), numbers("x"))
    assert (manifest.artifact.size < 2 * MB) == bool(compressed)
    loader = ModelLoader(Repository(models), Trust())
    assert loader.size("a", 1) == manifest.artifact.size
    size = loader.load("a", 1).size
    assert 7.5 * MB < size < 9 * MB
    assert loader.size("a", 1) == size


def test_a_version_deleted_after_its_manifest_was_read_is_not_found(models: Path) -> None:
    write_version(models, "a", Sum(), numbers("x"))
    repository = Repository(models)
    repository.manifest("a", 1)
    (models / "a/versions/1").rename(models / "elsewhere")
    with pytest.raises(ModelgateError, match="version 1 of the model 'a' is not in the model repository"):
        ModelLoader(repository, Trust()).load("a", 1)
