"""How often the interval of an estimated metric covers the metric that the true labels show."""

from __future__ import annotations

import numpy as np

from bench.drift_worlds import Floats
from observer.estimated import EstimatedMetric, estimated_accuracy, estimated_roc_auc

WORLDS = {
    "unchanged": (0.0, 1.0, 1.0),
    "inputs move by 1 sd": (1.0, 1.0, 1.0),
    "inputs move by 2 sd": (2.0, 1.0, 1.0),
    "model overconfident": (0.0, 1.0, 1.5),
    "the same, inputs move by 1 sd": (1.0, 1.0, 1.5),
    "concept drift: effects halve": (0.0, 0.5, 1.0),
}
"""By world: what the input moves by, the factor of the true log odds after training, and that of the model's."""


def table(runs: int, seed: int) -> str:
    """Return the share of covered windows of 1,000 rows for each world."""
    lines = [
        f"\n(c) windows of 1,000 rows whose interval (95 %) covers the true metric, of {runs}",
        f"{'world':<32}{'accuracy':>9}{'with ECE':>10}{'ROC AUC':>9}{'with ECE':>10}{'true acc.':>11}{'estimate':>10}",
    ]
    for number, (name, world) in enumerate(WORLDS.items()):
        covered, true, estimated = coverage(world, runs, np.random.default_rng([seed, number]))
        cells = f"{covered[0]:>9}{covered[1]:>10}{covered[2]:>9}{covered[3]:>10}"
        lines.append(f"{name:<32}{cells}{true:>11.3f}{estimated:>10.3f}")
    return "\n".join(lines)


def coverage(
    world: tuple[float, float, float], runs: int, rng: np.random.Generator, rows: int = 1_000
) -> tuple[list[int], float, float]:
    """Return the covered windows of accuracy and of ROC AUC, each without and with the calibration error; the mean true
    accuracy; and its mean estimate."""
    moved, effect, confidence = world
    covered = np.zeros(4, np.int64)
    true, estimated = [], []
    for _ in range(runs):
        probability, label = _window(0.0, 1.0, confidence, 5_000, rng)
        error = calibration_error(probability, label)
        probability, label = _window(moved, effect, confidence, rows, rng)
        right = np.maximum(probability, 1 - probability)
        accuracy, area = float(((probability >= 0.5) == label).mean()), _roc_auc(probability, label)
        estimates = [
            (estimated_accuracy(right), accuracy),
            (estimated_accuracy(right, calibration_error=error), accuracy),
            (estimated_roc_auc(probability), area),
            (estimated_roc_auc(probability, calibration_error=error), area),
        ]
        covered += [_covers(estimate, truth) for estimate, truth in estimates]
        true.append(accuracy)
        estimated.append(float(right.mean()))
    return covered.tolist(), float(np.mean(true)), float(np.mean(estimated))


def calibration_error(probability: Floats, label: Floats, bins: int = 10) -> float:
    """Return the expected calibration error: the mean difference of probability and share over equally large bins."""
    parts = np.array_split(np.argsort(probability), bins)
    return float(sum(abs((probability[part] - label[part]).sum()) for part in parts) / len(label))


def _window(
    moved: float, effect: float, confidence: float, rows: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    log_odds = 1.5 * (rng.standard_normal(rows) + moved) - 0.5
    label = (rng.random(rows) < 1 / (1 + np.exp(-effect * log_odds))).astype(np.float64)
    return 1 / (1 + np.exp(-confidence * log_odds)), label


def _roc_auc(probability: Floats, label: Floats) -> float:
    """Return the area of scores without ties, from the ranks of the positive rows (Mann & Whitney 1947)."""
    ranks = np.argsort(np.argsort(probability)) + 1
    positives = label.sum()
    return float((ranks[label == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(label) - positives)))


def _covers(estimate: EstimatedMetric | None, truth: float) -> bool:
    return estimate is not None and estimate.low <= truth <= estimate.high
