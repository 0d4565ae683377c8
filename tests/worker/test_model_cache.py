"""The model cache keeps what is used, within its budget."""

from __future__ import annotations

from pathlib import Path

from contract.repository import Repository
from scoring.trust import Trust
from tests.support import Sum, numbers, write_version
from worker.model_cache import ModelCache


def test_the_least_recently_used_is_forgotten(models: Path) -> None:
    size = write_version(models, "a", Sum(), numbers("x")).artifact.size
    for name in ("b", "c"):
        write_version(models, name, Sum(), numbers("x"))
    cache = ModelCache(Repository(models), 2 * size, Trust())
    first, second = cache.get("a", 1), cache.get("b", 1)
    assert cache.get("a", 1) is first
    assert not cache.fits("c", 1)
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


def test_what_is_not_wanted_any_more_is_dropped(models: Path) -> None:
    for name in ("a", "b"):
        write_version(models, name, Sum(), numbers("x"))
    cache = ModelCache(Repository(models), 1_000_000, Trust())
    cache.get("a", 1), cache.get("b", 1)
    assert cache.keep({("a", 1)})
    assert (("a", 1) in cache, ("b", 1) in cache) == (True, False)
    assert not cache.keep({("a", 1)})
