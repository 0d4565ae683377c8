"""A scorer takes jobs from a real Redis and scores them, and no job can end it."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import joblib
import numpy as np
import pytest
from redis import Redis
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer

from broker.link.scripts import FencedError
from broker.sides.gateway.job_client import Jobs
from broker.sides.scorer import Batch, BatchLimits
from broker.sides.supervisor import Leases
from contract.work.jobs import Status
from scoring.compatibility import record_versions
from scoring.trust import Trust
from tests.support import PROJECT, Bomb, Raises, Sum, numbers, write_version
from tests.worker.conftest import MakeScorer, drain, job, read
from worker.batch_scorer import Outcomes
from worker.scorer import Scorer


class Odd:
    """A model with an answer that is not a number for JSON."""

    def predict(self, matrix: Any) -> Any:
        return np.array([np.nan, np.inf, 1.0])[: len(matrix)]


def test_a_job_is_scored(jobs: Jobs, models: Path, scorer: Scorer) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    jobs.submit([job("a", rows=[[1.0, 2.0], [3.0, 4.0]], ids=["x", "y"], warnings=["early"])])
    assert scorer.step()
    done = read(jobs, "a")
    assert done.status is Status.SUCCEEDED
    assert done.output == {"predictions": [3.0, 7.0], "probabilities": None, "ids": ["x", "y"]}
    assert done.metrics is not None
    assert done.metrics["batch_rows"] == 2
    assert done.started_at
    assert done.completed_at
    assert done.started_at <= done.completed_at
    assert done.warnings == ["early"]


def test_predictions_that_are_not_finite_are_null_with_a_warning(jobs: Jobs, models: Path, scorer: Scorer) -> None:
    write_version(models, "odd", Odd(), numbers("a"))
    jobs.submit([job("a", "odd", [[1.0]] * 3, warnings=["early"])])
    drain(scorer)
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
    (models / "bad" / "versions" / "1" / "manifest.json").write_text('{"schema_version": 3, "artifact": 3}')


def _remove_manifest(models: Path) -> None:
    (models / "bad" / "versions" / "1" / "manifest.json").unlink()


def _other_library(models: Path) -> None:
    path = models / "bad" / "versions" / "1" / "manifest.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "libraries": {**data["libraries"], "scikit-learn": "0.22.1"}}))


def _with_trees_of_an_old_release(models: Path) -> None:
    shutil.rmtree(models / "bad")
    with record_versions():
        forest = joblib.load(PROJECT / "tests/trainer/importing/pickles/forest-1.3.2.joblib")
    write_version(models, "bad", forest, numbers("a", "b"))


@pytest.mark.parametrize(
    ("spoil", "code", "cause"),
    [
        (_corrupt, "artifact_corrupt", "checksum"),
        (_truncate, "artifact_corrupt", "bytes instead of"),
        (_remove, "artifact_missing", "no readable artifact model.joblib"),
        (_spoil_manifest, "manifest_invalid", "the manifest needs"),
        (_remove_manifest, "model_not_found", "not in the model repository"),
        (_other_library, "version_mismatch", "made with scikit-learn 0.22.1"),
        (_with_trees_of_an_old_release, "version_mismatch", "its answers would be wrong"),
        (lambda models: None, "model_error", "raised ValueError: it hurts"),
    ],
)
def test_an_unusable_model_fails_its_own_jobs_with_the_reason_and_no_others(
    jobs: Jobs, models: Path, scorer: Scorer, spoil: Callable[[Path], None], code: str, cause: str
) -> None:
    write_version(models, "bad", Raises(), numbers("a", "b"))
    write_version(models, "sum", Sum(), numbers("a", "b"))
    spoil(models)
    jobs.submit([job("bad", "bad")])
    jobs.submit([job("good")])
    drain(scorer)
    failed = read(jobs, "bad")
    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert failed.error.code == code
    assert cause in failed.error.message
    assert "model 'bad'" in failed.error.message
    assert read(jobs, "good").status is Status.SUCCEEDED


def test_a_repaired_model_is_served_again(jobs: Jobs, models: Path, scorer: Scorer) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    artifact = models / "sum" / "versions" / "1" / "model.joblib"
    whole = artifact.read_bytes()
    artifact.write_bytes(b"")
    jobs.submit([job("a")])
    drain(scorer)
    artifact.write_bytes(whole)
    jobs.submit([job("b")])
    drain(scorer)
    assert (read(jobs, "a").status, read(jobs, "b").status) == (Status.FAILED, Status.SUCCEEDED)


def test_a_dotted_path_outside_the_contract_is_not_called(
    redis: Redis, jobs: Jobs, scorer: Scorer, tmp_path: Path
) -> None:
    jobs.submit([job("a")])
    trap = tmp_path / "trap"
    redis.hset("rq:job:a", "data", json.dumps(["os.mkdir", None, [str(trap)], {}]))
    drain(scorer)
    error = read(jobs, "a").error
    assert error is not None
    assert (error.code, trap.exists()) == ("job_refused", False)
    assert "'os.mkdir'" in error.message or "cannot be read" in error.message


@pytest.mark.parametrize("data", [b"", b"{", b"\x80\x04}", b"[1]"])
def test_a_job_that_cannot_be_parsed_fails_and_its_neighbours_are_scored(
    redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, data: bytes
) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    jobs.submit([job("first")])
    drain(scorer)
    jobs.submit([job("a"), job("bad"), job("c")])
    redis.hset("rq:job:bad", "data", data)
    drain(scorer)
    assert [read(jobs, i).status for i in ("a", "c")] == [Status.SUCCEEDED] * 2
    assert getattr(read(jobs, "bad").error, "code", None) == "job_refused"


def test_models_take_turns_batch_by_batch(jobs: Jobs, redis: Redis, models: Path, scorer: Scorer) -> None:
    for name in ("one", "two"):
        write_version(models, name, Sum(), numbers("a", "b"))
    jobs.submit([job(f"one{i}", "one") for i in range(300)])
    jobs.submit([job(f"two{i}", "two") for i in range(3)])
    turns, waiting = [], 3
    while scorer.step():
        left = redis.llen("rq:queue:predict:two")
        turns.append("one" if left == waiting else "two")
        waiting = left
    assert turns[:4] == ["one", "two", "one", "two"]
    assert set(turns[4:]) == {"one"}
    assert redis.exists("mg:ready", "mg:rows") == 0


def test_a_flooded_model_delays_another_by_at_most_one_batch(
    jobs: Jobs, redis: Redis, models: Path, scorer: Scorer
) -> None:
    for name in ("flood", "other"):
        write_version(models, name, Sum(), numbers("a", "b"))
    jobs.submit([job(f"f{i}", "flood") for i in range(3000)])
    for number in range(8):
        jobs.submit([job(f"o{number}", "other")])
        for _ in range(2):
            scorer.step()
        assert read(jobs, f"o{number}").status is Status.SUCCEEDED
    assert redis.llen("rq:queue:predict:flood") > 1000


@pytest.mark.parametrize("limits", [{"served": ("two",)}, {"skipped": ("one",)}], ids=["serves", "skips"])
def test_a_scorer_takes_the_models_that_it_serves_and_does_not_skip(
    jobs: Jobs, models: Path, make_scorer: MakeScorer, limits: Any
) -> None:
    for name in ("one", "two"):
        write_version(models, name, Sum(), numbers("a", "b"))
    jobs.submit([job("a", "one"), job("b", "two")])
    drain(make_scorer(**limits))
    assert [read(jobs, i).status for i in "ab"] == [Status.QUEUED, Status.SUCCEEDED]


def test_finished_and_failed_jobs_expire(redis: Redis, jobs: Jobs, models: Path, scorer: Scorer) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    jobs.submit([job("good"), job("bad", rows=[["text", None]])])
    drain(scorer)
    for job_id in ("good", "bad"):
        assert 0 < redis.ttl(f"rq:job:{job_id}") <= 60
        fetched = RQJob.fetch(job_id, connection=redis, serializer=JSONSerializer)
        assert fetched.get_status() == ("finished" if job_id == "good" else "failed")


def test_a_scorer_whose_jobs_were_given_back_ends_and_writes_nothing(
    redis: Redis, jobs: Jobs, models: Path, make_scorer: MakeScorer
) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    jobs.submit([job("a")])
    scorer = make_scorer("w-0-a", begin=lambda ids, *seconds: Leases(redis).give_back("w-0-a"))
    with pytest.raises(FencedError):
        scorer.step()
    assert read(jobs, "a").status is Status.QUEUED
    drain(make_scorer("w-0-b"))
    assert read(jobs, "a").status is Status.SUCCEEDED
    assert redis.zrange("mg:ended:finished:predict:sum", 0, -1) == [b"a"]


def test_a_stopped_scorer_takes_no_more_jobs(jobs: Jobs, models: Path, scorer: Scorer) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    jobs.submit([job("a")])
    scorer.stop()
    scorer.run()
    assert read(jobs, "a").status is Status.QUEUED


def test_a_scorer_that_waits_for_work_stops_at_once(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its successor shares a new version, so it should come soon."""
    wait, waited_to_the_end = scorer.queue.wait_for_work, []
    monkeypatch.setattr(scorer.queue, "wait_for_work", lambda limits: waited_to_the_end.append(wait(limits)))
    before = signal.signal(signal.SIGALRM, lambda *_: scorer.stop())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        scorer.run()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not waited_to_the_end


