"""What people say of a model over HTTP, with the trainer's own functions behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.access.audit_log import AuditLog
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from gateway.app import create_app
from tests.gateway.callers import ADMIN_KEY, Caller
from trainer.jobs.commands import HANDLERS, CommandParts

pytestmark = pytest.mark.waits

MODEL = "/v1/models/sum"
NOTHING: dict[str, Any] = {"description": "", "owner": "", "tags": []}


Named = Callable[..., Caller]
"""Name and scopes of a new key: returns its holder."""


@pytest.fixture
def client(settings: Settings, redis: Redis) -> FlaskClient:
    return gateway_of(settings, redis)


@pytest.fixture
def named(settings: Settings, redis: Redis) -> Named:
    closed = gateway_of(replace(settings, admin_key=ADMIN_KEY), redis)

    def make(name: str, *scopes: Scope, models: frozenset[str] | None = None) -> Caller:
        return Caller.with_key(closed, redis, Key(name, name, name, frozenset(scopes), models))

    return make


def gateway_of(settings: Settings, redis: Redis) -> FlaskClient:
    """Return a client of a gateway whose commands run at once."""
    parts = CommandParts(settings, redis)
    return create_app(settings, lambda command: HANDLERS[command.action](parts, command)).test_client()


def test_a_model_is_described_and_whoever_reads_it_sees_that(client: FlaskClient, settings: Settings) -> None:
    other = create_app(settings).test_client()  # another process of the gateway, which has read the settings before
    assert other.get(MODEL).get_json()["about"] == NOTHING
    about = {"description": "Adds up.\n\nTwo columns, a\tand b.", "owner": "Jörg 🦊", "tags": ["toy", "v1.0_x-y"]}
    answer = client.patch(MODEL, json=about)
    assert (answer.status_code, answer.get_json()["versions"]) == (200, [1])
    for gateway in (client, other):
        assert gateway.get(MODEL).get_json()["about"] == about
        assert gateway.get("/v1/models").get_json()["items"][0]["about"] == about
        assert gateway.get(MODEL).get_json()["settings"].keys() == {"warn_unusual", "logging", "protected"}


def test_edits_of_different_members_do_not_undo_each_other(client: FlaskClient) -> None:
    for members in ({"description": "Adds up."}, {"owner": "Ann"}, {"tags": ["toy"]}, {"owner": None}, {}):
        assert client.patch(MODEL, json=members).status_code == 200
    client.put(f"{MODEL}/settings", json={"warn_unusual": False})
    assert client.get(MODEL).get_json()["about"] == {"description": "Adds up.", "owner": "Ann", "tags": ["toy"]}
    client.patch(MODEL, json={"owner": "", "tags": []})
    assert client.get(MODEL).get_json()["about"] == {"description": "Adds up.", "owner": "", "tags": []}


def test_the_history_says_who_edited_what_and_when(named: Named) -> None:
    ann, bob = named("ann", Scope.PUBLISH, Scope.READ), named("bob", Scope.PUBLISH)
    assert ann("PATCH", MODEL, json={"owner": "Ann", "tags": ["toy"]}).status_code == 200
    assert bob("PATCH", MODEL, json={"owner": "Bob"}).status_code == 200
    answer = ann("GET", f"{MODEL}/about").get_json()
    assert (answer["owner"], answer["tags"]) == ("Bob", ["toy"])
    assert [(edit["by"], edit["before"]) for edit in answer["history"]] == [
        ("bob", {"owner": "Ann"}),
        ("ann", {"owner": "", "tags": []}),
    ]
    assert answer["history"][0]["at"] > answer["history"][1]["at"]


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"description": "x" * 4_001}, "description", "not_a_description"),
        ({"description": "a\x00b"}, "description", "not_a_description"),
        ({"description": ["a"]}, "description", "not_a_description"),
        ({"owner": "x" * 129}, "owner", "not_an_owner"),
        ({"owner": "a\nb"}, "owner", "not_an_owner"),
        ({"owner": "a\x1b[0m"}, "owner", "not_an_owner"),
        ({"tags": "toy"}, "tags", "not_a_list"),
        ({"tags": [f"tag-{number}" for number in range(21)]}, "tags", "not_a_list"),
        ({"tags": ["Toy"]}, "tags", "not_a_tag"),
        ({"tags": ["t" * 33]}, "tags", "not_a_tag"),
        ({"tags": [1]}, "tags", "not_a_tag"),
        ({"tags": ["toy", "toy"]}, "tags", "repeated_field"),
        ({"purpose": "adds"}, "purpose", "unknown_key"),
    ],
)
def test_what_cannot_be_said_is_refused_by_field(client: FlaskClient, body: Any, field: str, code: str) -> None:
    answer = client.patch(MODEL, json=body)
    assert answer.status_code == 422, answer.text
    assert [(error["field"], error["code"]) for error in answer.get_json()["errors"]] == [(field, code)]
    assert client.get(MODEL).get_json()["about"] == NOTHING


def test_every_wrong_member_is_named_at_once(client: FlaskClient) -> None:
    answer = client.patch(MODEL, json={"description": 1, "owner": 2, "tags": 3})
    assert {error["field"] for error in answer.get_json()["errors"]} == {"description", "owner", "tags"}
    for body in (b"[]", b"1", b'"x"', b"{", b""):
        assert client.patch(MODEL, data=body, content_type="application/json").status_code in (400, 422)


def test_only_keys_that_publish_describe_and_they_are_audited(named: Named, redis: Redis) -> None:
    refused = named("reader", Scope.READ, Scope.PREDICT)("PATCH", MODEL, json={"owner": "me"})
    assert (refused.status_code, refused.get_json()["code"]) == (403, "missing_scope")
    assert named("ann", Scope.PUBLISH)("PATCH", MODEL, json={"owner": "Ann"}).status_code == 200
    entries = AuditLog(redis, 1).page({"action": "describe_model", "outcome": "done"}, 9, None).items
    assert [(entry["actor"], entry["model"]) for entry in entries] == [("ann", "sum")]


def test_the_model_of_others_is_as_unknown_as_none(named: Named) -> None:
    limited = named("limited", Scope.PUBLISH, Scope.READ, models=frozenset({"other"}))
    for method, path in (("PATCH", MODEL), ("GET", f"{MODEL}/about"), ("PATCH", "/v1/models/som")):
        answer = limited(method, path, json={"owner": "me"})
        assert (answer.status_code, answer.get_json()["code"]) == (404, "unknown_model")
    for name in ("som", "sum@1"):
        assert named("ann", Scope.PUBLISH)("PATCH", f"/v1/models/{name}", json={"owner": "me"}).status_code == 404
