"""Two versions on the same rows: what a report kept of both when one of them was trained, or why there is nothing.

Figures of different rows are never put beside each other: the version that was tested on easier rows would look better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.model.repository import Repository
from contract.model.version_metrics import data_look_wrong, headline_first, lower_is_better
from contract.wording import number
from gateway.pages.wording import count, sentence

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class ComparedMetric:
    """A metric of the versions `first` and `second`; `better` is the name of the better one, or ''."""

    name: str
    first: float | None
    second: float | None
    better: str


@dataclass(frozen=True)
class SameRows:
    """Two versions on the `rows` that neither learnt from: their metrics, and the curves of each.

    `sentence` is the result, or why there is none; it is the same whichever version comes first. Without such rows,
    the others are empty.
    """

    sentence: str
    rows: int = 0
    metrics: Sequence[ComparedMetric] = ()
    curves: Mapping[int, Facts] = field(default_factory=dict)

    @classmethod
    def of(cls, repository: Repository, name: str, first: int, second: int) -> SameRows:
        """Return the comparison that the report of the later version has with the earlier one."""
        earlier, later = sorted((first, second))
        facts = facts_of(repository, name, later)
        comparison = _comparison(facts)
        metrics = {item["name"]: item for item in comparison.get("metrics") or () if isinstance(item, Mapping)}
        if comparison.get("version") != earlier or not metrics or not comparison.get("rows"):
            return cls(_cannot(earlier, later, comparison))
        side = {later: "now", earlier: "before"}
        values = {version: {metric: item.get(side[version]) for metric, item in metrics.items()} for version in side}
        curves = comparison.get("curves") or {}
        return cls(
            _result(earlier, later, comparison, values),
            comparison["rows"],
            [
                _compared(metric, values[first][metric], values[second][metric])
                for metric in headline_first(metrics, facts["headline"])
            ],
            {version: curves[side[version]] for version in (first, second) if side[version] in curves},
        )


def facts_of(repository: Repository, name: str, version: int) -> dict[str, Any]:
    """Return the facts of a version's report; empty ones for a version without a report."""
    facts = repository.files(name, version).report_facts()
    return {"verdict": "", "level": "", "refused": None, "headline": None, **(facts or {})}


def compared_with(repository: Repository, name: str, version: int) -> int | None:
    """Return the version that one was compared with when it was trained; None if with none."""
    other = _comparison(facts_of(repository, name, version)).get("version")
    return other if isinstance(other, int) else None


def _comparison(facts: Facts) -> Facts:
    comparison = facts.get("comparison")
    return comparison if isinstance(comparison, Mapping) else {}


def _result(earlier: int, later: int, comparison: Facts, values: Mapping[int, Mapping[str, float | None]]) -> str:
    """Return which version is better; `values` are the metrics of both."""
    outcome, loss = comparison.get("outcome"), comparison.get("loss")
    if not outcome:
        return _cannot(earlier, later, comparison)
    than, chance = ("as", ", which chance explains") if outcome == "as good" else ("than", "")
    figures = (
        f": {loss} {number(comparison.get('loss_now'))} against {number(comparison.get('loss_before'))}" if loss else ""
    )
    now, before = ({k: v for k, v in values[version].items() if v is not None} for version in (later, earlier))
    wrong = data_look_wrong(now, before, comparison["rows"])
    return (
        f"{f'{sentence(wrong)} ' if wrong else ''}On the same {count(comparison['rows'], 'row')}, which neither"
        f" learnt from, version {later} is {outcome} {than} version {earlier}{figures}{chance}."
    )


def _cannot(earlier: int, later: int, comparison: Facts) -> str:
    """Return why two versions cannot be compared, and what would change that."""
    if comparison.get("version") == earlier:
        why = str(comparison.get("reason") or f"the report of version {later} has no figures of both").rstrip(".")
    else:
        other = comparison.get("version")
        why = (
            "no training has tested both on rows that neither learnt from. When version"
            f" {later} was made, it was compared with {'no other one' if other is None else f'version {other}'}. Make"
            f" version {earlier} current and train again: the new version is then compared with it"
        )
    return f"Versions {earlier} and {later} cannot be compared: {why}."


def _compared(name: str, first: float | None, second: float | None) -> ComparedMetric:
    if first is None or second is None or first == second:
        return ComparedMetric(name, first, second, "")
    return ComparedMetric(name, first, second, "second" if (second < first) is lower_is_better(name) else "first")
