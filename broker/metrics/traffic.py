"""The traffic of the last 30 days, by version, by model and in all, for charts: rings of fixed size in Redis.

Every `RECORD_EVERY` seconds one gateway process, which holds the lease, adds what the counters have gained. A request
writes nothing but the counters.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

from redis import Redis

from broker.link.scripts import Call, Connected, Step
from broker.metrics import table
from broker.metrics.reading import Snapshot
from broker.metrics.table import TRAFFIC, TRAFFIC_STEPS, Metric
from runtime.outages import repeat_in_thread

log = logging.getLogger(__name__)

RECORD_EVERY = 10.0
"""Seconds between two records."""

_LEASE = f"{TRAFFIC}lease"
_COST_FACTOR, _LONGEST_PAUSE = 200, 60.0
"""The pause after a record is this multiple of the time that it took, and at most so many seconds. So with thousands of
models records become rarer."""
_MODELS_PER_CALL = 50

_Read = Callable[[Sequence[str]], Snapshot]

_GAUGES = 2
_NUMBERS = 6
_BUCKETS = len(table.MODEL_SECONDS.buckets) + 1
"""A record begins with two gauges (`waiting`, `oldest`), and has six numbers (then `answered`, `refused`, `failed`,
`rows`) before the counts of the buckets, and after them `refused_rows`. Later releases add at the end only."""
_LENGTH = _NUMBERS + _BUCKETS + 1

_OF_MODELS = (table.MODEL_REQUESTS, table.MODEL_SECONDS, table.JOBS, table.ROWS)
_OF_VERSIONS = (table.REQUESTS_BY_VERSION, table.SECONDS_BY_VERSION, table.JOBS_BY_VERSION, table.ROWS_BY_VERSION)


class Period(StrEnum):
    """How far back a chart goes. Each has a ring."""

    HOURS = "2h"
    DAY = "1d"
    MONTH = "30d"

    @property
    def step(self) -> int:
        """Seconds of a point."""
        return TRAFFIC_STEPS[list(Period).index(self)]

    @property
    def points(self) -> int:
        return (120, 96, 120)[list(Period).index(self)]

    def begins(self, now: float) -> int:
        """Return the start of its oldest point."""
        return (int(now) // self.step - self.points + 1) * self.step


@dataclass(frozen=True)
class Point:
    """What happened in the `step` seconds after `start` (Unix time).

    Requests for predictions that were `answered`, and those `refused` with an error; predictions that `failed` or
    expired; scored `rows`, and `refused_rows` of files. `waiting`, the most predictions that waited at once; `oldest`,
    the longest that one had waited, in seconds. `buckets`: how many answered requests took how long
    (`table.MODEL_SECONDS`).
    """

    start: int
    waiting: int = 0
    oldest: float = 0.0
    answered: int = 0
    refused: int = 0
    failed: int = 0
    rows: int = 0
    buckets: Sequence[int] = ()
    refused_rows: int = 0

    @property
    def requests(self) -> int:
        return self.answered + self.refused

    @property
    def error_share(self) -> float | None:
        """Which share of the requests was refused, or failed later; None without requests."""
        return min(1.0, (self.refused + self.failed) / self.requests) if self.requests else None

    def quantile(self, share: float) -> float | None:
        """Return seconds within which this share of the waiting requests was answered: a bound of the buckets, infinite
        beyond the last one; None without any."""
        return quantile(table.MODEL_SECONDS.buckets, self.buckets, share)


def together(points: Sequence[Point]) -> Point:
    """Return the sum of points, with the start of the first. Raises `IndexError` without any."""
    length = max(len(point.buckets) for point in points)
    return Point(
        start=points[0].start,
        waiting=max(point.waiting for point in points),
        oldest=max(point.oldest for point in points),
        answered=sum(point.answered for point in points),
        refused=sum(point.refused for point in points),
        failed=sum(point.failed for point in points),
        rows=sum(point.rows for point in points),
        refused_rows=sum(point.refused_rows for point in points),
        buckets=[sum(point.buckets[at] for point in points if at < len(point.buckets)) for at in range(length)],
    )


class TrafficRecorder(Connected):
    """Adds to the rings what the counters have gained."""

    def __init__(
        self,
        connection: Redis,
        models: Callable[[], Sequence[str]],
        read: _Read,
        on_recorded: Callable[[], object] = lambda: None,
    ) -> None:
        """`read` returns the metrics of these models (`broker.metrics.reading.MetricsReader.read`). The process that
        has recorded calls `on_recorded`."""
        super().__init__(connection)
        self._models = models
        self._read = read
        self._on_recorded = on_recorded
        self._last: Mapping[str, str] = {}
        self._stopped = threading.Event()

    def record(self) -> bool:
        """Record, unless another process has done so within the last seconds. Return whether this one did. Raises
        `RedisError`."""
        if not self._redis.set(_LEASE, 1, nx=True, px=round(RECORD_EVERY * 900)):
            return False
        snapshot = self._read(self._models())
        records = _values(snapshot)
        changed = [model for model, values in records.items() if model and self._last.get(model) != values]
        for start in range(0, len(changed), _MODELS_PER_CALL):
            self._add(records, changed[start : start + _MODELS_PER_CALL])
        self._add(records, [""], [("HDEL", key, *fields) for key, fields in snapshot.outdated.items()])
        self._last = records
        return True

    def _add(self, records: Mapping[str, str], models: Sequence[str], further: Sequence[Step] = ()) -> None:
        values = [part for model in models for part in (model, records[model])]
        self._scripts.send([Call("record", [_GAUGES, *values]), *further])

    def start(self) -> None:
        """Record from now on, in a thread."""
        repeat_in_thread("traffic", self._record_and_rest, RECORD_EVERY, log, self._stopped)

    def stop(self) -> None:
        """End the thread of `start`."""
        self._stopped.set()

    def _record_and_rest(self) -> None:
        began = time.monotonic()
        if self.record():
            self._on_recorded()
        pause = min(_COST_FACTOR * (time.monotonic() - began), _LONGEST_PAUSE)
        self._stopped.wait(max(0.0, pause - RECORD_EVERY))


class TrafficReader(Connected):
    """Reads the rings. Raises `RedisError`."""

    def read(self, period: Period, models: Sequence[str | None]) -> list[list[Point]]:
        """Return the points of each model or version (`loan@3`; None: of all models together), the oldest first; the
        last one has only begun. One round trip."""
        names = [f"{TRAFFIC}{period.step}" + (f":{model}" if model else "") for model in models]
        (now, _), *rings = self._scripts.send([("TIME",), *(("HGETALL", name) for name in names)])
        slots = _newest(period, now, period.points)
        return [_points(ring.values(), period, slots) for ring in rings]

    def newest(self, period: Period, models: Sequence[str], points: int) -> list[list[Point]]:
        """Return the newest points of each model as `read` does. Two round trips, and no more work in Redis than the
        points are."""
        slots = _newest(period, self._redis.time()[0], points)
        fields = [slot % period.points for slot in slots]
        answers = self._scripts.send([("HMGET", f"{TRAFFIC}{period.step}:{model}", *fields) for model in models])
        return [_points(filter(None, texts), period, slots) for texts in answers]


def _newest(period: Period, now: int, points: int) -> range:
    """Return the numbers of the newest slots of a period."""
    newest = now // period.step
    return range(newest - points + 1, newest + 1)


def _points(texts: Iterable[bytes], period: Period, slots: range) -> list[Point]:
    by_slot = {}
    for text in texts:
        slot, *values = text.split()
        by_slot[int(slot)] = values
    return [_point(slot * period.step, by_slot.get(slot, ())) for slot in slots]


def _point(start: int, values: Sequence[bytes]) -> Point:
    if not values:
        return Point(start)
    numbers = [float(value) for value in values] + [0.0] * (_LENGTH - len(values))
    oldest = numbers[1]
    waiting, _, answered, refused, failed, rows, *more = map(round, numbers)
    return Point(start, waiting, oldest, answered, refused, failed, rows, more[:_BUCKETS], more[_BUCKETS])


def _values(snapshot: Snapshot) -> dict[str, str]:
    """Return the values of a record by model, by version (`loan@3`), and of all models together ('')."""
    by_model = _totals(snapshot, *_OF_MODELS)
    for metric, index in ((table.QUEUE_JOBS, 0), (table.QUEUE_AGE, 1), (table.REFUSED_ROWS, _LENGTH - 1)):
        for (model,), value in snapshot.values[metric].items():
            by_model[model][index] = value
    columns = list(zip(*by_model.values(), strict=True)) or [()] * _LENGTH
    by_model[""] = [max(column, default=0.0) if at == 1 else sum(column) for at, column in enumerate(columns)]
    by_name = {**by_model, **_totals(snapshot, *_OF_VERSIONS)}
    return {name: " ".join(f"{number:.15g}" for number in numbers) for name, numbers in by_name.items()}


def _totals(
    snapshot: Snapshot, requests: Metric, times: Metric, jobs: Metric, rows: Metric
) -> defaultdict[str, list[float]]:
    """Return the totals of a record by model, or by model and version if these metrics are."""
    totals: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * _LENGTH)
    for (*name, outcome), count in snapshot.values[requests].items():
        totals["@".join(name)][2 if outcome == "answered" else 3] += count
    for (*name, status), count in snapshot.values[jobs].items():
        totals["@".join(name)][4] += count if status in ("failed", "expired") else 0
    for labels, count in snapshot.values[rows].items():
        totals["@".join(labels)][5] = count
    for labels, seconds in snapshot.histograms[times].items():
        totals["@".join(labels)][_NUMBERS:-1] = seconds.counts
    return totals


def quantile(bounds: Sequence[float], counts: Sequence[float], share: float) -> float | None:
    """Return the least of `bounds` that `share` of the values do not exceed, infinity if there is none, and None
    without values. Where the values lie between two bounds is not known, so nothing is interpolated.

    `counts`: how many are up to each of `bounds`, and how many beyond; zeros at its end may be missing."""
    wanted = share * sum(counts)
    if not wanted:
        return None
    reached = accumulate(counts)
    return next((bound for bound, count in zip(bounds, reached, strict=False) if count >= wanted), math.inf)
