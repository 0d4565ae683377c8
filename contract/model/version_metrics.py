"""The metrics of a version: which values are better, and which of them always giving the same answer would reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

TRAINING, BASELINE, CROSS_VALIDATED = "training_", "baseline_", "cv_"
"""How the names of metrics begin that were measured on the training rows, of always giving the same answer, and in
cross-validation."""

_LOWER = frozenset({"error", "loss", "brier", "mae", "rmse", "mse", "spread"})
_SHARES = frozenset({"accuracy", "balanced_accuracy"})


def lower_is_better(name: str) -> bool:
    return not _LOWER.isdisjoint(name.lower().split("_"))


def is_better(name: str, value: float, other: float) -> bool:
    return value < other if lower_is_better(name) else value > other


def baseline_of(name: str) -> str:
    """Return the name of the metric that has the baseline of this one: `training_baseline_accuracy`."""
    bare = name.removeprefix(TRAINING)
    return f"{name[: len(name) - len(bare)]}{BASELINE}{bare}"


def headline_first(names: Iterable[str], headline: object) -> list[str]:
    """Return the names without those of baselines and of cross-validation, `headline` first."""
    version_metrics = [
        name for name in names if not name.removeprefix(TRAINING).startswith((BASELINE, CROSS_VALIDATED))
    ]
    return sorted(version_metrics, key=lambda name: name != headline)


def missed_baselines(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the baselines of the headline metric and of the log loss if the version is better in neither of them; none
    if it is better than always giving the same answer, or if that was not measured.

    One of the two is enough: a model may know much about a rare class and never predict it.
    """
    baselines = _baselines(metrics)
    return {} if any(is_better(name, metrics[name], other) for name, other in baselines.items()) else baselines


def data_look_wrong(now: Mapping[str, float], before: Mapping[str, float], rows: int) -> str | None:
    """Return a sentence if two versions are no better than always giving the same answer, None otherwise. `now` and
    `before`: their metrics on the same `rows`."""
    ours, theirs = (missed_baselines(_less_chance(metrics, rows)) for metrics in (now, before))
    name = next((name for name in reversed(ours) if name in theirs), None)
    if name is None:
        return None
    return (
        "the new data look wrong: on them, both versions are no better than always giving the same answer"
        f" ({'R²' if name == 'r2' else name.replace('_', ' ')} {now[name]:.3g} and {before[name]:.3g}, against"
        f" {ours[name]:.3g})"
    )


def _less_chance(metrics: Mapping[str, float], rows: int) -> Mapping[str, float]:
    """Return the metrics with an accuracy that is two standard errors lower, if there is a log loss to decide."""
    if "log_loss" not in metrics:
        return metrics
    return {name: value - rows**-0.5 if name in _SHARES else value for name, value in metrics.items()}


def beats_baselines(metrics: Mapping[str, float]) -> bool:
    """Return whether it was measured that the version is better than always giving the same answer."""
    return bool(_baselines(metrics)) and not missed_baselines(metrics)


def _baselines(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the baselines of the headline metric and of the log loss, as far as they were measured."""
    known = {"r2": 0.0} | {name: metrics[baseline_of(name)] for name in metrics if baseline_of(name) in metrics}
    return {name: known[name] for name in (next(iter(metrics), ""), "log_loss") if name in metrics and name in known}
