"""The bulk lane leaves a file to the scorer that its model belongs to."""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import inf
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sklearn.dummy import DummyClassifier

from broker.sides.file_tasks import FileTask
from broker.sides.gateway.file_submission import FileJobs, FileSubmission
from broker.sides.supervisor import Leases
from contract.model.repository import Repository
from contract.model.signature import Output, OutputKind
from contract.rows.file_formats import FileFormat
from contract.work.jobs import FileRequest
from scoring.pace import Pace
from scoring.trust import Trust
from storage.spool.names import FileFolder
from storage.spool.store import Spool
from tests.support import Sum, numbers, write_version
from tests.worker.lanes import bulk_lane
from worker.activity import ActivityTable
from worker.bulk_lane import BulkLane
from worker.model_cache import ModelCache, ModelLoader
from worker.model_reports import ModelAffinity

FILE = "f"


class Side:
    """One of two scorers: its models, what it knows of the other, and its lane."""

    def __init__(self, redis: Redis, models: Path, activities: ActivityTable, slot: int) -> None:
        inc = f"w-{slot}-1f2e"
        Leases(redis, lease=60).register(inc)
        self.affinity = ModelAffinity(activities, slot, 2, inc)
        loader = ModelLoader(Repository(models), Trust())
        self.cache = ModelCache(loader, lambda: 1_000_000, {}, self.affinity.elsewhere)
        self.slow: set[str] = set()
        self.lane = bulk_lane(redis, models.parent, inc, self.cache, Pace(inf), self._skip)

    def load(self) -> None:
        self.cache.get("sum", 1)
        self.affinity.tell(self.cache)

    def _skip(self) -> Collection[str]:
        return {*self.slow, *self.affinity.find(self.cache)}


def at_once(action: Callable[[], Any]) -> Any:
    return action()


@pytest.fixture
def sides(redis: Redis, models: Path) -> tuple[Side, Side]:
    write_version(models, "sum", Sum(), numbers("x"))
    activities = ActivityTable.create(2)
    return Side(redis, models, activities, 0), Side(redis, models, activities, 1)


def submitted(redis: Redis, spool: Path, model: str, rows: int) -> FileFolder:
    """A file that waits."""
    folder = FileFolder.of(spool, FILE)
    folder.path.mkdir()
    folder.input.write_text("x\n" + "".join(f"{row}\n" for row in range(1, rows + 1)))
    file_request = FileRequest(model, 1, FileFormat.CSV, FileFormat.CSV)
    job = FileSubmission(FILE, "2026-01-02T03:04:05.000006Z", file_request)
    assert FileJobs(redis, timeout=30, result_ttl=600).submit(job, 10) == FILE
    return folder


@pytest.fixture
def folder(redis: Redis, models: Path) -> FileFolder:
    """A file of two rows that waits."""
    return submitted(redis, models.parent, "sum", 2)


def finish(lane: BulkLane) -> None:
    while lane.step(at_once):
        pass


def test_a_file_is_left_to_the_home_of_its_model(sides: tuple[Side, Side], folder: FileFolder) -> None:
    home, other = sides
    home.load()
    assert not other.lane.step(at_once), "it takes nothing"
    finish(home.lane)
    assert folder.output.read_text() == "x,prediction\n1,1.0\n2,2.0\n"


def test_a_task_whose_model_gets_a_home_meanwhile_is_released(
    sides: tuple[Side, Side], folder: FileFolder, redis: Redis
) -> None:
    home, other = sides

    def load_elsewhere(action: Callable[[], Any]) -> Any:
        task = action()
        if isinstance(task, FileTask):
            home.load()
        return task

    assert other.lane.step(load_elsewhere), "it has taken the task"
    assert redis.zcard("mg:held:w-1-1f2e") == 0, "and given it back"
    assert not other.cache.own, "without loading the model"
    finish(home.lane)
    assert folder.output.exists()


def test_a_task_whose_model_turns_out_to_be_slow_is_released(
    sides: tuple[Side, Side], folder: FileFolder, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.bulk_lane.SLICE", 0.0)
    first, other = sides
    assert first.lane.step(at_once) and first.cache.own
    assert redis.zcard("mg:held:w-0-1f2e") == 1, "it is in the middle of the task"
    first.slow.add("sum")
    finish(first.lane)
    assert redis.zcard("mg:held:w-0-1f2e") == 0
    assert not folder.plan.exists()
    finish(other.lane)
    assert folder.output.exists()


@pytest.mark.parametrize(("megabytes", "status"), [(10, "failed"), (40, "finished")])
def test_answers_of_many_times_the_upload_first_claim_the_room_of_all_of_them(
    redis: Redis, models: Path, sides: tuple[Side, Side], megabytes: int, status: str
) -> None:
    """Or small files would fill the share of their owner, each until it fails in the end."""
    labels = range(200)
    many = DummyClassifier().fit([[0.0]] * len(labels), labels)
    write_version(models, "many", many, numbers("x"), Output(OutputKind.CLASS, tuple(labels), probabilities=True))
    folder, lane = submitted(redis, models.parent, "many", 8_000), sides[0].lane
    lane.work.spool = Spool(models.parent, megabytes)  # there are four parts, of 8 MB together
    finish(lane)
    assert redis.hget(f"rq:job:{FILE}", "status") == status.encode()
    assert folder.part(0).exists() == (status == "finished")
