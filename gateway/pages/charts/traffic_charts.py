"""The charts of the traffic of a model. Their coordinates are percents of an SVG that is as wide as its card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from broker.metrics.table import MODEL_SECONDS
from broker.metrics.traffic import Point
from contract.wording import number
from gateway.pages.charts.plots import Points, ticks_of
from gateway.pages.wording import at_least, seconds, within
from gateway.serving.model_events import ModelEvent
from gateway.serving.traffic import moment_of, seconds_of

_HOUR, _DAY = 3600, 86_400
_CLOCK_STEPS = (60, 300, 900, 1800, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY)
"""Seconds between two times below a chart."""
_MOST_TIMES = 5
"""Few enough for a phone."""
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
class EventLine:
    """An event at `place` from the left, in the slot `at`."""

    event: ModelEvent
    place: float
    at: int


@dataclass(frozen=True)
class TrafficChart:
    """`times`: those of the slots (RFC 3339); `clock`: some of them, with their distance from the left, to be written
    in the form `clock_form`. With `is_band`, what is between both curves is filled, otherwise what is below the first
    one."""

    title: str
    note: str
    times: Sequence[str]
    clock: Sequence[tuple[float, str]]
    clock_form: str
    curves: Sequence[Curve]
    is_band: bool = False
    events: Sequence[EventLine] = ()

    @cached_property
    def top(self) -> float:
        highest = max((value for curve in self.curves for value in curve.values if value is not None), default=0.0)
        return max(highest * 1.1, _LEAST_MS if self.is_band else _LEAST_COUNT)

    @property
    def scale(self) -> list[tuple[float, str]]:
        """Round numbers, with their distance from the top."""
        return [(self._y(tick), short(tick)) for tick in ticks_of((0.0, self.top))[1]]

    @property
    def areas(self) -> list[str]:
        """Return the points of what is filled."""
        lower = [None if point is None else (point[0], 100.0) for point in self._points(self.curves[0])]
        edges = (
            [self._points(curve) for curve in self.curves] if self.is_band else [self._points(self.curves[0]), lower]
        )
        return [_written([*upper, *reversed(below)]) for upper, below in zip(*map(_runs, edges), strict=True)]

    def lines(self, curve: Curve) -> list[str]:
        """Return the points of its lines; where values are missing, there is no line."""
        return [_written(run) for run in _runs(self._points(curve))]

    def dots(self, curve: Curve) -> Points:
        """Return the values without neighbours, which no line shows."""
        points = [None, *self._points(curve), None]
        around = zip(points, points[1:], points[2:], strict=False)
        return [point for before, point, after in around if point and before is after is None]

    @cached_property
    def happened(self) -> list[str]:
        """The events of each slot, in words without "|", which separates them in the page."""
        texts = ["; ".join(line.event.text for line in self.events if line.at == at) for at in range(len(self.times))]
        return [text.replace("|", "/") for text in texts]

    def _points(self, curve: Curve) -> list[tuple[float, float] | None]:
        width = max(1, len(curve.values) - 1)
        return [None if y is None else (_percent(x, width), self._y(y)) for x, y in enumerate(curve.values)]

    def _y(self, value: float) -> float:
        return round(100 - _percent(value, self.top), 2)


def charts_of(
    points: Sequence[Point], step: int, events: Iterable[ModelEvent] = (), *, has_only_begun: bool = False
) -> list[TrafficChart]:
    """Return the charts of these points, each of `step` seconds, the oldest first; the last one may have only begun."""
    width = max(1, len(points) - 1)
    every = next((every for every in _CLOCK_STEPS if width * step <= _MOST_TIMES * every), _CLOCK_STEPS[-1])
    times = [moment_of(point.start) for point in points]
    clock = [(_percent(at, width), times[at]) for at, point in enumerate(points) if point.start % every == 0]
    form = "day" if every >= _DAY else "minute"
    lines = [_line(event, points[0].start, step, width) for event in events]

    def counts(name: str, label: str, read: Callable[[Point], int], write: Callable[[int], str] = number) -> Curve:
        values = [read(point) for point in points]
        texts = [write(value) for value in values]
        return Curve(name, label, values, [*texts[:-1], f"{texts[-1]} so far"] if has_only_begun else texts)

    def latency(name: str, label: str, share: float) -> Curve:
        drawn = [_inside(point.buckets, share) for point in points]
        return Curve(name, label, drawn, [within(point.quantile(share)) for point in points])

    def chart(title: str, note: str, *curves: Curve, is_band: bool = False) -> TrafficChart:
        return TrafficChart(title, note, times, clock, form, curves, is_band, lines)

    per = f"per {seconds(step)}"
    return [
        chart(
            "Requests",
            per,
            counts("answered", "answered", lambda point: point.answered),
            counts("errors", "refused or failed", lambda point: point.refused + point.failed),
        ),
        chart(
            "Latency",
            "ms, from half to 99 % of the requests",
            latency("p99", "99 %", 0.99),
            latency("p50", "half", 0.5),
            is_band=True,
        ),
        chart(
            "Waiting",
            "most predictions at once, of a look every ten seconds",
            counts("waiting", "waiting", lambda point: point.waiting, at_least),
        ),
        chart("Rows", f"scored {per}", counts("rows", "rows", lambda point: point.rows)),
    ]


def table_of(charts: Sequence[TrafficChart]) -> list[tuple[str, list[str], str]]:
    """Return the slots in which something happened, the newest first: time, values of all curves, events."""
    counts = [curve for chart in charts if not chart.is_band for curve in chart.curves]
    curves = [curve for chart in charts for curve in chart.curves]
    return [
        (time, [curve.texts[at] for curve in curves], charts[0].happened[at])
        for at, time in reversed(list(enumerate(charts[0].times)))
        if any(curve.values[at] for curve in counts) or charts[0].happened[at]
    ]


def short(value: float) -> str:
    """Format a tick in few characters: 12.5k, 3M."""
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e4 else f"{value:g}"


def _inside(buckets: Sequence[int], share: float) -> float | None:
    """Return about where a quantile lies in its bucket (ms), as if times were spread evenly over it. Its bound would
    jump from bucket to bucket though nothing has changed, whenever the quantile is close to it. So this is drawn, and
    the bound is written. What is beyond the last bound is drawn on it."""
    wanted, reached = share * sum(buckets), 0
    bounds = [0.0, *MODEL_SECONDS.buckets, MODEL_SECONDS.buckets[-1]]
    for low, high, count in zip(bounds, bounds[1:], buckets, strict=False):
        if count and reached + count >= wanted:
            return 1000 * (low + (high - low) * (wanted - reached) / count)
        reached += count
    return None


def _line(event: ModelEvent, first: int, step: int, width: int) -> EventLine:
    after = seconds_of(event.at) - first
    return EventLine(event, min(100.0, _percent(after, width * step)), min(width, int(after // step)))


def _runs(points: Iterable[tuple[float, float] | None]) -> list[Points]:
    """Return the neighbours that a line joins."""
    runs = groupby(points, lambda point: point is None)
    return [run for is_gap, group in runs if not is_gap and len(run := [point for point in group if point]) > 1]


def _written(points: Points) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _percent(value: float, whole: float) -> float:
    return round(100 * value / whole, 2)
