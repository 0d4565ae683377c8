"""The card of a version over HTTP: what is kept, what is known since, and who may see it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.access.audit_log import TRAINER, AuditEntry, AuditLog
from broker.state import waited_jobs
from broker.state.boards import HealthBoard
from contract.model.experiments import Ending, Experiment, ExperimentKind, ExperimentPlan
from contract.model.model_health import HealthState, ModelHealth
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from gateway.app import create_app
from gateway.serving.model_cards import moves_of
from storage.models.repository_writer import RepositoryWriter
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.gateway.conftest import without_redis
from tests.gateway.observed import client, gateway, make_scorer, models, observer, scoring, settings
from tests.gateway.problems.test_refusals import problem
from tests.stacks.observer_process import ObserverProcess
from tests.support import Sum, numbers, write_version
from trainer.publishing.aliases import move_alias

__all__ = ["client", "make_scorer", "models", "observer", "scoring", "settings"]

CARD = "/v1/models/sum/versions/1/card"
AWAY = "no observer answers, and nothing was done; start one (python -m observer) and try again"


@pytest.fixture(autouse=True)
def _no_patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no observer is, one is not waited for."""
    if "observer" not in request.fixturenames:
        monkeypatch.setattr(waited_jobs, "START_TIMEOUT", 0.1)


def since(caller: Any, path: str = CARD) -> Any:
    answer = caller("GET", path) if isinstance(caller, Caller) else caller.get(path)
    assert answer.status_code == 200, answer.text
    return answer.get_json()["since"]


def test_without_an_observer_a_card_says_what_it_does_not_know(client: FlaskClient) -> None:
    answer = client.get(CARD)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    card = answer.get_json()
    assert (card["name"], card["version"], card["training"]["recipe"]) == ("sum", 1, "by hand")
    assert [one["name"] for one in card["inputs"]] == ["a", "b"]
    assert card["since"]["drift"]["unknown"] == card["since"]["outcomes"]["unknown"] == AWAY
    assert card["since"]["lineage"]["aliases"] == ["current"]


def test_without_redis_there_is_a_card(settings: Settings) -> None:
    known = since(without_redis(settings))
    assert known["lineage"]["unknown"] == "Redis does not answer"
    assert known["drift"]["unknown"] and known["outcomes"]["unknown"]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/markdown", "text/markdown; charset=utf-8"),
        ("text/markdown, application/json;q=0.5", "text/markdown; charset=utf-8"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
    ],
)
def test_a_card_is_markdown_for_those_who_accept_that(client: FlaskClient, accept: str, content_type: str) -> None:
    answer = client.get(CARD.replace("/1/", "/current/"), headers={"Accept": accept})
    assert (answer.status_code, answer.content_type, "Accept" in answer.vary) == (200, content_type, True)
    if "markdown" in content_type:
        assert answer.text.startswith("# sum, version 1\n\n## What it predicts\n")
        assert "| not known, because | no observer answers" in answer.text


def test_a_kept_card_is_shown_as_it_is(client: FlaskClient, models: Path) -> None:
    folder = models / "sum/versions/1/report"
    folder.mkdir()
    (folder / "card.json").write_text(
        json.dumps({"schema_version": 1, "name": "sum", "version": 1, "limits": ["kept"]})
    )
    assert client.get(CARD).get_json()["limits"] == ["kept"]


def test_only_those_who_may_use_the_model_see_its_card(settings: Settings, redis: Redis) -> None:
    client = gateway(replace(settings, admin_key=ADMIN_KEY))
    stranger = Key("k-1", "eve", "other", frozenset({Scope.READ}), models=frozenset({"loan"}))
    predicts = Key("k-2", "bob", "team", frozenset({Scope.PREDICT}))
    assert problem(Caller.with_key(client, redis, stranger)("GET", CARD), 404, "unknown_model")
    assert problem(Caller.with_key(client, redis, predicts)("GET", CARD), 403, "missing_scope")
    assert problem(client.get(CARD), 401, "missing_key")
    problem(Caller(client)("GET", CARD.replace("/1/", "/7/")), 404, "unknown_model")


def test_an_unreadable_manifest_is_named(client: FlaskClient, models: Path) -> None:
    write_version(models, "bad", Sum(), numbers("a"))
    (models / "bad/versions/1/manifest.json").write_text("{}")
    problem(client.get("/v1/models/bad/versions/1/card"), 503, "manifest_invalid")


def test_names_of_keys_are_for_admins(settings: Settings, redis: Redis) -> None:
    client = gateway(replace(settings, admin_key=ADMIN_KEY))
    ada = Caller.with_key(client, redis, Key("k-1", "ada", "team", frozenset({Scope.PUBLISH})))
    assert ada("PUT", "/v1/models/sum/aliases/canary", json={"version": 1}).status_code == 200
    writer = RepositoryWriter(settings.models_dir)
    times = ("2026-01-02T03:04:05Z", "2026-02-02T03:04:05Z", 1.0, "2026-01-02T03:04:05Z")
    plan = ExperimentPlan(ExperimentKind.SHADOW)
    ended = Experiment("e1", 1, 2, plan, *times, "ada", Ending.PROMOTED, reason="it is better")
    other = Experiment("e2", 3, 2, plan, *times, "ada")
    writer.change("sum", lambda state: state.settings.update(experiments=[other.to_json(), ended.to_json()]))
    readers = Caller(client), Caller.with_key(client, redis, Key("k-2", "bob", "team", frozenset({Scope.READ})))
    for reader, name in zip(readers, ("ada", None), strict=True):
        known = since(reader)
        (move,) = known["lineage"]["moves"]
        assert (move["alias"], move["version"], move["by"]) == ("canary", 1, name)
        (experiment,) = known["experiments"]
        assert (experiment["id"], experiment["kind"], experiment["ending"]) == ("e1", "shadow", "promoted")
        assert (experiment["reason"], experiment["by"]) == ("it is better", name)
    assert since(readers[0])["outcomes"]["unknown"] == AWAY
    assert since(readers[1])["outcomes"]["unknown"] == "the key lacks the scope log"


