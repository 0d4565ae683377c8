"""What the door notes of each request: the id in its answer, and its line in the access log."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from redis import Redis

from contract.settings import Settings
from contract.work.api_keys import new_token
from gateway.app import create_app
from runtime.logs import ACCESS
from tests.gateway.conftest import without_redis
from tests.gateway.log_lines import LogLines, recorded

pytestmark = pytest.mark.waits

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
GOOD = {"a": 1, "b": 2}


@pytest.fixture
def lines() -> Iterator[LogLines]:
    with recorded("gateway") as lines:
        yield lines


def access(lines: LogLines) -> list[dict[str, object]]:
    return [event for event in lines.events if event["logger"] == ACCESS]


@pytest.mark.usefixtures("scoring")
def test_a_prediction_has_a_line_with_its_job_whose_id_is_that_of_the_request(
    client: FlaskClient, lines: LogLines
) -> None:
    answer = client.post("/v1/models/sum/predict", json=GOOD, headers={"Prefer": "wait=30"})
    (event,) = access(lines)
    del event["time"]
    duration = event.pop("duration_ms")
    assert isinstance(duration, float) and duration > 0
    job_id = answer.json["id"] if answer.json else None
    assert answer.headers["X-Request-ID"] == job_id
    assert event == {
        "level": "info",
        "service": "gateway",
        "logger": "gateway.access",
        "message": "POST /v1/models/sum/predict 200",
        "method": "POST",
        "path": "/v1/models/sum/predict",
        "status": 200,
        "route": "/v1/models/<reference>/predict",
        "bytes": len(answer.data),
        "client": "127.0.0.1",
        "request_id": job_id,
        "job_id": job_id,
        "model": "sum",
        "version": 1,
    }


def test_the_ids_of_the_client_are_answered_logged_and_travel_with_the_job(
    client: FlaskClient, lines: LogLines, redis: Redis
) -> None:
    headers = {"X-Request-ID": "order-17", "traceparent": PARENT}
    answer = client.post("/v1/models/sum/predict", json=GOOD, headers=headers)
    assert answer.headers["X-Request-ID"] == "order-17"
    (event,) = access(lines)
    assert (event["request_id"], event["trace_id"]) == ("order-17", TRACE)
    assert event["job_id"] != "order-17"
    answer = client.get("/v1/models/sum/predict?a=1&b=2", headers={"traceparent": PARENT, "Prefer": "wait=0"})
    assert answer.headers["X-Request-ID"] == TRACE


@pytest.mark.parametrize("sent", ["a b", "x" * 65, "\x01", "", "é"])
def test_an_invalid_request_id_is_replaced(client: FlaskClient, sent: str) -> None:
    answer = client.get("/v1/models", headers={"X-Request-ID": sent})
    assert answer.status_code == 200
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])


@pytest.mark.parametrize(
    ("method", "path", "host", "status", "code"),
    [
        ("GET", "/nowhere", "localhost", 404, "not_found"),
        ("PUT", "/v1/models", "localhost", 405, "method_not_allowed"),
        ("GET", "/v1/models", "evil.example", 403, "foreign_host"),
        ("GET", "/v1/jobs/none", "localhost", 404, "unknown_job"),
        ("POST", "/v1/models/sum/predict", "localhost", 400, "malformed_body"),
        ("HEAD", "/v1/models", "localhost", 200, None),
    ],
)
def test_every_answer_has_a_request_id_and_a_line(
    client: FlaskClient, lines: LogLines, method: str, path: str, host: str, status: int, code: str | None
) -> None:
    answer = client.open(path, method=method, headers={"X-Request-ID": "mine", "Host": host})
    assert (answer.status_code, answer.headers.getlist("X-Request-ID")) == (status, ["mine"])
    (event,) = access(lines)
    assert (event["status"], event.get("code"), event["request_id"]) == (status, code, "mine")


def test_probes_leave_no_line_and_a_change_one(settings: Settings, lines: LogLines) -> None:
    client = create_app(settings).test_client()
    assert client.get("/health/live").status_code == 200
    assert access(lines) == []
    app = create_app(dataclasses.replace(settings, models_dir=settings.models_dir / "none"))
    for _ in range(3):
        assert app.test_client().get("/health/ready").status_code == 503
    assert lines.events == []
    for is_news in (True, True, True, False):
        app.extensions["readiness"].log_change(lambda _, news=is_news: news)
    assert [str(event["message"]).partition(":")[0] for event in lines.events] == ["not_ready"]


def test_beyond_the_rate_only_failures_have_a_line_and_the_others_are_counted(
    settings: Settings, lines: LogLines
) -> None:
    client = without_redis(settings, access_log_rate=2)
    app = client.application
    for _ in range(9):
        client.get("/v1/models")
    assert client.get("/v1/jobs").status_code == 503
    app.extensions["access_log"].report_left_out()
    app.extensions["access_log"].report_left_out()
    said = access(lines)
    assert [event.get("status") for event in said[:2]] == [200, 200]
    assert 503 in [event.get("status") for event in said]
    left_out = sum(int(str(event["left_out"])) for event in said if "left_out" in event)
    assert left_out + sum("status" in event for event in said) == 10
    assert sum("left_out" in event for event in said) == 1


def test_what_is_answered_with_5xx_says_why_in_the_log(settings: Settings, lines: LogLines) -> None:
    client = without_redis(settings)
    assert client.get("/v1/jobs", headers={"X-Request-ID": "mine"}).status_code == 503
    (why, _) = lines.events
    assert (why["level"], why["request_id"]) == ("warning", "mine")
    assert str(why["message"]).startswith("redis_unavailable: Redis: ConnectionError: ")


def test_a_path_forges_no_line(client: FlaskClient, lines: LogLines) -> None:
    client.get("/%0a2026%1b[2J%e2%80%a8" + "x" * 1000)
    (event,) = access(lines)
    assert len(str(event["path"])) == 200


def test_a_path_is_logged_without_keys_and_without_the_first_half_of_one(client: FlaskClient, lines: LogLines) -> None:
    token = new_token()
    for before in ("", "x" * 170):
        client.get(f"/v1/models/{before}{token}")
    assert len(access(lines)) == 2 and token[:20] not in str(lines.events)
