"""The worker takes jobs from a real Redis, scores them, and lives on whatever they hold."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer

from broker.jobs import Jobs
from broker.rq_worker import TurnWorker
from contract.jobs import PREDICT, Job, PredictionJob, Status
from contract.repository import Repository
from tests.support import Raises, Sum, numbers, until, write_version
from worker.model_cache import ModelCache
from worker.scorer import Scorer


class Endless:
    """A model that takes its time."""

    def predict(self, matrix: Any) -> Any:
        time.sleep(60)


class Odd:
    """A model with an answer that is not a number for JSON."""

    def predict(self, matrix: Any) -> Any:
        return np.array([np.nan, np.inf, 1.0])[: len(matrix)]


@pytest.fixture
def jobs(redis: Redis) -> Jobs:
    return Jobs(redis, max_queue_rows=1000, timeout=1, result_ttl=60)


@pytest.fixture
def work(redis: Redis, models: Path) -> Callable[[int], None]:
    """Runs a worker in this process for that many jobs."""
    cache = ModelCache(Repository(models), 1_000_000)

    def run(count: int) -> None:
        TurnWorker(redis, {PREDICT: Scorer(cache).predict}, "w").work(max_jobs=count, logging_level="CRITICAL")

    return run


def job(job_id: str, model: str = "sum", rows: Any = ((1.0, 2.0),), **changes: Any) -> PredictionJob:
    return PredictionJob(job_id, "2026-01-02T03:04:05.000006Z", model, 1, rows, **changes)


def read(jobs: Jobs, job_id: str) -> Job:
    (found,) = jobs.read([job_id])
    assert found is not None
    return found


def test_a_job_is_scored(jobs: Jobs, models: Path, work: Callable[[int], None]) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    jobs.submit([job("a", rows=[[1.0, 2.0], [3.0, 4.0]], ids=["x", "y"], warnings=["early"])])
    work(1)
    done = read(jobs, "a")
    assert done.status is Status.SUCCEEDED
    assert done.output == {"predictions": [3.0, 7.0], "probabilities": None, "ids": ["x", "y"]}
    assert done.metrics is not None
    assert done.metrics["batch_rows"] == 2
    assert done.started_at
    assert done.completed_at
    assert done.started_at <= done.completed_at
    assert done.warnings == ["early"]


def test_predictions_that_are_not_finite_are_null_with_a_warning(
    jobs: Jobs, models: Path, work: Callable[[int], None]
) -> None:
    write_version(models, "odd", Odd(), numbers("a"))
    jobs.submit([job("a", "odd", [[1.0]] * 3, warnings=["early"])])
    work(1)
    done = read(jobs, "a")
    assert done.output == {"predictions": [None, None, 1.0], "probabilities": None, "ids": None}
    assert done.warnings[0] == "early"
    assert "2 of 3 predictions are not finite" in done.warnings[1]


def _corrupt(models: Path) -> None:
    path = models / "bad" / "versions" / "1" / "model.joblib"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def _truncate(models: Path) -> None:
    path = models / "bad" / "versions" / "1" / "model.joblib"
    path.write_bytes(path.read_bytes()[:-1])


def _remove(models: Path) -> None:
    (models / "bad" / "versions" / "1" / "model.joblib").unlink()


def _spoil_manifest(models: Path) -> None:
    (models / "bad" / "versions" / "1" / "manifest.json").write_text('{"schema_version": 1, "artifact": 3}')


def _remove_manifest(models: Path) -> None:
    (models / "bad" / "versions" / "1" / "manifest.json").unlink()


def _other_library(models: Path) -> None:
    path = models / "bad" / "versions" / "1" / "manifest.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "libraries": {**data["libraries"], "scikit-learn": "0.22.1"}}))


@pytest.mark.parametrize(
    ("spoil", "code", "cause"),
    [
        (_corrupt, "artifact_corrupt", "checksum"),
        (_truncate, "artifact_corrupt", "bytes instead of"),
        (_remove, "artifact_missing", "no readable artifact model.joblib"),
        (_spoil_manifest, "manifest_invalid", "the manifest needs"),
        (_remove_manifest, "model_not_found", "not in the model repository"),
        (_other_library, "version_mismatch", "made with scikit-learn 0.22.1"),
        (lambda models: None, "model_error", "raised ValueError: it hurts"),
    ],
)
def test_a_model_that_cannot_be_used_fails_its_job_by_name_and_no_other(
    jobs: Jobs, models: Path, work: Callable[[int], None], spoil: Callable[[Path], None], code: str, cause: str
) -> None:
    write_version(models, "bad", Raises(), numbers("a", "b"))
    write_version(models, "sum", Sum(), numbers("a", "b"))
    spoil(models)
    jobs.submit([job("bad", "bad")])
    jobs.submit([job("good")])
    work(2)
    failed = read(jobs, "bad")
    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert failed.error.code == code
    assert cause in failed.error.message
    assert "model 'bad'" in failed.error.message
    assert read(jobs, "good").status is Status.SUCCEEDED


def test_a_model_that_was_repaired_serves_again(jobs: Jobs, models: Path, work: Callable[[int], None]) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    artifact = models / "sum" / "versions" / "1" / "model.joblib"
    whole = artifact.read_bytes()
    artifact.write_bytes(b"")
    jobs.submit([job("a")])
    work(1)
    artifact.write_bytes(whole)
    jobs.submit([job("b")])
    work(1)
    assert (read(jobs, "a").status, read(jobs, "b").status) == (Status.FAILED, Status.SUCCEEDED)


def test_a_model_that_takes_too_long_fails_with_timeout(jobs: Jobs, models: Path, work: Callable[[int], None]) -> None:
    write_version(models, "endless", Endless(), numbers("a", "b"))
    jobs.submit([job("a", "endless")])
    work(1)
    error = read(jobs, "a").error
    assert error is not None
    assert (error.code, error.message) == ("timeout", "scoring took longer than 1 s")


def test_a_dotted_path_outside_the_contract_is_not_called(
    redis: Redis, jobs: Jobs, models: Path, work: Callable[[int], None], tmp_path: Path
) -> None:
    jobs.submit([job("a")])
    trap = tmp_path / "trap"
    redis.hset("rq:job:a", "data", json.dumps(["os.mkdir", None, [str(trap)], {}]))
    work(1)
    error = read(jobs, "a").error
    assert error is not None
    assert (error.code, trap.exists()) == ("job_refused", False)
    assert "'os.mkdir'" in error.message


@pytest.mark.parametrize("data", [b"", b"{", b"\x80\x04}", b"[1]"])
def test_a_job_that_does_not_parse_fails_and_the_next_one_is_scored(
    redis: Redis, jobs: Jobs, models: Path, work: Callable[[int], None], data: bytes
) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    jobs.submit([job("a"), job("b")])
    redis.hset("rq:job:a", "data", data)
    work(2)
    assert (read(jobs, "a").status, read(jobs, "b").status) == (Status.FAILED, Status.SUCCEEDED)


def test_models_take_turns(jobs: Jobs, redis: Redis, models: Path, work: Callable[[int], None]) -> None:
    for name in ("one", "two"):
        write_version(models, name, Sum(), numbers("a", "b"))
    jobs.submit([job(f"one{i}", "one") for i in range(5)])
    jobs.submit([job(f"two{i}", "two") for i in range(2)])
    ended = redis.pubsub(ignore_subscribe_messages=True)
    ended.subscribe("mg:ended")
    work(7)
    order: list[str] = []
    while len(order) < 7:
        message = until(lambda: ended.get_message(timeout=1), "the end of a job is published")
        order.append(message["data"].decode())
    assert order == ["one0", "two0", "one1", "two1", "one2", "one3", "one4"]
    assert redis.exists("mg:ready", "mg:rows") == 0


def test_finished_and_failed_jobs_expire(redis: Redis, jobs: Jobs, models: Path, work: Callable[[int], None]) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    jobs.submit([job("good"), job("bad", rows=[["text", None]])])
    work(2)
    for job_id in ("good", "bad"):
        assert 0 < redis.ttl(f"rq:job:{job_id}") <= 60
        assert 0 < redis.ttl(f"rq:results:{job_id}") <= 60
        fetched = RQJob.fetch(job_id, connection=redis, serializer=JSONSerializer)
        assert fetched.get_status() == ("finished" if job_id == "good" else "failed")


def test_the_model_cache_forgets_the_least_recently_used(models: Path) -> None:
    size = write_version(models, "a", Sum(), numbers("x")).artifact.size
    for name in ("b", "c"):
        write_version(models, name, Sum(), numbers("x"))
    cache = ModelCache(Repository(models), 2 * size)
    first, second = cache.get("a", 1), cache.get("b", 1)
    assert cache.get("a", 1) is first
    cache.get("c", 1)
    assert cache.get("a", 1) is first
    assert cache.get("b", 1) is not second


def test_a_model_larger_than_the_budget_is_served_alone(models: Path) -> None:
    for name in ("a", "b"):
        write_version(models, name, Sum(), numbers("x"))
    cache = ModelCache(Repository(models), 1)
    assert cache.get("a", 1) is cache.get("a", 1)
    assert cache.get("b", 1) is cache.get("b", 1)
