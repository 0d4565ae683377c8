"""Scales points to an SVG of 100 by 100, with round numbers along its axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from contract.wording import fixed, significant

Points = Sequence[tuple[float, float]]
Span = tuple[float, float]

MOST_TICKS = 5


@dataclass(frozen=True)
class Axis:
    """`ticks`: distances from the origin, from 0 to 100, and what is written there."""

    label: str
    ticks: Sequence[tuple[float, str]]


def scaled(lines: Sequence[Points], labels: tuple[str, str], x: Span, y: Span) -> tuple[Axis, Axis, list[Points]]:
    """Return both axes, and the lines in the coordinates of the SVG, whose y grows downwards. A line ends where
    it leaves the x axis."""
    x, y = _widened(x), _widened(y)

    def place(value: float, span: Span) -> float:
        return round(100 * ((value - span[0]) / (span[1] - span[0])), 2)

    axes = [
        Axis(label, [(place(tick, span), _written(tick, step)) for tick in ticks])
        for label, span in zip(labels, (x, y), strict=True)
        for step, ticks in (ticks_of(span),)
    ]
    drawn: list[Points] = [[(place(a, x), round(100 - place(b, y), 2)) for a, b in _cut(line, x[1])] for line in lines]
    return axes[0], axes[1], drawn


def _cut(points: Points, end: float) -> Points:
    """Return the points up to `end` (x grows), with one at the end if the line goes on."""
    inside = [point for point in points if point[0] <= end]
    if not inside or len(inside) == len(points):
        return inside
    (x, y), (beyond, height) = inside[-1], points[len(inside)]
    return [*inside, (end, y + (height - y) * ((end - x) / (beyond - x)))]


def _widened(span: Span) -> Span:
    """Return the span, or a small one around a single value."""
    low, high = span
    return span if high > low else (low, low + (abs(low) or 1.0))


def ticks_of(span: Span) -> tuple[float, list[float]]:
    """Return the distance of the ticks (1, 2 or 5 times a power of ten), and the round numbers of the span."""
    low, high = span
    least = (high - low) / MOST_TICKS
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))
    return step, [n * step for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _written(tick: float, step: float) -> str:
    if not 1e-4 <= step < 1e7:
        return significant(tick)
    return fixed(tick, max(0, -math.floor(math.log10(step) + 1e-9)))
