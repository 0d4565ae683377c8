"""Tries an estimator with rows, and drafts the manifest under which it predicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from contract.errors import ModelgateError
from contract.model.manifest import ArtifactDraft, ArtifactFormat, Golden, ManifestDraft, Remark, TrainingData
from contract.model.signature import Output, OutputKind, RowFormat, Signature
from contract.row import Row
from scoring.kernels import compared
from scoring.predict import Prediction, predict
from trainer.importing.contents.file_contents import FileContents
from trainer.importing.inputs.number_types import as_requested, choose_integers, may_matter, with_float32, with_integers
from trainer.importing.inputs.outputs import DoesNotPredict, with_methods
from trainer.importing.inputs.sample import Sample
from trainer.importing.trial.nulls import choose_nulls, with_nulls_that_work
from trainer.importing.trial.readings import GOLDEN_ROWS, Reading, readings
from trainer.publishing.verify import difference

GOLDEN_NUMBERS = 20_000
"""Most numbers in the answers to golden rows, if that leaves two rows: every process that uses the manifest reads them.
"""


def try_model(
    name: str, contents: FileContents, sample: Sample | None, artifact_format: ArtifactFormat
) -> ManifestDraft:
    """Return the draft of a manifest, with golden rows that the estimator has predicted.

    Raises `Refused`, `DoesNotPredict` with the estimator's own exception, `NoProbabilities` and `MemoryError`.
    """
    estimator = contents.estimator
    failures: list[DoesNotPredict] = []
    integers_matter = may_matter(estimator)
    for reading in readings(contents, sample):
        draft = _draft(name, reading, artifact_format)
        draft = with_integers(draft, ()) if integers_matter else draft
        rows = as_requested(draft, reading.rows)
        nulls = choose_nulls(estimator, draft, rows, reading.nulls, reading.doubtful)
        draft, rows = nulls.draft, nulls.rows
        try:
            draft = with_float32(estimator, draft, rows)
            draft, of_output = with_methods(estimator, rows, draft)
            draft, of_numbers = choose_integers(
                estimator, draft, rows, reading.doubtful, reading.shown, sample is not None
            )
            rows = as_requested(draft, rows)[:GOLDEN_ROWS]
            draft = with_nulls_that_work(estimator, draft, rows, nulls.refused)
            remarks = [*map(Remark, contents.warnings), *of_output, *of_numbers, *nulls.remarks, *reading.remarks]
            return _with_answers(estimator, draft, rows, remarks)
        except DoesNotPredict as error:
            failures.append(error)
    raise failures[0]


def _draft(name: str, reading: Reading, artifact_format: ArtifactFormat) -> ManifestDraft:
    return ManifestDraft(
        name=name,
        recipe="",
        artifact=ArtifactDraft(artifact_format, reading.input_format),
        signature=Signature(tuple(reading.fields), (Output(OutputKind.NUMBER),), format=reading.format),
        training_data=TrainingData("", 0, ""),
    )


def _with_answers(
    estimator: Any, draft: ManifestDraft, rows: Sequence[Row], remarks: Sequence[Remark]
) -> ManifestDraft:
    row = next((row for row in rows if None not in row), rows[0])
    is_record = draft.signature.format is RowFormat.RECORDS
    answered = dataclasses.replace(
        draft,
        example=row[0] if is_record else dict(zip(draft.signature.names, row, strict=True)),
        golden=_golden(rows, _predict(estimator, draft, rows)),
        remarks=tuple(remarks),
    )
    answered = compared(answered, estimator)
    # A worker scores rows of several requests together, or one row alone.
    otherwise = difference(_first_row(answered.golden), _predict(estimator, draft, rows[:1]))
    if otherwise is None:
        return answered
    remark = Remark("its answer to a row depends on the other rows of the batch, and Modelgate scores rows together")
    return dataclasses.replace(answered, remarks=(*answered.remarks, remark))


def _golden(rows: Sequence[Row], answer: Prediction) -> Golden:
    first = answer.values[0]
    kept = max(2, GOLDEN_NUMBERS // max(1, len(first) if isinstance(first, Mapping | list) else 1))
    probabilities = None if answer.probabilities is None else tuple(answer.probabilities[:kept])
    return Golden(tuple(tuple(row) for row in rows[:kept]), tuple(answer.values[:kept]), probabilities)


def _first_row(golden: Golden) -> Golden:
    return Golden(golden.rows[:1], golden.predictions[:1], golden.probabilities and golden.probabilities[:1])


def _predict(estimator: Any, draft: ManifestDraft, rows: Sequence[Row]) -> Prediction:
    try:
        return predict(estimator, draft, rows)
    except ModelgateError as error:
        raise DoesNotPredict(error.__cause__ if isinstance(error.__cause__, Exception) else error) from error
