"""The chart of a metric from one version of a model to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract.wording import metric_in_words
from gateway.pages.charts.plots import Axis, scaled

_MOST_LABELS = 8
"""Versions that are named below a chart."""


@dataclass(frozen=True)
class VersionCourse:
    """A metric by version, the oldest first. `marks`: place, version and value of each; every `step`-th is named."""

    metric: str
    y: Axis
    marks: Sequence[tuple[tuple[float, float], int, float]]
    step: int


def course_by_version(metric: str, values: Mapping[int, float]) -> VersionCourse | None:
    """Return the course of a metric; None with fewer than two versions that have it."""
    if len(values) < 2:
        return None
    points = list(enumerate(values.values()))
    span = min(values.values()), max(values.values())
    _, y, (places,) = scaled([points], ("version", metric_in_words(metric)), (0, len(points) - 1), span)
    marks = list(zip(places, values, values.values(), strict=True))
    return VersionCourse(metric, y, marks, -(-len(marks) // _MOST_LABELS))
