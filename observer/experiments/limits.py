"""What is seen of both versions besides their losses, and whether it is beyond the limits of the experiment."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

from contract.model.experiments import Experiment
from contract.wording import number, percent
from observer.experiments.betting import LimitTest, more_often
from observer.experiments.decision import Behaviour, Limit
from observer.experiments.reading import Answered
from observer.experiments.shadows import ShadowSums


def of_shadow(experiment: Experiment, shadow: ShadowSums) -> Behaviour:
    """Return what the candidate of a shadow does. The current version has answered all rows that it gets."""
    sums, limits = shadow.sums, experiment.plan.limits
    rows, failed, dropped = (int(sums[name]) for name in ("rows", "failed", "dropped"))
    distance, agreement, candidate, baseline = (
        sums[name] / sums[count] if sums[count] else None
        for name, count in (
            *(("distance", "compared"), ("same", "compared")),
            *(("milliseconds", "timed"), ("baseline_milliseconds", "timed")),
        )
    )
    failures = f"It fails on {number(failed)} of {number(rows)} rows that the current version answers"
    answers = f"Its answers are {number(distance)} from those of the current version on average, on a scale to 1"
    times = _both(baseline, candidate)
    return Behaviour(
        rows=rows,
        limits=[
            Limit(shadow.failed, f"{failures}, and may fail on {percent(limits.failures)}"),
            Limit(shadow.slow, _slower(limits.slowdown, times)),
            Limit(shadow.distance, f"{answers}, and may be {number(limits.distance)}"),
        ],
        alike=Limit(shadow.alike, f"{percent(agreement or 0)} of its answers on {number(rows)} rows are the same"),
        figures={
            "rows": _both(rows, rows),
            "failures": _both(0, failed),
            "milliseconds": times,
            "dropped": dropped,
            "kept": rows / (rows + dropped) if rows else None,
            "agreement": agreement,
            "distance": distance,
        },
    )


def of_canary(experiment: Experiment, answered: Answered, ended: Sequence[int]) -> Behaviour:
    """Return what the versions of a canary do. `ended`: how many jobs of the current version have succeeded and failed
    since the share is that of now, then those of the candidate.

    The failures at each share are tested apart: if all requests fail in an hour in which the candidate has a greater
    share than before, more of its requests fail.
    """
    plan, current, candidate, batches = experiment.plan, ended[:2], ended[2:], answered.batches
    failures = more_often(candidate, current, plan.limits.failures) - log(1 + len(plan.steps))
    ours, theirs = (percent(failed / max(1, failed + succeeded)) for succeeded, failed in (candidate, current))
    slow = (batches.candidate > plan.limits.slowdown * batches.baseline).astype(float).tolist()
    times = [float(of_version.mean()) if slow else None for of_version in (batches.baseline, batches.candidate)]
    return Behaviour(
        rows=answered.candidate,
        at_share=answered.at_share,
        limits=[
            Limit(LimitTest((), failures, failures), f"{ours} of its requests fail, of the current version's {theirs}"),
            Limit(LimitTest().after(slow, 0.5), _slower(plan.limits.slowdown, _both(*times))),
        ],
        figures={
            "rows": _both(answered.baseline, answered.candidate),
            "failures": _both(current[1], candidate[1]),
            "milliseconds": _both(*times),
        },
    )


def _slower(slowdown: float, times: dict[str, Any]) -> str:
    baseline, candidate = (number(times[version]) for version in ("baseline", "candidate"))
    what = f"More than half of its batches take {slowdown:g} times as long as those of the current version"
    return f"{what}: {candidate} ms on average, not {baseline} ms"


def _both(baseline: float | None, candidate: float | None) -> dict[str, Any]:
    return {"baseline": baseline, "candidate": candidate}
