"""The charts of what came true: a metric from one period to the next, and the calibration of probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from contract.wording import metric_in_words, number
from gateway.pages.charts.plots import Axis, Points, scaled

_MOST_TIMES = 4
"""Times below a chart: few enough for a phone."""
_CLOCKS = {"hour": "%-d %b %H:%M", "day": "%-d %b", "week": "%-d %b", "month": "%b %Y"}


@dataclass(frozen=True)
class Mark:
    """A period: its place in the chart, None without a value; its start (RFC 3339), also in words of UTC; its value and
    outcomes in words."""

    place: tuple[float, float] | None
    start: str
    time: str
    value: str
    interval: str
    outcomes: str


@dataclass(frozen=True)
class Course:
    """A metric by period, the oldest first. `clock`: some of them, with their distance from the left. `lines` and
    `bands` (the intervals) end where periods have no outcomes. `promise` is the height of the metric of the report."""

    metric: str
    period: str
    y: Axis
    clock: Sequence[tuple[float, Mark]]
    marks: Sequence[Mark]
    lines: Sequence[Points]
    bands: Sequence[Points]
    promise: float | None


@dataclass(frozen=True)
class Calibration:
    """What probabilities said (x) and what came true (y) in each bin: a line, and intervals."""

    x: Axis
    y: Axis
    line: Points
    intervals: Sequence[Points]


def course_of(measured: Mapping[str, Any]) -> Course | None:
    """Return the course of the most telling metric; None unless two periods have it."""
    metric, periods = measured["headline"], measured["periods"]
    estimates = {at: one["metrics"][metric] for at, one in enumerate(periods) if metric in one["metrics"]}
    if len(estimates) < 2:
        return None
    starts = [datetime.fromisoformat(one["start"]) for one in periods]
    x = [start.timestamp() for start in starts]
    promised = [measured["promise"]["promised"]] if measured["promise"] else []
    ends = [*(one[end] for one in estimates.values() for end in ("low", "high")), *promised]
    _, y, (base, promise, *drawn) = scaled(
        [
            [(place, ends[0]) for place in x],
            [(x[0], value) for value in promised],
            *([(x[at], one[part]) for at, one in estimates.items()] for part in ("value", "low", "high")),
        ],
        ("", metric_in_words(metric)),
        (x[0], x[-1]),
        (min(ends), max(ends)),
    )
    values, lows, highs = (dict(zip(estimates, points, strict=True)) for points in drawn)
    runs = [list(run) for known, run in groupby(range(len(x)), estimates.__contains__) if known]
    times = [start.strftime(_CLOCKS[measured["period"]]) for start in starts]
    marks = [
        _mark(one, metric, time, values.get(at)) for at, (one, time) in enumerate(zip(periods, times, strict=True))
    ]
    clock = [(place, mark) for (place, _), mark in zip(base, marks, strict=True)]
    return Course(
        metric,
        measured["period"],
        y,
        clock[:: -(-len(clock) // _MOST_TIMES)],
        marks,
        [[values[at] for at in run] for run in runs],
        [[*(lows[at] for at in run), *(highs[at] for at in run[::-1])] for run in runs],
        promise[0][1] if promise else None,
    )


def _mark(period: Mapping[str, Any], metric: str, time: str, place: tuple[float, float] | None) -> Mark:
    outcomes = f"{period['outcomes']:,} of {period['predictions']:,}"
    if place is None:
        return Mark(None, period["start"], time, "–", "–", outcomes)
    one = period["metrics"][metric]
    return Mark(
        place, period["start"], time, number(one["value"]), f"{number(one['low'])} to {number(one['high'])}", outcomes
    )


def calibration_of(measured: Mapping[str, Any]) -> Calibration | None:
    """Return the calibration of the known outcomes; None without probabilities."""
    if not (found := measured["calibration"]):
        return None
    said, true = found["predicted"], found["observed"]
    intervals = [[(x, low), (x, high)] for x, low, high in zip(said, found["low"], found["high"], strict=True)]
    labels = "probability, mean of a bin", "came true"
    x, y, (line, *drawn) = scaled([list(zip(said, true, strict=True)), *intervals], labels, (0, 1), (0, 1))
    return Calibration(x, y, line, drawn)
