"""What a classifier of two classes finds and misses of the tested rows, at any threshold that its report knows.

`answers.thresholds.steps` of a report has, by rising `threshold`, how many rows are `flagged` from it on, and how many
of these are of the class (`right`). Between two thresholds with the same counts, every threshold has these counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STEPS = tuple(sorted({*(step / 10_000 for step in range(1, 100)), *(step / 1000 for step in range(1, 1000))}))
"""The thresholds that reports know: all with three decimals, and with four below 0.01."""


@dataclass(frozen=True)
class ThresholdCounts:
    """Of `rows` tested ones, `positives` are of the class; `flagged` have a probability of at least `threshold`, and
    `right` of these are of the class."""

    threshold: float
    rows: int
    positives: int
    flagged: int
    right: int

    @property
    def false_alarms(self) -> int:
        return self.flagged - self.right

    @property
    def missed(self) -> int:
        return self.positives - self.right

    def cost(self, miss: float, false_alarm: float) -> float:
        return self.missed * miss + self.false_alarms * false_alarm


def known_counts(facts: Mapping[str, Any] | None) -> list[ThresholdCounts]:
    """Return the counts at the thresholds that the facts of a report know, by rising threshold. None are known of other
    models, to reports of earlier releases, and to facts of another shape."""
    try:
        part = (facts or {})["answers"]["thresholds"]
        steps = zip(part["steps"]["threshold"], part["steps"]["flagged"], part["steps"]["right"], strict=True)
        known = [ThresholdCounts(float(at), part["rows"], part["positives"], *counts) for at, *counts in steps]
        valid = all(
            type(count) is int for step in known for count in (step.rows, step.positives, step.flagged, step.right)
        )
        return known if valid and known == sorted(known, key=lambda step: step.threshold) else []
    except (LookupError, TypeError, ValueError, AttributeError):
        return []


def counts_at(known: list[ThresholdCounts], threshold: float) -> ThresholdCounts | None:
    """Return the counts at a threshold; None if they are not known."""
    at = bisect_left(known, threshold, key=lambda step: step.threshold)
    if at == len(known) or (
        known[at].threshold != threshold and (at == 0 or known[at - 1].flagged != known[at].flagged)
    ):
        return None
    step = known[at]
    return ThresholdCounts(threshold, step.rows, step.positives, step.flagged, step.right)
