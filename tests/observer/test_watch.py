"""Rows that enter the log are watched: a change is named, and a crash counts no row twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from redis import Redis

from broker.sides.gateway.job_client import Jobs
from broker.sides.observer import BEGINNING
from contract.model.manifest import ModelManifest
from contract.model.row_profile import profile_of
from contract.model.signature import Field, Kind, Output, OutputKind, Signature
from contract.row import ColumnarRows
from observer.log.intake import Intake
from observer.log.store import LogStore
from observer.watch import Watch
from tests.observer.conftest import make_intake, predict
from tests.support import write_version
from worker.scorer import Scorer

INPUTS = (Field("n", Kind.NUMBER, nullable=True), Field("flag", Kind.INTEGER), Field("t", Kind.DATETIME))


class Flag:
    """Answers whether the flag is set."""

    def predict(self, matrix: Any) -> Any:
        return np.asarray(matrix)[:, 1].astype(int)


class Named:
    """Answers the flag as a text."""

    def predict(self, matrix: Any) -> Any:
        return np.asarray(matrix)[:, 1].astype(int).astype(str)


def rows(rng: np.random.Generator, count: int, mean: float = 0.0, set_flags: float = 0.3) -> list[list[Any]]:
    numbers, flags = rng.normal(mean, 1, count).tolist(), (rng.random(count) < set_flags).astype(int).tolist()
    return [[*row, "2026-01-02T03:04:05+00:00"] for row in zip(numbers, flags, strict=True)]


@pytest.fixture
def manifest(models: Path) -> ModelManifest:
    output = Output(OutputKind.CLASS, (0, 1))
    trained = rows(np.random.default_rng(0), 5000)
    profile = profile_of(Signature(INPUTS, (output,)), trained, [row[1] for row in trained])
    return write_version(models, "watched", Flag(), INPUTS, output, profile=profile)


def send(jobs: Jobs, scorer: Scorer, job_id: str, sent: list[list[Any]], **logged: Any) -> None:
    columns = ColumnarRows([list(column) for column in zip(*sent, strict=True)])
    predict(jobs, scorer, job_id, columns, model="watched", logged=logged)


@pytest.mark.slow
def test_a_column_that_moves_is_named_and_quiet_ones_are_not(
    jobs: Jobs, scorer: Scorer, intake: Intake, manifest: ModelManifest
) -> None:
    rng = np.random.default_rng(1)
    for number in range(10):
        send(jobs, scorer, f"quiet-{number}", rows(rng, 100))
        intake.run()
    health = intake.watch.health(manifest)
    assert (health["rows"], health["alarms"], health["watched"]) == (1000, [], ["n", "flag", "prediction"])
    for number in range(20):
        send(jobs, scorer, f"moved-{number}", rows(rng, 100, mean=0.5))
        intake.run()
    (alarm,) = intake.watch.health(manifest)["alarms"]
    assert (alarm["column"], alarm["output"]) == ("n", False)
    assert alarm["p_value"] <= 0.01
    assert 900 <= alarm["since"]["row"] <= 1200
    assert alarm["quartiles"]["now"][1] > alarm["quartiles"]["training"][1] + 0.3


def test_a_flag_that_is_set_more_often_moves_the_prediction_too(
    jobs: Jobs, scorer: Scorer, intake: Intake, manifest: ModelManifest
) -> None:
    rng = np.random.default_rng(2)
    for number in range(10):
        send(jobs, scorer, f"a-{number}", rows(rng, 100, set_flags=0.7))
        intake.run()
    alarms = intake.watch.health(manifest)["alarms"]
    assert [(alarm["column"], alarm["output"]) for alarm in alarms] == [("flag", False), ("prediction", True)]


def test_a_killed_observer_counts_each_row_once(
    jobs: Jobs, scorer: Scorer, redis: Redis, folder: Path, models: Path, manifest: ModelManifest
) -> None:
    rng = np.random.default_rng(3)
    for step in ("_write_state", "_complete", None):
        send(jobs, scorer, f"{step}", rows(rng, 100))
        store = LogStore(folder, BEGINNING)
        intake = make_intake(redis, store, models)
        if step is None:
            intake.run()
            assert intake.watch.health(manifest)["rows"] == 300
        else:
            with patch.object(store, step, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
                intake.run()
        store.close()


def test_a_change_that_fails_is_not_counted_and_made_again(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, manifest: ModelManifest
) -> None:
    send(jobs, scorer, "a", rows(np.random.default_rng(4), 100))
    with (
        patch.object(store, "_write_state", side_effect=OSError(28, "No space left")),
        pytest.raises(OSError, match="No space"),
    ):
        intake.run()
    intake.run()
    assert intake.watch.health(manifest)["rows"] == 100


def test_leaving_out_an_input_begins_anew_without_it(
    jobs: Jobs, scorer: Scorer, intake: Intake, manifest: ModelManifest
) -> None:
    rng = np.random.default_rng(5)
    send(jobs, scorer, "a", rows(rng, 100))
    intake.run()
    send(jobs, scorer, "b", rows(rng, 60), leave_out=["n"])
    intake.run()
    health = intake.watch.health(manifest)
    assert (health["rows"], health["watched"]) == (60, ["flag", "prediction"])


def test_a_version_without_a_profile_says_so(models: Path, intake: Intake) -> None:
    bare = write_version(models, "bare", Flag(), INPUTS)
    assert "and 0 are logged" in intake.watch.health(bare)["reason"]


def test_the_state_of_a_version_is_read_by_the_next_observer(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, manifest: ModelManifest
) -> None:
    send(jobs, scorer, "a", rows(np.random.default_rng(6), 100))
    intake.run()
    assert Watch(store, 0.01).health(manifest)["rows"] == 100


def test_answers_whose_labels_the_version_does_not_know_are_those_of_the_profile(
    jobs: Jobs, scorer: Scorer, intake: Intake, models: Path
) -> None:
    trained = rows(np.random.default_rng(0), 5000)
    output = Output(OutputKind.CLASS)
    profile = profile_of(Signature(INPUTS, (output,)), trained, [str(row[1]) for row in trained])
    manifest = write_version(models, "watched", Named(), INPUTS, output, profile=profile)
    rng = np.random.default_rng(8)
    for number in range(10):
        send(jobs, scorer, f"a-{number}", rows(rng, 100))
        intake.run()
    health = intake.watch.health(manifest)
    assert (health["rows"], health["watched"], health["alarms"]) == (1000, ["n", "flag", "prediction"], [])
