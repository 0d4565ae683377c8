"""The answers to valid requests."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.sides.gateway.job_client import Jobs
from broker.sides.supervisor import Leases
from contract.settings import Settings
from contract.work.jobs import Job, Status
from gateway.app import create_app
from gateway.protocols import native
from gateway.protocols.parameters import preferences
from tests.support import until

PREDICT = "/v1/models/sum/predict"
GOOD = {"a": 1, "b": 2}


def queued(redis: Redis) -> list[str]:
    return [job_id.decode() for job_id in redis.lrange("rq:queue:predict:sum", 0, -1)]


def test_a_post_is_202_with_the_job_and_where_to_find_it(client: FlaskClient, redis: Redis) -> None:
    response = client.post(PREDICT, json=[{**GOOD, "key": "k", "c": 3}])
    job = response.get_json()
    assert response.status_code == 202
    assert response.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert response.headers["Retry-After"] == "1"
    assert queued(redis) == [job["id"]]
    assert (job["status"], job["kind"], job["model"]) == ("queued", "prediction", {"name": "sum", "version": 1})
    assert len(job["warnings"]) == 1
    assert "'c'" in job["warnings"][0]
    assert client.get(response.headers["Location"]).get_json() == job


def test_the_version_is_pinned_when_the_request_arrives(client: FlaskClient, settings: Settings) -> None:
    job = client.post("/v1/models/sum@current/predict", json=GOOD).get_json()
    (settings.models_dir / "sum" / "aliases.json").write_text('{"current": 2}')
    assert client.get(f"/v1/jobs/{job['id']}").get_json()["model"] == {"name": "sum", "version": 1}


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("", None),
        ("wait=5", 5),
        ('wait="5"', 5),
        ("WAIT = 5", 5),
        ("wait=0", 0),
        ("respond-async, wait=5", 5),
        ("wait=5; foo=bar", 5),
        ("wait=5, wait=7", 5),
        ("wait=61", 60),
        ("wait=999999999", 60),
        ("wait=-1", None),
        ("wait=5.5", None),
        ("wait=five", None),
        ("wait", None),
        ("wait=", None),
        ("await=5", None),
        ("handling=lenient", None),
        ("wait=٥", None),
    ],
)
def test_prefer_is_read_as_the_rfc_says(header: str | None, wait: int | None) -> None:
    assert preferences(header, 60).wait == wait


@pytest.mark.parametrize(
    ("header", "applied"),
    [
        ("handling=lenient", "handling=lenient"),
        ('wait=5, Handling = "Lenient"', "handling=lenient, wait=5"),
        ("handling=strict; foo=bar", "handling=strict"),
        ("handling=lenient, handling=strict", "handling=lenient"),
        ("handling=loose", None),
        ("handling", None),
        ("mishandling=lenient, wait=5", "wait=5"),
    ],
)
def test_a_handling_is_applied_if_it_is_known(header: str, applied: str | None) -> None:
    assert preferences(header, 60).applied == applied


def test_a_wait_that_passes_is_202_and_says_what_was_applied(client: FlaskClient) -> None:
    response = client.post(PREDICT, json=GOOD, headers={"Prefer": "wait=0"})
    assert (response.status_code, response.headers["Preference-Applied"]) == (202, "wait=0")
    assert "Preference-Applied" not in client.post(PREDICT, json=GOOD, headers={"Prefer": "wait=soon"}).headers


@pytest.mark.usefixtures("scoring")
def test_a_finished_job_is_200_with_its_output(client: FlaskClient) -> None:
    rows = [{**GOOD, "key": "k", "c": 1}, {"a": 3, "b": 4}]
    response = client.post(PREDICT, json=rows, headers={"Prefer": "wait=60"})
    assert (response.status_code, response.headers["Preference-Applied"]) == (200, "wait=30")
    job = response.get_json()
    assert (job["status"], job["output"]) == (
        "succeeded",
        {"predictions": [3, 7], "probabilities": None, "ids": ["k", None]},
    )
    assert "Retry-After" not in response.headers
    assert client.get(response.headers["Location"]).get_json() == {**job, "worker": "w"}


@pytest.mark.usefixtures("scoring")
def test_a_query_waits_by_default_and_is_not_cached(client: FlaskClient) -> None:
    response = client.get(f"{PREDICT}?a=1&b=2")
    assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-store")
    assert response.get_json()["output"]["predictions"] == [3]


@pytest.mark.usefixtures("scoring")
def test_an_answer_too_large_for_a_message_still_arrives(client: FlaskClient, settings: Settings) -> None:
    client = create_app(dataclasses.replace(settings, max_queue_rows=10_000)).test_client()
    job = client.post(PREDICT, json=[GOOD] * 9_000, headers={"Prefer": "wait=30"}).get_json()
    assert job["output"]["predictions"] == [3] * 9_000


@pytest.mark.usefixtures("scoring")
def test_a_finished_job_is_deleted(client: FlaskClient) -> None:
    location = client.post(PREDICT, json=GOOD, headers={"Prefer": "wait=30"}).headers["Location"]
    assert client.delete(location).status_code == 204
    assert client.get(location).status_code == client.delete(location).status_code == 404


@pytest.mark.usefixtures("scoring")
def test_each_waiting_request_gets_its_own_job(client: FlaskClient, settings: Settings) -> None:
    app = create_app(dataclasses.replace(settings, max_queue_rows=1000))

    def post(number: int) -> float:
        response = app.test_client().post(PREDICT, json={"a": number, "b": 0}, headers={"Prefer": "wait=30"})
        (prediction,) = response.get_json()["output"]["predictions"]
        return float(prediction)

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(post, range(200))) == list(range(200))


def test_a_wait_survives_the_loss_of_its_subscription(client: FlaskClient, redis: Redis) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: client.post(PREDICT, json=GOOD, headers={"Prefer": "wait=30"}))
        (job_id,) = until(lambda: queued(redis), "the job is queued")
        redis.client_kill_filter(_type="pubsub")
        Jobs(redis, max_queue_rows=9, timeout=9, result_ttl=9).cancel(job_id)
        assert waiting.result().get_json()["status"] == "canceled"


def test_a_cancelled_job_wakes_the_requests_that_wait_for_it(client: FlaskClient, redis: Redis) -> None:
    job = client.post(PREDICT, json=GOOD).get_json()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: client.get(f"/v1/jobs/{job['id']}?wait=60"))
        until(lambda: redis.hget(f"rq:job:{job['id']}", "reply"), "a request waits")
        response = client.delete(f"/v1/jobs/{job['id']}")
        assert (response.status_code, response.get_json()["status"]) == (200, "canceled")
        assert waiting.result().get_json()["status"] == "canceled"
    assert queued(redis) == []


@pytest.mark.parametrize("seconds", ["0", "1e-7", "0.00000000000001"])
def test_cancel_after_gives_a_job_a_deadline(client: FlaskClient, redis: Redis, seconds: str) -> None:
    job = client.post(PREDICT, json=GOOD, headers={"Cancel-After": seconds}).get_json()
    Leases(redis).expire()
    assert client.get(f"/v1/jobs/{job['id']}").get_json()["status"] == "expired"


def test_jobs_are_listed_by_page(client: FlaskClient) -> None:
    posted = [client.post(PREDICT, json=GOOD).get_json()["id"] for _ in range(5)]
    first = client.get("/v1/jobs?model=sum&status=queued&limit=3").get_json()
    second = client.get(f"/v1/jobs?model=sum&status=queued&limit=3&cursor={first['next_cursor']}").get_json()
    assert [job["id"] for job in first["items"] + second["items"]] == posted[::-1]
    assert second["next_cursor"] is None
    assert client.get("/v1/jobs?status=failed").get_json() == {"items": [], "next_cursor": None}


def test_head_makes_no_job(client: FlaskClient, redis: Redis) -> None:
    response = client.head(f"{PREDICT}?a=1&b=2")
    assert (response.status_code, response.data, queued(redis)) == (200, b"", [])
    assert client.head("/v1/models/nope/predict").status_code == 404


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize("query", ["a=1", "a=1&b=x", "a=1&b=2&b=3"])
def test_head_checks_what_get_would_check(client: FlaskClient, query: str) -> None:
    head, get = client.head(f"{PREDICT}?{query}"), client.get(f"{PREDICT}?{query}")
    assert (head.status_code, head.headers["Content-Length"]) == (get.status_code, get.headers["Content-Length"])
    waits = {"Prefer": "wait=5"}
    assert client.head(f"{PREDICT}?a=1&b=2", headers=waits).headers["Preference-Applied"] == "wait=5"


def test_the_model_list_and_detail(client: FlaskClient) -> None:
    (item,) = client.get("/v1/models").get_json()["items"]
    assert (item["name"], item["version"], item["aliases"]) == ("sum", 1, {"current": 1})
    detail = client.get("/v1/models/sum").get_json()
    assert {"name", "aliases", "version", "signature", "metrics", "example"} <= set(detail)
    assert [field["name"] for field in detail["signature"]["inputs"]] == ["a", "b"]
    assert "golden" not in detail
    assert client.post(PREDICT, json=detail["example"]).status_code == 202


def test_versions_are_listed_and_shown(client: FlaskClient) -> None:
    (item,) = client.get("/v1/models/sum/versions").get_json()["items"]
    assert item["version"] == 1
    assert client.get("/v1/models/sum/versions/1").get_json()["name"] == "sum"
    assert client.get("/v1/models/sum/versions/2").status_code == 404


def test_live_needs_nothing_and_ready_says_what_is_missing(settings: Settings, redis: Redis) -> None:
    away = dataclasses.replace(settings, redis_url="redis://127.0.0.1:1", models_dir=settings.models_dir / "none")
    client = create_app(away).test_client()
    assert client.get("/health/live").status_code == 200
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert "Redis does not answer" in response.get_json(force=True)["detail"]
    assert "holds no model" in response.get_json(force=True)["detail"]


def test_ready_is_degraded_while_no_worker_is_alive(client: FlaskClient, redis: Redis) -> None:
    response = client.get("/health/ready")
    assert (response.status_code, response.get_json()["status"]) == (200, "degraded")
    Leases(redis, lease=60).register("w-0-test")
    ready = {"status": "ok", "models": 1, "workers": 1}
    until(lambda: client.get("/health/ready").get_json(force=True) == ready, "the worker is noticed")


def test_every_body_is_plain_ascii_json(client: FlaskClient) -> None:
    response = client.post(PREDICT, data='{"a": 1, "b": 2, "é": 1}'.encode(), content_type="application/json")
    assert response.data.isascii()
    assert "é" in json.loads(response.data)["warnings"][0]


@pytest.mark.parametrize("value", [2**70, -1.5e300, 1e-7, 0.1, "é", "\ud800", "\x00\u2028", None])
def test_a_job_is_written_as_exactly_as_python_would(value: object) -> None:
    job = Job("1", Status.SUCCEEDED, "sum", 1, None, output={"predictions": [value], "ids": [value]})
    assert json.loads(native.write(job)) == job.to_json()
