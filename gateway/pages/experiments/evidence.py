"""What the page shows of an experiment: the figures of the observer, and the course of the losses as a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.model.experiments import Experiment, ExperimentFindings
from contract.wording import decimals_of, loss_in_words
from gateway.pages.charts.plots import Axis, Points, scaled

_ENDS = ("mean", "low", "high")
_NUMBERS = ("outcomes", "dropped", "kept", "agreement", "distance")
_OF_BOTH = ("rows", "losses", "failures", "milliseconds")

_Numbers = Mapping[str, Any]


@dataclass(frozen=True)
class LossCourse:
    """The `mean` difference of the losses by the number of `outcomes`, with its band from `low` to `high`. `zero` and
    `margin` are heights in percent from the top."""

    x: Axis
    y: Axis
    line: Points
    band: Points
    zero: float
    margin: float
    moments: Sequence[_Numbers]

    @classmethod
    def of(cls, moments: Sequence[_Numbers], margin: float) -> LossCourse | None:
        """Return None unless there are two moments. The chart is as high as those of the second half need: the bands of
        the first ones are wide."""
        if len(moments) < 2:
            return None
        ends = [0.0, margin, *(moment[end] for moment in moments[len(moments) // 2 :] for end in _ENDS)]
        low, high = min(ends), max(ends)
        lines: list[Points] = [
            [(moment["outcomes"], min(max(moment[end], low), high)) for moment in moments] for end in _ENDS
        ]
        lines += [[(0, level)] for level in (0.0, margin)]
        spans = (0, moments[-1]["outcomes"]), (low, high)
        x, y, (line, lowest, highest, *levels) = scaled(lines, ("outcomes", ""), *spans)
        zero, edge = (height for ((_, height),) in levels)
        return cls(x, y, line, [*lowest, *highest[::-1]], zero, edge, moments)


@dataclass(frozen=True)
class Evidence:
    """What is known of an experiment. `reason` and `missing`: see `ExperimentFindings`. `loss`: of what, in words.
    `figures`: numbers, `difference` with the ends of its band, and those of `candidate` and `baseline`; None for each
    that is unknown. `decimals`: those that a difference has."""

    reason: str
    missing: str
    loss: str
    figures: Mapping[str, Any]
    decimals: int
    course: LossCourse | None

    @classmethod
    def of(cls, experiment: Experiment, findings: ExperimentFindings | None) -> Evidence:
        """Return what is found while it runs, or what was known at its end."""
        said = findings.figures if findings else experiment.figures
        metric = experiment.plan.metric or "loss"
        moments = [one for one in said.get("course") or () if _with(one, "outcomes", *_ENDS)]
        difference = _with(said.get("difference"), *_ENDS)
        figures = {name: said.get(name) for name in _NUMBERS} | {"difference": difference}
        return cls(
            findings.reason if findings else experiment.reason,
            findings.missing if findings else "",
            loss_in_words(metric),
            figures | {name: _with(said.get(name), "candidate", "baseline") for name in _OF_BOTH},
            decimals_of(difference["high"] - difference["low"] if difference else None),
            LossCourse.of(moments, experiment.margin),
        )


def _with(said: object, *names: str) -> _Numbers | None:
    """Return the numbers if there are all of these names."""
    return said if isinstance(said, Mapping) and all(said.get(name) is not None for name in names) else None
