"""The bins of a column that has moved: the training rows beside the rows now. Coordinates are percents of an SVG that
is as wide as its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.pages.charts.plots import Axis, scaled

_GAP, _BAR = 0.14, 0.36
"""The parts of a bin's width that are left empty at each side, and that a bar takes."""
_ON_PHONES, _ON_DESKTOPS = 2.5, 1.5
"""The width of a letter."""
_LONGEST = 18
"""Letters of a label that are shown below the chart."""
_BEFORE = {"start": 0.0, "middle": 0.5, "end": 1.0}
"""The part of a text that is before its anchor."""
_MOST_MOVED = 3


@dataclass(frozen=True)
class Bin:
    """A bin with its shares of the rows. `x` is its left edge; `bars` are those of training and now, each with its left
    edge and its top."""

    label: str
    training: float
    now: float
    x: float
    bars: Sequence[tuple[float, float]]

    @property
    def moved(self) -> float:
        return abs(self.now - self.training)


@dataclass(frozen=True)
class Label:
    """A text below a bin: it starts or ends at `x`, or has its middle there. On phones there is no room for one that
    is `wide`."""

    x: float
    anchor: str
    text: str
    wide: bool

    def is_apart(self, other: Label, letter: float) -> bool:
        (start, end), (others_start, others_end) = self._room(letter), other._room(letter)
        return end <= others_start or start >= others_end

    def _room(self, letter: float) -> tuple[float, float]:
        length = letter * (len(self.text) + 2)
        start = self.x - length * _BEFORE[self.anchor]
        return start, start + length


@dataclass(frozen=True)
class Distribution:
    """`width` is that of a bin, `bar` that of a bar. `labels`: those that have room, of the bins that moved most.
    `most_moved`: the bins to name first."""

    column: str
    width: float
    bar: float
    y: Axis
    bins: Sequence[Bin]
    labels: Sequence[Label]
    most_moved: Sequence[Bin]


def distribution_of(alarm: Mapping[str, Any]) -> Distribution:
    """Return the chart of an alarm, as `GET /v1/models/{name}/health` has it."""
    shares = [(one["label"], one["training"], one["now"]) for one in alarm["bins"]]
    top = 110 * max(share for _, *pair in shares for share in pair)
    tops = [[(at + _GAP + side * _BAR, 100 * pair[side]) for at, (_, *pair) in enumerate(shares)] for side in (0, 1)]
    _, y, (training, now) = scaled(tops, ("", "%"), (0, len(shares)), (0, top))
    width = 100 / len(shares)
    bins = [
        Bin(*share, round(at * width, 2), bars)
        for at, (share, bars) in enumerate(zip(shares, zip(training, now, strict=True), strict=True))
    ]
    by_change = sorted(bins, key=lambda one: -one.moved)
    most_moved = [one for one in by_change[:_MOST_MOVED] if one.moved]
    return Distribution(alarm["column"], width, _BAR * width, y, bins, _labels(by_change, width), most_moved)


def _labels(bins: Sequence[Bin], width: float) -> list[Label]:
    """Return the labels of these bins that have room beside those of the bins before them."""
    labels: list[Label] = []
    for letter in (_ON_PHONES, _ON_DESKTOPS):
        for one in bins:
            label = _label(one, width, wide=letter == _ON_DESKTOPS)
            if all(label.is_apart(other, letter) for other in labels):
                labels.append(label)
    return labels


def _label(one: Bin, width: float, *, wide: bool) -> Label:
    text = one.label if len(one.label) <= _LONGEST else f"{one.label[: _LONGEST - 1]}…"
    half, middle = _ON_PHONES * len(text) / 2, one.x + width / 2
    if middle < half:
        return Label(one.x, "start", text, wide)
    if middle > 100 - half:
        return Label(round(one.x + width, 2), "end", text, wide)
    return Label(round(middle, 2), "middle", text, wide)
