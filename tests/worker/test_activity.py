"""One process writes its activity and another reads it, also after the first has died."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import Sum, numbers, write_version
from worker.activity import ActivityTable
from worker.pace import Pace
from worker.slow_models import SlowModels


@pytest.fixture
def activities() -> ActivityTable:
    return ActivityTable.create(3)


def test_an_activity_outlives_its_process(activities: ActivityTable) -> None:
    pid = os.fork()
    if pid == 0:
        activities.begin(1, ["a", "b"], 5)
        os._exit(9)
    os.waitpid(pid, 0)
    other = ActivityTable(os.dup(activities.descriptor), 3)
    activity = other.current(1)
    assert activity
    assert (activity.subjects, activity.seconds, activity.overdue) == (("a", "b"), 5, False)
    assert other.current(0) is other.current(2) is None


def test_an_idle_process_has_no_activity(activities: ActivityTable) -> None:
    activities.begin(0, ["a"], 5)
    activities.end(0)
    assert activities.current(0) is None


def test_the_same_work_begun_again_is_another_activity(activities: ActivityTable) -> None:
    activities.begin(0, ["a"], 5)
    first = activities.current(0)
    activities.begin(0, ["a"], 5)
    assert activities.current(0) != first


def test_an_activity_past_its_deadline_is_overdue(activities: ActivityTable) -> None:
    activities.begin(0, ["a"], -1)
    activity = activities.current(0)
    assert activity
    assert activity.overdue


def test_the_ids_of_the_largest_batch_fit(activities: ActivityTable) -> None:
    ids = [f"{number:036}" for number in range(1000)]
    activities.begin(2, ids, 5)
    activity = activities.current(2)
    assert activity
    assert list(activity.subjects) == ids


class TestSlowModels:
    """Two scorers; `a` has the first slot."""

    @pytest.fixture(autouse=True)
    def scorers(self, activities: ActivityTable, models: Path) -> None:
        for name in ("quick", "slow"):
            write_version(models, name, Sum(), numbers("x"))
        self.served = {"quick", "slow"}
        self.paces = [Pace(50), Pace(50)]
        self.a, self.b = (SlowModels(activities, slot, 2, self.paces[slot], lambda: self.served) for slot in (0, 1))

    def test_the_first_scorer_skips_models_that_any_scorer_has_found_slow(self) -> None:
        assert self.a.skipped() == set()
        self.paces[1].record("slow", 1, 1, 1000)
        assert self.b.skipped() == set()
        assert self.a.skipped() == {"slow"}
        self.paces[1].record("slow", 1, 1, 1)
        self.b.skipped()
        assert self.a.skipped() == set()

    def test_no_model_is_skipped_if_all_are_slow(self) -> None:
        self.served = {"slow"}
        self.paces[1].record("slow", 1, 1, 1000)
        self.b.skipped()
        assert self.a.skipped() == set()

    def test_a_new_scorer_knows_the_slow_models_of_its_predecessor(self, activities: ActivityTable) -> None:
        self.paces[1].record("slow", 1, 1, 1000)
        self.b.skipped()
        pace = Pace(50)
        SlowModels(activities, 1, 2, pace, lambda: self.served)
        assert pace.slow == {"slow"}

    def test_a_lone_scorer_takes_everything(self, activities: ActivityTable) -> None:
        pace = Pace(50)
        lone = SlowModels(activities, 0, 1, pace, lambda: self.served)
        pace.record("slow", 1, 1, 1000)
        assert lone.skipped() == set()
