"""Assesses a fitted model before it is published: leaks, the best threshold, comparison with the current version,
verdict, gate."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve

from contract.errors import ModelgateError
from contract.model.manifest import ModelManifest
from contract.model.signature import Output, OutputKind
from contract.model.signature_changes import signature_changes
from contract.model.version_metrics import data_look_wrong
from contract.row import Value
from contract.wording import shown
from contract.work.training import TrainingRequest
from scoring.estimators import predict_matrix
from trainer.recipe import OutOfFold, Run
from trainer.report.evidence import Evidence, Level, OperatingPoint, Thresholds, VersionComparison
from trainer.tables.balance import out_of_balance, rarest
from trainer.tables.training_rows import TrainingRows, take_rows
from trainer.training.comparison import PublishedVersions, compare
from trainer.training.fitting import FittedModel
from trainer.training.gate import objection, unknown
from trainer.training.leakage import leaks, question
from trainer.training.verdict import ClassRecall, verdict


def assess(
    fitted: FittedModel, data: TrainingRows, run: Run, request: TrainingRequest, versions: PublishedVersions
) -> Evidence:
    """Return the evidence for a report. Logs each remark, and the verdict if there is a version to compare with
    or if it is not good."""
    output, inputs = fitted.draft.signature.output, fitted.draft.signature.inputs
    classes = output.kind is OutputKind.CLASS
    y = fitted.y[fitted.tested_on]
    more: dict[str, Any] = {"leaks": leaks(data.rows, fitted.y, inputs, run.target.name, classes)}
    recall = None
    if classes:
        predicted, table = predict_matrix(fitted.estimator, take_rows(fitted.X, fitted.tested_on), fitted.draft)
        more["thresholds"] = thresholds(y, predicted, table, output, run.out_of_fold)
        recall = ClassRecall.of(y, predicted, output, fitted.y, run.target.name)
        fitted = _with_threshold(fitted, more["thresholds"], run)
    metrics = fitted.draft.metrics
    for leak in more["leaks"]:
        run.remark(leak.sentence)
    doubt = question(metrics, len(y)) if fitted.held_out else None
    if doubt:
        run.remark(doubt)
    previous, comparison = _compared(fitted, data, run, request.alias, versions)
    wrong = _data_look_wrong(comparison)
    summary = verdict(metrics, comparison, more["leaks"], doubted=doubt is not None, recall=recall, wrong=wrong)
    refused = objection(request.gate, metrics, comparison, request.accept)
    if wrong:
        run.remark(wrong)
        refused = refused or (wrong if request.gate.floor is None else None)
    if comparison and refused is None and unknown(request.gate, comparison):
        run.remark(f"not compared with version {comparison.version}: {comparison.missing}")
    if comparison or summary.level is not Level.GOOD:
        run.say(summary.text)
    return fitted.evidence(
        data,
        run,
        headline=next(iter(metrics), ""),
        verdict=summary.text,
        level=summary.level,
        refused=refused,
        previous=previous,
        comparison=comparison,
        **more,
    )


def _compared(
    fitted: FittedModel, data: TrainingRows, run: Run, alias: str, versions: PublishedVersions
) -> tuple[ModelManifest | None, VersionComparison | None]:
    """Return the manifest of the version that has `alias`, if it can be read, and the comparison with it."""
    name = fitted.draft.name
    version = versions.repository.aliases(name).get(alias)
    if version is None:
        return None, None
    comparison = compare(versions, version, fitted, data)
    try:
        previous = versions.repository.manifest(name, version)
    except ModelgateError:
        return None, comparison
    changes = signature_changes(previous.signature, fitted.draft.signature)
    # A recipe that compares estimators promises what all of them have, and another one may be the best each time.
    for change in changes.methods:
        run.remark(f"{change}; callers of version {version} that use it have to change that")
    return previous, dataclasses.replace(comparison, changes=[*changes.requests, *changes.answers, *changes.decisions])


def _data_look_wrong(comparison: VersionComparison | None) -> str | None:
    """Return a sentence if neither version has learnt anything that holds for the rows on which they are compared."""
    if comparison is None or comparison.outcome is None:
        return None
    return data_look_wrong(comparison.metrics or {}, comparison.previous or {}, comparison.rows)


def _with_threshold(fitted: FittedModel, thresholds: Thresholds | None, run: Run) -> FittedModel:
    """Add the best threshold for a rare class, as metrics and as a remark."""
    if thresholds is None or thresholds.best is None or not fitted.held_out or not out_of_balance(fitted.y.tolist()):
        return fitted
    best, by_argmax = thresholds.best, thresholds.argmax
    by_itself = (
        f"precision {by_argmax.precision:.3f}, recall {by_argmax.recall:.3f}"
        if by_argmax.flagged
        else "which no test row reaches"
    )
    if not fitted.draft.signature.output.decision:
        run.remark(
            f"the model predicts {shown(thresholds.label)} from a probability of 0.5 on: {by_itself}. With the"
            f" threshold {best.threshold:.3g}, the best F1 of the cross-validation, it is precision"
            f" {best.precision:.3f}, recall {best.recall:.3f}: make it the decision of a new version"
        )
    metrics = {
        **fitted.draft.metrics,
        "best_threshold": best.threshold,
        "best_threshold_precision": best.precision,
        "best_threshold_recall": best.recall,
    }
    return dataclasses.replace(fitted, draft=dataclasses.replace(fitted.draft, metrics=metrics))


# The best threshold for predicting a rare class


def thresholds(y: Any, predicted: Any, table: Any, output: Output, out_of_fold: OutOfFold | None) -> Thresholds | None:
    """Return the thresholds of a model of two classes with probabilities, measured on rows with the targets `y`.

    None for other models.
    """
    labels = list(output.labels or ())
    if table is None or len(labels) != 2 or not np.isfinite(table).all():
        return None
    label = rarest(y.tolist())[0] if len(set(y.tolist())) == 2 else labels[-1]
    positive, probabilities = y == label, table[:, labels.index(label)]
    best = None if out_of_fold is None else _best(out_of_fold, label)
    return Thresholds(
        label,
        _point(positive, predicted == label, 0.5),
        None if best is None else _point(positive, probabilities >= best, best),
    )


def _best(answers: OutOfFold, label: Value) -> float | None:
    """Return the threshold with the highest F1 on the out-of-fold probabilities."""
    positive = np.asarray(answers.targets) == label
    if not positive.any() or label not in list(answers.labels):
        return None
    precision, recall, at = precision_recall_curve(positive, answers.table[:, list(answers.labels).index(label)])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    chosen = int(f1[:-1].argmax())
    return float(at[chosen] + at[max(0, chosen - 1)]) / 2  # halfway to the next lower probability


def _point(positive: Any, answered: Any, threshold: float) -> OperatingPoint:
    right, flagged = int((positive & answered).sum()), int(answered.sum())
    precision, recall = right / flagged if flagged else 1.0, right / max(1, int(positive.sum()))
    return OperatingPoint(threshold, precision, recall, flagged)
