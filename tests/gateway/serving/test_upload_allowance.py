"""How much a key may upload a day, and how many of its trainings may wait."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.exceptions import ClientDisconnected
from werkzeug.test import TestResponse

from broker.sides.gateway.upload_counts import DAY, UploadCounts
from contract.settings import MB
from contract.work.api_keys import Key, Limits, Scope
from gateway.problems.problem import Problem
from gateway.serving.spool import GatewaySpool, UploadAllowance
from storage.spool.store import Spool
from tests.broker import samples
from tests.gateway.callers import Caller
from tests.gateway.serving.test_spool import receive

KEY = Key("k1", "ci", "risk", frozenset({Scope.TRAIN}), limits=Limits(upload_mb_per_day=1, trainings_waiting=2))
KB = 1024


@pytest.fixture
def client(closed: FlaskClient, redis: Redis) -> FlaskClient:
    samples.trainer(redis, ["loan", "tabular"])
    return closed


@pytest.fixture
def caller(client: FlaskClient, redis: Redis) -> Caller:
    return Caller.with_key(client, redis, replace(KEY, limits=Limits(upload_mb_per_day=1)))


def uploaded(caller: Caller, kilobytes: int) -> TestResponse:
    content = b"a,y\n" + b"1,2\n" * (kilobytes * KB // 4)
    data = {"recipe": "loan", "file": (io.BytesIO(content), "loan.csv")}
    return caller("POST", "/v1/models/loan/train", data=data, content_type="multipart/form-data")


def test_an_upload_beyond_the_allowance_of_the_day_is_refused_before_it_is_read(caller: Caller, tmp_path: Path) -> None:
    assert uploaded(caller, 600).status_code == 202
    refused = uploaded(caller, 500)
    assert (refused.status_code, refused.json["code"]) == (429, "upload_limit")
    assert "the key 'ci' has only 0.4 MB left of 1 MB a day (upload_mb_per_day)" in refused.json["detail"]
    assert 0 < int(refused.headers["Retry-After"]) <= DAY
    assert refused.headers["RateLimit-Policy"] == f'"uploads";q={MB};w={DAY}'
    limit = re.fullmatch(r'"uploads";r=(\d+);t=(\d+)', refused.headers["RateLimit"])
    assert limit and 423 * KB < int(limit[1]) < 424 * KB and limit[2] == refused.headers["Retry-After"]
    assert len(list((tmp_path / "spool").glob("*.upload"))) == 1
    assert uploaded(caller, 300).status_code == 202


def test_an_upload_larger_than_a_whole_day_is_never_possible(caller: Caller) -> None:
    refused = uploaded(caller, 1025)
    assert (refused.status_code, refused.json["code"]) == (413, "upload_too_large")
    assert "Retry-After" not in refused.headers


def test_other_keys_and_requests_without_a_file_do_not_count(client: FlaskClient, redis: Redis, caller: Caller) -> None:
    assert uploaded(caller, 900).status_code == 202
    assert uploaded(Caller.with_key(client, redis, replace(KEY, id="k2")), 900).status_code == 202
    assert uploaded(Caller(client), 2000).status_code == 202
    assert caller("POST", "/v1/models/loan/train", json={"notes": "x" * 200_000}).status_code == 422


def counted(redis: Redis, key: Key = KEY) -> int:
    names = redis.keys(f"mg-gateway:uploads:{key.id}:*")
    return sum(int(redis.hget(name, "all") or 0) for name in names)  # type: ignore[arg-type, union-attr]


def of(redis: Redis, key: Key = KEY) -> UploadAllowance:
    return UploadAllowance(UploadCounts(redis), lambda: key)


def test_of_a_broken_upload_only_the_received_bytes_count(redis: Redis, tmp_path: Path) -> None:
    spool = GatewaySpool(Spool(tmp_path, 100), 100, take=of(redis).taken)

    def hang_up() -> None:
        assert counted(redis) > 600 * KB  # all of it, until the end
        raise ConnectionError

    with pytest.raises(ClientDisconnected):
        receive(spool, 600 * KB, hang_up)
    assert 100 * KB < counted(redis) < 500 * KB


def test_an_upload_that_the_spool_refuses_does_not_count(redis: Redis, tmp_path: Path) -> None:
    spool = GatewaySpool(Spool(tmp_path, 0), 100, take=of(redis).taken)
    with pytest.raises(Problem):
        receive(spool, KB)
    assert counted(redis) == 0


def test_uploads_at_the_same_time_share_one_allowance(redis: Redis) -> None:
    counts = UploadCounts(redis)

    def count(number: int) -> bool:
        counted_upload = counts.count(KEY, f"u{number}", 300 * KB)
        return counted_upload is not None and counted_upload[0]

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(count, range(16))) == 3
    assert counted(redis) == 900 * KB


def test_the_same_upload_counts_once(redis: Redis) -> None:
    counts = UploadCounts(redis)
    left = [answer[1].remaining for _ in range(2) if (answer := counts.count(KEY, "u1", 400 * KB))]
    assert left == [624 * KB] * 2


def test_the_counter_of_a_day_expires_after_it(redis: Redis) -> None:
    answer = UploadCounts(redis).count(KEY, "u1", 1)
    (name,) = redis.keys("mg-gateway:uploads:*")  # type: ignore[misc]
    assert answer is not None and math.ceil(answer[1].reset) < redis.ttl(name) <= 2 * DAY  # type: ignore[operator]
    seconds, _ = redis.time()  # type: ignore[misc]
    assert name.decode().rpartition(":")[2] in {str(seconds // DAY), str(seconds // DAY - 1)}


def test_a_key_without_this_limit_asks_nothing_of_redis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asks: Callable[..., Any] = pytest.fail
    counts = UploadCounts(Redis(port=1))
    monkeypatch.setattr(counts, "_scripts", asks)
    receive(
        GatewaySpool(
            Spool(tmp_path, 100), 100, take=UploadAllowance(counts, lambda: replace(KEY, limits=Limits())).taken
        ),
        KB,
    )


def test_no_request_can_name_an_uploaded_file(client: FlaskClient, caller: Caller, tmp_path: Path) -> None:
    uploaded(Caller(client), 1)
    (file,) = (tmp_path / "spool").glob("*.upload")
    path, data = "/v1/models/loan/train", {"path": f"../spool/{file.name}"}
    for body in ({"upload": file.name}, {"data": {"upload": file.name}}, {"data": data}, {"data": {"path": str(file)}}):
        assert caller("POST", path, json={"recipe": "loan", **body}).status_code == 422


def test_an_owner_cannot_exceed_its_waiting_trainings(client: FlaskClient, redis: Redis) -> None:
    keys = KEY, replace(KEY, id="k2"), replace(KEY, id="k3", owner="sales")
    mine, colleague, other = (Caller.with_key(client, redis, key) for key in keys)
    path, body = "/v1/models/loan/train", {"recipe": "loan"}
    jobs = [caller("POST", path, json=body).json["id"] for caller in (mine, colleague)]
    refused = mine("POST", path, json=body)
    assert (refused.status_code, refused.json["code"]) == (429, "trainings_waiting_limit")
    assert int(refused.headers["Retry-After"]) > 0
    assert other("POST", path, json=body).status_code == 202
    assert colleague("DELETE", f"/v1/jobs/{jobs[0]}").status_code == 200
    assert mine("POST", path, json=body).status_code == 202
