"""The page Versions: how the headline metric went from version to version, and what was rolled back from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from broker.access.audit_log import AuditEntry, AuditLog
from contract.model.model_settings import ModelSettings
from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from gateway.app import create_app
from storage.models.repository_writer import RepositoryWriter
from tests.gateway.callers import ADMIN_KEY
from tests.gateway.pages.browsers import Browser, words
from tests.support import Sum, numbers, write_version
from trainer.publishing.aliases import move_alias, roll_back

PAGE = "/ui/models/sum/versions"


@pytest.fixture
def browser(settings: Settings) -> Browser:
    return Browser(create_app(settings).test_client())


def publish(models: Path, *losses: float, **options: Any) -> None:
    """Publish version 2 and so on with these log losses."""
    for version, loss in enumerate(losses, 2):
        metrics = {"log_loss": loss}
        write_version(models, "sum", Sum(), numbers("a"), version=version, current=False, metrics=metrics, **options)


def report(models: Path, version: int, **facts: Any) -> None:
    folder = Repository(models).files("sum", version).folder / "report"
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps({"headline": "log_loss", **facts}))


def test_the_metric_of_each_version_stands_beside_the_current_one(browser: Browser, models: Path) -> None:
    publish(models, 0.5, 0.4, 0.6, 0.5, notes="with the rows of March")
    (models / "sum" / "aliases.json").write_text('{"current": 2}')
    figures = {"version": 2, "rows": 80, "metrics": [{"name": "log_loss", "before": 0.55, "now": 0.45}]}
    report(models, 3, comparison=figures)
    page = browser.get(PAGE)
    text = words(page.text)
    assert "0.400 0.100 better, on the same rows" in text and "0.100 better, on other rows" not in text
    assert "0.600 0.100 worse, on other rows" in text
    assert "same as current, on other rows" in text
    assert "with the rows of March" in text
    assert 'aria-label="log loss from version 1 to 5: first 0.500, now 0.500' in page.text
    assert "log loss from version 1 to 5: first 0.500, now 0.500, each on the rows" in text


def test_a_version_that_was_rolled_back_from_is_marked(browser: Browser, models: Path) -> None:
    publish(models, 0.5)
    repository = RepositoryWriter(models)
    move_alias(repository, "sum", "current", 2)
    assert "rolled back from" not in words(browser.get(PAGE).text)
    roll_back(repository, "sum", 1, 2)
    rows = words(browser.get(PAGE).text).split("Version 2")[1]
    assert rows.startswith(" rolled back from just now")
    assert Repository(models).settings("sum").rolled_back.keys() == {2}
    move_alias(repository, "sum", "current", 2)
    roll_back(repository, "sum", 1, 2)
    assert len(Repository(models).settings("sum").rolled_back) == 1


def test_admins_see_whose_key_made_a_version(settings: Settings, models: Path, redis: Redis) -> None:
    publish(models, 0.5)
    (models / "sum/versions/2/report").mkdir()
    (models / "sum/versions/2/report/job.json").write_text(json.dumps({"job": "j-2", "result": {}}))
    log = AuditLog(redis, settings.retention.audit_days)
    log.write(AuditEntry("upload", "ada", model="sum", version=1))
    log.write(AuditEntry("train", "bob", model="sum", job_id="j-2"))
    client = create_app(replace(settings, admin_key=ADMIN_KEY)).test_client()
    for scopes, is_shown in (({Scope.ADMIN}, True), ({Scope.READ, Scope.PUBLISH}, False)):
        key = Key(f"k-{is_shown}", "eve", "team", frozenset(scopes))
        rows = words(Browser.with_key(client, redis, key).get(PAGE).text).split("Version 2 ")[1].split("Version 1 ")
        assert [" by bob " in rows[0], " by ada " in rows[1]] == [is_shown] * 2


def test_rollbacks_that_cannot_be_read_mark_nothing() -> None:
    assert ModelSettings.from_json({"rolled_back": {"x": "y", "3": 4, "7": "2030-01-01T00:00:00Z"}}).rolled_back == {
        7: "2030-01-01T00:00:00Z"
    }
    assert ModelSettings.from_json({"rolled_back": [3]}).rolled_back == {}


def test_many_versions_are_shown_in_pages_of_50(browser: Browser, models: Path) -> None:
    publish(models, *[0.5] * 54)
    first, second = (words(browser.get(f"{PAGE}?page={page}").text) for page in (1, 2))
    assert "Version 55 " in first and "Version 6 " in first and "Version 5 " not in first and "Page 1 of 2" in first
    assert "Version 5 " in second and "Version 1 " in second and "Version 6 " not in second
    for page in ("0", "x", "99999999", "-1"):
        assert browser.get(f"{PAGE}?page={page}").status_code == 200
    assert "Page 2 of 2" in words(browser.get(f"{PAGE}?page=99").text)


def test_a_version_without_figures_has_none(browser: Browser, models: Path) -> None:
    publish(models, 0.5)
    (models / "sum/versions/1/manifest.json").write_text("{}")
    assert "schema_version" in browser.get(PAGE).text
