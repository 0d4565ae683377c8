"""The gate: decides whether a new version gets its alias."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from contract.model.signature_changes import some
from contract.model.version_metrics import TRAINING, is_better, lower_is_better
from contract.work.training import SIGNATURE, ComparedFigures, Gate
from trainer.report.evidence import ComparisonOutcome, VersionComparison
from trainer.training.verdict import figures, no_better

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
        f" (p = {comparison.p_worse:.2g}): {figures(comparison)}"
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
    useless = no_better(metrics)
    return f"it is {useless}" if useless else None


def _not_compared(gate: Gate, comparison: VersionComparison) -> str | None:
    if not gate.require_comparison or comparison.outcome is not None:
        return None
    return (
        f"it cannot be compared with version {comparison.version}: {comparison.missing}; the gate requires a comparison"
    )


def unknown(gate: Gate, comparison: VersionComparison) -> bool:
    """Return whether nothing says which version is better: neither the test nor, on few rows, a margin."""
    return comparison.outcome is None and (gate.margin is None or comparison.previous is None)


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
