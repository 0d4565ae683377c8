"""How long the observer keeps the rows of models that are removed, or whose repository is away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from contract.settings import Settings
from observer.service import PredictionLog
from storage.models.repository_writer import RepositoryWriter
from tests.gateway.conftest import settings_in
from tests.observer.log.files import add_file, days_ago
from trainer.publishing.aliases import change_settings


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    (tmp_path / "models").mkdir()
    return replace(settings_in(tmp_path, redis_url), prediction_log_dir=tmp_path / "log")


@pytest.fixture
def log(settings: Settings, redis: Redis) -> Iterator[PredictionLog]:
    opened = PredictionLog.open(settings, redis)
    yield opened
    opened.store.close()


def days_of(log: PredictionLog, model: str = "sum") -> list[str]:
    return [partition.day for partition in log.store.partitions(model)]


def test_a_removed_model_keeps_its_rows_as_long_as_before(settings: Settings, log: PredictionLog) -> None:
    repository = RepositoryWriter(settings.models_dir)
    change_settings(repository, "sum", {"logging": {"share": 1, "leave_out": [], "keep_days": 200}})
    add_file(log.store, days_ago(150), ["a"])
    add_file(log.store, days_ago(250), ["b"])
    repository.remove("sum")
    log.keep_order()
    assert days_of(log) == [days_ago(150)]


def test_rows_stay_while_the_repository_is_away(settings: Settings, log: PredictionLog) -> None:
    add_file(log.store, days_ago(150), ["a"])
    away = settings.models_dir.rename(settings.models_dir.with_name("away"))
    log.keep_order()
    assert days_of(log) == [days_ago(150)]
    away.rename(settings.models_dir)
    log.keep_order()
    assert days_of(log) == []
