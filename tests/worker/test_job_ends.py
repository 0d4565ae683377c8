"""Observers of a scorer get each end once Redis has it, and are in nobody's way."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from broker.sides.file_tasks import FileTask, Stage
from broker.sides.gateway.file_submission import FileJobs, FileSubmission
from broker.sides.gateway.job_client import Jobs
from broker.sides.scorer import Batch
from contract.errors import Failure
from contract.rows.file_formats import FileFormat
from contract.work.jobs import FileRequest, PredictionOutcome, Status
from storage.spool.names import FileFolder
from tests.support import Raises, Sum, numbers, write_version
from tests.worker.conftest import MakeScorer, drain, job, read
from worker.job_ends import End, EndObservers


def test_the_end_of_a_batch_has_its_rows_answers_version_and_times(
    jobs: Jobs, models: Path, make_scorer: MakeScorer
) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    ends: list[End] = []

    def ended(end: End) -> None:
        assert all(read(jobs, job_id).status is Status.SUCCEEDED for job_id in end.outcomes), "Redis has it"
        ends.append(end)

    jobs.submit([job("x", rows=[[1.0, 2.0], [3.0, 4.0]])])
    drain(make_scorer(ended=ended))
    (end,) = ends
    assert isinstance(end.work, Batch)
    assert (end.work.model, end.work.version) == ("sum", 1)
    assert [list(scored.rows) for scored in end.work.jobs] == [[[1.0, 2.0], [3.0, 4.0]]]
    outcome = end.outcomes["x"]
    assert isinstance(outcome, PredictionOutcome)
    assert list(outcome.predictions) == [3.0, 7.0]
    assert 0 < end.taken < end.done


def test_the_outcome_of_a_cancelled_job_is_not_observed(jobs: Jobs, models: Path, make_scorer: MakeScorer) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    ends: list[End] = []
    jobs.submit([job("kept"), job("cancelled")])
    drain(make_scorer(begin=lambda ids, *seconds: "cancelled" in ids and jobs.cancel("cancelled"), ended=ends.append))
    assert [set(end.outcomes) for end in ends] == [{"kept"}, set()]


def test_the_end_of_each_task_of_a_file_is_observed(redis: Redis, models: Path, make_scorer: MakeScorer) -> None:
    write_version(models, "sum", Sum(), numbers("x"))
    ends: list[End] = []
    scorer = make_scorer(ended=ends.append)
    folder = FileFolder.of(models.parent / "spool", "f")
    folder.path.mkdir(parents=True)
    folder.input.write_text("x\n1\n2\n")
    request = FileRequest("sum", 1, FileFormat.CSV, FileFormat.CSV)
    FileJobs(redis, timeout=30, result_ttl=600).submit(FileSubmission("f", "2026-01-02T03:04:05.000006Z", request), 10)
    drain(scorer)
    stages = [end.work.stage for end in ends if isinstance(end.work, FileTask)]
    assert stages == [Stage.PLAN, Stage.SCORE, Stage.ASSEMBLE]
    outcomes: list[Any] = [end.outcomes[end.work.id] for end in ends if isinstance(end.work, FileTask)]
    assert [outcome["rows"] for outcome in outcomes] == [2, 2, 2]


def test_an_observer_that_raises_harms_nobody_and_is_logged_once(
    jobs: Jobs, models: Path, make_scorer: MakeScorer, caplog: pytest.LogCaptureFixture
) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"))
    write_version(models, "bad", Raises(), numbers("a", "b"))
    ends: list[End] = []

    def full(end: End) -> None:
        raise OSError("the disk is full")

    scorer = make_scorer(ended=EndObservers([full, ends.append]).ended)
    jobs.submit([job("x"), job("y", "bad")])
    with caplog.at_level(logging.ERROR, "worker"):
        drain(scorer)
    assert [isinstance(outcome, Failure) for end in ends for outcome in end.outcomes.values()].count(True) == 1
    assert read(jobs, "x").status is Status.SUCCEEDED
    assert read(jobs, "y").status is Status.FAILED
    (line,) = caplog.records
    assert line.exc_info
    assert "the disk is full" in str(line.exc_info[1])
