"""`GET /v1/traffic` and `GET /v1/models/{name}/traffic`: what happened when."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError

from broker.metrics.traffic import Period, Point, TrafficReader
from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.api_keys import EVERYBODY, Key, Scope
from gateway.app import create_app
from gateway.serving import traffic as serving
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.support import Sum, numbers, until, write_version

ROW = {"a": 1, "b": 2}
WAIT = {"Prefer": "wait=30"}


@pytest.fixture(autouse=True)
def every_answer_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "KEEP", -1.0)


def record(client: FlaskClient, redis: Redis) -> None:
    """Record what has been counted so far."""
    client.application.extensions["outbox"].flush()
    redis.delete("mg:traffic:lease")
    client.application.extensions["traffic_recorder"].record()


def total(client: FlaskClient, path: str) -> dict[str, Any]:
    answer = client.get(path)
    assert answer.status_code == 200
    counts: dict[str, Any] = answer.get_json()["total"]
    return counts


@pytest.mark.parametrize("most", [math.inf, pytest.param(5, marks=pytest.mark.slow)])
def test_requests_errors_and_latency_of_a_model_add_up(
    client: FlaskClient, redis: Redis, scoring: None, most: float
) -> None:
    """A row takes a moment, unless the machine is busy."""
    record(client, redis)
    for _ in range(3):
        assert client.post("/v1/models/sum/predict", json=ROW, headers=WAIT).status_code == 200
    assert client.post("/v1/models/sum/predict", json={"a": "x"}).status_code == 422
    assert client.post("/v1/models/sum/predict", json=ROW).status_code == 202
    client.get("/v1/models")
    client.post("/v1/models/none/predict", json=ROW)
    record(client, redis)
    for path in ("/v1/models/sum/traffic", "/v1/traffic"):
        counts = total(client, path)
        assert (counts["requests"], counts["refused"], counts["failed"]) == (5, 1, 0)
        assert 0 < counts["p50"] <= counts["p95"] <= counts["p99"] <= most


def test_looking_at_pages_is_no_request_to_a_model(client: FlaskClient, redis: Redis) -> None:
    record(client, redis)
    for path in ("/ui/models/sum", "/ui/models/sum/api", "/ui/models/sum/versions", "/ui/train?model=sum"):
        client.get(path)
    record(client, redis)
    assert total(client, "/v1/models/sum/traffic")["requests"] == 0


@pytest.mark.parametrize("period", Period)
def test_a_chart_has_a_point_for_each_step(client: FlaskClient, period: Period) -> None:
    chart = client.get(f"/v1/traffic?period={period}").get_json()
    assert (chart["period"], chart["step"], len(chart["points"])) == (period, period.step, period.points)
    assert chart["total"]["p50"] is None
    starts = [point["start"] for point in chart["points"]]
    assert starts == sorted(starts) and len(set(starts)) == len(starts)


def test_without_a_period_it_is_two_hours(client: FlaskClient) -> None:
    assert client.get("/v1/models/sum/traffic").get_json()["period"] == "2h"


@pytest.mark.parametrize("path", ["/v1/traffic", "/v1/models/sum/traffic"])
def test_an_unknown_period_is_refused_with_the_known_ones(client: FlaskClient, path: str) -> None:
    answer = client.get(f"{path}?period=3h")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_parameter")
    assert answer.get_json()["detail"] == "period='3h' is not one of 2h, 1d, 30d"


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@pytest.mark.parametrize(
    ("hours", "period", "points"), [(1.5, "2h", 31), (20, "1d", 5), (24 * 20, "30d", 2), (24 * 29.5, "30d", 2)]
)
@pytest.mark.parametrize("path", ["/v1/traffic", "/v1/models/sum/traffic"])
def test_a_range_has_the_points_that_are_part_of_it_with_the_shortest_steps_kept(
    client: FlaskClient, path: str, hours: float, period: str, points: int
) -> None:
    step = Period(period).step
    start = (time.time() - hours * 3600) // step * step + 1
    end = start + (points - 1) * step
    chart = client.get(path, query_string={"from": stamp(start), "to": stamp(end)}).get_json()
    starts = [datetime.fromisoformat(point["start"]).timestamp() for point in chart["points"]]
    assert (chart["period"], starts) == (period, [start - 1 + at * step for at in range(points)])


def test_a_range_without_an_end_goes_up_to_now_and_counts_what_happened_in_it_alone(
    client: FlaskClient, redis: Redis
) -> None:
    record(client, redis)
    assert client.post("/v1/models/sum/predict", json={"a": "x"}).status_code == 422
    record(client, redis)
    now = time.time()
    chart = client.get("/v1/traffic", query_string={"from": stamp(now - 600)}).get_json()
    assert chart["total"]["refused"] == 1 and len(chart["points"]) in (10, 11)
    over = {"from": stamp(now - 3000), "to": stamp(now - 1200)}
    assert client.get("/v1/traffic", query_string=over).get_json()["total"]["refused"] == 0


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"to": stamp(0)}, "to needs from"),
        ({"from": stamp(time.time() - 9), "period": "2h"}, "period and from exclude each other"),
        ({"from": "yesterday"}, "from='yesterday' is not a time with its zone"),
        ({"from": "2026-01-02T03:04:05"}, "is not a time with its zone"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "from='0001-01-01T00:00:00+14:00' must be between "),
        ({"from": "9999-12-31T23:59:59-14:00"}, "where the traffic begins, and now"),
        ({"from": stamp(time.time() - 31 * 86400)}, "where the traffic begins, and now"),
        ({"from": stamp(time.time() - 60), "to": stamp(time.time() - 90)}, "must be later than from="),
    ],
)
def test_a_range_that_cannot_be_shown_is_refused_with_its_reason(
    client: FlaskClient, query: dict[str, str], said: str
) -> None:
    for path in ("/v1/traffic", "/v1/models/sum/traffic"):
        answer = client.get(path, query_string=query)
        assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_parameter")
        assert said in answer.get_json()["detail"]


def test_a_key_for_some_models_sees_the_traffic_of_these(settings: Settings, redis: Redis) -> None:
    for model in ("two", "three"):
        write_version(settings.models_dir, model, Sum(), numbers("a", "b"))
    client = create_app(replace(settings, admin_key=ADMIN_KEY)).test_client()
    record(client, redis)
    admin = Caller(client)
    for model, count in (("sum", 1), ("two", 2), ("three", 3)):
        for _ in range(count):
            assert admin("POST", f"/v1/models/{model}/predict", json=ROW).status_code == 202
    record(client, redis)

    def requests(**of_key: Any) -> int:
        key = Key("k", "ci", "team", frozenset({Scope.READ}), **of_key)
        answer = Caller.with_key(client, redis, key)("GET", "/v1/traffic").get_json()
        assert len(answer["points"]) == Period.HOURS.points
        return int(answer["total"]["requests"])

    assert requests() == 6
    assert requests(models=frozenset({"two", "three"})) == 5
    assert requests(models=frozenset({"gone"})) == 0


def test_what_was_read_is_kept_for_all_callers(
    client: FlaskClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "KEEP", 60.0)
    record(client, redis)
    assert total(client, "/v1/models/sum/traffic")["requests"] == 0
    client.post("/v1/models/sum/predict", json=ROW)
    record(client, redis)
    assert total(client, "/v1/models/sum/traffic")["requests"] == 0
    assert total(client, "/v1/models/sum/traffic?period=1d")["requests"] == 1


class SlowReader(TrafficReader):
    """Reads the real Redis, once a gate is opened."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.gate = threading.Event()
        self.reads: list[tuple[Period, Sequence[str | None]]] = []
        self.fault: Exception | None = None

    def read(self, period: Period, models: Sequence[str | None]) -> list[list[Point]]:
        self.reads.append((period, models))
        if period is Period.MONTH:
            assert self.gate.wait(30)
            if self.fault:
                raise self.fault
        return super().read(period, models)


