"""The curves of versions on the same rows, laid over each other, or the reasons why there are none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.wording import listed
from gateway.pages.charts.plots import Axis, Points, scaled
from gateway.pages.same_rows import Facts, SameRows

SHOWN_SHARE = 0.95
"""The axis of errors ends where both curves have reached this share of the rows: one outlier would squeeze the rest."""

_OF_CLASSES = (
    ("roc", "ROC", ("false positive rate", "true positive rate"), "area under the curve"),
    ("precision_recall", "Precision and recall", ("recall", "precision"), "average precision"),
)


@dataclass(frozen=True)
class CurveChart:
    """A curve of each version. `values`: for each version, its `measure`. `diagonal`: whether to draw the line on
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
    """`notes`: sentences about curves that are missing. `classes`: those with curves in all versions; `chosen` is that
    of the charts."""

    charts: Sequence[CurveChart] = ()
    notes: Sequence[str] = ()
    classes: Sequence[str] = ()
    chosen: str | None = None


def curves_of(same_rows: SameRows, wanted: str = "") -> Curves:
    """Return the curves of versions on the rows that none learnt from. Those of classifiers are of the class `wanted`,
    or else of the first one that all versions have."""
    curves = same_rows.curves
    if len(curves) < 2:
        return Curves()
    if missing := [
        f"Version {version} has no curves: {why}" for version, part in curves.items() if (why := _why(part))
    ]:
        return Curves(notes=missing)
    parts = list(curves.values())
    return Curves(_of_numbers(parts, same_rows)) if "error_curve" in parts[0] else _of_classes(curves, wanted)


def _why(curves: Facts) -> str:
    """Return why a version has no curves; '' if it has some."""
    parts = [curves, *(curves[kind] for kind, *_ in _OF_CLASSES if kind in curves)]
    return "" if any("error_curve" in part or "curves" in part for part in parts) else parts[-1].get("missing", "")


def _of_classes(curves: Mapping[int, Facts], wanted: str) -> Curves:
    by_version = {version: _by_class(parts) for version, parts in curves.items()}
    notes = []
    shared = [label for label in next(iter(by_version.values())) if all(label in one for one in by_version.values())]
    for version, labels in by_version.items():
        others = {label for other, known in by_version.items() if other != version for label in known}
        if alone := [label for label in labels if label not in others]:
            notes.append(f"Only version {version} has curves for {listed(alone)}.")
    for version, parts in curves.items():
        if left_out := parts["roc"].get("classes_left_out"):
            notes.append(f"{left_out} less frequent classes of version {version} have no curves.")
    if not shared:
        notes.append("So no curve lies over another one. Of two classes, the rarer one has curves.")
        return Curves(notes=notes)
    chosen = wanted if wanted in shared else shared[0]
    charts = []
    for kind, title, axes, measure in _OF_CLASSES:
        drawn = [by_class[chosen][kind] for by_class in by_version.values() if kind in by_class[chosen]]
        if len(drawn) == len(by_version):
            x, y, lines = scaled([_points(curve["x"], curve["y"]) for curve in drawn], axes, (0, 1), (0, 1))
            note = "Guessing gives the dotted line." if kind == "roc" else ""
            charts.append(
                CurveChart(title, x, y, lines, note, measure, [curve["area"] for curve in drawn], kind == "roc")
            )
    return Curves(charts, notes, shared, chosen)


def _by_class(answers: Facts) -> dict[str, dict[str, Any]]:
    """Return the curves of each class by kind."""
    by_class: dict[str, dict[str, Any]] = {}
    for kind, *_ in _OF_CLASSES:
        for curve in answers[kind].get("curves", ()):
            by_class.setdefault(curve["label"], {})[kind] = curve
    return by_class


def _of_numbers(curves: Sequence[Facts], same_rows: SameRows) -> list[CurveChart]:
    charts = []
    errors = [_points(part["error_curve"]["x"], part["error_curve"]["y"]) for part in curves]
    if all(errors):
        end = max(next((x for x, y in points if y >= SHOWN_SHARE), points[-1][0]) for points in errors)
        x, y, lines = scaled(errors, ("absolute error", "share of the rows"), (0, end), (0, 1))
        note = "The rows with an error up to x: the higher curve is better. The largest errors are beyond the axis."
        mean = next((m.values for m in same_rows.metrics if m.name == "mean_absolute_error"), [None] * len(curves))
        charts.append(CurveChart("Errors", x, y, lines, note, "mean absolute error", mean))
    means = [
        _points(part["actual_by_predicted"]["predicted"], part["actual_by_predicted"]["actual"]) for part in curves
    ]
    every = [value for points in means for point in points for value in point]
    if all(means) and math.isfinite(max(every) - min(every)):
        span = (min(every), max(every))
        x, y, lines = scaled(means, ("predicted, mean of a bin", "actual, mean of the bin"), span, span)
        note = "Up to ten bins of rows by prediction. On the dotted line, predictions are right on average."
        charts.append(CurveChart("Actual by predicted value", x, y, lines, note, diagonal=True, dots=True))
    return charts


def _points(x: Sequence[float | None], y: Sequence[float | None]) -> Points:
    """Return the points whose coordinates are finite; a report has null for others."""
    return [(a, b) for a, b in zip(x, y, strict=True) if a is not None and b is not None]