def test_the_lineage_goes_from_the_data_over_the_job_to_the_aliases(
    client: FlaskClient, models: Path, redis: Redis, settings: Settings
) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"), version=2, current=False)
    (models / "sum/versions/2/report").mkdir()
    (models / "sum/versions/2/report/job.json").write_text(json.dumps({"job": "j-2", "result": {}}))
    move_alias(RepositoryWriter(models), "sum", "current", 2)
    log = AuditLog(redis, settings.retention.audit_days)
    for entry in (
        AuditEntry("train", "ada", model="sum", job_id="j-1"),
        AuditEntry("train", "bob", model="sum", job_id="j-2"),
        AuditEntry("train", "eve", model="other", job_id="j-2"),
        AuditEntry("move_alias", TRAINER, model="sum", version=2, alias="current", job_id="j-2"),
    ):
        log.write(entry)
    lineage = since(client, CARD.replace("/1/", "/2/"))["lineage"]
    assert (lineage["training_job"], lineage["aliases"]) == ("j-2", ["current"])
    assert lineage["versions_from_the_same_data"] == [1]
    assert [(one["action"], one["by"]) for one in lineage["made"]] == [("train", "bob")]
    assert [(one["alias"], one["version"], one["by"]) for one in lineage["moves"]] == [("current", 2, TRAINER)]


def test_an_alias_that_comes_and_one_that_leaves_are_moves_of_a_version() -> None:
    def entry(action: str, version: int | None = None, alias: str | None = None) -> dict[str, Any]:
        return {"action": action, "version": version, "alias": alias}

    oldest_first = [
        entry("move_alias", 1),  # from a page: current
        entry("upload", 2, "current"),
        entry("upload", 3),  # not promoted
        entry("move_alias", 2, "canary"),
        entry("roll_back", 1),
        entry("train"),
        entry("delete_alias", None, "canary"),
        entry("move_alias", 1, "current"),  # where it is already
    ]
    of_first, of_second = ([(a, to) for _, a, to in moves_of(version, oldest_first[::-1])] for version in (1, 2))
    assert of_second == [("current", 2), ("canary", 2), ("current", 1), ("canary", None)]
    assert of_first == [("current", 1), ("current", 2), ("current", 1)]


def test_what_was_found_and_what_came_true_are_in_the_card(
    client: FlaskClient, redis: Redis, observer: ObserverProcess, scoring: None
) -> None:
    assert client.put("/v1/models/sum/logging", json={"share": 1}).status_code == 200
    rows = [{"a": 1, "b": 2, "key": "x"}, {"a": 3, "b": 4, "key": "y"}]
    assert client.post("/v1/models/sum/predict", json=rows, headers={"Prefer": "wait=30"}).status_code == 200
    outcomes = [{"id": "x", "outcome": 3.5}, {"id": "y", "outcome": 7}]
    assert client.post("/v1/models/sum/outcomes", json=outcomes).status_code == 200
    found = ModelHealth(HealthState.DRIFTED, ("a has drifted",), "2026-01-02T03:04:05Z")
    HealthBoard(redis).say("sum@1", found)
    known = since(client)
    assert known["drift"]["findings"] == ["a has drifted"]
    assert known["drift"]["unknown"].startswith("nothing says what its training saw")
    assert (known["outcomes"]["predictions"], known["outcomes"]["outcomes"]) == (2, 2)
    (error,) = (one for one in known["outcomes"]["metrics"] if one["metric"] == "mean_absolute_error")
    assert (error["value"], error["outcomes"]) == (pytest.approx(0.25), 2)
    assert error["interval"][0] < 0.25 < error["interval"][1]


def test_who_uploads_a_version_and_which_alias_it_gets_is_in_the_audit_log(settings: Settings, tmp_path: Path) -> None:
    answer = {"name": "sum", "aliases": {"current": 1}, "versions": [1], "warnings": [], "version": 1, "promoted": True}
    client = create_app(replace(settings, allow_upload="1"), lambda _: answer).test_client()
    file = tmp_path / "sum.joblib"
    file.write_bytes(b"x")
    with file.open("rb") as opened:
        assert client.post("/v1/models/sum/versions", data={"file": opened, "alias": "canary"}).status_code == 201
    lineage = since(client)["lineage"]
    assert [(one["action"], one["by"]) for one in lineage["made"]] == [("upload", "anonymous")]
    assert [(one["alias"], one["version"]) for one in lineage["moves"]] == [("canary", 1)]
