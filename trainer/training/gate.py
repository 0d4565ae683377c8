"""The gate: decides whether a new version gets its alias, and writes the verdict."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from contract.model.signature_changes import some
from contract.model.version_metrics import TRAINING, baseline_of, is_better, lower_is_better, missed_baselines
from contract.wording import shown
from contract.work.training import SIGNATURE, ComparedFigures, Gate
from trainer.report.evidence import ComparisonOutcome, Leak, VersionComparison

ROUNDING = 1e-9

Metrics = Mapping[str, float]


def objection(
    gate: Gate, metrics: Metrics, comparison: VersionComparison | None, accept: Collection[str] = ()
) -> str | None:
    """Return why a version with `metrics` is not promoted, or None. `comparison` is None without a version to
    replace.

    Callers of the other version must not have to change anything, unless `accept` has SIGNATURE. If the two versions
    can be compared, the new one must be better than always giving the same answer and not significantly worse than the
    other one. A `floor` replaces the first condition, a `margin` the second.
    """
    alone = _cannot_apply(gate, metrics) or _below_floor(gate, metrics)
    if comparison is None:
        return alone
    baseline = _below_baseline(metrics, comparison) if gate.floor is None else None
    figures = alone or baseline or _not_compared(gate, comparison) or _worse(gate, metrics, comparison)
    return "; ".join(filter(None, (_breaks_callers(comparison, accept), figures))) or None


def _breaks_callers(comparison: VersionComparison, accept: Collection[str]) -> str | None:
    if not comparison.changes or SIGNATURE in accept:
        return None
    return (
        f"callers of version {comparison.version} have to change something: {some(comparison.changes)}"
        f' ("accept": ["{SIGNATURE}"] or --accept-{SIGNATURE} promotes such a version)'
    )


def _worse(gate: Gate, metrics: Metrics, comparison: VersionComparison) -> str | None:
    """Return the objection that the version is worse than the one that it would replace."""
    if gate.margin is not None:
        return _beyond_margin(gate.margin, _metric(gate, metrics), comparison)
    if comparison.outcome is not ComparisonOutcome.WORSE:
        return None
    return (
        f"it is significantly worse than version {comparison.version}"
        f" (p = {comparison.p_worse:.2g}): {_figures(comparison)}"
    )


def compared(
    gate: Gate, metrics: Metrics, comparison: VersionComparison | None, accept: Collection[str] = ()
) -> ComparedFigures | None:
    """Return the one figure of both versions that tells most about the gate's decision; None if they have none in
    common."""
    if comparison is None or comparison.metrics is None or comparison.previous is None or unknown(gate, comparison):
        return None
    now, before = comparison.metrics, comparison.previous
    refused = objection(gate, metrics, comparison, accept)
    decisive = refused is not None and refused == _worse(gate, metrics, comparison)
    name = _metric(gate, metrics) if gate.margin is not None else next(iter(metrics), "")
    if name not in now or name not in before:
        return None
    metric, value, other = name, now[name], before[name]
    better, worse = (value, other) if comparison.outcome is ComparisonOutcome.BETTER else (other, value)
    if gate.margin is None and comparison.outcome is not ComparisonOutcome.SAME and not is_better(name, better, worse):
        # The first metric can say the opposite of what the test compares.
        if comparison.loss_now is None or comparison.loss_before is None:
            return None
        metric, value, other = comparison.loss, comparison.loss_now, comparison.loss_before
    return ComparedFigures(comparison.version, comparison.rows, metric.replace(" ", "_"), value, other, decisive)


def verdict(
    metrics: Metrics, comparison: VersionComparison | None, leaks: Sequence[Leak] = (), *, doubted: bool = False
) -> str:
    """Return a sentence that compares a version with the one that it would replace, or with the baseline; and a
    question if a column may leak the target, or if the metrics are `doubted`."""
    if leaks:
        question = (
            f" Nearly all of that comes from {' and '.join(map(shown, leaks[0].columns))}: is it known beforehand?"
        )
        return verdict(metrics, comparison) + question
    if doubted:
        return verdict(metrics, comparison) + " That is nearly perfect: is every input known beforehand?"
    if comparison is None or comparison.outcome is None:
        reason = f"Cannot be compared with version {comparison.version}: {comparison.missing}. " if comparison else ""
        return reason + beside_baseline(metrics)
    chance = comparison.p_better if comparison.outcome is ComparisonOutcome.BETTER else comparison.p_worse
    how = {
        ComparisonOutcome.BETTER: f"Better than version {comparison.version}",
        ComparisonOutcome.WORSE: f"Worse than version {comparison.version}",
        ComparisonOutcome.SAME: f"No significant difference from version {comparison.version}",
    }[comparison.outcome]
    useless = _below_baseline(metrics, comparison)
    first = f"{useless[0].upper()}{useless[1:]}. " if useless else ""
    return f"{first}{how}: {_figures(comparison)} (p = {chance:.2g})."


def beside_baseline(metrics: Metrics) -> str:
    """Return a sentence with the headline metric and its baseline."""
    name = next(iter(metrics), None)
    if name is None:
        return "Nothing was measured."
    figures = f"{words(name.removeprefix(TRAINING)).capitalize()} {_figure(metrics[name])}"
    if name.startswith(TRAINING):
        return f"{figures} on the rows it was trained on; other rows were not tested."
    baseline = metrics.get(baseline_of(name))
    return f"{figures} on held-out rows" + (
        "." if baseline is None else f"; always giving the same answer would score {_figure(baseline)}."
    )


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"


def words(name: str) -> str:
    """Return a metric's name as words, such as `log loss`."""
    return "R²" if name == "r2" else name.replace("_", " ")


