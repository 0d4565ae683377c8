"""The limits of a key at the gateway: what is refused, when to retry, and what the headers say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from redis import Redis
from werkzeug.test import TestResponse

from contract.settings import Settings
from contract.work.api_keys import Key, Limits, Scope
from gateway.app import create_app
from tests.gateway.callers import ADMIN_KEY, Caller

Predict = Callable[..., TestResponse]
ROW = {"a": 1, "b": 2}


@pytest.fixture
def predict(settings: Settings, redis: Redis) -> Predict:
    """Return a function that sends rows under a key with these limits."""
    client = create_app(replace(settings, admin_key=ADMIN_KEY, max_queue_rows=100)).test_client()
    holders = dict[Limits, Caller]()

    def send(limits: Limits, rows: int = 1) -> TestResponse:
        if limits not in holders:
            key = Key(f"k{len(holders)}", "ci", "risk", frozenset({Scope.PREDICT}), limits=limits)
            holders[limits] = Caller.with_key(client, redis, key)
        return holders[limits]("POST", "/v1/models/sum/predict", json={"instances": [ROW] * rows})

    return send


def test_a_key_with_a_rate_learns_what_is_left_of_it(predict: Predict) -> None:
    answer = predict(Limits(rows_per_second=2))
    assert answer.status_code == 202
    assert answer.headers["RateLimit-Policy"] == '"rows";q=2;w=1'
    assert answer.headers["RateLimit"] == '"rows";r=1;t=1'


def test_a_key_beyond_its_rate_is_refused_with_the_time_to_wait(predict: Predict) -> None:
    limits = Limits(rows_per_second=2)
    accepted, refused = predict(limits, 80), predict(limits)
    assert (accepted.status_code, accepted.headers["RateLimit"]) == (202, '"rows";r=0;t=40')
    assert refused.headers["RateLimit-Policy"] == '"rows";q=2;w=1'
    assert (refused.status_code, refused.json["code"], refused.json["limit"]) == (429, "rate_limit", "rows_per_second")
    wait = int(refused.headers["Retry-After"])
    assert 20 < wait <= 40  # the 80 rows take 40 s, of which some have passed
    assert refused.headers["RateLimit"] in {f'"rows";r=0;t={wait + early}' for early in (0, 1)}  # by half a second
    assert refused.json["detail"] == (
        "the key 'ci' may send 2 rows a second to 'sum' (rows_per_second);"
        f" try again in {wait} s, or ask an admin for a higher limit"
    )


@pytest.mark.parametrize(
    ("limits", "code", "most"),
    [
        (Limits(rows_waiting=3), "rows_waiting_limit", "3 rows of the owner 'risk' may wait for 'sum' (rows_waiting)"),
        (
            Limits(jobs_in_flight=1),
            "jobs_in_flight_limit",
            "1 jobs of the owner 'risk' may wait or run for 'sum' (jobs_in_flight)",
        ),
    ],
)
def test_an_owner_with_too_much_work_is_refused(predict: Predict, limits: Limits, code: str, most: str) -> None:
    assert predict(limits, 2).status_code == 202
    refused = predict(limits, 2)
    assert (refused.status_code, refused.json["code"]) == (429, code)
    assert refused.json["detail"] == f"{most}; try again in 1 s, or ask an admin for a higher limit"
    assert refused.headers["Retry-After"] == "1"
    assert "RateLimit" not in refused.headers
    assert predict(Limits(), 2).status_code == 202  # another key of this owner


def test_a_request_with_more_rows_than_may_ever_wait_is_too_large(predict: Predict) -> None:
    refused = predict(Limits(rows_waiting=3), 4)
    assert (refused.status_code, refused.json["code"]) == (413, "too_many_rows")
    assert "of the owner 'risk' (3, rows_waiting)" in refused.json["detail"]
    assert "Retry-After" not in refused.headers


def test_a_request_with_more_rows_than_one_owner_may_ever_have_waiting_is_too_large(predict: Predict) -> None:
    refused = predict(Limits(), 91)
    assert (refused.status_code, refused.json["code"]) == (413, "too_many_rows")
    assert "than may wait of one owner for a model (90, nine tenths of MAX_QUEUE_ROWS)" in refused.json["detail"]
    assert predict(Limits(), 90).status_code == 202


def test_without_keys_a_request_may_have_as_many_rows_as_may_wait(settings: Settings) -> None:
    client = create_app(replace(settings, max_queue_rows=100)).test_client()
    assert client.post("/v1/models/sum/predict", json={"instances": [ROW] * 100}).status_code == 202


def test_a_key_without_limits_gets_no_such_headers(predict: Predict) -> None:
    answer = predict(Limits())
    assert answer.status_code == 202
    assert not {"RateLimit", "RateLimit-Policy"} & set(answer.headers.keys())


def test_the_job_of_a_key_waits_in_the_queue_of_its_owner(predict: Predict, redis: Redis) -> None:
    job_id = predict(Limits()).json["id"]
    assert redis.lrange("rq:queue:predict:sum:risk", 0, -1) == [job_id.encode()]
