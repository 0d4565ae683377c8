"""A scorer explains answers between its batches of predictions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis
from sklearn.linear_model import LinearRegression

from broker.sides.gateway.file_submission import FileJobs, FileSubmission
from broker.sides.gateway.job_client import Jobs, Limit
from broker.sides.supervisor import Leases
from contract.errors import Code
from contract.model.manifest import Golden
from contract.rows.background import BACKGROUND_FILE, background_file
from contract.rows.file_formats import FileFormat
from contract.work.explanations import ExplainRequest
from contract.work.jobs import FileRequest, PredictionJob, Status
from storage.spool.names import FileFolder
from tests.support import Raises, numbers, write_version
from tests.worker.conftest import MakeScorer, drain, job, read
from worker.job_ends import End
from worker.scorer import Scorer

WHY = ExplainRequest()
BACKGROUND = [[0.0, 0.0], [2.0, 4.0]]


class Slow:
    """A model that takes a while for each call, and counts them."""

    def predict(self, matrix: Any) -> Any:
        time.sleep(0.02)
        return np.asarray(matrix)[:, 0] * np.asarray(matrix)[:, 1]


def explanation(job_id: str, model: str = "sum", rows: Any = ((1.0, 3.0),), **changes: Any) -> PredictionJob:
    return job(job_id, model, rows, explain=changes.pop("explain", WHY), counts=changes.pop("counts", 4), **changes)


def write(models: Path, name: str, estimator: Any, background: list[list[float]] | None = None) -> None:
    write_version(models, name, estimator, numbers("a", "b"), golden=Golden(((1.0, 1.0),), (2.0,)))
    report = models / name / "versions/1/report"
    report.mkdir()
    if background:
        (report / BACKGROUND_FILE).write_bytes(background_file(background)[BACKGROUND_FILE])


@pytest.fixture
def line(models: Path) -> LinearRegression:
    estimator = LinearRegression().fit([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [1.0, 3.0, 2.0])
    write(models, "sum", estimator, BACKGROUND * 5)
    return estimator


@pytest.mark.usefixtures("line")
def test_a_job_gets_what_each_input_adds_to_the_mean_answer(jobs: Jobs, scorer: Scorer) -> None:
    jobs.submit([explanation("a", rows=[[1.0, 3.0], [0.0, 0.0]], ids=["x", "y"])])
    drain(scorer)
    done = read(jobs, "a")
    assert (done.kind, done.status, done.warnings) == ("explanation", Status.SUCCEEDED, [])
    assert done.output is not None
    first, second = done.output["predictions"]  # type: ignore[attr-defined]
    assert first["base"] == pytest.approx(1 + 2 * 1 + 1 * 2)
    assert first["value"] == pytest.approx(1 + 2 * 1 + 1 * 3)
    assert first["contributions"] == pytest.approx({"a": 0.0, "b": 1.0})
    assert second["contributions"] == pytest.approx({"a": -2.0, "b": -2.0})
    assert (first["class"], first["errors"], first["exact"], first["rows"]) == (None, None, True, 11)
    assert (done.output["probabilities"], done.output["ids"]) == (None, ["x", "y"])
    assert done.metrics is not None
    assert done.metrics["batch_rows"] == 22


def test_predictions_are_answered_while_an_explanation_runs(models: Path, jobs: Jobs, scorer: Scorer) -> None:
    write(models, "slow", Slow(), BACKGROUND)
    write(models, "sum", LinearRegression().fit([[0.0, 0.0], [1.0, 1.0]], [0.0, 1.0]))
    jobs.submit([explanation("why", "slow", rows=[[1.0, 3.0]] * 12)])
    for number in range(5):
        jobs.submit([job(f"p{number}", "sum")])
        assert scorer.step()
        assert read(jobs, f"p{number}").status is Status.SUCCEEDED
        assert read(jobs, "why").status in (Status.QUEUED, Status.RUNNING)
    drain(scorer)
    assert read(jobs, "why").status is Status.SUCCEEDED


def test_an_explanation_goes_on_while_predictions_never_end(models: Path, jobs: Jobs, scorer: Scorer) -> None:
    write(models, "slow", Slow(), BACKGROUND)
    write(models, "sum", LinearRegression().fit([[0.0, 0.0], [1.0, 1.0]], [0.0, 1.0]))
    jobs.submit([explanation("why", "slow", rows=[[1.0, 3.0]] * 3)])
    deadline, number = time.monotonic() + 60, 0
    while read(jobs, "why").status is not Status.SUCCEEDED:
        assert time.monotonic() < deadline, "predictions have starved it"
        jobs.submit([job(f"p{number}", "sum")])
        assert scorer.step()
        number += 1


def test_a_file_goes_on_while_explanations_never_end(models: Path, jobs: Jobs, scorer: Scorer, redis: Redis) -> None:
    write(models, "sum", LinearRegression().fit([[0.0, 0.0], [1.0, 1.0]], [0.0, 1.0]), BACKGROUND)
    folder = FileFolder.of(models.parent / "spool", "f")
    folder.path.mkdir(parents=True)
    folder.input.write_text("a,b\n1,2\n")
    submission = FileSubmission(
        "f", "2026-01-02T03:04:05.000006Z", FileRequest("sum", 1, FileFormat.CSV, FileFormat.CSV)
    )
    assert FileJobs(redis, timeout=30, result_ttl=600).submit(submission, 10) == "f"
    steps = 0
    while not folder.output.exists():
        jobs.submit([explanation(f"why-{steps}")])
        assert scorer.step() and steps < 200, "explanations have starved it"
        steps += 1


def test_a_background_of_few_rows_is_warned_of(models: Path, jobs: Jobs, scorer: Scorer) -> None:
    write(models, "sum", LinearRegression().fit([[0.0, 0.0], [1.0, 0.0]], [1.0, 3.0]), BACKGROUND[:1])
    jobs.submit([explanation("a")])
    drain(scorer)
    assert read(jobs, "a").warnings == [
        "the background of version 1 has only 1 row, so this says little; import it again with a sample of 100 rows or"
        " more"
    ]


@pytest.mark.usefixtures("line")
def test_rows_without_a_background_meet_golden_ones_with_a_warning(models: Path, jobs: Jobs, scorer: Scorer) -> None:
    (models / "sum/versions/1/report" / BACKGROUND_FILE).unlink()
    jobs.submit([explanation("a")])
    drain(scorer)
    done = read(jobs, "a")
    assert done.status is Status.SUCCEEDED
    assert done.warnings == [
        "version 1 has no background, so 1 rows of its manifest stand for it; train or import it again, with a sample,"
        " for one of 100 rows"
    ]


@pytest.mark.usefixtures("line")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"[1]",
        b'[["a", "b"]]',
        b"[[1.0]]",
        b"[[[], []]]",
        b"[" * 100_000,
        b"[[1, 2]]" + b" " * 9,
    ],
)
def test_a_background_that_was_altered_fails_the_job_and_not_the_scorer(
    models: Path, jobs: Jobs, scorer: Scorer, content: bytes
) -> None:
    (models / "sum/versions/1/report" / BACKGROUND_FILE).write_bytes(content)
    jobs.submit([explanation("a")])
    drain(scorer)
    done = read(jobs, "a")
    if content.startswith(b"[[1, 2]]"):
        assert done.status is Status.SUCCEEDED
        return
    assert done.error is not None
    assert done.error.code == Code.ARTIFACT_CORRUPT
    assert "has a background (background.json) that cannot be used" in done.error.message


def test_a_model_that_raises_fails_the_job(models: Path, jobs: Jobs, scorer: Scorer) -> None:
    write(models, "bad", Raises(), BACKGROUND)
    jobs.submit([explanation("a", "bad")])
    drain(scorer)
    error = read(jobs, "a").error
    assert error is not None
    assert (error.code, "it hurts" in error.message) == (Code.MODEL_ERROR, True)


def test_an_explanation_that_takes_too_long_makes_room_for_the_next(models: Path, jobs: Jobs, scorer: Scorer) -> None:
    write(models, "slow", Slow(), BACKGROUND)
    scorer.explanations.timeout = 0.01
    jobs.submit([explanation("a", "slow"), explanation("b", "slow", rows=[[1.0, 3.0]] * 9)])
    drain(scorer)
    for job_id in "ab":
        error = read(jobs, job_id).error
        assert error is not None
        assert (error.code, "longer than 0.01 s for each row" in error.message) == (Code.TIMEOUT, True)


def test_a_cancelled_job_makes_room_for_the_next(models: Path, jobs: Jobs, make_scorer: MakeScorer) -> None:
    write(models, "slow", Slow(), BACKGROUND)
    ends: list[End] = []
    scorer = make_scorer(ended=ends.append)
    jobs.submit([explanation("a", "slow", rows=[[1.0, 3.0]] * 10_000), explanation("b", "slow")])
    assert scorer.step()
    assert read(jobs, "a").status is Status.RUNNING
    jobs.cancel("a")
    drain(scorer)
    assert read(jobs, "a").status is Status.CANCELED
    assert read(jobs, "b").status is Status.SUCCEEDED
    assert [end.work.jobs[0].id for end in ends] == ["b"]  # type: ignore[union-attr]


def test_a_job_of_a_scorer_that_died_is_done_by_another(
    redis: Redis, models: Path, jobs: Jobs, make_scorer: MakeScorer
) -> None:
    write(models, "slow", Slow(), BACKGROUND)
    jobs.submit([explanation("a", "slow", rows=[[1.0, 3.0]] * 6)])
    assert make_scorer("w-0-a").step()
    assert Leases(redis).give_back("w-0-a", ["a"]) == {"a": "queued"}
    drain(make_scorer("w-0-b"))
    assert read(jobs, "a").status is Status.SUCCEEDED


@pytest.mark.usefixtures("line")
def test_a_version_that_is_awaited_goes_back(jobs: Jobs, make_scorer: MakeScorer) -> None:
    jobs.submit([explanation("a")])
    scorer = make_scorer(awaits=lambda model, version: True)
    assert not scorer.step()
    assert read(jobs, "a").status is Status.QUEUED


@pytest.mark.usefixtures("line")
def test_rows_that_wait_are_counted_as_told_and_apart_from_predictions(redis: Redis) -> None:
    jobs = Jobs(redis, max_queue_rows=100, timeout=1, result_ttl=60)
    accepted, refused, prediction = jobs.submit(
        [explanation("a", counts=90), explanation("b", counts=20), job("c", rows=[[1.0, 2.0]] * 100)]
    )
    assert (accepted.accepted, refused.refused_by, prediction.accepted) == (True, Limit.QUEUE, True)


@pytest.mark.usefixtures("line")
def test_the_metrics_of_predictions_know_nothing_of_explanations(redis: Redis, jobs: Jobs, scorer: Scorer) -> None:
    jobs.submit([explanation("a")])
    drain(scorer)
    counted = {name.decode() for name in redis.hkeys("mg:counts:model:sum")}
    assert counted == {"explanations_total|succeeded"}
    assert redis.xlen("mg:logged") == 0
