"""The curves of two versions' reports, laid over each other, or the reasons why there are none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.wording import listed
from gateway.pages.plots import Axis, Points, scaled

Facts = Mapping[str, Any]

SHOWN_SHARE = 0.95
"""The axis of errors ends where both curves have reached this share of the rows: one outlier would squeeze the rest."""

_OF_CLASSES = (
    ("roc", "ROC", ("false positive rate", "true positive rate"), "area under the curve"),
    ("precision_recall", "Precision and recall", ("recall", "precision"), "average precision"),
)
_NO_REPORT = (
    "has no report, so no curves. Train the model here, or import it with a sample that has the column to predict"
)
_OLD_REPORT = "has a report of an older release, without curves for numbers. Train or import it again to have them"


@dataclass(frozen=True)
class Chart:
    """A curve of both versions. `values`: for each version, its `measure`. `diagonal`: whether to draw the line on
    which x and y are equal; the `note` says what it means. `dots`: whether to mark each point, since they are few."""

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Points]
    note: str
    measure: str = ""
    values: Sequence[float | None] = ()
    diagonal: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Curves:
    """`notes`: sentences about curves that are missing. `classes`: those with curves in both versions; `chosen` is that
    of the charts."""

    charts: Sequence[Chart] = ()
    notes: Sequence[str] = ()
    classes: Sequence[str] = ()
    chosen: str | None = None


def curves_of(facts: Mapping[int, Facts], wanted: str = "") -> Curves:
    """Return the curves of two versions, given the facts of their reports (of one version, if it is compared with
    itself). Those of classifiers are of the class `wanted`, or else of the first one that both versions have."""
    missing = [f"Version {version} {why}." for version, found in facts.items() if (why := _why_none(found))]
    if missing:
        return Curves(notes=missing)
    (first, one), (second, other) = _ends(facts)
    if one["kind"] != other["kind"]:
        return Curves(notes=["One of them predicts classes and the other one numbers, so they share no curves."])
    notes = []
    if one["target"] != other["target"]:
        notes.append(
            f"Version {first} predicts {listed([one['target']])}, and version {second} {listed([other['target']])}:"
            " curves of different targets cannot rank them."
        )
    if one["kind"] == "regression":
        return Curves(_of_numbers([one["answers"], other["answers"]]), notes)
    return _of_classes(facts, wanted, notes)


def _ends(facts: Mapping[int, Any]) -> list[tuple[int, Any]]:
    items = list(facts.items())
    return [items[0], items[-1]]


def _why_none(facts: Facts) -> str:
    """Return why a version has no curves, and what to do; '' if it has some."""
    answers = facts.get("answers")
    if not isinstance(answers, dict):
        return _NO_REPORT
    if "missing" in answers:
        return _because(answers)
    if facts["kind"] == "regression":
        return "" if "error_curve" in answers else _OLD_REPORT
    parts = [answers[kind] for kind, *_ in _OF_CLASSES]
    return "" if any("curves" in part for part in parts) else _because(parts[0])


def _because(part: Facts) -> str:
    return f"has no curves: {part['missing'].rstrip('.')}"


def _of_classes(facts: Mapping[int, Facts], wanted: str, notes: list[str]) -> Curves:
    found = {version: _by_class(report["answers"]) for version, report in facts.items()}
    (first, one), (second, other) = _ends(found)
    shared = [label for label in one if label in other]
    for version, own, others in ((first, one, other), (second, other, one)):
        if alone := [label for label in own if label not in others]:
            notes.append(f"Only version {version} has curves for {listed(alone)}.")
    for version, report in facts.items():
        if left_out := report["answers"]["roc"].get("classes_left_out"):
            notes.append(f"The report of version {version} leaves {left_out} less frequent classes without curves.")
    if not shared:
        notes.append("So no curve lies over another one. Of two classes, a report describes the rarer one.")
        return Curves(notes=notes)
    chosen = wanted if wanted in shared else shared[0]
    charts = []
    for kind, title, axes, measure in _OF_CLASSES:
        pair = [curves[chosen].get(kind) for curves in (one, other)]
        if all(pair):
            x, y, lines = scaled([_points(curve["x"], curve["y"]) for curve in pair], axes, (0, 1), (0, 1))
            note = "Guessing gives the dotted line." if kind == "roc" else ""
            charts.append(Chart(title, x, y, lines, note, measure, [curve["area"] for curve in pair], kind == "roc"))
    return Curves(charts, notes, shared, chosen)


def _by_class(answers: Facts) -> dict[str, dict[str, Any]]:
    """Return the curves of each class by kind."""
    found: dict[str, dict[str, Any]] = {}
    for kind, *_ in _OF_CLASSES:
        for curve in answers[kind].get("curves", ()):
            found.setdefault(curve["label"], {})[kind] = curve
    return found


def _of_numbers(answers: Sequence[Facts]) -> list[Chart]:
    charts = []
    errors = [_points(one["error_curve"]["x"], one["error_curve"]["y"]) for one in answers]
    if all(errors):
        end = max(next((x for x, y in points if y >= SHOWN_SHARE), points[-1][0]) for points in errors)
        x, y, lines = scaled(errors, ("absolute error", "share of the rows"), (0, end), (0, 1))
        note = "The rows with an error up to x: the higher curve is better. The largest errors are beyond the axis."
        values = [one["residuals"]["mean_absolute"] for one in answers]
        charts.append(Chart("Errors", x, y, lines, note, "mean absolute error", values))
    means = [_points(one["actual_by_predicted"]["predicted"], one["actual_by_predicted"]["actual"]) for one in answers]
    every = [value for points in means for point in points for value in point]
    if all(means) and math.isfinite(max(every) - min(every)):
        span = (min(every), max(every))
        x, y, lines = scaled(means, ("predicted, mean of a bin", "actual, mean of the bin"), span, span)
        note = "Up to ten bins of rows by prediction. On the dotted line, predictions are right on average."
        charts.append(Chart("Actual by predicted value", x, y, lines, note, diagonal=True, dots=True))
    return charts


def _points(x: Sequence[float | None], y: Sequence[float | None]) -> Points:
    """Return the points whose coordinates are finite; a report has null for others."""
    return [(a, b) for a, b in zip(x, y, strict=True) if a is not None and b is not None]
