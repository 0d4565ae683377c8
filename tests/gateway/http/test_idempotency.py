"""A request that is repeated with its Idempotency-Key makes nothing a second time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from broker.access.key_store import Keys
from contract.model.signature import Field, Kind
from contract.settings import Settings
from contract.work.api_keys import Key, Limits, Scope
from gateway.app import create_app
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.gateway.problems.test_refusals import problem
from tests.support import Sum, write_version

ROW = {"a": 1, "b": 2}
PREDICT = "/v1/models/sum/predict"


def post(client: FlaskClient, key: str = "k1", path: str = PREDICT, **options: Any) -> TestResponse:
    headers = {"Idempotency-Key": key, **options.pop("headers", {})}
    return client.post(path, headers=headers, **({"json": ROW} | options if "data" not in options else options))


def replayed(answer: TestResponse) -> bool:
    return answer.headers.get("Idempotent-Replayed") == "true"


def jobs_in(client: FlaskClient) -> list[str]:
    return [job["id"] for job in client.get("/v1/jobs").json["items"]]  # type: ignore[index]


def test_a_repeated_request_gets_the_same_job(client: FlaskClient) -> None:
    first, second = post(client), post(client)
    assert (first.status_code, second.status_code) == (202, 202)
    assert (replayed(first), replayed(second)) == (False, True)
    assert first.json["id"] == second.json["id"] and jobs_in(client) == [first.json["id"]]  # type: ignore[index]
    assert second.headers["Location"] == first.headers["Location"]


def test_without_a_key_each_request_makes_a_job(client: FlaskClient, redis: Redis) -> None:
    for _ in range(2):
        assert not replayed(client.post(PREDICT, json=ROW))
    assert len(jobs_in(client)) == 2
    assert redis.keys("mg:idempotency:*") == []


@pytest.mark.usefixtures("scoring")
def test_the_repetition_waits_for_the_job_as_it_asks(client: FlaskClient) -> None:
    first = post(client)
    second = post(client, headers={"Prefer": "wait=30"})
    assert (second.status_code, second.json["status"]) == (200, "succeeded")  # type: ignore[index]
    assert second.json["id"] == first.json["id"] and second.json["output"]["predictions"] == [3.0]  # type: ignore[index]


@pytest.mark.parametrize(("first", "second"), [("abc", '"abc"'), ('a"b', r'"a\"b"'), ("x" * 255, f'"{"x" * 255}"')])
def test_a_key_is_the_same_quoted_and_bare(client: FlaskClient, first: str, second: str) -> None:
    post(client, first)
    assert replayed(post(client, second))


@pytest.mark.parametrize("key", ["", " ", "a b", '"a b"', '""', '"', '"a', "é", "x" * 256, f'"{"x" * 256}"', '"a"b"'])
def test_an_invalid_key_is_refused(client: FlaskClient, key: str) -> None:
    assert "Idempotency-Key" in problem(post(client, key), 400, "invalid_parameter")["detail"]
    assert jobs_in(client) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"json": {"a": 1, "b": 3}},
        {"path": "/v1/models/sum@1/predict"},
        {"path": f"{PREDICT}?escape=formulas"},
        {"headers": {"Prefer": "handling=lenient"}},
        {"headers": {"Cancel-After": "60"}},
        {"data": b"a,b\n1,2\n", "content_type": "text/csv"},
    ],
)
def test_another_request_with_the_same_key_is_refused(client: FlaskClient, changed: dict[str, Any]) -> None:
    post(client)
    problem(post(client, **changed), 422, "idempotency_key_reused")
    assert len(jobs_in(client)) == 1


def test_the_same_form_with_another_boundary_is_the_same_request(client: FlaskClient) -> None:
    for boundary in ("one", "another"):
        body = "".join(f'--{boundary}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n1\r\n' for n in "ab")
        kind = f"multipart/form-data; boundary={boundary}"
        answer = post(client, data=f"{body}--{boundary}--\r\n", content_type=kind)
        assert answer.status_code == 202, answer.text
    assert replayed(answer)


def test_a_refused_request_does_not_use_up_its_key(client: FlaskClient) -> None:
    problem(post(client, json={"a": "x", "b": 2}), 422, "invalid_instances")
    assert not replayed(post(client))


def test_the_job_stays_the_one_of_the_version_that_was_asked_for(client: FlaskClient, settings: Settings) -> None:
    first = post(client)
    inputs = [Field("c", Kind.NUMBER)]
    write_version(settings.models_dir, "sum", Sum(), inputs, version=2, example={"c": 1.0})
    answer = post(client)
    assert replayed(answer) and answer.json["id"] == first.json["id"]  # type: ignore[index]


@pytest.mark.usefixtures("scoring")
def test_a_deleted_job_is_gone_and_is_not_made_again(client: FlaskClient) -> None:
    job = post(client, headers={"Prefer": "wait=30"}).json
    assert job and client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    for _ in range(2):
        problem(post(client), 410, "job_gone")
    assert jobs_in(client) == []


@pytest.mark.usefixtures("scoring")
def test_a_delivered_job_is_kept_as_long_as_its_key(settings: Settings, redis: Redis) -> None:
    app = create_app(replace(settings, result_ttl=500))
    client = app.test_client()
    keyed = post(client, headers={"Prefer": "wait=30"}).json
    plain = client.post(PREDICT, json=ROW, headers={"Prefer": "wait=30"}).json
    app.extensions["outbox"].flush()
    assert keyed and plain
    assert redis.ttl(f"rq:job:{plain['id']}") <= 60 < redis.ttl(f"rq:job:{keyed['id']}") <= 500
    (record,) = redis.keys("mg:idempotency:*")
    assert 60 < redis.ttl(record) <= 500


def test_a_cancelled_job_is_still_the_answer(client: FlaskClient) -> None:
    first = post(client)
    client.delete(f"/v1/jobs/{first.json['id']}")  # type: ignore[index]
    again = post(client)
    assert replayed(again) and (again.status_code, again.json["status"]) == (200, "canceled")  # type: ignore[index]


def test_a_full_queue_refuses_no_repetition(client: FlaskClient) -> None:
    first = post(client, json=[ROW] * 5)
    problem(client.post(PREDICT, json=ROW), 503, "queue_full")
    assert post(client, json=[ROW] * 5).json["id"] == first.json["id"]  # type: ignore[index]


def test_a_repetition_is_not_charged_against_the_limits_of_its_key(closed: FlaskClient, redis: Redis) -> None:
    limits = Limits(rows_per_second=1, rows_waiting=1, jobs_in_flight=1)
    caller = Caller.with_key(closed, redis, Key("k", "ci", "risk", frozenset({Scope.PREDICT}), limits=limits))
    answers = [caller("POST", PREDICT, json=ROW, headers={"Idempotency-Key": "x"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert caller("POST", PREDICT, json=ROW).status_code == 429


def test_owners_do_not_share_keys_and_keys_of_one_owner_do(closed: FlaskClient, redis: Redis) -> None:
    scopes = frozenset({Scope.PREDICT})
    callers = [
        Caller.with_key(closed, redis, Key(name, name, owner, scopes))
        for name, owner in (("a", "x"), ("b", "y"), ("c", "x"))
    ]
    answers = [caller("POST", PREDICT, json=ROW, headers={"Idempotency-Key": "same"}) for caller in callers]
    assert list(map(replayed, answers)) == [False, False, True]
    ids = [answer.json["id"] for answer in answers]  # type: ignore[index]
    assert ids[0] == ids[2] != ids[1]


def test_many_repetitions_at_once_in_two_gateways_make_one_job(settings: Settings, client: FlaskClient) -> None:
    others = create_app(settings)
    with ThreadPoolExecutor(8) as pool:
        sent = [
            pool.submit(post, app.test_client(), json=[ROW]) for _ in range(20) for app in (client.application, others)
        ]
        answers = [future.result() for future in sent]
    assert len({answer.json["id"] for answer in answers}) == 1  # type: ignore[index]
    assert sorted(map(replayed, answers)) == [False] + [True] * 39


def test_room_for_new_jobs_may_end_a_job_early_and_it_is_gone_then(client: FlaskClient, redis: Redis) -> None:
    job = post(client).json
    assert job
    redis.delete(f"rq:job:{job['id']}")
    problem(post(client), 410, "job_gone")


# API keys


def test_a_key_is_made_once_and_its_secret_is_shown_once(closed: FlaskClient, redis: Redis) -> None:
    admin = Caller(closed)
    body, headers = {"name": "ci", "scopes": ["predict"]}, {"Idempotency-Key": "k"}
    first = admin("POST", "/v1/keys", json=body, headers=headers)
    second = admin("POST", "/v1/keys", json=body, headers=headers)
    assert (first.status_code, second.status_code, replayed(second)) == (201, 201, True)
    assert first.json and second.json
    assert second.json == {**first.json, "secret": None} and first.json["secret"]
    assert len(Keys(redis).all()) == 1
    secret = first.json["secret"].encode()
    assert all(secret not in (redis.dump(key) or b"") for key in redis.keys("*"))
    problem(admin("POST", "/v1/keys", json={**body, "name": "x"}, headers=headers), 422, "idempotency_key_reused")
    admin("DELETE", f"/v1/keys/{first.json['id']}")
    problem(admin("POST", "/v1/keys", json=body, headers=headers), 410, "job_gone")


def test_a_key_is_rotated_once(closed: FlaskClient) -> None:
    admin = Caller(closed)
    made = admin("POST", "/v1/keys", json={"name": "ci", "scopes": ["predict"]}).json
    assert made
    path, headers = f"/v1/keys/{made['id']}/rotate", {"Idempotency-Key": "k"}
    first, second = (admin("POST", path, json={}, headers=headers) for _ in range(2))
    assert first.json and second.json and (second.json["secret"], replayed(second)) == (None, True)
    assert Caller(closed, first.json["secret"])("GET", "/v1/jobs").status_code == 200


def test_the_job_of_a_lost_answer_is_found_by_its_key(client: FlaskClient) -> None:
    def search(key: str, **more: str) -> Any:
        return client.get("/v1/jobs", query_string={"idempotency_key": key, **more})

    made, _ = post(client, "mine/1"), post(client, "mine/2")
    for key in ("mine/1", '"mine/1"'):
        assert search(key).json == {"items": [client.get(f"/v1/jobs/{made.json['id']}").json], "next_cursor": None}  # type: ignore[index]
    assert search("mine/3").json == {"items": [], "next_cursor": None}
    assert "Idempotency-Key" in problem(search("é"), 400, "invalid_parameter")["detail"]
    assert (
        "leave out limit, model"
        in problem(search("mine/1", model="sum", limit="5"), 400, "invalid_parameter")["detail"]
    )


def test_only_its_owner_finds_a_job_by_its_key(closed: FlaskClient, redis: Redis) -> None:
    scopes = frozenset({Scope.PREDICT})
    owner, other = (Caller.with_key(closed, redis, Key(name, name, name, scopes)) for name in ("a", "b"))
    owner("POST", PREDICT, json=ROW, headers={"Idempotency-Key": "same"})
    listed = [caller("GET", "/v1/jobs?idempotency_key=same").json["items"] for caller in (owner, other)]  # type: ignore[index]
    assert list(map(len, listed)) == [1, 0]


def test_a_key_that_made_no_job_finds_none(settings: Settings) -> None:
    admin = Caller(create_app(replace(settings, admin_key=ADMIN_KEY)).test_client())
    made = admin("POST", "/v1/keys", json={"name": "ci", "scopes": ["read"]}, headers={"Idempotency-Key": "same"})
    assert made.status_code == 201
    assert admin("GET", "/v1/jobs?idempotency_key=same").json == {"items": [], "next_cursor": None}


@pytest.mark.usefixtures("scoring")
def test_an_address_without_a_model_replays_none_that_the_key_may_not_use(settings: Settings, redis: Redis) -> None:
    write_version(settings.models_dir, "other", Sum(), [Field("a", Kind.NUMBER), Field("b", Kind.NUMBER)])
    client = create_app(replace(settings, admin_key=ADMIN_KEY)).test_client()
    scopes = frozenset({Scope.PREDICT})
    of_sum, of_other = (
        Caller.with_key(client, redis, Key(f"k-{model}", model, "team", scopes, models=frozenset({model})))
        for model in ("sum", "other")
    )
    request = {"json": {"instances": [[1, 2]]}, "headers": {"Idempotency-Key": "k1"}}
    first, again = (of_sum("POST", "/invocations", **request) for _ in range(2))
    assert (first.status_code, replayed(first), replayed(again)) == (200, False, True)
    refused = of_other("POST", "/invocations", **request)
    assert refused.status_code == 404 and "a model that this key may not" in refused.text and "sum" not in refused.text
    assert not replayed(refused)
    assert of_other("POST", "/invocations", json=request["json"], headers={"Idempotency-Key": "k2"}).status_code == 200
