"""File predictions with keys: their limits, and what a terse key sees."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from flask.testing import FlaskClient
from redis import Redis

from broker.sides.file_tasks import FileTasks
from contract.work.api_keys import Detail, Key, Limits, Scope
from tests.gateway.callers import Caller
from tests.gateway.routes.test_file_predictions import CSV, ERRORS, OUTPUT, PATH, score

KEY = Key("k1", "ci", "risk", frozenset({Scope.PREDICT}))


def test_an_owner_has_as_many_files_in_flight_as_the_key_allows(
    closed: FlaskClient, redis: Redis, lane: FileTasks, spool: Path
) -> None:
    caller = Caller.with_key(closed, redis, replace(KEY, limits=Limits(jobs_in_flight=1)))
    first = caller("POST", PATH, data=CSV, content_type="text/csv")
    assert first.status_code == 202
    refused = caller("POST", PATH, data=CSV, content_type="text/csv")
    assert (refused.status_code, refused.json["code"]) == (429, "jobs_in_flight_limit")
    assert (refused.json["limit"], refused.headers["Retry-After"]) == ("jobs_in_flight", "10")
    assert len(list(spool.glob("*.job"))) == 1
    score(lane, spool, first.json["id"])
    assert caller("POST", PATH, data=CSV, content_type="text/csv").status_code == 202


def test_the_bytes_of_a_file_count_for_the_uploads_of_the_day(closed: FlaskClient, redis: Redis) -> None:
    caller = Caller.with_key(closed, redis, replace(KEY, limits=Limits(upload_mb_per_day=1)))
    assert caller("POST", PATH, data=b"x" * 700_000, content_type="text/csv").status_code == 202
    refused = caller("POST", PATH, data=b"x" * 700_000, content_type="text/csv")
    assert (refused.status_code, refused.json["code"]) == (429, "upload_limit")


def test_a_terse_key_gets_the_rows_and_codes_of_errors_and_no_warnings(
    closed: FlaskClient, redis: Redis, lane: FileTasks, spool: Path
) -> None:
    full, terse = (
        Caller.with_key(closed, redis, replace(KEY, id=f"k-{detail}", name=f"ci-{detail}", detail=detail))
        for detail in Detail
    )
    job_id = full("POST", PATH, data=CSV, content_type="text/csv").json["id"]
    score(lane, spool, job_id, ["'salary' is the target"])
    path = f"/v1/jobs/{job_id}"
    assert full("GET", f"{path}/errors").data == ERRORS
    assert [json.loads(line) for line in terse("GET", f"{path}/errors").data.splitlines()] == [
        {"row": 1, "code": "not_a_number"}
    ]
    assert (full("GET", path).json["warnings"], terse("GET", path).json["warnings"]) == (["'salary' is the target"], [])
    assert terse("GET", f"{path}/output").data == OUTPUT