@pytest.fixture
def slow(redis: Redis) -> Iterator[SlowReader]:
    reader = SlowReader(redis)
    yield reader
    reader.gate.set()


@dataclass
class Callers:
    """Counts those who have asked for the traffic of all models."""

    asked: int = 0

    def __call__(self) -> Key:
        self.asked += 1
        return EVERYBODY


@pytest.fixture
def callers() -> Callers:
    return Callers()


@pytest.fixture
def traffic(
    slow: SlowReader, callers: Callers, settings: Settings, models: Path, monkeypatch: pytest.MonkeyPatch
) -> serving.Traffic:
    monkeypatch.setattr(serving, "KEEP", 60.0)
    return serving.Traffic(slow, Repository(models), callers)


def three(traffic: serving.Traffic, callers: Callers, slow: SlowReader) -> list[Future[serving.Chart]]:
    """Three callers who have asked the same while Redis was slow."""
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(traffic.of_all, Period.MONTH) for _ in range(3)]
        until(lambda: callers.asked == 3 and slow.reads, "three callers ask")
        slow.gate.set()
    return asked


def test_a_slow_read_stops_nobody_who_asks_for_something_else(traffic: serving.Traffic, slow: SlowReader) -> None:
    kept = traffic.of_model("sum", Period.HOURS)
    with ThreadPoolExecutor() as pool:
        stuck = pool.submit(traffic.of_model, "sum", Period.MONTH)
        until(lambda: len(slow.reads) == 2, "the slow read begins")
        assert pool.submit(traffic.of_model, "sum", Period.HOURS).result(20) == kept
        assert pool.submit(traffic.of_all, Period.DAY).result(20).total.answered == 0
        assert not stuck.done()
        slow.gate.set()
        assert len(stuck.result(20).points) == Period.MONTH.points


def test_callers_who_ask_the_same_share_one_read(traffic: serving.Traffic, callers: Callers, slow: SlowReader) -> None:
    assert len({id(future.result().points) for future in three(traffic, callers, slow)}) == 1
    assert slow.reads == [(Period.MONTH, [None])]


def test_a_failed_read_fails_those_who_wait_for_it_and_no_others(
    traffic: serving.Traffic, callers: Callers, slow: SlowReader
) -> None:
    slow.fault = RedisTimeoutError("slow")
    assert all(isinstance(future.exception(), RedisTimeoutError) for future in three(traffic, callers, slow))
    slow.fault = None
    assert len(traffic.of_all(Period.MONTH).points) == Period.MONTH.points
