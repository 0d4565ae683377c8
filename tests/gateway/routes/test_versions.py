"""Versions and aliases over HTTP, with the trainer's own functions behind them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.state import waited_jobs
from broker.state.schedules import Schedules
from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.api_keys import EVERYBODY, Scope
from contract.work.training import TrainingRequest
from gateway.app import create_app
from tests.support import SIGNER, Sum, numbers, write_version
from trainer.jobs.commands import HANDLERS, CommandParts

pytestmark = pytest.mark.waits

MODEL = "/v1/models/sum"


@pytest.fixture
def client(settings: Settings, redis: Redis) -> FlaskClient:
    """`sum` has two versions, of which the first is current, and commands run at once."""
    for version in (2, 1):
        root = settings.models_dir
        if version not in Repository(root).versions("sum"):
            write_version(root, "sum", Sum(), numbers("a", "b"), version=version)
    (settings.models_dir / "sum/aliases.json").write_text('{"current": 1}')
    return create_app(
        settings, lambda command: HANDLERS[command.action](CommandParts(settings, redis), command)
    ).test_client()


def move(client: FlaskClient, alias: str, body: Any) -> tuple[int, dict[str, Any]]:
    response = client.put(f"{MODEL}/aliases/{alias}", json=body)
    return response.status_code, response.get_json()


def test_an_alias_moves_and_later_requests_get_the_new_version(client: FlaskClient, settings: Settings) -> None:
    other = create_app(settings).test_client()  # another process of the gateway, which has read the aliases before
    assert other.get(MODEL).get_json()["version"] == 1
    status, answer = move(client, "current", {"version": 2})
    assert status == 200
    assert answer["aliases"] == {"current": 2, "previous": 1}
    assert answer["versions"] == [1, 2]
    assert answer["warnings"] == ["moved at once: no worker is alive that serves this model"]
    for gateway in (client, other):
        job = gateway.post(f"{MODEL}/predict", json={"a": 1, "b": 2}).get_json()
        assert job["model"] == {"name": "sum", "version": 2}


def test_a_second_roll_back_does_not_return_to_the_version_of_the_first(client: FlaskClient) -> None:
    assert client.post(f"{MODEL}/rollback").get_json()["code"] == "no_previous"
    move(client, "current", {"version": 2})
    assert client.post(f"{MODEL}/rollback", json={}).get_json()["aliases"] == {"current": 1}
    assert client.post(f"{MODEL}/rollback").get_json()["code"] == "no_previous"
    move(client, "current", {"version": 2})
    assert client.post(f"{MODEL}/rollback").get_json()["aliases"] == {"current": 1}


def test_an_alias_is_deleted(client: FlaskClient) -> None:
    move(client, "canary", {"version": 2})
    assert client.get("/v1/models/sum@canary").get_json()["version"] == 2
    answer = client.delete(f"{MODEL}/aliases/canary")
    assert (answer.status_code, answer.get_json()["aliases"]) == (200, {"current": 1})
    assert client.get("/v1/models/sum@canary").status_code == 404


def test_a_deleted_version_is_gone_although_its_manifest_was_read(client: FlaskClient) -> None:
    assert client.get(f"{MODEL}/versions/2").status_code == 200
    answer = client.delete(f"{MODEL}/versions/2")
    assert (answer.status_code, answer.get_json()["versions"]) == (200, [1])
    assert client.get(f"{MODEL}/versions/2").status_code == 404
    assert client.post("/v1/models/sum@2/predict", json={"a": 1, "b": 2}).status_code == 404
    assert [item["version"] for item in client.get(f"{MODEL}/versions").get_json()["items"]] == [1]
    assert client.get(MODEL).get_json()["versions"] == [1]


def test_a_model_stops_to_warn_of_unusual_values(client: FlaskClient, settings: Settings) -> None:
    for warn in (True, False, True):
        assert client.put(f"{MODEL}/settings", json={"warn_unusual": warn}).status_code == 200
        assert Repository(settings.models_dir).settings("sum").warn_unusual is warn
        assert client.get(MODEL).get_json()["settings"]["warn_unusual"] is warn
    for body in ({}, {"warn_unusual": 1}, {"warn_unusual": True, "more": 1}):
        assert client.put(f"{MODEL}/settings", json=body).get_json()["code"] == "invalid_body"
    assert client.put("/v1/models/som/settings", json={"warn_unusual": True}).status_code == 404


def removed(client: FlaskClient) -> dict[str, Any]:
    answer = client.delete(MODEL, query_string={"confirm": "sum"})
    assert answer.status_code == 200, answer.text
    version: dict[str, Any] = answer.get_json()
    return version


def test_a_removed_model_is_404_that_says_how_to_restore_it(client: FlaskClient) -> None:
    before = client.get(MODEL).get_json()
    state = removed(client)
    assert (state["versions"], state["aliases"]) == ([], {})
    left = datetime.fromisoformat(state["restorable_until"]) - datetime.now(UTC)
    assert timedelta(days=29.9) < left <= timedelta(days=30)
    for answer in (client.get(MODEL), client.post(f"{MODEL}/predict", json={"a": 1, "b": 2}), client.delete(MODEL)):
        assert answer.status_code == 404
        assert "was removed on" in (detail := answer.get_json()["detail"])
        assert "POST /v1/models/sum/restore" in detail
    assert client.get("/v1/models").get_json()["items"] == []
    restored = client.post(f"{MODEL}/restore")
    assert (restored.status_code, restored.get_json()["versions"]) == (200, [1, 2])
    assert client.get(MODEL).get_json() == before
    assert client.post(f"{MODEL}/predict", json={"a": 1, "b": 2}).status_code == 202


@pytest.mark.parametrize("query", ["", "?confirm=som", "?confirm=", "?confirm=sum@1"])
def test_a_model_is_not_removed_unless_its_name_confirms_it(client: FlaskClient, query: str) -> None:
    answer = client.delete(f"{MODEL}{query}")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_parameter")
    assert "send confirm=sum" in answer.get_json()["detail"]
    assert client.get(MODEL).status_code == 200


def test_a_model_is_not_restored_over_one_that_was_made_since(client: FlaskClient, settings: Settings) -> None:
    removed(client)
    write_version(settings.models_dir, "sum", Sum(), numbers("a", "b"), version=3)
    answer = client.post(f"{MODEL}/restore")
    assert (answer.status_code, answer.get_json()["code"]) == (409, "model_exists")
    said = answer.get_json()["detail"]
    assert 'remove it first (it is kept as well), then restore the other one with {"version": 2}' in said
    removed(client)
    assert client.post(f"{MODEL}/restore", json={"version": 7}).status_code == 404
    assert client.post(f"{MODEL}/restore", json={"version": "1"}).get_json()["code"] == "invalid_body"
    assert client.post(f"{MODEL}/restore", json={"version": 1}).get_json()["versions"] == [1, 2]


@pytest.mark.parametrize("name", ["som", "sum", "..", "inbox"])
def test_what_was_not_removed_cannot_be_restored(client: FlaskClient, name: str) -> None:
    answer = client.post(f"/v1/models/{name}/restore")
    assert (answer.status_code, answer.get_json()["code"]) == (404, "unknown_model")


def test_a_schedule_goes_and_comes_back_with_its_model(client: FlaskClient, redis: Redis) -> None:
    """A schedule of any owner comes back if a gateway signed it; a forged one does not."""
    schedules = Schedules(redis, SIGNER, timeout=60, result_ttl=60)
    team = replace(EVERYBODY, owner="team", scopes=frozenset({Scope.TRAIN}))
    made = schedules.put("sum", "0 3 * * 1", TrainingRequest("sum", "tabular", path="sum.csv"), team)
    assert "its schedule is removed with it" in removed(client)["warnings"][0]
    assert schedules.all() == [] and redis.zcard("rq:scheduled:training") == 0
    assert client.post(f"{MODEL}/restore").get_json()["warnings"] == []
    (back,) = schedules.all()
    assert (back.cron, back.request, back.owner) == (made.cron, made.request, "team")
    assert redis.zcard("rq:scheduled:training") == 1


def test_a_schedule_that_no_gateway_signed_does_not_come_back(
    client: FlaskClient, redis: Redis, settings: Settings
) -> None:
    schedules = Schedules(redis, SIGNER, timeout=60, result_ttl=60)
    schedules.put("sum", "0 3 * * 1", TrainingRequest("sum", "tabular", path="sum.csv"))
    removed(client)
    (file,) = settings.models_dir.glob(".removed/sum/*/schedule.json")
    file.write_text(file.read_text().replace("sum.csv", "other.csv"))
    (warning,) = client.post(f"{MODEL}/restore").get_json()["warnings"]
    assert "back without its schedule" in warning and schedules.all() == []
    assert not (settings.models_dir / "sum" / "schedule.json").exists()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("PUT", "aliases/current", {"version": 3}, 404, "model_not_found"),
        ("PUT", "aliases/2", {"version": 2}, 422, "invalid_alias"),
        ("PUT", "aliases/A", {"version": 2}, 422, "invalid_alias"),
        ("PUT", "aliases/canary", {"version": "2"}, 422, "invalid_body"),
        ("PUT", "aliases/canary", {"version": True}, 422, "invalid_body"),
        ("PUT", "aliases/canary", {"version": 10**400}, 422, "invalid_body"),
        ("PUT", "aliases/canary", {}, 422, "invalid_body"),
        ("PUT", "aliases/canary", None, 422, "invalid_body"),
        ("PUT", "aliases/canary", [2], 422, "invalid_body"),
        ("PUT", "aliases/canary", {"version": 2, "forced": True}, 422, "invalid_body"),
        ("DELETE", "aliases/current", None, 409, "current_required"),
        ("DELETE", "aliases/canary", None, 404, "alias_not_found"),
        ("POST", "rollback", None, 409, "no_previous"),
        ("POST", "rollback", {"to": 1}, 422, "invalid_body"),
        ("DELETE", "versions/1", None, 409, "version_in_use"),
        ("DELETE", "versions/3", None, 404, "unknown_model"),
        ("DELETE", "versions/current", None, 404, "unknown_model"),
        ("DELETE", "versions/" + "9" * 5000, None, 404, "unknown_model"),
    ],
)
def test_a_refused_change_says_why_and_changes_nothing(
    client: FlaskClient, settings: Settings, method: str, path: str, body: Any, status: int, code: str
) -> None:
    response = client.open(f"{MODEL}/{path}", method=method, **({} if body is None else {"json": body}))
    assert (response.status_code, response.get_json()["code"]) == (status, code)
    assert Repository(settings.models_dir).aliases("sum") == {"current": 1}
    assert Repository(settings.models_dir).versions("sum") == [1, 2]


def test_a_body_that_is_not_json_is_refused(client: FlaskClient) -> None:
    response = client.put(f"{MODEL}/aliases/canary", data="{", content_type="application/json")
    assert (response.status_code, response.get_json()["code"]) == (400, "malformed_body")


@pytest.mark.parametrize(("name", "said"), [("som", "did you mean 'sum'"), ("sum@1", "such as 'sum'")])
def test_an_unknown_model_is_404_with_its_name(client: FlaskClient, name: str, said: str) -> None:
    for response in (
        client.get(f"/v1/models/{name}/versions"),
        client.put(f"/v1/models/{name}/aliases/current", json={"version": 1}),
        client.post(f"/v1/models/{name}/rollback"),
        client.delete(f"/v1/models/{name}/versions/1"),
        client.delete(f"/v1/models/{name}", query_string={"confirm": name}),
    ):
        assert response.status_code == 404
        assert said in response.get_json()["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("PUT", "aliases/canary"), ("DELETE", "aliases/canary"), ("POST", "rollback"), ("DELETE", "versions/2")),
        *(("DELETE", "?confirm=sum"), ("POST", "restore")),
    ],
)
def test_a_page_of_another_site_changes_nothing(client: FlaskClient, method: str, path: str) -> None:
    address = f"{MODEL}/{path}".replace("/?", "?")
    response = client.open(address, method=method, headers={"Origin": "https://example.org"})
    assert (response.status_code, response.get_json()["code"]) == (403, "foreign_origin")


def test_without_a_trainer_nothing_is_changed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waited_jobs, "START_TIMEOUT", 0.1)
    response = create_app(settings).test_client().put(f"{MODEL}/aliases/canary", json={"version": 1})
    assert (response.status_code, response.get_json()["code"]) == (503, "no_trainer")
