"""One process writes its activity and another reads it, also after the first has died."""

from __future__ import annotations

import os

import pytest

from scoring.pace import Pace
from worker.activity import ActivityTable
from worker.model_reports import SlowModels


@pytest.fixture
def activities() -> ActivityTable:
    return ActivityTable.create(1)


def test_an_activity_outlives_its_process(activities: ActivityTable) -> None:
    pid = os.fork()
    if pid == 0:
        activities.begin(1, ["a", "b"], 5)
        os._exit(9)
    os.waitpid(pid, 0)
    other = ActivityTable(os.dup(activities.descriptor), activities.slots)
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
    """A scorer in the second slot; the supervisor reads and writes the table."""

    @pytest.fixture(autouse=True)
    def scorer(self, activities: ActivityTable) -> None:
        self.served = {"quick", "slow"}
        self.pace = Pace(50)
        self.slow_models = SlowModels(activities, 1, self.pace, lambda: self.served)

    def test_a_scorer_tells_what_it_has_found_slow(self, activities: ActivityTable) -> None:
        self.pace.record("slow", 1, 1, 1000)
        assert self.slow_models.skipped() == set()
        assert activities.slow_models(1) == {"slow"}
        self.pace.record("slow", 1, 1, 1)
        self.slow_models.skipped()
        assert activities.slow_models(1) == set()

    def test_it_skips_what_its_supervisor_says(self, activities: ActivityTable) -> None:
        activities.set_skipped(1, {"slow"})
        assert self.slow_models.skipped() == {"slow"}
        activities.set_skipped(1, ())
        assert self.slow_models.skipped() == set()

    def test_no_model_is_skipped_if_all_are_slow(self, activities: ActivityTable) -> None:
        self.served = {"slow"}
        activities.set_skipped(1, {"slow"})
        assert self.slow_models.skipped() == set()

    def test_a_new_scorer_knows_the_slow_models_of_its_predecessor(self, activities: ActivityTable) -> None:
        self.pace.record("slow", 1, 1, 1000)
        self.slow_models.skipped()
        pace = Pace(50)
        SlowModels(activities, 1, pace, lambda: self.served)
        assert pace.slow == {"slow"}
