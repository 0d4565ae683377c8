"""Findings about a trained model before it is published: its verdict, its comparison, its leaks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from contract.errors import ModelgateError
from contract.manifest import ModelManifest, OutputKind
from contract.repository import Repository
from contract.training import TrainingRequest
from contract.wording import shown
from scoring.estimators import predict_matrix
from scoring.matrix import take_rows
from scoring.trust import Trust
from trainer.recipe import Run
from trainer.report.evidence import Comparison, Evidence, Thresholds
from trainer.tables.balance import out_of_balance
from trainer.tables.data import TrainingRows
from trainer.training.comparison import compare
from trainer.training.gate import objection, verdict
from trainer.training.leakage import doubt, leaks
from trainer.training.learning import Learnt
from trainer.training.thresholds import thresholds


def findings(
    learnt: Learnt, data: TrainingRows, run: Run, request: TrainingRequest, models: Path, trust: Trust
) -> Evidence:
    """Gather the evidence for a report. Logs each remark, and the verdict if there is a version to compare with."""
    output, inputs = learnt.manifest.signature.output, learnt.manifest.signature.inputs
    classes = output.kind is OutputKind.CLASS
    y = learnt.y[learnt.tested_on]
    more: dict[str, Any] = {"leaks": leaks(data.rows, learnt.y, inputs, run.target.name, classes)}
    if classes:
        predicted, table = predict_matrix(learnt.estimator, take_rows(learnt.X, learnt.tested_on), output.probabilities)
        more["thresholds"] = thresholds(y, predicted, table, output, run.out_of_fold)
        learnt = _with_threshold(learnt, more["thresholds"], run)
    metrics = learnt.manifest.metrics
    for leak in more["leaks"]:
        run.remark(leak.sentence)
    question = doubt(metrics, len(y)) if learnt.held_out else None
    if question:
        run.remark(question)
    previous, comparison = _compared(learnt, data, request.alias, models, trust)
    said = verdict(metrics, comparison, more["leaks"], doubted=question is not None)
    if comparison:
        run.say(said)
    return learnt.evidence(
        data,
        run,
        headline=next(iter(metrics), ""),
        verdict=said,
        refused=objection(request.gate, metrics, comparison),
        previous=previous,
        comparison=comparison,
        **more,
    )


def _compared(
    learnt: Learnt, data: TrainingRows, alias: str, models: Path, trust: Trust
) -> tuple[ModelManifest | None, Comparison | None]:
    """Return the manifest of the version that has `alias`, if it can be read, and the comparison with it."""
    repository, name = Repository(models), learnt.manifest.name
    version = repository.aliases(name).get(alias)
    if version is None:
        return None, None
    comparison = compare(repository, trust, version, learnt, data)
    try:
        return repository.manifest(name, version), comparison
    except ModelgateError:
        return None, comparison


def _with_threshold(learnt: Learnt, found: Thresholds | None, run: Run) -> Learnt:
    """Add the best threshold for a rare class, as metrics and as a remark."""
    if found is None or found.best is None or not learnt.held_out or not out_of_balance(learnt.y.tolist()):
        return learnt
    best, own = found.best, found.argmax
    by_itself = f"precision {own.precision:.3f}, recall {own.recall:.3f}" if own.found else "which none of them has"
    run.remark(
        f"answers name {shown(found.label)} from a probability of 0.5 on: {by_itself}; from {best.threshold:.3g} on,"
        f" the best F1 of the cross-validation, it is precision {best.precision:.3f}, recall {best.recall:.3f}: compare"
        " `probabilities` with that"
    )
    metrics = {
        **learnt.manifest.metrics,
        "best_threshold": best.threshold,
        "best_threshold_precision": best.precision,
        "best_threshold_recall": best.recall,
    }
    return dataclasses.replace(learnt, manifest=dataclasses.replace(learnt.manifest, metrics=metrics))
