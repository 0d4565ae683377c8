"""Fixtures of a gateway with an observer and a scorer beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from contract.work.training import RepositoryCommand
from gateway.app import create_app
from storage.models.repository_writer import RepositoryWriter
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.gateway.conftest import settings_in
from tests.stacks.observer_process import ObserverProcess
from tests.worker.conftest import MakeScorer, make_scorer
from trainer.publishing.aliases import change_settings

__all__ = ["make_scorer"]


@pytest.fixture
def models(settings: Settings) -> Path:
    return settings.models_dir


@pytest.fixture
def settings(redis: Redis, redis_url: str, tmp_path: Path) -> Settings:
    (tmp_path / "models").mkdir()
    return settings_in(tmp_path, redis_url)


def gateway(settings: Settings) -> FlaskClient:
    """A gateway whose trainer changes settings and does nothing else."""

    def obey(command: RepositoryCommand) -> dict[str, Any]:
        change_settings(RepositoryWriter(settings.models_dir), command.model, command.edits or {})
        return {"name": command.model, "aliases": {"current": 1}, "versions": [1], "warnings": []}

    return create_app(settings, obey).test_client()


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    return gateway(settings)


@dataclass(frozen=True)
class Owners:
    """An admin of a gateway with keys, and two teams of which each has had a row with the id 7 logged."""

    admin: Caller
    risk: Caller
    sales: Caller


@pytest.fixture
def owners(settings: Settings, redis: Redis, observer: ObserverProcess, scoring: None) -> Owners:
    client = gateway(replace(settings, admin_key=ADMIN_KEY))
    admin, scopes = Caller(client), frozenset({Scope.PREDICT, Scope.LOG})
    assert admin("PUT", "/v1/models/sum/logging", json={"share": 1}).status_code == 200
    risk, sales = (Caller.with_key(client, redis, Key(f"k-{name}", name, name, scopes)) for name in ("risk", "sales"))
    for caller in (risk, sales):
        row, wait = {"a": 1, "b": 2, "key": "7"}, {"Prefer": "wait=30"}
        assert caller("POST", "/v1/models/sum/predict", json=row, headers=wait).status_code == 200
    return Owners(admin, risk, sales)


@pytest.fixture
def observer(settings: Settings, tmp_path: Path, patient_callers: None) -> Iterator[ObserverProcess]:
    process = ObserverProcess(settings.redis_url, settings.models_dir, settings.state_dir, tmp_path / "observer")
    yield process.start()
    if not process.ended:
        process.stop()


@pytest.fixture
def scoring(make_scorer: MakeScorer, redis: Redis) -> Iterator[None]:
    scorer, stop = make_scorer(), threading.Event()

    def run() -> None:
        while not stop.is_set():
            if not scorer.step():
                stop.wait(0.005)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    stop.set()
    thread.join()
