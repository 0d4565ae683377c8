"""What the page shows of an experiment: the figures of the observer, and the course of the losses as a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from contract.model.experiments import Experiment, ExperimentFindings
from contract.wording import metric_in_words
from gateway.pages.charts.plots import Axis, Points, scaled

_NUMBERS = ("outcomes", "dropped", "kept", "agreement", "distance")
_OF_BOTH = ("rows", "loss", "failures", "milliseconds")


class Difference(NamedTuple):
    """The mean loss of the candidate less that of the other version, with the ends of its band."""

    mean: float
    low: float
    high: float


class Both(NamedTuple):
    """A figure of the candidate and of the version that was current."""

    candidate: float
    baseline: float


class Moment(NamedTuple):
    """The difference after so many outcomes; `at`: when, or None."""

    outcomes: int
    difference: Difference
    at: str | None


@dataclass(frozen=True)
class LossCourse:
    """The difference of the losses by the number of outcomes, with its band. `zero` and `margin` are heights in percent
    from the top."""

    x: Axis
    y: Axis
    line: Points
    band: Points
    zero: float
    margin: float
    moments: Sequence[Moment]

    @classmethod
    def of(cls, moments: Sequence[Moment], margin: float) -> LossCourse | None:
        """Return None unless there are two moments. The chart is as high as those of the second half need: the bands of
        the first ones are wide."""
        if len(moments) < 2:
            return None
        ends = [0.0, margin, *(end for moment in moments[len(moments) // 2 :] for end in moment.difference)]
        low, high = min(ends), max(ends)
        lines: list[Points] = [
            [
                (moment.outcomes, min(max(values[part], low), high))
                for moment in moments
                for values in [moment.difference]
            ]
            for part in range(len(Difference._fields))
        ]
        levels: list[Points] = [[(0, level)] for level in (0.0, margin)]
        spans = (0, moments[-1].outcomes), (low, high)
        x, y, (line, lowest, highest, *heights) = scaled([*lines, *levels], ("outcomes", ""), *spans)
        zero, edge = (height for ((_, height),) in heights)
        return cls(x, y, line, [*lowest, *highest[::-1]], zero, edge, moments)


@dataclass(frozen=True)
class Evidence:
    """What is known of an experiment. `reason` and `missing`: see `ExperimentFindings`. `loss`: of what, in words.
    `figures`: a number each, or one of `Both` versions; None if it is unknown."""

    reason: str
    missing: str
    loss: str
    difference: Difference | None
    figures: Mapping[str, Any]
    course: LossCourse | None

    @classmethod
    def of(cls, experiment: Experiment, findings: ExperimentFindings | None) -> Evidence:
        """Return what is found while it runs, or what was known at its end."""
        said = findings.figures if findings else experiment.figures
        moments = [
            Moment(one["outcomes"], Difference(*numbers), one.get("at"))
            for one in said.get("course") or ()
            if (numbers := _numbers(one, Difference._fields))
        ]
        difference = _numbers(said.get("difference"), Difference._fields)
        both = {name: _numbers(said.get(name), Both._fields) for name in _OF_BOTH}
        return cls(
            findings.reason if findings else experiment.reason,
            findings.missing if findings else "",
            "share of wrong answers"
            if experiment.plan.metric == "accuracy"
            else metric_in_words(experiment.plan.metric or "loss"),
            Difference(*difference) if difference else None,
            {
                **{name: said.get(name) for name in _NUMBERS},
                **{name: Both(*numbers) if numbers else None for name, numbers in both.items()},
            },
            LossCourse.of(moments, experiment.plan.margin),
        )


def _numbers(said: object, names: Sequence[str]) -> list[float] | None:
    """Return the numbers of these names; None unless all are there."""
    known: Mapping[str, float] = said if isinstance(said, Mapping) else {}
    return [known[name] for name in names] if all(known.get(name) is not None for name in names) else None
