"""Scheduled predictions over HTTP, the reports of their runs, and the alert when one fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.state.lake_schedules import KEY
from contract.settings import Settings
from gateway.app import create_app

PATH = "/v1/models/sum/schedule/predict"
WANTED = {"cron": "30 2 * * *", "source": "s3://lake/{date}/*.parquet", "target": "s3://lake/scored/{date}/"}


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    return create_app(settings).test_client()


def change(redis: Redis, **members: object) -> None:
    """Change what is stored of the schedule."""
    entry = json.loads(redis.hget(KEY, "sum"))  # type: ignore[arg-type]
    redis.hset(KEY, "sum", json.dumps({**entry, **members}))


def errors(answer: Any) -> list[tuple[str | None, str]]:
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_schedule"), answer.text
    return [(error["field"], error["code"]) for error in answer.json["errors"]]


def test_a_schedule_is_set_listed_and_deleted(client: FlaskClient) -> None:
    made = client.put("/v1/models/sum@1/schedule/predict", json={**WANTED, "strict": True}).json
    day = made["next_run"][:10]
    assert made == {
        "model": "sum",
        "reference": "sum@1",
        **WANTED,
        "method": "predict",
        "strict": True,
        "next_run": f"{day}T02:30:00.000000Z",
        "due": False,
        "failed": False,
        "run": {"source": f"s3://lake/{day}/*.parquet", "target": f"s3://lake/scored/{day}/"},
        "last_run": None,
    }
    assert client.get(PATH).json == made and client.get("/v1/schedules/predict").json == {"items": [made]}
    assert client.get("/v1/schedules").json == {"items": []}, "those of trainings are others"
    assert client.delete(PATH).status_code == 204
    for answer in (client.get(PATH), client.delete(PATH), client.put(f"{PATH}/run", json={"due": "", "status": "x"})):
        assert answer.status_code in (404, 422)
    assert client.get(PATH).json["detail"] == "no prediction with the model 'sum' is scheduled"


def test_what_is_said_of_a_run_is_shown(client: FlaskClient, redis: Redis) -> None:
    made = client.put(PATH, json=WANTED).json
    change(redis, next_run="2026-03-01T02:30:00.000000Z")
    due = client.get(PATH).json
    assert due["due"] and due["run"]["target"] == "s3://lake/scored/2026-03-01/"
    running = client.put(f"{PATH}/run", json={"due": due["next_run"], "status": "running"}).json
    assert running["due"] and running["last_run"]["status"] == "running"
    said = {"due": due["next_run"], "status": "succeeded", "objects": 8, "rows": 160_000, "errors": 2, "error": None}
    ended = client.put(f"{PATH}/run", json=said).json
    assert {**ended["last_run"], "reported_at": None} == {**said, "reported_at": None}
    assert ended["next_run"] == "2026-03-02T02:30:00.000000Z"
    assert client.put(f"{PATH}/run", json={**said, "status": "failed"}).json == ended, "it was another run"
    assert made["next_run"] > ended["next_run"]


@pytest.mark.parametrize(
    ("stored", "failed"),
    [
        ({}, 0),
        ({"next_run": "2026-03-01T02:30:00.000000Z"}, 1),
        ({"last_run": {"due": "", "status": "failed", "error": "no object"}}, 1),
    ],
)
def test_a_run_that_failed_or_is_late_is_an_alert(
    client: FlaskClient, redis: Redis, stored: dict[str, object], failed: int
) -> None:
    client.put(PATH, json=WANTED)
    change(redis, **stored)
    assert client.get(PATH).json["failed"] is bool(failed)
    assert f'modelgate_schedule_failed{{model="sum"}} {float(failed)}' in client.get("/metrics").text
    alerts = client.get("/v1/system").json["alerts"]
    said = "the last scheduled run of sum failed or is late; modelgate schedule says which, and why"
    assert [alert["detail"] for alert in alerts if alert["code"] == "schedule_failed"] == [said] * failed


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ([], [(None, "not_an_object")]),
        ({}, [("cron", "not_a_cron_expression"), ("source", "not_a_url"), ("target", "not_a_url")]),
        ({**WANTED, "cron": "61 * * * *"}, [("cron", "not_a_cron_expression")]),
        ({**WANTED, "cron": 5}, [("cron", "not_a_cron_expression")]),
        ({**WANTED, "source": "/etc/*"}, [("source", "not_a_url")]),
        ({**WANTED, "source": "s3://a\nb/*"}, [("source", "not_a_url")]),
        ({**WANTED, "source": "s3://lake/{0.__class__}/*"}, [("source", "unknown_part")]),
        ({**WANTED, "target": "s3://lake/{week}/"}, [("target", "unknown_part")]),
        ({**WANTED, "target": "s3://lake/scored/"}, [("target", "same_folder")]),
        ({**WANTED, "target": "s3://" + "x" * 1024}, [("target", "not_a_url")]),
        ({**WANTED, "strict": "yes"}, [("strict", "not_a_boolean")]),
        ({**WANTED, "method": 3}, [("method", "not_a_string")]),
        ({**WANTED, "metod": "transform"}, [("metod", "unknown_member")]),
    ],
)
def test_what_cannot_be_scheduled_is_named(client: FlaskClient, body: object, wrong: list[tuple[str, str]]) -> None:
    assert errors(client.put(PATH, json=body)) == wrong
    assert client.get("/v1/schedules/predict").json == {"items": []}


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"due": "now"}, [("status", "unknown_status")]),
        ({"due": "now", "status": "asleep"}, [("status", "unknown_status")]),
        ({"status": "failed", "rows": -1}, [("due", "not_a_string"), ("rows", "not_a_number")]),
        ({"due": "now", "status": "failed", "errors": True}, [("errors", "not_a_number")]),
        ({"due": "now", "status": "failed", "error": "x" * 2001}, [("error", "not_a_string")]),
    ],
)
def test_what_cannot_be_said_of_a_run_is_named(client: FlaskClient, body: object, wrong: list[tuple[str, str]]) -> None:
    client.put(PATH, json=WANTED)
    assert errors(client.put(f"{PATH}/run", json=body)) == wrong
    assert client.get(PATH).json["last_run"] is None


def test_a_model_that_does_not_exist_is_not_scheduled(client: FlaskClient) -> None:
    for reference in ("suum", "sum@canary", "sum@7"):
        answer = client.put(f"/v1/models/{reference}/schedule/predict", json=WANTED)
        assert answer.status_code == 404 and answer.json["detail"]
