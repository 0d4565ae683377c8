"""What the shadow scorer says of its batches is added up as its records enter the log, once, whatever is killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from redis import Redis

from broker.sides.gateway.job_client import Jobs
from broker.sides.observer import BEGINNING
from broker.state.prediction_log import LOG
from contract.model.experiments import Experiment, ExperimentLimits
from contract.model.repository import RepositoryWithRemoved
from contract.model.signature import Output, OutputKind
from contract.work.observation import Observation, ObservationAction
from observer.experiments.shadows import ShadowSums, ShadowWatch
from observer.learning import Learning
from observer.log.intake import Intake
from observer.log.outcomes import Outcomes
from observer.log.store import LogStore
from observer.measuring import Measuring
from tests.observer.conftest import NOON, make_intake, predict, rows_of
from tests.observer.experiments.plans import begin, experiment
from tests.support import Sum, numbers, write_version
from worker.scorer import Scorer

CANDIDATE = ("sum", 2)
SUMMARY = {
    "experiment": "e1",
    "rows": 4,
    "failed": 0,
    "same": 3,
    "compared": 4,
    "distance": 0.4,
    "milliseconds": 0.5,
    "baseline_milliseconds": 0.4,
    "dropped": 0,
}


@pytest.fixture(autouse=True)
def running(models: Path) -> Experiment:
    for version in (2, 1):
        write_version(models, "sum", Sum(), numbers("a"), Output(OutputKind.NUMBER), version=version)
    return begin(models, "sum", experiment(limits=ExperimentLimits(distance=0.5), agreement=0.5))


def score(redis: Redis, job: str, summary: Any = SUMMARY, rows: int = 4) -> None:
    """Give the log what the shadow scorer says of a job."""
    record = {
        "count": rows,
        "job_id": [job],
        "request_id": [None],
        "accepted_at": [NOON],
        "alias": ["~shadow"],
        "owner": ["risk"],
        "id": [f"c{row}" for row in range(rows)],
        "number": None,
        "leave_out": [],
        "inputs": {"0": [1.0] * rows},
        "prediction": [2.0] * rows,
        "probabilities": None,
        "warnings": [[]],
        "milliseconds": [0.5],
        "shadow": summary,
    }
    redis.xadd(LOG, {"version": "sum@2", str(rows): json.dumps(record)})


def sums(intake: Intake, version: tuple[str, int] = CANDIDATE) -> ShadowSums:
    assert isinstance(intake.shadows, ShadowWatch)
    return intake.shadows.of(version, "e1")


def test_batches_add_up(redis: Redis, intake: Intake) -> None:
    score(redis, "a")
    score(redis, "b", {**SUMMARY, "rows": 5, "failed": 1, "dropped": 7})
    intake.run()
    score(redis, "c", {**SUMMARY, "milliseconds": 5.0})
    intake.run()
    found = sums(intake)
    assert found.sums == pytest.approx(
        {
            "rows": 13,
            "failed": 1,
            "dropped": 7,
            "compared": 12,
            "same": 9,
            "distance": 1.2,
            "milliseconds": 6.0,
            "baseline_milliseconds": 1.2,
            "timed": 3,
        }
    )
    assert found.failed.most > 0 and found.slow.now < 0.5 and found.distance.now < 0 < found.alike.now


def test_what_is_known_outlives_the_observer(redis: Redis, store: LogStore, models: Path, intake: Intake) -> None:
    score(redis, "a")
    intake.run()
    restarted = make_intake(redis, store, models)
    assert sums(restarted) == sums(intake)
    score(redis, "b")
    restarted.run()
    assert sums(restarted).sums["rows"] == 8 and len(sums(restarted).failed.bets) == len(sums(intake).failed.bets)


def test_a_killed_observer_counts_each_batch_once(redis: Redis, folder: Path, models: Path) -> None:
    for round_ in range(3):
        for batch in range(5):
            score(redis, f"{round_}-{batch}")
        store = LogStore(folder, BEGINNING)
        intake = make_intake(redis, store, models)
        step = ("settle", "_write_state", "_complete")[round_]
        with patch.object(store, step, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            intake.run()
        store.close()
    store = LogStore(folder, BEGINNING)
    intake = make_intake(redis, store, models)
    intake.run()
    assert sums(intake).sums["rows"] == 60 and len(rows_of(store, version=2)) == 60
    store.close()


def test_a_change_of_the_log_that_fails_counts_nothing(redis: Redis, intake: Intake, store: LogStore) -> None:
    score(redis, "a")
    with patch.object(store, "change", side_effect=OSError), pytest.raises(OSError):  # noqa: PT011
        intake.run()
    intake.run()
    assert sums(intake).sums["rows"] == 4


def test_a_batch_of_which_all_rows_failed_counts_and_leaves_no_row(
    redis: Redis, intake: Intake, store: LogStore
) -> None:
    score(redis, "a", {"experiment": "e1", "rows": 4, "failed": 4, "same": 0, "compared": 0, "distance": 0.0}, rows=0)
    intake.run()
    assert sums(intake).sums["failed"] == 4 and rows_of(store, version=2) == []


@pytest.mark.parametrize(
    "summary",
    [
        *("text", [], 7, None, {"rows": 3}),
        *({**SUMMARY, name: -1} for name in ("rows", "failed", "same", "distance", "milliseconds")),
        *({**SUMMARY, "rows": 0, "compared": 0, "same": 0}, {**SUMMARY, "failed": 5}, {**SUMMARY, "compared": 5}),
        *({**SUMMARY, "same": 5}, {**SUMMARY, "distance": 4.1}, {**SUMMARY, "rows": "many"}),
        *({**SUMMARY, "milliseconds": 1e999}, {**SUMMARY, "experiment": "another"}, {**SUMMARY, "experiment": ["e1"]}),
    ],
)
def test_what_cannot_be_is_left_out(redis: Redis, intake: Intake, store: LogStore, summary: Any) -> None:
    score(redis, "a", summary)
    score(redis, "b")
    intake.run()
    assert sums(intake).sums["rows"] == 4 and len(rows_of(store, version=2)) == 8


def test_a_broken_record_takes_no_summary_with_it(redis: Redis, intake: Intake, store: LogStore) -> None:
    redis.xadd(LOG, {"version": "sum@2", "1": b'{"shadow":{"experiment":"e1"', "4": b"\xff"})
    score(redis, "b")
    intake.run()
    assert sums(intake).sums["rows"] == 4 and len(rows_of(store, version=2)) == 4


def test_a_batch_of_an_experiment_that_has_ended_does_not_count(redis: Redis, models: Path, intake: Intake) -> None:
    score(redis, "a")
    intake.run()
    begin(models, "sum", experiment(), "e2")
    score(redis, "b")
    score(redis, "c", {**SUMMARY, "experiment": "e2"})
    intake.run()
    assert isinstance(intake.shadows, ShadowWatch)
    assert intake.shadows.of(CANDIDATE, "e2").sums["rows"] == 4 and sums(intake).sums["rows"] == 0


def test_nobody_was_answered_with_the_rows_of_a_shadow(
    redis: Redis, jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore
) -> None:
    predict(jobs, scorer, "a", [[1.0], [2.0]])
    score(redis, "a", rows=2)
    intake.run()
    assert [(row["job"], row["model"]["version"]) for row in rows_of(store)] == [("a", 1), ("a", 1)]
    assert [row["model"]["version"] for row in rows_of(store, job="a", row=0)] == [1]
    assert [row["model"] for row in rows_of(store, version=2)] == [
        {"name": "sum", "version": 2, "alias": "~shadow"}
    ] * 2


def test_the_rows_of_a_shadow_are_deleted_with_a_person(redis: Redis, intake: Intake, store: LogStore) -> None:
    score(redis, "a")
    intake.run()
    assert intake.deletions.delete("sum", "c1", "risk") == 1
    score(redis, "b")
    intake.run()
    assert [row["id"] for row in rows_of(store, version=2)] == ["c0", "c2", "c3"] * 2


def test_the_rows_of_a_shadow_are_no_training_rows_and_show_how_good_the_candidate_is(
    redis: Redis, jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, models: Path
) -> None:
    predict(jobs, scorer, "a", [[1.0], [1.0]])
    score(redis, "a", rows=2)
    score(redis, "b", rows=2)
    intake.run()
    outcomes, repository = Outcomes(store), RepositoryWithRemoved(models)
    sent = [{"job": job, "row": row, "outcome": 3.0} for job in ("a", "b") for row in (0, 1)]
    outcomes.add(Observation(ObservationAction.ADD_OUTCOMES, "sum", outcomes=sent))
    asked = Observation(ObservationAction.READ_OUTCOMES, "sum", version=1)
    assert len(Learning(store, outcomes, repository).page(asked)["rows"]) == 2
    measured = [Measuring(store, outcomes).measure(repository.manifest("sum", one), {}, None) for one in (1, 2)]
    assert [one["outcomes"] for one in measured] == [2, 4]
    assert measured[1]["metrics"]["mean_absolute_error"]["value"] == 1.0 and measured[1]["unknown"] == 0
