"""The traffic of models over time, as a caller may see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from broker.metrics import table
from broker.metrics.traffic import Period, Point, TrafficReader, together
from contract.model.repository import Repository
from contract.work.api_keys import Key
from gateway.serving.model_versions import check_model
from runtime.ttl_cache import TtlCache

KEEP = 5.0
"""Seconds that a reading is kept for all callers. The newest point grows every ten seconds."""
_MOST_KEPT = 3_000
"""A thousand models with three periods each, if all are asked for within that time."""

_RECENT = 9
"""Points of 15 minutes: the last two hours, and the quarter of an hour that has begun."""

_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class TimeRange:
    """Any time of the last 30 days, in Unix time."""

    start: float
    end: float


@dataclass(frozen=True)
class Chart:
    """Points of one period, the oldest first. The last one `has_only_begun` unless they are of a range that is over."""

    period: Period
    points: Sequence[Point]
    has_only_begun: bool = True

    def within(self, asked: TimeRange) -> Chart:
        """Return the points that have a part of a range; the newest one if its clock is ahead of that of Redis."""
        step = self.period.step
        points = [point for point in self.points if point.start + step > asked.start and point.start < asked.end]
        return Chart(self.period, points or self.points[-1:], points[-1:] == self.points[-1:])

    @cached_property
    def total(self) -> Point:
        return together(self.points)

    @cached_property
    def highest(self) -> tuple[int, float]:
        """The most requests of a point, and the highest share of errors."""
        points = [point for point in self.points if point.requests]
        shares = (point.error_share or 0.0 for point in points)
        return max((point.requests for point in points), default=0), max(shares, default=0.0)

    @property
    def end(self) -> int:
        """The end of the last point (Unix time)."""
        return self.points[-1].start + self.period.step

    def to_json(self) -> dict[str, Any]:
        return {
            "period": self.period,
            "step": self.period.step,
            "total": _numbers(self.total),
            "points": [{"start": moment_of(point.start), **_numbers(point)} for point in self.points],
        }


class Traffic:
    """Charts of the models that a caller may use. Raises `RedisError`."""

    def __init__(self, reader: TrafficReader, repository: Repository, caller: Callable[[], Key]) -> None:
        """`repository` shows the caller's models, and `caller` returns the key of the current request."""
        self._reader = reader
        self._repository = repository
        self._caller = caller
        self._cache: TtlCache[tuple[Period, str | None], list[Point]] = TtlCache(_MOST_KEPT)
        self._recent: TtlCache[str, Chart] = TtlCache(_MOST_KEPT)

    def of_all(self, asked: Period | TimeRange) -> Chart:
        """Return the chart of all models that the caller may use, together."""
        return _of(asked, self._of_all)

    def of_model(self, model: str, asked: Period | TimeRange, version: int | None = None) -> Chart:
        """Return the chart of a model, or of a version of it. Raises `Problem` if there is no such model."""
        check_model(self._repository, model)
        name = model if version is None else f"{model}@{version}"
        return _of(asked, lambda period: Chart(period, self._points(period, [name])[0]))

    def _of_all(self, period: Period) -> Chart:
        if self._caller().models is None:
            return Chart(period, self._points(period, [None])[0])
        names = self._repository.names()
        points = self._points(period, names or [None])
        if not names:
            return Chart(period, [Point(point.start) for point in points[0]])
        return Chart(period, [together(same) for same in zip(*points, strict=True)])

    def recent(self, models: Sequence[str]) -> dict[str, Chart]:
        """Return the last two hours of these models, which the caller may use, by 15 minutes: by the minute, a thousand
        models would take seconds. Two round trips at most."""

        def read(models: Sequence[str]) -> list[Chart]:
            return [Chart(Period.DAY, points) for points in self._reader.newest(Period.DAY, models, _RECENT)]

        return dict(zip(models, self._recent.fetch_many(models, read, KEEP), strict=True))

    def _points(self, period: Period, models: Sequence[str | None]) -> list[list[Point]]:
        def read(keys: Sequence[tuple[Period, str | None]]) -> list[list[Point]]:
            return self._reader.read(period, [model for _, model in keys])

        return self._cache.fetch_many([(period, model) for model in models], read, KEEP)


def _of(asked: Period | TimeRange, read: Callable[[Period], Chart]) -> Chart:
    """Return the chart of a range from the period with the shortest steps that goes back to its start."""
    if isinstance(asked, Period):
        return read(asked)
    now = time.time()
    return read(next((period for period in Period if period.begins(now) <= asked.start), Period.MONTH)).within(asked)


def _numbers(point: Point) -> dict[str, Any]:
    quantiles = {name: finite(point.quantile(share)) for name, share in _QUANTILES.items()}
    return {
        "requests": point.answered + point.refused,
        "refused": point.refused,
        "failed": point.failed,
        "rows": point.rows,
        "refused_rows": point.refused_rows,
        "waiting": point.waiting,
        "oldest_seconds": round(point.oldest, 3),
        **quantiles,
    }


def finite(seconds: float | None) -> float | None:
    """Return the quantile as JSON and charts show it: the last bound stands for all that is longer."""
    return None if seconds is None else min(seconds, table.MODEL_SECONDS.buckets[-1])


def moment_of(seconds: float) -> str:
    """Return a Unix time as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(moment: str) -> float:
    """Return a time in RFC 3339 as Unix time."""
    return datetime.fromisoformat(moment).timestamp()
