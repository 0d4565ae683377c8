"""The metrics of a version: which values are better, and which of them always giving the same answer would reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

TRAINING, BASELINE, CROSS_VALIDATED = "training_", "baseline_", "cv_"
"""How the names of metrics begin that were measured on the training rows, of always giving the same answer, and in
cross-validation."""

_LOWER = frozenset({"error", "loss", "brier", "mae", "rmse", "mse", "spread"})


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
    own = [name for name in names if not name.removeprefix(TRAINING).startswith((BASELINE, CROSS_VALIDATED))]
    return sorted(own, key=lambda name: name != headline)


def missed_baselines(metrics: Mapping[str, float]) -> Mapping[str, float]:
    """Return the baselines of the headline metric and of the log loss if the version is better in neither of them; none
    if it is better than always giving the same answer, or if that was not measured.

    One of the two is enough: a model may know much about a rare class and never predict it.
    """
    known = {"r2": 0.0} | {name: metrics[baseline_of(name)] for name in metrics if baseline_of(name) in metrics}
    asked = {name: known[name] for name in (next(iter(metrics), ""), "log_loss") if name in metrics and name in known}
    return {} if any(is_better(name, metrics[name], other) for name, other in asked.items()) else asked
