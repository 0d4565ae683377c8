"""Versions on the same rows: what reports kept of two when one of them was trained, or why there is nothing.

Figures of different rows are never put beside each other: the version that was tested on easier rows would look better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.model.repository import Repository
from contract.model.version_metrics import data_look_wrong, headline_first, lower_is_better
from contract.wording import metric_in_words, number
from gateway.pages.wording import count, sentence

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class ComparedMetric:
    """A metric of each version, in their order; `best` is the place of the best one, or None."""

    name: str
    values: Sequence[float | None]
    best: int | None


@dataclass(frozen=True)
class SameRows:
    """Versions on the `rows` that none of them learnt from: their metrics, and the curves of each.

    `sentence` is the result, or why there is none; it is the same whichever version comes first. Without such rows,
    the others are empty.
    """

    sentence: str
    rows: int = 0
    metrics: Sequence[ComparedMetric] = ()
    curves: Mapping[int, Facts] = field(default_factory=dict)

    @classmethod
    def of(cls, repository: Repository, name: str, *versions: int) -> SameRows:
        """Return the comparison that the report of a later version has with an earlier one; of more than two versions,
        what several reports have measured on the same rows."""
        facts = {version: facts_of(repository, name, version) for version in versions}
        measured = _measured(facts)
        earlier, later = min(versions), max(versions)
        comparison = _comparison(facts[later])
        if measured is None:
            return cls(_none_of(versions) if len(versions) > 2 else _cannot(earlier, later, comparison))
        values = measured.metrics
        names = headline_first(
            dict.fromkeys(metric for version in sorted(versions) for metric in values[version]),
            facts[later]["headline"],
        )
        metrics = [_compared(metric, [values[version].get(metric) for version in versions]) for metric in names]
        if len(versions) == 2:
            result = _result(earlier, later, comparison, values)
        else:
            result = _best_of(versions, measured.rows, metrics)
        return cls(
            result,
            measured.rows,
            metrics,
            {version: measured.curves[version] for version in versions if version in measured.curves},
        )


@dataclass
class _Measured:
    """What is known of versions on the same `rows`."""

    rows: int
    metrics: dict[int, dict[str, float | None]]
    curves: dict[int, Facts]

    def takes(self, other: _Measured) -> bool:
        """Take what another comparison knows, if it is of the same rows: as many, on which a version has the same
        values of all metrics. Returns whether it is."""
        shared = self.metrics.keys() & other.metrics.keys()
        if other.rows != self.rows or not any(self.metrics[one] == other.metrics[one] for one in shared):
            return False
        self.metrics |= other.metrics
        self.curves |= other.curves
        return True


def _measured(facts: Mapping[int, Facts]) -> _Measured | None:
    """Return what the reports of versions know of all of them on the same rows, or None."""
    left = []
    for later, known in facts.items():
        comparison = _comparison(known)
        earlier = comparison.get("version")
        if isinstance(earlier, int) and earlier in facts and (metrics := measured_together(known, earlier, later)):
            curves, side = comparison.get("curves") or {}, {later: "now", earlier: "before"}
            by_version = {one: curves[side[one]] for one in side if side[one] in curves}
            left.append(_Measured(comparison["rows"], metrics, by_version))
    if not left:
        return None
    whole, *left = left
    while (joined := next((one for one in left if whole.takes(one)), None)) is not None:
        left.remove(joined)
    return whole if whole.metrics.keys() == facts.keys() else None


def _best_of(versions: Sequence[int], rows: int, metrics: Sequence[ComparedMetric]) -> str:
    """Return which of more than two versions is best in the first metric."""
    best = next(iter(metrics), None)
    if best is None or best.best is None:
        which = "none is best"
    else:
        which = f"version {versions[best.best]} has the best {metric_in_words(best.name)}; chance is not considered"
    return f"On the same {count(rows, 'row')}, which none of them learnt from, {which}."


def _none_of(versions: Sequence[int]) -> str:
    listed = ", ".join(map(str, sorted(versions)))
    return (
        f"Versions {listed} cannot be compared: no rows are known on which all of them were tested and from which none"
        " learnt. Choose two of them."
    )


def facts_of(repository: Repository, name: str, version: int) -> dict[str, Any]:
    """Return the facts of a version's report; empty ones for a version without a report."""
    facts = repository.files(name, version).report_facts()
    return {"verdict": "", "level": "", "refused": None, "headline": None, **(facts or {})}


def compared_with(repository: Repository, name: str, version: int) -> int | None:
    """Return the version that one was compared with when it was trained; None if with none."""
    other = _comparison(facts_of(repository, name, version)).get("version")
    return other if isinstance(other, int) else None


def measured_together(facts: Facts, earlier: int, later: int) -> dict[int, dict[str, float | None]]:
    """Return the metrics of both versions on the rows that neither learnt from, by the `facts` of the later one; empty
    if it was not compared with the earlier one."""
    comparison = _comparison(facts)
    items = comparison.get("metrics") if comparison.get("version") == earlier and comparison.get("rows") else ()
    named = {item["name"]: item for item in items or () if isinstance(item, Mapping)}
    side = {earlier: "before", later: "now"}
    return {one: {name: item.get(side[one]) for name, item in named.items()} for one in side} if named else {}


def _comparison(facts: Facts) -> Facts:
    comparison = facts.get("comparison")
    return comparison if isinstance(comparison, Mapping) else {}


def _result(earlier: int, later: int, comparison: Facts, values: Mapping[int, Mapping[str, float | None]]) -> str:
    """Return which version is better; `values` are the metrics of both."""
    outcome, loss = comparison.get("outcome"), comparison.get("loss")
    if not outcome:
        return _cannot(earlier, later, comparison)
    than = "as" if outcome == "as good" else "than"
    figures = (
        f": {loss} {number(comparison.get('loss_now'))} against {number(comparison.get('loss_before'))}"
        if loss and str(loss).replace(" ", "_") not in values[later]
        else ""
    )
    now, before = ({k: v for k, v in values[version].items() if v is not None} for version in (later, earlier))
    wrong = data_look_wrong(now, before, comparison["rows"])
    differ = now != before or comparison.get("loss_now") != comparison.get("loss_before")
    chance = ", and chance explains the difference" if than == "as" and differ else ""
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


def _compared(name: str, values: Sequence[float | None]) -> ComparedMetric:
    known = [value for value in values if value is not None]
    if len(known) < len(values) or len({*known}) < 2:
        return ComparedMetric(name, values, None)
    best = min(known) if lower_is_better(name) else max(known)
    return ComparedMetric(name, values, known.index(best) if known.count(best) == 1 else None)
