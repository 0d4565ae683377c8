"""Webhooks over HTTP: the header of a job, subscriptions, and who sees which."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.link.outbox import Outbox
from broker.sides.deliveries import Deliveries, Planned
from broker.sides.gateway.job_client import Jobs
from broker.state.webhook_store import EVENTS, MOST, Webhooks
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from contract.work.webhooks import Subscription
from gateway.app import create_app
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.gateway.problems.test_refusals import problem

URL = "https://hooks.example.org/modelgate"
PREDICT = "/v1/models/sum/predict"
ROW = {"a": 1, "b": 2}
WHEN = "2026-01-02T03:04:05.000006Z"
WANTED = {"url": URL, "events": ["training.failed", "model.promoted"]}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, webhook_secret="set")


@pytest.fixture
def admin(settings: Settings) -> Caller:
    return Caller(create_app(replace(settings, admin_key=ADMIN_KEY)).test_client())


def publisher(admin: Caller, redis: Redis, owner: str, **changes: Any) -> Caller:
    key = Key(f"k-{owner}", owner, owner, frozenset({Scope.PUBLISH, Scope.PREDICT}), **changes)
    return Caller.with_key(admin.client, redis, key)


def test_a_job_has_the_url_of_its_request(client: FlaskClient, redis: Redis) -> None:
    for path in (PREDICT, f"{PREDICT}/"):  # the fast path, and Flask's
        answer = client.post(path, json=ROW, headers={"Webhook-Url": f" {URL} "})
        assert answer.status_code == 202
        assert redis.hget(f"rq:job:{answer.json['id']}", "webhook") == URL.encode()
    made = client.post("/v1/models/sum/train", json={"recipe": "sum"}, headers={"Webhook-Url": URL})
    assert made.status_code == 503, "no trainer has published its recipes"
    redis.set("mg:trainer:recipes", '["sum"]')
    made = client.post("/v1/models/sum/train", json={"recipe": "sum"}, headers={"Webhook-Url": URL})
    assert redis.hget(f"rq:job:{made.json['id']}", "webhook") == URL.encode()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ftp://example.org", "Webhook-Url 'ftp://example.org': it is not a URL that begins with https:// or http://"),
        ("", "Webhook-Url '': it is not a URL"),
        ("http://10.0.0.1/", "10.0.0.1 is not a public address; an operator can allow it with WEBHOOK_ALLOW=10.0.0.1"),
        ("https://me:word@example.org/", "a user or password in the URL is not sent"),
    ],
)
def test_a_url_that_gets_no_webhook_is_refused(client: FlaskClient, redis: Redis, url: str, text: str) -> None:
    answer = client.post(PREDICT, json=ROW, headers={"Webhook-Url": url})
    assert text in problem(answer, 400, "invalid_parameter")["detail"]
    assert redis.llen("rq:queue:predict:sum") == 0


def test_an_operator_can_allow_a_private_address(settings: Settings) -> None:
    client = create_app(replace(settings, webhook_allow=("10.0.0.0/8",))).test_client()
    assert client.post(PREDICT, json=ROW, headers={"Webhook-Url": "http://10.0.0.1/"}).status_code == 202


def test_without_a_secret_there_are_no_webhooks(settings: Settings) -> None:
    client = create_app(replace(settings, webhook_secret="")).test_client()
    for answer in (
        client.post(PREDICT, json=ROW, headers={"Webhook-Url": URL}),
        client.put("/v1/webhooks/ops", json=WANTED),
    ):
        assert "WEBHOOK_SECRET" in problem(answer, 403, "no_webhooks")["detail"]


def test_a_subscription_is_made_changed_listed_and_deleted(client: FlaskClient, redis: Redis) -> None:
    made = client.put("/v1/webhooks/ops", json=WANTED)
    assert made.status_code == 201
    expected = {"name": "ops", **WANTED, "models": None, "format": "standard", "last_try": None}
    assert {**made.json, "created_at": None} == {**expected, "created_at": None}
    assert redis.smembers("mg:webhooks:wanted") == {b"training.failed", b"model.promoted"}

    changed = client.put("/v1/webhooks/ops", json={**WANTED, "events": ["training.succeeded"]})
    assert changed.status_code == 200 and changed.json["created_at"] == made.json["created_at"]
    assert redis.smembers("mg:webhooks:wanted") == {b"training.succeeded"}
    redis.hset("mg-events:last", "ops", '{"status": 204}')
    assert client.get("/v1/webhooks/ops").json == {**changed.json, "last_try": {"status": 204}}
    assert client.get("/v1/webhooks").json["items"] == [{**changed.json, "last_try": {"status": 204}}]

    assert client.delete("/v1/webhooks/ops").status_code == 204
    assert redis.exists("mg:webhooks:wanted") == 0
    problem(client.get("/v1/webhooks/ops"), 404, "unknown_webhook")
    problem(client.delete("/v1/webhooks/ops"), 404, "unknown_webhook")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ([], [(None, "not_an_object")]),
        ({}, [("url", "missing_member"), ("events", "missing_member")]),
        ({**WANTED, "event": 1}, [("event", "unknown_member")]),
        ({**WANTED, "url": "http://127.0.0.1/"}, [("url", "not_a_url")]),
        ({**WANTED, "events": ["training.fail", 7]}, [("events", "unknown_event")] * 2),
        ({"url": 5, "events": []}, [("url", "missing_member"), ("events", "missing_member")]),
    ],
)
def test_every_error_of_a_subscription_is_named(client: FlaskClient, body: Any, fields: list[tuple[str, str]]) -> None:
    errors = problem(client.put("/v1/webhooks/ops", json=body), 422, "invalid_webhook")["errors"]
    assert [(error["field"], error["code"]) for error in errors] == fields


def test_a_misspelt_event_is_corrected(client: FlaskClient) -> None:
    answer = client.put("/v1/webhooks/ops", json={**WANTED, "events": ["training.fail"]})
    assert "did you mean 'training.failed'?" in problem(answer, 422, "invalid_webhook")["detail"]


def test_a_name_that_is_none_is_refused(client: FlaskClient) -> None:
    problem(client.put("/v1/webhooks/Ops", json=WANTED), 422, "invalid_name")


def test_there_are_at_most_so_many_webhooks(client: FlaskClient, redis: Redis) -> None:
    webhooks = Webhooks(redis)
    for number in range(MOST):
        subscription = Subscription(f"w{number}", URL, EVENTS[:1], "2026-01-01T00:00:00Z")
        assert webhooks.replace(subscription.name, None, subscription)
    assert client.put("/v1/webhooks/w5", json=WANTED).status_code == 200
    assert (
        "delete one first" in problem(client.put("/v1/webhooks/new", json=WANTED), 409, "too_many_webhooks")["detail"]
    )


def test_the_webhook_of_another_owner_does_not_exist(admin: Caller, redis: Redis) -> None:
    risk, sales = publisher(admin, redis, "risk", models=frozenset({"sum"})), publisher(admin, redis, "sales")
    assert risk("PUT", "/v1/webhooks/mine", json=WANTED).json["models"] == ["sum"]
    assert risk("GET", "/v1/webhooks/mine").json["owner"] == "risk"
    problem(sales("GET", "/v1/webhooks/mine"), 404, "unknown_webhook")
    problem(sales("DELETE", "/v1/webhooks/mine"), 404, "unknown_webhook")
    problem(sales("PUT", "/v1/webhooks/mine", json=WANTED), 409, "name_taken")
    assert sales("GET", "/v1/webhooks").json["items"] == []
    assert [webhook["name"] for webhook in admin("GET", "/v1/webhooks").json["items"]] == ["mine"]
    assert admin("DELETE", "/v1/webhooks/mine").status_code == 204


def deliver(redis: Redis, job_id: str, *webhooks: str) -> None:
    """Plan a delivery of the end of a job to each of these subscriptions; '': to its own URL."""
    job = Jobs(redis, max_queue_rows=10, timeout=30, result_ttl=60)
    job.cancel(job_id)
    planned = [
        Planned(f"msg_{job_id}_{name}", URL, name, "training.failed", "risk", "example.org", WHEN, "sum")
        for name in webhooks
    ]
    redis.rpush("mg:webhooks:ended", "entry")
    assert Deliveries(redis, Outbox(redis)).plan([(b"entry", job_id, planned)]) == [0]


def webhooks_of(caller: Caller, job_id: str) -> list[str | None]:
    return [delivery["webhook"] for delivery in caller("GET", f"/v1/jobs/{job_id}/deliveries").json["items"]]


def test_deliveries_show_nobody_the_subscription_of_another_owner(admin: Caller, redis: Redis) -> None:
    risk = publisher(admin, redis, "risk")
    reader = Caller.with_key(admin.client, redis, Key("k", "k", "risk", frozenset({Scope.PREDICT})))
    assert admin("PUT", "/v1/webhooks/ops", json=WANTED).status_code == 201
    assert risk("PUT", "/v1/webhooks/mine", json=WANTED).status_code == 201
    job_id = risk("POST", PREDICT, json=ROW, headers={"Webhook-Url": URL}).json["id"]
    deliver(redis, job_id, "", "mine", "ops")
    assert webhooks_of(admin, job_id) == [None, "mine", "ops"]
    assert webhooks_of(risk, job_id) == [None, "mine"]
    assert webhooks_of(reader, job_id) == [None], "it takes `publish` to see subscriptions"


def test_a_subscription_with_the_name_of_a_deleted_one_shows_none_of_its_deliveries(
    admin: Caller, redis: Redis
) -> None:
    risk = publisher(admin, redis, "risk")
    assert admin("PUT", "/v1/webhooks/ops", json=WANTED).status_code == 201
    job_id = risk("POST", PREDICT, json=ROW).json["id"]
    deliver(redis, job_id, "ops")
    assert admin("DELETE", "/v1/webhooks/ops").status_code == 204
    assert risk("PUT", "/v1/webhooks/ops", json=WANTED).status_code == 201
    assert webhooks_of(risk, job_id) == []
    assert webhooks_of(admin, job_id) == ["ops"]


def test_the_deliveries_of_a_job_are_for_those_who_see_it(admin: Caller, redis: Redis) -> None:
    risk, sales = publisher(admin, redis, "risk"), publisher(admin, redis, "sales")
    job_id = risk("POST", PREDICT, json=ROW, headers={"Webhook-Url": URL}).json["id"]
    assert risk("GET", f"/v1/jobs/{job_id}/deliveries").json == {"items": []}
    problem(sales("GET", f"/v1/jobs/{job_id}/deliveries"), 404, "unknown_job")


def test_an_admin_sees_and_deletes_what_waits(admin: Caller, redis: Redis) -> None:
    risk = publisher(admin, redis, "risk")
    for job_id in (risk("POST", PREDICT, json=ROW).json["id"] for _ in range(2)):
        deliver(redis, job_id, "")
    assert admin("GET", "/v1/deliveries").json == {"items": [{"owner": "risk", "waiting": 2}]}
    problem(risk("GET", "/v1/deliveries"), 403, "missing_scope")
    assert "?owner=" in problem(admin("DELETE", "/v1/deliveries"), 400, "invalid_parameter")["detail"]
    assert admin("DELETE", "/v1/deliveries?owner=risk&host=other.example").json == {"deleted": 0}
    assert admin("DELETE", "/v1/deliveries?owner=risk&host=Example.org").json == {"deleted": 2}
    assert admin("GET", "/v1/deliveries").json == {"items": []}
    (entry,) = admin("GET", "/v1/audit?action=delete_deliveries&outcome=done").json["items"][:1]
    assert entry["actor"] == "ADMIN_KEY"
