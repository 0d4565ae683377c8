"""Counters become rings of what happened when."""

from __future__ import annotations

import math
from typing import Any

from redis import Redis

from broker.link.scripts import Scripts
from broker.metrics import table
from broker.metrics.reading import Buckets, MetricsReader, Snapshot
from broker.metrics.traffic import Period, Point, TrafficReader, TrafficRecorder, quantile, together

BOUNDS = table.MODEL_SECONDS.buckets


def snapshot(**answered: int) -> Snapshot:
    """The metrics after so many answered requests with each model, of which each took 20 ms and one row."""
    metrics = Snapshot()
    for model, count in answered.items():
        metrics.values[table.MODEL_REQUESTS][model, "answered"] = count
        metrics.values[table.ROWS][model,] = count
        counts = [count if bound == 0.025 else 0 for bound in (*BOUNDS, None)]
        metrics.histograms[table.MODEL_SECONDS][model,] = Buckets(counts, 0.02 * count)
    return metrics


def record(redis: Redis, *snapshots: Snapshot) -> None:
    for metrics in snapshots:
        redis.delete("mg:traffic:lease")
        assert TrafficRecorder(redis, list, lambda _, metrics=metrics: metrics).record()


def chart(redis: Redis, model: str | None = None, period: Period = Period.HOURS) -> list[Point]:
    (points,) = TrafficReader(redis).read(period, [model])
    return points


def test_each_ring_gets_what_the_counters_have_gained(redis: Redis) -> None:
    record(redis, snapshot(iris=100), snapshot(iris=130, loan=5), snapshot(iris=135, loan=5))
    for period in Period:
        points = chart(redis, "iris", period)
        assert len(points) == period.points
        assert {point.start % period.step for point in points} == {0}
        total = together(points)
        assert (total.answered, total.rows, sum(total.buckets)) == (35, 35, 35)
        assert total.quantile(0.5) == 0.025
        assert together(chart(redis, "loan", period)).answered == 5, "a model that comes later begins at 0"
        assert together(chart(redis, None, period)).answered == 40


def test_values_of_before_the_first_record_are_not_traffic(redis: Redis) -> None:
    record(redis, snapshot(iris=100))
    assert together(chart(redis)).answered == together(chart(redis, "iris")).answered == 0


def test_a_repeated_record_adds_nothing(redis: Redis) -> None:
    record(redis, snapshot(iris=1))
    for _ in range(2):
        Scripts(redis).run("record", 2, "iris", "0 0 8 0 0 8", "", "0 0 8 0 0 8")
    assert together(chart(redis, "iris")).answered == 7


def test_a_point_has_the_most_that_waited(redis: Redis) -> None:
    for waiting in (3, 9, 4):
        metrics = snapshot()
        metrics.values[table.QUEUE_JOBS]["iris",] = waiting
        metrics.values[table.QUEUE_AGE]["iris",] = waiting / 2
        record(redis, metrics)
    total = together(chart(redis, "iris"))
    assert (total.waiting, total.oldest) == (9, 4.5)


def test_refused_requests_and_failed_predictions_are_errors_of_two_kinds(redis: Redis) -> None:
    metrics = snapshot(iris=1)
    metrics.values[table.MODEL_REQUESTS]["iris", "refused"] = 3
    metrics.values[table.JOBS] = {("iris", "failed"): 2, ("iris", "expired"): 1, ("iris", "succeeded"): 50}
    record(redis, snapshot(), metrics)
    total = together(chart(redis, "iris"))
    assert (total.answered, total.refused, total.failed) == (1, 3, 3)


def test_refused_rows_of_files_are_no_requests(redis: Redis) -> None:
    metrics = snapshot(iris=1)
    metrics.values[table.REFUSED_ROWS]["iris",] = 19_808
    record(redis, snapshot(), metrics)
    total = together(chart(redis, "iris"))
    assert (total.answered, total.refused, total.refused_rows) == (1, 0, 19_808)
    assert sum(total.buckets) == 1


