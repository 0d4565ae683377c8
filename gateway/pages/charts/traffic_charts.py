"""The charts of the traffic of a model. Their coordinates are percents of an SVG that is as wide as its card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import groupby, pairwise

from broker.metrics.traffic import Period, Point
from contract.wording import number
from gateway.pages.charts.plots import Points, ticks_of
from gateway.pages.wording import seconds, within
from gateway.serving.traffic import finite

_CLOCK_STEPS = {Period.HOURS: 1800, Period.DAY: 6 * 3600, Period.MONTH: 7 * 86400}
"""Seconds between two times below a chart: few enough for a phone."""
_LEAST_COUNT, _LEAST_MS = 4.0, 1.0
"""The top of a chart is at least this, so that its ticks are round numbers."""


@dataclass(frozen=True)
class Curve:
    """`name`: its CSS class. `values`: one for each slot, None for a gap. `texts`: the same in words."""

    name: str
    label: str
    values: Sequence[float | None]
    texts: Sequence[str]


@dataclass(frozen=True)
class TrafficChart:
    """`times`: those of the slots, in words; `clock`: some of them, with their distance from the left. `has_counts`:
    lines lead from one count to the next. Latencies are bounds of buckets, so their lines are stairs."""

    title: str
    note: str
    times: Sequence[str]
    clock: Sequence[tuple[float, str]]
    curves: Sequence[Curve]
    has_counts: bool = True

    @cached_property
    def top(self) -> float:
        highest = max((value for curve in self.curves for value in curve.values if value is not None), default=0.0)
        return max(highest * 1.1, _LEAST_COUNT if self.has_counts else _LEAST_MS)

    @property
    def scale(self) -> list[tuple[float, str]]:
        """Round numbers, with their distance from the top."""
        return [(self._y(tick), short(tick)) for tick in ticks_of((0.0, self.top))[1]]

    def lines(self, curve: Curve) -> list[str]:
        """Return the points of its lines; where values are missing, there is no line."""
        runs = groupby(self._points(curve), lambda point: point is None)
        points = [[point for point in run if point] for is_gap, run in runs if not is_gap]
        return [" ".join([f"{x:g},{y:g}" for x, y in self._stairs(run)]) for run in points if len(run) > 1]

    def dots(self, curve: Curve) -> Points:
        """Return the values without neighbours, which no line shows."""
        points = [None, *self._points(curve), None]
        around = zip(points, points[1:], points[2:], strict=False)
        return [point for before, point, after in around if point and before is after is None]

    def _points(self, curve: Curve) -> list[tuple[float, float] | None]:
        width = max(1, len(curve.values) - 1)
        return [None if y is None else (_percent(x, width), self._y(y)) for x, y in enumerate(curve.values)]

    def _stairs(self, run: Points) -> Points:
        if self.has_counts:
            return run
        return [run[0], *(corner for (_, y), (x, then) in pairwise(run) for corner in ((x, y), (x, then)))]

    def _y(self, value: float) -> float:
        return round(100 - _percent(value, self.top), 2)


def charts_of(points: Sequence[Point], period: Period) -> list[TrafficChart]:
    """Return the charts of these points, the oldest first."""
    step, every = seconds(period.step), _CLOCK_STEPS[period]
    times = [_clock(point.start, "%d %b %H:%M" if period is Period.MONTH else "%H:%M") for point in points]
    clock = [
        (_percent(at, max(1, len(points) - 1)), _clock(point.start, "%d %b" if period is Period.MONTH else "%H:%M"))
        for at, point in enumerate(points)
        if point.start % every == 0
    ]

    def counts(name: str, label: str, read: Callable[[Point], int]) -> Curve:
        return Curve(name, label, values := [read(point) for point in points], [number(value) for value in values])

    def latency(name: str, label: str, share: float) -> Curve:
        bounds = [point.quantile(share) for point in points]
        return Curve(name, label, [_ms(bound) for bound in bounds], [within(bound) for bound in bounds])

    requests = [
        counts("answered", "answered", lambda point: point.answered),
        counts("errors", "refused or failed", lambda point: point.refused + point.failed),
    ]
    latencies = [latency("p50", "half", 0.5), latency("p99", "99 %", 0.99)]
    bounds = "ms; half and 99 % of the requests took at most this, rounded up to bounds of buckets; UTC"
    waiting = [counts("waiting", "waiting", lambda point: point.waiting)]
    rows = [counts("rows", "rows", lambda point: point.rows)]
    return [
        TrafficChart("Requests", f"per {step}, by the time in UTC", times, clock, requests),
        TrafficChart("Latency", bounds, times, clock, latencies, has_counts=False),
        TrafficChart("Waiting", "most predictions at once; UTC", times, clock, waiting),
        TrafficChart("Rows", f"scored per {step}; UTC", times, clock, rows),
    ]


def table_of(charts: Sequence[TrafficChart]) -> list[tuple[str, list[str]]]:
    """Return the slots in which something happened, the newest first: the time, and the values of all curves."""
    counts = [curve for chart in charts if chart.has_counts for curve in chart.curves]
    curves = [curve for chart in charts for curve in chart.curves]
    return [
        (time, [curve.texts[at] for curve in curves])
        for at, time in reversed(list(enumerate(charts[0].times)))
        if any(curve.values[at] for curve in counts)
    ]


def short(value: float) -> str:
    """Format a tick in few characters: 12.5k, 3M."""
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e4 else f"{value:g}"


def _ms(bound: float | None) -> float | None:
    bound = finite(bound)
    return None if bound is None else bound * 1000


def _percent(value: float, whole: float) -> float:
    return round(100 * value / whole, 2)


def _clock(start: int, form: str) -> str:
    return datetime.fromtimestamp(start, UTC).strftime(form)
