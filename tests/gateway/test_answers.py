"""What the gateway answers when all is well."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask.testing import FlaskClient
from redis import Redis

from contract.settings import Settings
from gateway.app import create_app
from gateway.waiting import preferred_wait
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
    assert preferred_wait(header, 60) == wait


def test_a_wait_that_passes_is_202_and_says_what_was_applied(client: FlaskClient) -> None:
    response = client.post(PREDICT, json=GOOD, headers={"Prefer": "wait=0"})
    assert (response.status_code, response.headers["Preference-Applied"]) == (202, "wait=0")
    assert "Preference-Applied" not in client.post(PREDICT, json=GOOD, headers={"Prefer": "wait=soon"}).headers


@pytest.fixture
def finishing(redis: Redis, redis_url: str) -> Iterator[None]:
    """Marks every job failed as soon as it is queued, as a worker would."""
    stop = threading.Event()

    def finish() -> None:
        while not stop.is_set():
            popped = redis.blpop(["rq:queue:predict:sum"], 0.1)
            if popped:
                job_id = popped[1].decode()
                redis.hset(f"rq:job:{job_id}", "status", "failed")
                redis.publish("mg:ended", job_id)

    thread = threading.Thread(target=finish)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.mark.usefixtures("finishing")
def test_a_finished_job_is_200_whatever_its_status(client: FlaskClient) -> None:
    response = client.post(PREDICT, json=GOOD, headers={"Prefer": "wait=60"})
    assert (response.status_code, response.headers["Preference-Applied"]) == (200, "wait=3")
    assert response.get_json()["status"] == "failed"
    assert "Retry-After" not in response.headers


@pytest.mark.usefixtures("finishing")
def test_a_query_waits_by_itself_and_is_not_cached(client: FlaskClient) -> None:
    response = client.get(f"{PREDICT}?a=1&b=2")
    assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.usefixtures("finishing")
def test_many_who_wait_are_each_woken(client: FlaskClient, settings: Settings) -> None:
    app = create_app(dataclasses.replace(settings, max_queue_rows=1000))

    def post(_: int) -> int:
        return app.test_client().post(PREDICT, json=GOOD, headers={"Prefer": "wait=60"}).status_code

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(post, range(60))) == {200}


def test_a_wait_survives_the_loss_of_its_subscription(client: FlaskClient, redis: Redis) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: client.post(PREDICT, json=GOOD, headers={"Prefer": "wait=60"}))
        (job_id,) = until(lambda: queued(redis), "the job is queued")
        until(lambda: redis.pubsub_numsub("mg:ended")[0][1], "the gateway listens")
        redis.client_kill_filter(_type="pubsub")
        redis.hset(f"rq:job:{job_id}", "status", "failed")  # and nobody says so
        assert waiting.result().get_json()["status"] == "failed"


def test_head_makes_no_job(client: FlaskClient, redis: Redis) -> None:
    response = client.head(f"{PREDICT}?a=1&b=2")
    assert (response.status_code, response.data, queued(redis)) == (200, b"", [])
    assert client.head("/v1/models/nope/predict").status_code == 404


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
    redis.sadd("rq:workers", "rq:worker:w")
    redis.hset("rq:worker:w", "birth", "now")
    assert client.get("/health/ready").get_json() == {"status": "ok", "models": 1, "workers": 1}


def test_every_body_is_plain_ascii_json(client: FlaskClient) -> None:
    response = client.post(PREDICT, data='{"a": 1, "b": 2, "é": 1}'.encode(), content_type="application/json")
    assert response.data.isascii()
    assert "é" in json.loads(response.data)["warnings"][0]
