"""A prediction log in a folder of the test, a scorer in this process, and a real Redis between them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from broker.sides.gateway.job_client import Jobs
from broker.sides.observer import BEGINNING, LogStream
from broker.sides.supervisor import Leases
from contract.model.repository import RepositoryWithRemoved
from contract.work.observation import Observation, ObservationAction
from contract.work.prediction_log import logged_request
from observer.drift.alarm import LEVEL
from observer.experiments.shadows import ShadowWatch
from observer.log.deletion import Deletions
from observer.log.intake import Intake
from observer.log.reading import read_page
from observer.log.store import LogStore
from observer.watch import Watch
from tests.support import DEADLINE
from tests.worker.conftest import MakeScorer, job, jobs, make_scorer
from worker.scorer import Scorer

__all__ = ["jobs", "make_scorer"]

YESTERDAY, TODAY = ((datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%d") for days in (1, 0))
NOON = f"{YESTERDAY}T12:00:00.000001Z"
"""Of a day that is over, and of which rows still arrive."""


@pytest.fixture
def scorer(make_scorer: MakeScorer, redis: Redis) -> Scorer:
    """A scorer whose lease lasts for a long test."""
    made = make_scorer("w-0-a")
    Leases(redis, lease=DEADLINE).renew(["w-0-a"])
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def store(folder: Path) -> Iterator[LogStore]:
    opened = LogStore(folder, BEGINNING)
    yield opened
    opened.close()


@pytest.fixture
def intake(redis: Redis, store: LogStore, models: Path) -> Intake:
    return make_intake(redis, store, models)


def make_intake(redis: Redis, store: LogStore, models: Path) -> Intake:
    watch, repository = Watch(store, LEVEL), RepositoryWithRemoved(models)
    return Intake(LogStream(redis), store, repository, Deletions(store), watch, ShadowWatch(store, repository))


def predict(jobs: Jobs, scorer: Scorer, job_id: str, rows: Any = ((1.0, 2.0),), **changes: Any) -> None:
    """Have a job scored that is logged; `logged` are further members of what the gateway adds."""
    logged = logged_request(**{"accepted_at": NOON, "alias": "current", **changes.pop("logged", {})})
    jobs.submit([job(job_id, rows=rows, logged=logged, **changes)])
    assert scorer.step()


def rows_of(store: LogStore, model: str = "sum", **wanted: Any) -> list[dict[str, Any]]:
    """Return the rows of the log, the oldest job first."""
    page = read_page(store, Observation(ObservationAction.READ_PREDICTIONS, model, **wanted))
    items: list[dict[str, Any]] = page["items"]
    return items[::-1]
