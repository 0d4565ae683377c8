"""Scorers tell each other which models they hold, so that each model has one home."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.model.repository import Repository
from scoring.trust import Trust
from tests.support import Sum, numbers, write_version
from worker.activity import ActivityTable
from worker.model_cache import ModelCache, ModelLoader
from worker.model_reports import ModelAffinity, ModelUse


class Place:
    """What one of two scorers knows."""

    def __init__(self, activities: ActivityTable, loader: ModelLoader, slot: int, shared: str = "") -> None:
        models = {(name, 1): loader.load(name, 1) for name in shared}
        self.affinity = ModelAffinity(activities, slot, 2, f"some-worker-{slot}-1f2e")
        self.cache = ModelCache(loader, lambda: 1_000_000, models, self.affinity.elsewhere)

    def load(self, name: str) -> None:
        self.cache.get(name, 1)
        self.affinity.tell(self.cache)

    def find(self) -> dict[str, str]:
        return dict(self.affinity.find(self.cache))


@pytest.fixture
def activities() -> ActivityTable:
    return ActivityTable.create(2)


@pytest.fixture
def loader(models: Path) -> ModelLoader:
    for name in "abc":
        write_version(models, name, Sum(), numbers("x"))
    return ModelLoader(Repository(models), Trust())


def test_a_model_has_its_home_where_it_was_loaded(activities: ActivityTable, loader: ModelLoader) -> None:
    first, second = (Place(activities, loader, slot) for slot in (0, 1))
    assert first.find() == second.find() == {}
    first.load("a")
    second.load("b")
    assert (first.find(), second.find()) == ({"b": "some-worker-1"}, {"a": "some-worker-0"})


def test_a_model_that_this_scorer_holds_or_shares_is_not_left_to_another(
    activities: ActivityTable, loader: ModelLoader
) -> None:
    first, second = Place(activities, loader, 0), Place(activities, loader, 1, shared="b")
    for name in "abc":
        first.load(name)
    second.load("c")
    assert second.find() == {"a": "some-worker-0"}
    assert first.affinity.elsewhere() == {"c"}


def test_a_scorer_that_is_stuck_is_no_home(activities: ActivityTable, loader: ModelLoader) -> None:
    first, second = (Place(activities, loader, slot) for slot in (0, 1))
    first.load("a")
    activities.begin(0, ["job"], 30)
    assert second.find() == {"a": "some-worker-0"}, "it has just begun"
    activities.begin(0, ["job"], -2)
    activities._memory[8:16] = b"\0" * 8  # it has been allowed no time and is two seconds late
    assert second.find() == {}
    activities.end(0)
    assert second.find() == {"a": "some-worker-0"}


def test_a_scorer_is_no_home_of_a_model_that_it_must_not_take(activities: ActivityTable, loader: ModelLoader) -> None:
    first, second = (Place(activities, loader, slot) for slot in (0, 1))
    activities.set_skipped(0, {"a"})
    first.load("a")
    assert second.find() == {}


def test_the_successor_of_a_scorer_is_no_home_until_it_has_loaded_the_model(
    activities: ActivityTable, loader: ModelLoader
) -> None:
    first, second = (Place(activities, loader, slot) for slot in (0, 1))
    first.load("a")
    assert second.find()
    successor = Place(activities, loader, 0)
    successor.affinity.tell(successor.cache)
    assert second.find() == {}


def test_use_is_counted_only_while_not_all_models_fit_and_outlives_the_scorer(
    activities: ActivityTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.model_reports._PUBLISHED_EVERY", 0.0)
    use = ModelUse(activities, 1)
    use.record("a", 5)
    assert activities.use(1) == {}
    activities.set_shared(activities.template, 1_000, crowded=True)
    use.record("a", 5)
    ModelUse(activities, 1).record("a", 2)
    assert activities.use(1) == {"a": pytest.approx(7, rel=0.01)}
