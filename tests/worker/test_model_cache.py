"""The model cache keeps the models in use, within its budget."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from contract.errors import ModelgateError
from contract.repository import Repository
from scoring.trust import Trust
from tests.support import Sum, numbers, write_version
from worker.model_cache import ModelCache


def test_the_least_recently_used_model_is_evicted(models: Path) -> None:
    size = write_version(models, "a", Sum(), numbers("x")).artifact.size
    for name in ("b", "c"):
        write_version(models, name, Sum(), numbers("x"))
    cache = ModelCache(Repository(models), 2 * size, Trust())
    first, second = cache.get("a", 1), cache.get("b", 1)
    assert cache.get("a", 1) is first
    assert not cache.make_room("c", 1, [])
    cache.get("c", 1)
    assert cache.get("a", 1) is first
    assert cache.get("b", 1) is not second


def test_a_model_larger_than_the_budget_is_served_alone(models: Path) -> None:
    for name in ("a", "b"):
        write_version(models, name, Sum(), numbers("x"))
    cache = ModelCache(Repository(models), 1, Trust())
    assert cache.get("a", 1) is cache.get("a", 1)
    assert cache.get("b", 1) is cache.get("b", 1)
    assert ("a", 1) not in cache


def test_a_model_can_be_evicted(models: Path) -> None:
    for name in ("a", "b"):
        write_version(models, name, Sum(), numbers("x"))
    cache = ModelCache(Repository(models), 1_000_000, Trust())
    cache.get("a", 1), cache.get("b", 1)
    cache.evict([("b", 1)])
    assert list(cache) == [("a", 1)]


def test_models_are_evicted_only_if_that_makes_enough_room(models: Path) -> None:
    size = write_version(models, "a", Sum(), numbers("x")).artifact.size
    for name in ("b", "c"):
        write_version(models, name, Sum(), numbers("x"))
    write_version(
        models,
        "large",
        Sum(),
        numbers("x"),
        artifact=dataclasses.replace(Repository(models).manifest("a", 1).artifact, size=2 * size),
    )
    cache = ModelCache(Repository(models), 3 * size, Trust())
    for name in ("a", "b", "c"):
        cache.get(name, 1)
    assert not cache.make_room("large", 1, [("a", 1), ("gone", 1)])
    assert list(cache) == [("a", 1), ("b", 1), ("c", 1)]
    assert cache.make_room("large", 1, [("c", 1), ("a", 1), ("b", 1)])
    assert list(cache) == [("b", 1)]


def test_a_version_deleted_after_its_manifest_was_read_is_not_found(models: Path) -> None:
    write_version(models, "a", Sum(), numbers("x"))
    repository = Repository(models)
    repository.manifest("a", 1)
    (models / "a/versions/1").rename(models / "elsewhere")
    with pytest.raises(ModelgateError, match="version 1 of the model 'a' is not in the model repository"):
        ModelCache(repository, 1000, Trust()).get("a", 1)