def _cannot_apply(gate: Gate, metrics: Metrics) -> str | None:
    """Return an objection if the metric of the gate is missing, or not of held-out rows."""
    if replace(gate, require_comparison=False, experiment=None) == Gate():
        return None
    name = _metric(gate, metrics)
    if name not in metrics:
        return f"the gate needs {name}, but the version has only {', '.join(metrics) or 'no metrics'}"
    if name.startswith(TRAINING):
        return f"the gate needs held-out rows, but the recipe holds none out: {name} was measured on the training rows"
    return None


def _below_floor(gate: Gate, metrics: Metrics) -> str | None:
    name, floor = _metric(gate, metrics), gate.floor
    if floor is None:
        return None
    value, lower = metrics[name], lower_is_better(name)
    if value <= floor if lower else value >= floor:
        return None
    return f"{name} is {value:.4g}, but the gate requires at {'most' if lower else 'least'} {floor:.4g}"


def _below_baseline(metrics: Metrics, comparison: VersionComparison) -> str | None:
    """Return an objection if the version is no better than always giving the same answer."""
    if comparison.outcome is None and not comparison.one_answer:
        return None
    missed = missed_baselines(metrics)
    figures = " and ".join(
        f"{words(name)} is {metrics[name]:.4g} against {other:.4g}" for name, other in missed.items()
    )
    return f"it is no better than always giving the same answer: {figures}" if missed else None


def _not_compared(gate: Gate, comparison: VersionComparison) -> str | None:
    if not gate.require_comparison or comparison.outcome is not None:
        return None
    return (
        f"it cannot be compared with version {comparison.version}: {comparison.missing}; the gate requires a comparison"
    )


def unknown(gate: Gate, comparison: VersionComparison) -> bool:
    """Return whether nothing says which version is better: neither the test nor, on few rows, a margin."""
    return comparison.outcome is None and (gate.margin is None or comparison.previous is None)


def _figures(comparison: VersionComparison) -> str:
    new_to = f"version {comparison.version}" if comparison.sample else "both"
    return (
        f"{comparison.loss} {_figure(comparison.loss_now)} against {_figure(comparison.loss_before)} on"
        f" {comparison.rows:,} {'sample' if comparison.sample else 'held-out'} rows that are new to {new_to}"
    )


def _beyond_margin(margin: float, name: str, comparison: VersionComparison) -> str | None:
    version = f"version {comparison.version}"
    now, before = (figures.get(name) for figures in (comparison.metrics or {}, comparison.previous or {}))
    if now is None or before is None:
        why = f"it has no {name}" if comparison.previous else comparison.missing
        return f"{version} cannot be compared on the held-out rows: {why}; promote the new one by hand if it is right"
    worse = now - before if lower_is_better(name) else before - now
    if worse <= margin + ROUNDING:
        return None
    return (
        f"{name} is {now:.4g}, and {version} has {before:.4g} on the same held-out rows: worse by {worse:.4g} on"
        f" {comparison.rows:,} rows that are new to both; the gate allows {margin:.4g}"
    )


def _metric(gate: Gate, metrics: Metrics) -> str:
    return gate.metric or next(iter(metrics), "a metric")
