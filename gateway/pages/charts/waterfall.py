"""The waterfall of an explanation: from the base value by the contribution of each input to the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from contract.wording import decimals_of, fixed, significant
from gateway.pages.wording import count, exact

MOST_STEPS = 12
_LONGEST = 60
"""Characters of a value."""


@dataclass(frozen=True)
class Step:
    """The contribution of an input, whose value in the row is `text`: a bar from `start` to `end`, and the ends of the
    whisker with its `error`. Places are percents of the width of the chart. `amount` and `margin` are the contribution
    and its error in words; `margin` is '' without one."""

    name: str
    text: str
    start: float
    end: float
    error: tuple[float, float]
    amount: str
    margin: str


@dataclass(frozen=True)
class Waterfall:
    """`steps`: the strongest first; beyond `MOST_STEPS`, the last one is the sum of the others. Each begins where the
    one before it ends: the first at `base`, and the last ends at `answer`."""

    steps: Sequence[Step]
    base: str
    answer: str


def waterfall_of(explained: Mapping[str, Any], row: Mapping[str, Any]) -> Waterfall:
    """Return the waterfall of a row, of which `explained` has the contributions. `row`: its values by name."""
    errors = explained["errors"] or {}
    ordered = sorted(explained["contributions"].items(), key=lambda one: -abs(one[1]))
    parts = [(name, _short(row[name]) if name in row else "", size, errors.get(name, 0.0)) for name, size in ordered]
    if len(others := parts[MOST_STEPS:]) > 1:
        parts = [*parts[:MOST_STEPS], (count(len(others), "other"), "", sum(size for _, _, size, _ in others), 0.0)]
    ends = list(accumulate((size for _, _, size, _ in parts), initial=explained["base"]))
    reach = [end + side * error for end, (*_, error) in zip(ends[1:], parts, strict=True) for side in (-1, 1)]
    low, high = min([*ends, *reach]), max([*ends, *reach])
    span = high - low or 1.0
    decimals = decimals_of(span)

    def place(value: float) -> float:
        return round(float(2 + 96 * (value - low) / span), 2)

    steps = [
        Step(
            name,
            text,
            place(start),
            place(end),
            (place(end - error), place(end + error)),
            fixed(size, decimals, plus="+"),
            fixed(error, decimals) if round(error, decimals) else "",
        )
        for (name, text, size, error), start, end in zip(parts, ends, ends[1:], strict=False)
    ]
    return Waterfall(steps, fixed(explained["base"], decimals), fixed(explained["value"], decimals))


def _short(value: object) -> str:
    return significant(value) if isinstance(value, float) else exact(value)[:_LONGEST]