def test_a_scorer_that_is_stopped_while_it_waits_does_what_it_was_handed(
    jobs: Jobs, models: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    wait = scorer.queue.wait_for_work

    def handed_and_stopped(limits: BatchLimits) -> None:
        assert wait(limits, 0.01).batch is None
        jobs.submit([job("a")])
        assert read(jobs, "a").status is Status.RUNNING
        jobs.submit([job("b")])
        scorer.stop()

    monkeypatch.setattr(scorer.queue, "wait_for_work", handed_and_stopped)
    scorer.run()
    assert (read(jobs, "a").status, read(jobs, "b").status) == (Status.SUCCEEDED, Status.QUEUED)


def test_a_second_signal_interrupts_no_batch(
    jobs: Jobs, models: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd signals all processes, and then the supervisor its own."""
    write_version(models, "sum", Sum(), numbers("a", "b"))
    wait, score = scorer.queue.wait_for_work, scorer.batch_scorer.score

    def handed_and_stopped(limits: BatchLimits) -> None:
        assert wait(limits, 0.01).batch is None
        jobs.submit([job("a")])
        scorer.stop()

    def stopped_again(batch: Batch) -> Outcomes:
        scorer.stop()
        return score(batch)

    monkeypatch.setattr(scorer.queue, "wait_for_work", handed_and_stopped)
    monkeypatch.setattr(scorer.batch_scorer, "score", stopped_again)
    scorer.run()
    assert read(jobs, "a").status is Status.SUCCEEDED


def test_a_scorer_that_is_stopped_after_it_waited_leaves_no_batch_with_it(
    jobs: Jobs, models: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    wait = scorer._wait

    def stopped_after() -> None:
        wait()
        scorer.stop()
        jobs.submit([job("a")])  # is handed to this scorer
        assert read(jobs, "a").status is Status.RUNNING

    monkeypatch.setattr(scorer, "_wait", stopped_after)
    scorer.run()
    jobs.submit([job("b")])
    assert (read(jobs, "a").status, read(jobs, "b").status) == (Status.SUCCEEDED, Status.QUEUED)


def test_a_batch_takes_two_round_trips_busy_or_idle(redis: Redis, jobs: Jobs, models: Path, scorer: Scorer) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    for count in (1, 4, 16, 64):  # until 64 rows may be scored at once
        jobs.submit([job(f"warm{count}-{i}") for i in range(count)])
        drain(scorer)
    jobs.submit([job(f"busy{i}") for i in range(64)])
    assert _round_trips(redis, scorer.step) == 2
    assert not scorer.step()
    jobs.submit([job("idle")])
    assert _round_trips(redis, scorer._wait) == 2
    assert read(jobs, "idle").status is Status.SUCCEEDED


def _round_trips(redis: Redis, do: Callable[[], object]) -> int:
    """Return how often `redis` is asked meanwhile; other clients of the server do not count."""
    pool = redis.connection_pool
    with patch.object(pool, "get_connection", wraps=pool.get_connection) as get_connection:
        do()
    return get_connection.call_count


@pytest.mark.parametrize("trust", [Trust(keys=(bytes(32),)), Trust(pickles=False)])
def test_an_untrusted_model_fails_its_job_and_is_not_unpickled(
    jobs: Jobs, models: Path, make_scorer: MakeScorer, tmp_path: Path, trust: Trust
) -> None:
    write_version(models, "bomb", Bomb(tmp_path / "trace"), numbers("a", "b"))
    jobs.submit([job("a", "bomb")])
    drain(make_scorer(trust=trust))
    failed = read(jobs, "a")
    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert failed.error.code == "not_trusted"
    assert failed.error.details["model"] == "bomb"
    assert not (tmp_path / "trace").exists()


class Shouts(Sum):
    """Sums, and has NumPy raise for its whole process."""

    def predict(self, X: Any) -> Any:
        np.seterr(all="raise")
        return super().predict(X)


def test_a_scorer_that_a_model_has_changed_scores_no_other_and_ends(
    make_scorer: MakeScorer, jobs: Jobs, models: Path
) -> None:
    write_version(models, "shouts", Shouts(), numbers("a", "b"), by_value=True)
    jobs.submit([job("first", "shouts")])
    scorer = make_scorer()
    assert scorer.step()
    jobs.submit([job("second", "shouts"), job("other")])
    scorer.run()
    assert [read(jobs, name).status for name in ("first", "second", "other")] == [
        Status.SUCCEEDED,
        Status.SUCCEEDED,
        Status.QUEUED,
    ]
    assert np.geterr()["divide"] == "warn"
    assert scorer.batch_scorer.cache.apart.why_it_ends == "shouts@1 changes NumPy's error handling (np.seterr)"