def test_versions_have_rings_that_count_once_in_all(redis: Redis) -> None:
    metrics = snapshot(iris=7)
    for version, count in (("2", 3), ("3", 4)):
        metrics.values[table.REQUESTS_BY_VERSION]["iris", version, "answered"] = count
        metrics.values[table.JOBS_BY_VERSION]["iris", version, "failed"] = 1
        metrics.values[table.ROWS_BY_VERSION]["iris", version] = count
        metrics.histograms[table.SECONDS_BY_VERSION]["iris", version] = Buckets([count] + [0] * len(BOUNDS), 0.001)
    record(redis, snapshot(), metrics)
    newer = together(chart(redis, "iris@3"))
    assert (newer.answered, newer.failed, newer.rows, sum(newer.buckets)) == (4, 1, 4, 4)
    assert together(chart(redis, "iris@2")).answered == 3
    assert together(chart(redis, "iris")).answered == together(chart(redis)).answered == 7


def test_a_record_deletes_the_counters_of_too_old_versions(redis: Redis) -> None:
    redis.hset("mg:counts:model:iris", mapping={f"rows_by_version_total|{version}": 1 for version in range(1, 9)})
    redis.hset("mg:counts:model:iris", "rows_total", 8)
    assert TrafficRecorder(redis, lambda: ["iris"], MetricsReader(redis).read).record()
    left = {f"rows_by_version_total|{version}".encode() for version in range(4, 9)}
    fields: Any = redis.hkeys("mg:counts:model:iris")
    assert set(fields) == {b"rows_total", *left}


def test_counters_that_begin_again_count_nothing_twice(redis: Redis) -> None:
    record(redis, snapshot(iris=100), snapshot(iris=110), snapshot(iris=0), snapshot(iris=4))
    assert together(chart(redis, "iris")).answered == 14


def test_a_slot_is_replaced_once_its_ring_has_come_round(redis: Redis) -> None:
    record(redis, snapshot(iris=0))
    now: Any = redis.time()
    for slot in range(now[0] // 60 - 200, now[0] // 60 - 119):
        redis.hset("mg:traffic:60:iris", str(slot % 120), f"{slot} 0 0 1000")
    before = redis.hlen("mg:traffic:60:iris")
    record(redis, snapshot(iris=1))
    assert together(chart(redis, "iris")).answered == 1, "what is older than the period does not count"
    assert redis.hlen("mg:traffic:60:iris") in (before, before + 1)


def test_one_process_at_a_time_records(redis: Redis) -> None:
    recorder = TrafficRecorder(redis, list, lambda _: snapshot(iris=1))
    assert recorder.record()
    assert not recorder.record()
    assert 0 < redis.pttl("mg:traffic:lease") <= 10_000


def test_a_full_redis_records_on(redis: Redis) -> None:
    record(redis, snapshot(iris=0))
    redis.config_set("maxmemory", 1)
    try:
        Scripts(redis).run("record", 2, "iris", "0 0 8", "", "0 0 8")
    finally:
        redis.config_set("maxmemory", 0)
    assert together(chart(redis, "iris")).answered == 8


def test_a_model_that_is_busy_for_a_month_takes_at_most_25_kb(redis: Redis) -> None:
    record(redis, snapshot(iris=0))
    now: Any = redis.time()
    for period in Period:
        for slot in range(now[0] // period.step - period.points, now[0] // period.step):
            busy = f"{slot} 2 0.125 12345 12 1 123456 0 0 1234 10000 1000 100"
            redis.hset(f"mg:traffic:{period.step}:iris", str(slot % period.points), busy)
    sizes: list[Any] = [redis.memory_usage(f"mg:traffic:{period.step}:iris") for period in Period]
    assert sum(sizes) < 25_000
    assert together(chart(redis, "iris", Period.MONTH)).answered > 12345 * 118


def test_a_quantile_is_the_bound_that_its_bucket_does_not_exceed() -> None:
    counts = [0] * (len(BOUNDS) + 1)
    assert quantile(BOUNDS, counts, 0.5) is None
    counts[3] = 1  # above 10 and up to 25 ms
    assert quantile(BOUNDS, counts, 0.5) == quantile(BOUNDS, counts, 0.99) == 0.025
    counts[4] = 99
    assert quantile(BOUNDS, counts, 0.01) == 0.025
    assert quantile(BOUNDS, counts, 0.011) == quantile(BOUNDS, counts[:5], 1) == 0.05
    counts[-1] = 1000
    assert quantile(BOUNDS, counts, 0.99) == math.inf
