"""What the observer finds about versions is in Redis for all services, as long as it holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from redis import Redis

from broker.metrics.table import MODEL_REQUESTS, REFUSED_FIELDS
from broker.sides.gateway.job_client import Jobs
from broker.sides.observer import BEGINNING, RequestCounts
from broker.state.boards import HEALTH, HealthBoard
from contract.model.manifest import ModelManifest
from contract.model.model_health import HealthState, ModelHealth, joined
from contract.model.repository import RepositoryWithRemoved
from observer.health import HealthReports
from observer.log.intake import Intake
from observer.log.outcomes import Outcomes
from observer.log.store import LogStore
from observer.measuring import Measuring
from observer.quality import QualityWatch
from observer.refusals import RefusalWatches
from observer.watch import Watch
from tests.observer.conftest import make_intake
from tests.observer.test_watch import manifest, rows, send
from tests.support import Sum, write_version
from worker.scorer import Scorer

__all__ = ["manifest"]

Predict = Callable[..., None]


def reports_of(redis: Redis, intake: Intake, models: Path) -> HealthReports:
    repository, store = RepositoryWithRemoved(models), intake.store
    assert isinstance(intake.watch, Watch)
    quality = QualityWatch(store, Measuring(store, Outcomes(store)), repository, 0.01)
    refusals = RefusalWatches(store, RequestCounts(redis), repository)
    return HealthReports(HealthBoard(redis), store, repository, intake.watch, quality, refusals)


@pytest.fixture
def reports(redis: Redis, intake: Intake, models: Path) -> HealthReports:
    return reports_of(redis, intake, models)


@pytest.fixture
def predict(jobs: Jobs, scorer: Scorer, intake: Intake) -> Predict:
    """Have so many rows answered, in requests that the log takes one after the other."""

    def predict_rows(count: int, mean: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        for number in range(count // 100):
            send(jobs, scorer, f"{seed}-{number}", rows(rng, 100, mean=mean))
            intake.run()

    return predict_rows


@pytest.mark.slow
def test_what_is_found_is_said_until_it_ends(
    redis: Redis, predict: Predict, intake: Intake, reports: HealthReports, manifest: ModelManifest
) -> None:
    board = HealthBoard(redis)
    predict(500, 0.0, seed=1)
    reports.publish()
    assert board.read() == {}, "a version about which nothing was ever found needs no entry"
    predict(1000, 1.5, seed=2)
    reports.publish()
    said = board.read()["watched@1"]
    assert said.state is HealthState.DRIFTED
    (finding,) = said.findings
    assert finding.startswith("n: median ") and " at training, 1." in finding
    predict(3000, 0.0, seed=3)
    reports.publish()
    assert board.of("watched@1").state is HealthState.OK and board.of("watched@1").findings == ()
    (past,) = intake.watch.health(manifest)["history"]
    assert past["column"] == "n" and past["raised"]["row"] < past["ended"]["row"]
    spell = (HealthState.DRIFTED, past["raised"]["time"], past["ended"]["time"])
    assert said.spells == ((*spell[:2], None),) and board.of("watched@1").spells == (spell,)


def test_times_of_several_columns_that_overlap_are_one_spell() -> None:
    times = [("04", "05"), ("01", "03"), ("02", "04"), ("06", None), ("07", "08")]
    state = HealthState.DRIFTED
    assert joined(state, times) == [(state, "01", "05"), (state, "06", None)]
    assert joined(state, [("1", "2"), ("3", "4")]) == [(state, "1", "2"), (state, "3", "4")]


def test_an_observer_that_starts_says_what_the_last_one_did_not(
    redis: Redis, predict: Predict, store: LogStore, models: Path, manifest: ModelManifest
) -> None:
    predict(1000, 1.5, seed=4)
    folder = store.folder
    store.close()
    opened = LogStore(folder, BEGINNING)
    reports_of(redis, make_intake(redis, opened, models), models).publish()
    opened.close()
    assert HealthBoard(redis).read()["watched@1"].state is HealthState.DRIFTED


def test_what_cannot_be_said_is_said_later(
    redis: Redis, predict: Predict, reports: HealthReports, manifest: ModelManifest
) -> None:
    predict(1000, 1.5, seed=5)
    redis.set(HEALTH, "not a hash")
    with pytest.raises(Exception, match="WRONGTYPE"):
        reports.publish()
    redis.delete(HEALTH)
    reports.publish()
    assert "watched@1" in HealthBoard(redis).read()


def test_nothing_is_said_of_a_deleted_version(
    redis: Redis, predict: Predict, intake: Intake, reports: HealthReports, models: Path, manifest: ModelManifest
) -> None:
    predict(1000, 1.5, seed=6)
    reports.publish()
    versions = models / "watched" / "versions"
    (versions / "1").rename(versions / "2")
    reports.remove_old()
    reports.publish()
    assert HealthBoard(redis).read() == {} and intake.watch.states.versions() == []


def refuse(redis: Redis, requests: int, refused: int) -> None:
    """Count as gateways do: so many requests were refused for the field `n`."""
    for metric, labels, value in (
        (MODEL_REQUESTS, ("watched", "answered"), requests),
        (REFUSED_FIELDS, ("watched", "n", "risk"), refused),
    ):
        redis.hset(metric.key(labels), metric.field(labels), value)


def test_a_field_for_which_requests_are_refused_is_a_finding_also_after_a_restart(
    redis: Redis, predict: Predict, intake: Intake, reports: HealthReports, models: Path, manifest: ModelManifest
) -> None:
    predict(500, 0.0, seed=7)
    refuse(redis, 100, 3)
    reports.publish()
    refuse(redis, 200, 53)
    restarted = reports_of(redis, make_intake(redis, intake.store, models), models)
    restarted.publish()
    said = HealthBoard(redis).read()["watched@1"]
    assert said.state is HealthState.DRIFTED
    assert said.findings[0].startswith("n: 50 requests of risk were refused for it within an hour, since ")
    assert restarted.summary(manifest)["refused"][0]["field"] == "n"


def test_the_first_requests_that_are_refused_are_a_finding(
    redis: Redis, reports: HealthReports, manifest: ModelManifest
) -> None:
    reports.refusals.look()
    refuse(redis, 100, 40)
    reports.refusals.look()
    reports.publish()
    assert HealthBoard(redis).read()["watched@1"].findings[0].startswith("n: 40 requests")


def test_refused_requests_are_a_finding_of_the_current_version_alone(
    redis: Redis, reports: HealthReports, models: Path, manifest: ModelManifest
) -> None:
    refuse(redis, 100, 3)
    reports.publish()
    refuse(redis, 200, 53)
    reports.refusals.look()
    reports.publish()
    assert HealthBoard(redis).read().keys() == {"watched@1"}
    write_version(models, "watched", Sum(), manifest.signature.inputs, version=2)
    reports.refusals.look()
    reports.publish()
    assert HealthBoard(redis).read() == {}


def test_what_is_found_while_something_else_is_said_is_said_next(
    redis: Redis, predict: Predict, reports: HealthReports, manifest: ModelManifest
) -> None:
    class Busy(HealthBoard):
        def say(self, version: str, health: ModelHealth | None) -> None:
            refuse(redis, 200, 53)
            reports.refusals.look()
            super().say(version, health)

    refuse(redis, 100, 3)
    reports.publish()
    predict(1000, 1.5, seed=8)
    replace(reports, board=Busy(redis)).publish()
    reports.publish()
    moved, refused = HealthBoard(redis).read()["watched@1"].findings
    assert moved.startswith("n: median ") and refused.startswith("n: 50 requests")


def test_what_is_said_stays_while_the_repository_is_away(
    redis: Redis, predict: Predict, intake: Intake, reports: HealthReports, models: Path, manifest: ModelManifest
) -> None:
    predict(1000, 1.5, seed=9)
    reports.publish()
    said = HealthBoard(redis).read()
    away = models.rename(models.with_name("away"))
    restarted = reports_of(redis, make_intake(redis, intake.store, models), models)
    restarted.publish()
    assert HealthBoard(redis).read() == said
    away.rename(models)
    redis.delete(HEALTH)
    restarted.publish()
    assert HealthBoard(redis).read() == said, "as soon as it is back"
