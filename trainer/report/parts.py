"""Helpers for the parts of a report: plain facts, valid in JSON, or the reason why a part is missing.

Names, categories and notes are not trusted: they are cut and cleaned (`contract.wording.clean`), and escaped where
they are written.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from contract.wording import clean

Facts = dict[str, Any]

MISSING = "missing"
"""The only key of a part that could not be made. Its value is a sentence with the reason."""

PARAGRAPH = 2000
"""Most characters of a text in a report."""

MOST_CLASSES = 10

BINS, ROWS_A_BIN = 10, 10

log = logging.getLogger(__name__)


class NotShown(Exception):
    """A part has nothing to show; the message says why."""


def part(name: str, make: Callable[[], Facts]) -> Facts:
    """Return the facts that `make` returns, or the reason why there are none. Never raises: a bug is logged and
    named."""
    try:
        return make()
    except NotShown as reason:
        return {MISSING: str(reason)}
    except Exception as error:
        log.exception("the part %r of a report cannot be made", name)
        return {MISSING: f"This part could not be made: {type(error).__name__}: {clean(error, 200)}"}


def number(value: Any, digits: int = 6) -> float | None:
    """Return `value` with `digits` significant digits, or None if it is not finite: JSON cannot represent it."""
    value = float(value)
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def numbers(values: Any, digits: int = 5) -> list[float | None]:
    return [number(value, digits) for value in values]


def histogram(values: Any, most: int = 20) -> Facts | None:
    """Return `edges` and `counts` of finite `values`, or None if the values are too close for bins of floats."""
    bins = int(min(most, max(1, 2 * math.sqrt(len(values)))))
    try:
        counts, edges = np.histogram(values, bins=bins)
    except ValueError:
        return None
    return {"edges": numbers(edges), "counts": counts.tolist()}


def equal_bins(values: Any, most: int = BINS) -> Any:
    """Return the bin of each value: up to `most` bins of about equal size, with `ROWS_A_BIN` values each unless many
    are equal."""
    wanted = min(most, max(1, len(values) // ROWS_A_BIN))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, wanted + 1)))
    return np.searchsorted(edges[1:-1], values, side="right")


def most_frequent(labels: Sequence[Any], counts: Sequence[int], most: int = MOST_CLASSES) -> list[int]:
    """Return the positions of the `most` most frequent labels, in the order of the labels."""
    return sorted(sorted(range(len(labels)), key=lambda index: -counts[index])[:most])
