"""`python -m bench.promises`: how often outcomes are wrongly taken to show that a version is worse than its report
promised, and how soon it is found when it is. Takes about two minutes."""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np

from bench.console import say
from observer.outcomes.joined_rows import JoinedRows
from observer.outcomes.metrics import Focus, measure
from observer.outcomes.over_time import compare_with_promise
from observer.quality import WINDOWS, Compared, Looked

LEVEL, TRUE, LIFE = 0.002, 0.8, 100_000
"""The level (a fifth of 0.01), the accuracy, the rows of a report, and the outcomes of a version."""
AT = "2026-01-01T00:00:00+00:00"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=200)
    options = parser.parse_args()
    for tested, after in product((500, 5_000), (TRUE, 0.75, 0.70, 0.60)):
        delays = [delay for seed in range(options.versions) if (delay := found(seed, tested, after)) is not None]
        early = sum(delay < 0 for delay in delays)
        late = sorted(delay for delay in delays if delay >= 0)
        median = np.median(late) if late else np.nan
        say(
            f"accuracy {TRUE} measured on {tested:,} rows, {after:.2f} after {LIFE // 2:,}: of {options.versions} found"
            f" {early} before, {len(late)} after it, within {median:,.0f} outcomes (median), {max(late, default=0):,}"
            " (worst)"
        )


def found(seed: int, tested: int, after: float) -> int | None:
    """Return how many outcomes after the change a version is found to be worse; below 0: before it; None: never."""
    rng = np.random.default_rng([seed, tested])
    promised = rng.binomial(tested, TRUE) / tested
    right = np.concatenate([rng.random(LIFE // 2) < TRUE, rng.random(LIFE // 2) < after])
    looked, known = Looked(), 0
    while (known := known + max(100, known // 200)) <= LIFE:
        if looked.take(compared(right[:known][::-1], tested, promised), LEVEL, AT):
            return known - LIFE // 2
    return None


def compared(right: np.ndarray, tested: int, promised: float) -> Compared:
    """Return the accuracy in each window of the newest outcomes, beside what was promised."""
    found = {}
    for window in WINDOWS:
        if window <= len(right):
            rows = JoinedRows(right[:window].astype(int), np.ones(window, int), None, (0, 1))
            accuracy = measure(rows, Focus("accuracy")).estimates["accuracy"]
            found[window] = ("accuracy", accuracy, compare_with_promise("accuracy", accuracy, promised, tested))
    return found


if __name__ == "__main__":
    main()
