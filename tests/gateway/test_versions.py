"""Versions and aliases over HTTP, with the trainer's own functions behind them."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from contract.repository import Repository
from contract.settings import Settings
from gateway.app import create_app
from tests.support import Sum, numbers, write_version
from trainer.jobs.commands import HANDLERS

MODEL = "/v1/models/sum"


@pytest.fixture
def client(settings: Settings, redis: Redis) -> FlaskClient:
    """`sum` has two versions, of which the first is current, and commands run at once."""
    for version in (2, 1):
        root = settings.models_dir
        if version not in Repository(root).versions("sum"):
            write_version(root, "sum", Sum(), numbers("a", "b"), version=version)
    (settings.models_dir / "sum/aliases.json").write_text('{"current": 1}')
    return create_app(settings, lambda command: HANDLERS[command.action](settings, redis, command)).test_client()


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


def test_a_second_roll_back_undoes_the_first(client: FlaskClient) -> None:
    assert client.post(f"{MODEL}/rollback").get_json()["code"] == "no_previous"
    move(client, "current", {"version": 2})
    assert client.post(f"{MODEL}/rollback").get_json()["aliases"] == {"current": 1, "previous": 2}
    assert client.post(f"{MODEL}/rollback", json={}).get_json()["aliases"] == {"current": 2, "previous": 1}


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
    ):
        assert response.status_code == 404
        assert said in response.get_json()["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "aliases/canary"), ("DELETE", "aliases/canary"), ("POST", "rollback"), ("DELETE", "versions/2")],
)
def test_a_page_of_another_site_changes_nothing(client: FlaskClient, method: str, path: str) -> None:
    response = client.open(f"{MODEL}/{path}", method=method, headers={"Origin": "https://example.org"})
    assert (response.status_code, response.get_json()["code"]) == (403, "foreign_origin")


def test_without_a_trainer_nothing_is_changed(settings: Settings) -> None:
    response = create_app(settings).test_client().put(f"{MODEL}/aliases/canary", json={"version": 1})
    assert (response.status_code, response.get_json()["code"]) == (503, "no_trainer")
