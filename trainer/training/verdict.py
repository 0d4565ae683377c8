"""The verdict on a version: sentences of which the first says what matters most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.model.signature import Output
from contract.model.version_metrics import TRAINING, baseline_of, missed_baselines
from contract.row import Value
from contract.wording import counted, metric_in_words, shown
from trainer.report.evidence import ComparisonOutcome, Leak, Level, VersionComparison
from trainer.tables.balance import out_of_balance, rarest

Metrics = Mapping[str, float]

FEWEST_OF_CLASS = 10
"""Of more than two classes, one with fewer tested rows may be found worst by chance."""


@dataclass(frozen=True)
class ClassRecall:
    """How many rows of a class a classifier finds: of `rows` tested ones where `target` is `label`, it finds `right`,
    and answers `label` to `flagged` rows. `threshold`: the probability from which on it does, if that is its decision.
    `classes`: how many it tells apart."""

    target: str
    label: Value
    rows: int
    flagged: int
    right: int
    threshold: float | None = None
    classes: int = 2

    @classmethod
    def of(cls, y: Any, predicted: Any, output: Output, targets: Any, target: str) -> ClassRecall | None:
        """Return how `predicted` answers rows with the targets `y` that are of the class that matters most: of two the
        one that is rare among the `targets` of all rows, of more the one that it finds worst. None if no class is rare,
        if that does not occur in `y`, or if the worst one is found in half of its rows."""
        values, decision = targets.tolist(), output.decision
        classes = len(output.labels or ())

        def of_class(label: Value) -> ClassRecall:
            positive, flagged = y == label, predicted == label
            threshold = decision.threshold if decision and decision.label == label else None
            counts = int(positive.sum()), int(flagged.sum()), int((positive & flagged).sum())
            return cls(target, label, *counts, threshold, classes)

        if classes > 2:
            known = [each for each in map(of_class, output.labels or ()) if each.rows >= FEWEST_OF_CLASS]
            worst = min(known, key=lambda each: (each.right / each.rows, -each.rows), default=None)
            return worst if worst and worst.level is not Level.GOOD else None
        if classes != 2 or len(set(values)) != 2 or not out_of_balance(values):
            return None
        rare = of_class(rarest(values)[0])
        return rare if rare.rows else None

    @property
    def level(self) -> Level:
        """Of many classes, one that is never found is no reason to throw the others away."""
        if not self.right and self.classes == 2:
            return Level.BAD
        return Level.WARN if 2 * self.right < self.rows else Level.GOOD

    def sentence(self, where: str = "held-out row") -> str:
        how_many = str(self.right) if self.right else "none"
        rows = f"the {counted(self.rows, where)} where {self.target} is {shown(self.label)}"
        if self.classes > 2:
            return f"Finds {how_many} of {rows}, the worst of {self.classes} classes."
        decision = "" if self.threshold is None else f" from a probability of {self.threshold:g} on"
        alarms = f"; {how_many} of its {self.flagged:,} alarms are right" if self.flagged > 1 else ""
        alarms = f"; its only alarm is {'right' if self.right else 'wrong'}" if self.flagged == 1 else alarms
        return f"Finds {how_many} of {rows}{decision}{alarms}."


@dataclass(frozen=True)
class Verdict:
    """What matters most of a version comes first; the `level` is that of the first sentence."""

    text: str
    level: Level

    @classmethod
    def of(cls, points: Sequence[tuple[Level, str]]) -> Verdict:
        """Return the verdict of these sentences: the bad ones first, else in their order."""
        ordered = sorted(points, key=lambda point: list(Level).index(point[0]))
        return cls(" ".join(sentence for _, sentence in ordered if sentence), ordered[0][0] if ordered else Level.GOOD)


def verdict(
    metrics: Metrics,
    comparison: VersionComparison | None,
    leaks: Sequence[Leak] = (),
    *,
    doubted: bool = False,
    recall: ClassRecall | None = None,
    wrong: str | None = None,
) -> Verdict:
    """Return how good a version is, beside the one that it would replace or the baseline. `wrong` says why the data
    look wrong; a column may leak the target; `doubted`: the metrics are nearly perfect."""
    points: list[tuple[Level, str]] = []
    if wrong:
        points.append((Level.BAD, f"{wrong[0].upper()}{wrong[1:]}."))
    if recall:
        points.append((recall.level, recall.sentence()))
    useless = no_better(metrics)
    if useless:
        points.append((Level.BAD, f"It is {useless}."))
    if leaks:
        columns = " and ".join(map(shown, leaks[0].columns))
        points.append((Level.WARN, f"Too good to be true? Nearly all comes from {columns}: is it known beforehand?"))
    elif doubted:
        points.append((Level.WARN, "Nearly perfect: is every input known beforehand?"))
    if comparison and comparison.outcome is not None:
        level = Level.BAD if comparison.outcome is ComparisonOutcome.WORSE else Level.GOOD
        return Verdict.of([*points, (level, compared_in_words(comparison, comparison.outcome))])
    if comparison:
        points.append((Level.GOOD, f"Cannot be compared with version {comparison.version}: {comparison.missing}."))
    return Verdict.of(points if useless else [*points, (Level.GOOD, beside_baseline(metrics))])


def compared_in_words(comparison: VersionComparison, outcome: ComparisonOutcome) -> str:
    """Return a sentence with the losses of both versions."""
    chance = comparison.p_better if outcome is ComparisonOutcome.BETTER else comparison.p_worse
    how = {
        ComparisonOutcome.BETTER: f"Better than version {comparison.version}",
        ComparisonOutcome.WORSE: f"Worse than version {comparison.version}",
        ComparisonOutcome.SAME: f"No significant difference from version {comparison.version}",
    }[outcome]
    return f"{how}: {figures(comparison)} (p = {chance:.2g})."


def no_better(metrics: Metrics) -> str | None:
    """Return that a version is no better than always giving the same answer, with the figures; None if it is."""
    missed = missed_baselines(metrics)
    beside = (f"{metric_in_words(name)} is {metrics[name]:.4g} against {missed[name]:.4g}" for name in missed)
    return f"no better than always giving the same answer: {' and '.join(beside)}" if missed else None


def beside_baseline(metrics: Metrics) -> str:
    """Return a sentence with the headline metric and its baseline."""
    name = next(iter(metrics), None)
    if name is None:
        return "Nothing was measured."
    words = metric_in_words(name.removeprefix(TRAINING))
    measured = f"{words[0].upper()}{words[1:]} {_figure(metrics[name])}"
    if name.startswith(TRAINING):
        return f"{measured} on the rows it was trained on; other rows were not tested."
    baseline = metrics.get(baseline_of(name))
    return f"{measured} on held-out rows" + (
        "." if baseline is None else f"; always giving the same answer would score {_figure(baseline)}."
    )


def figures(comparison: VersionComparison) -> str:
    """Return the mean losses of both versions, and on which rows."""
    new_to = f"version {comparison.version}" if comparison.sample else "both"
    return (
        f"{comparison.loss} {_figure(comparison.loss_now)} against {_figure(comparison.loss_before)} on"
        f" {comparison.rows:,} {'sample' if comparison.sample else 'held-out'} rows that are new to {new_to}"
    )


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"
