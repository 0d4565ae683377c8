"""The facts of an imported model's report, measured on a sample that has its target."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from modelgate_kernels.matrix import to_matrix

from contract.model.manifest import DataProfile, ManifestDraft
from contract.model.row_profile import profile_of
from contract.model.signature import PREDICT, Field, Kind, Output, OutputKind
from contract.model.version_metrics import baseline_of
from contract.row import Row, Value
from contract.rows.answer_columns import answer_names
from contract.rows.coercion import coerce
from contract.rows.instances import Grid
from contract.rows.values import Conversion, Refusal
from contract.wording import listed, shown
from scoring.estimators import predict_matrix
from scoring.predict import MOST_APART, predict_apart
from trainer.importing.inputs import fitted_inputs as inputs
from trainer.importing.inputs.sample import Sample
from trainer.recipe import Run
from trainer.report.evidence import Level
from trainer.report.facts import gather
from trainer.tables.training_rows import TrainingRows
from trainer.training.fitting import FittedModel, evaluate
from trainer.training.verdict import ClassRecall, Verdict

FEWEST_ROWS = 10
"""Fewest rows with a target for a report."""

log = logging.getLogger(__name__)


def measure_on_sample(
    estimator: Any, draft: ManifestDraft, sample: Sample | None
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the facts of a report, or None without a target in the sample; and warnings about its columns that are not
    inputs. Raises nothing."""
    if sample is None:
        return None, []
    others = [column for column in sample.columns if column not in draft.signature.names]
    try:
        targets = _targets(estimator, draft, sample)
        if len(targets) > 1:
            columns = listed(list(targets))
            why = f"it has no report: {columns} of the sample could each be what it predicts; leave one in it"
            return None, [*_ignored([column for column in others if column not in targets]), why]
        if targets:
            target, values = targets.popitem()
            facts = _facts(estimator, draft, sample, target, values)
            return facts, _ignored([column for column in others if column != target])
    except Exception:
        log.exception("no report is made of the sample")
    return None, _ignored(others)


def rows_of_sample(draft: ManifestDraft, sample: Sample | None) -> Sequence[Row]:
    """Return the rows of the sample as the version takes them; none without a sample. Raises nothing."""
    if sample is None:
        return ()
    try:
        return coerce(Grid(sample.columns, sample.rows), draft.signature, lenient=True).rows
    except Exception:
        log.exception("the rows of the sample are not kept")
    return ()


def profile_of_sample(estimator: Any, draft: ManifestDraft, rows: Sequence[Row]) -> DataProfile | None:
    """Return the profile of these rows and of the answers to them; None without any. Raises nothing."""
    if not rows:
        return None
    try:
        answers = predict_apart(estimator, draft, rows) if draft.signature.outputs else ()
        return profile_of(draft.signature, rows, answers, sample=True)
    except Exception:
        log.exception("no profile is made of the sample")
    return None


def _ignored(columns: Sequence[str]) -> list[str]:
    return [f"the sample: ignored columns that are not inputs of the model: {listed(columns)}"] if columns else []


def _targets(estimator: Any, draft: ManifestDraft, sample: Sample) -> dict[str, list[Value]]:
    """Return the columns that are neither inputs nor answers and hold what a model of one output predicts: the values
    of each, None for null."""
    if len(draft.signature.outputs) != 1:
        return {}
    answers = answer_names(draft.signature, PREDICT.name, draft.signature.names)
    known = {*draft.signature.names, *(inputs.names(estimator) or ()), *answers}
    targets = {}
    for column in [sample.target] if sample.target in sample.columns else sample.columns:
        values = None if column in known else _predicted(draft.signature.output, sample.cells(column))
        if values and sum(value is not None for value in values) >= FEWEST_ROWS:
            targets[column] = values
    return targets


def _predicted(output: Output, cells: Sequence[str | None]) -> list[Value] | None:
    """Return the cells as labels or numbers; None if one is neither."""
    if output.kind is OutputKind.NUMBER:
        values = Conversion.of_kind(Kind.NUMBER).convert_each(list(cells))
        numbers = [value for value in values if not isinstance(value, Refusal)]
        return numbers if len(numbers) == len(values) else None
    labels = {_spelled(label): label for label in output.labels or ()}
    spelled = [None if cell is None else _spelled(cell) for cell in cells]
    return None if {*spelled} - {*labels, None} else [None if word is None else labels[word] for word in spelled]


def _spelled(label: object) -> str:
    """Return a canonical spelling: the same for 1, 1.0, "1" and "1.0", and for true and True."""
    text = str(label)
    try:
        return repr(float(text))
    except ValueError:
        return text.lower() if text.lower() in ("true", "false") else text


def tested_rows(estimator: Any, draft: ManifestDraft, sample: Sample) -> tuple[FittedModel, TrainingRows] | None:
    """Return the estimator, measured on the rows of the sample that have a target, and these rows; None without one
    target in the sample."""
    targets = _targets(estimator, draft, sample)
    return _tested(estimator, draft, sample, *targets.values()) if len(targets) == 1 else None


def _tested(
    estimator: Any, draft: ManifestDraft, sample: Sample, values: Sequence[Value]
) -> tuple[FittedModel, TrainingRows]:
    signature = draft.signature
    needed = [field.name for field in signature.inputs if field.name in sample.columns and not field.nullable]
    cells = zip(values, *map(sample.cells, needed), strict=True)
    known = [number for number, row in enumerate(cells) if None not in row]
    known = known[:MOST_APART] if draft.artifact.alone else known
    rows = coerce(Grid(sample.columns, [sample.rows[index] for index in known]), signature).rows
    targets = [values[index] for index in known]
    artifact = draft.artifact
    X, y = to_matrix(rows, signature.inputs, artifact.input_format, artifact.input_dtype), np.array(targets)
    draft = dataclasses.replace(draft, metrics=evaluate(estimator, X, y, draft, held_out=True))
    positions = np.arange(len(rows))
    fitted = FittedModel(estimator, draft, X, y, positions[:0], positions, held_out=False, seconds=0.0, sample=True)
    return fitted, TrainingRows("", rows, targets, None, "")


def _facts(
    estimator: Any, draft: ManifestDraft, sample: Sample, target: str, values: Sequence[Value]
) -> dict[str, Any]:
    fitted, data = _tested(estimator, draft, sample, values)
    metrics = fitted.draft.metrics
    run = Run(draft.signature.inputs, Field(target, Kind.STRING))
    points = [(Level.GOOD, _measured(metrics, len(data.rows), target))]
    predicted, _ = predict_matrix(estimator, fitted.X, draft)
    if recall := ClassRecall.of(fitted.y, predicted, draft.signature.output, fitted.y, target):
        points.insert(0, (recall.level, recall.sentence("sample row")))
    said = Verdict.of(points)
    return gather(fitted.evidence(data, run, headline=next(iter(metrics), ""), verdict=said.text, level=said.level))


def _measured(metrics: Mapping[str, float], rows: int, target: str) -> str:
    name = next(iter(metrics), None)
    if name is None:
        return ""
    score = f"{'R²' if name == 'r2' else name.replace('_', ' ').capitalize()} {metrics[name]:.4g}"
    baseline = metrics.get(baseline_of(name))
    beside = "" if baseline is None else f"; always giving the same answer would score {baseline:.4g}"
    return f"{score} on the {rows:,} rows of its sample with the target {shown(target)}{beside}."
