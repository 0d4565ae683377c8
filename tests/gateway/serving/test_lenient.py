"""`Prefer: handling=lenient`: invalid rows are left out, and the answer says which and why."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.supervisor import Leases
from contract.errors import InvalidInstances
from contract.settings import Settings
from contract.work.jobs import PredictionOutcome
from gateway.app import create_app

PREDICT = "/v1/models/sum/predict"
LENIENT = {"Prefer": "handling=lenient, wait=60"}
ROWS = [{"key": "k1", "a": 1, "b": 2}, {"key": "k2", "a": "x", "b": 2}, {"key": "k3", "a": 3, "b": 4}]
ERROR = {
    "row": 1,
    "field": "a",
    "code": "not_a_number",
    "message": "'a' must be a finite number; it is 'x'",
}
WARNING = "1 of 3 rows cannot be used: their predictions are null, and output.errors says why"
OUTPUT = {"predictions": [3, None, 7], "probabilities": None, "ids": ["k1", "k2", "k3"], "errors": [ERROR]}


@pytest.mark.usefixtures("scoring")
@pytest.mark.parametrize(
    "body",
    [
        {"json": ROWS},
        {"json": {"instances": ROWS}},
        {"json": {"columns": {name: [row[name] for row in ROWS] for name in ROWS[0]}}},
        {"json": json.dumps(ROWS)},
        {"data": "key,a,b\nk1,1,2\nk2,x,2\nk3,3,4\n", "content_type": "text/csv"},
    ],
    ids=["records", "instances", "columns", "encoded twice", "csv"],
)
def test_the_valid_rows_beside_a_bad_one_are_predicted(client: FlaskClient, body: dict[str, Any]) -> None:
    assert client.post(PREDICT, **body).status_code == 422
    response = client.post(PREDICT, headers=LENIENT, **body)
    job = response.get_json()
    assert response.headers["Preference-Applied"] == "handling=lenient, wait=30"
    assert (response.status_code, job["status"], job["output"]) == (200, "succeeded", OUTPUT)
    assert job["warnings"] == [WARNING]


@pytest.mark.usefixtures("scoring")
def test_rows_with_a_wrong_length_or_a_missing_name_are_left_out(client: FlaskClient) -> None:
    text = "key,a,b\nk1,1\nk2,1,2\nk3,1,2,3\n"
    job = client.post(PREDICT, data=text, content_type="text/csv", headers=LENIENT).get_json()
    assert (job["output"]["predictions"], job["output"]["ids"]) == ([None, 3, None], [None, "k2", None])
    assert [error["code"] for error in job["output"]["errors"]] == ["wrong_length"] * 2
    rows: list[object] = [{"key": "k1", "a": 1}, {"key": {}, "a": 1, "b": 2}, 5, {"a": 3, "b": 4}]
    job = client.post(PREDICT, json=rows, headers=LENIENT).get_json()
    assert (job["output"]["predictions"], job["output"]["ids"]) == ([None, None, None, 7], ["k1", None, None, None])
    assert [error["code"] for error in job["output"]["errors"]] == ["missing_field", "not_an_id", "not_a_row"]


@pytest.mark.usefixtures("scoring")
def test_valid_rows_have_no_errors_and_strict_requests_no_list_of_errors(client: FlaskClient) -> None:
    job = client.post(PREDICT, json=[ROWS[0]], headers=LENIENT).get_json()
    assert (job["output"]["errors"], job["warnings"]) == ([], [])
    assert "errors" not in client.post(PREDICT, json=[ROWS[0]], headers={"Prefer": "wait=60"}).get_json()["output"]


@pytest.mark.parametrize(
    "body",
    [
        {"json": [ROWS[1], ROWS[1]]},
        {"json": []},
        {"data": "key,a\nk1,1\nk2,2\n", "content_type": "text/csv"},
        {"data": {"a": "x", "b": "1"}},
    ],
    ids=["every row", "no row", "a missing column", "a form"],
)
def test_a_request_without_a_valid_row_is_refused(client: FlaskClient, body: dict[str, Any]) -> None:
    assert client.post(PREDICT, headers=LENIENT, **body).status_code == 422
    assert client.get(f"{PREDICT}?a=x&b=1", headers=LENIENT).status_code == 422


def test_the_errors_stay_with_the_job(client: FlaskClient, settings: Settings, redis: Redis) -> None:
    response = client.post(PREDICT, json=ROWS, headers={"Prefer": "handling=lenient"})
    job = response.get_json()
    assert (response.status_code, response.headers["Preference-Applied"]) == (202, "handling=lenient")
    assert (job["output"], job["warnings"]) == (None, [WARNING])
    Leases(redis, lease=60).register("w-0-test")
    queue = ScorerQueue(redis, "w-0-test")
    batch = queue.take(BatchLimits())
    assert batch and [tuple(row) for row in batch.jobs[0].rows] == [(1.0, 2.0), (3.0, 4.0)]
    chances = [{"0": 0.25, "1": 0.75}, {"0": 1.0, "1": 0.0}]
    queue.finish({job["id"]: PredictionOutcome([3, 7], chances, ["late"], 0.5, 2)})
    other = create_app(settings).test_client()
    ended = other.get(f"/v1/jobs/{job['id']}").get_json()
    assert ended["output"] == {**OUTPUT, "probabilities": [chances[0], None, chances[1]]}
    assert ended["warnings"] == [WARNING, "late"]
    listed = other.get("/v1/jobs?model=sum").get_json()["items"]
    assert [item["id"] for item in listed] == [job["id"]]


def test_a_lenient_job_can_be_cancelled(client: FlaskClient) -> None:
    job = client.post(PREDICT, json=ROWS, headers={"Prefer": "handling=lenient"}).get_json()
    canceled = client.delete(f"/v1/jobs/{job['id']}").get_json()
    assert (canceled["status"], canceled["output"], canceled["warnings"]) == ("canceled", None, [WARNING])


@pytest.mark.usefixtures("scoring")
def test_the_first_of_many_errors_are_shown_with_the_total(settings: Settings) -> None:
    client = create_app(Settings(**{**settings.__dict__, "max_queue_rows": 100_000})).test_client()
    text = "a,b\n" + "x,y\n" * 60_000 + "1,2\n"
    job = client.post(PREDICT, data=text, content_type="text/csv", headers=LENIENT).get_json()
    assert len(job["output"]["errors"]) == InvalidInstances.SHOWN
    assert job["output"]["predictions"][-2:] == [None, 3] and len(job["output"]["predictions"]) == 60_001
    assert job["warnings"] == [
        "60000 of 60001 rows cannot be used: their predictions are null, and output.errors says why"
        " (the first 1000 of 120000 errors)"
    ]


def test_a_csv_whose_header_is_far_longer_than_its_rows_is_refused(settings: Settings) -> None:
    """An answer in CSV would have a blank cell for each."""
    client = create_app(replace(settings, max_queue_rows=200)).test_client()
    body = "a,b," + ",".join(map(str, range(9_000))) + "\n" + "1,2\n" * 150
    answer = client.post(PREDICT, data=body, content_type="text/csv", headers={**LENIENT, "Accept": "text/csv"})
    assert answer.status_code == 422
    (error,) = answer.get_json()["errors"]
    assert (error["code"], "9002 names" in error["message"]) == ("wrong_length", True)
