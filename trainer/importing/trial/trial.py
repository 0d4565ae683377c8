"""Tries the ways in which an estimator may take rows, and drafts the manifest under which it predicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.errors import InvalidInstances, ModelgateError
from contract.model.manifest import (
    ArtifactDraft,
    ArtifactFormat,
    Golden,
    InputFormat,
    ManifestDraft,
    Remark,
    TrainingData,
)
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from contract.row import Row
from contract.rows.coercion import coerce
from contract.rows.instances import Grid
from scoring.kernels import compared
from scoring.predict import Prediction, predict
from scoring.process_state import ProcessState
from trainer.importing import Refused
from trainer.importing.assumptions import doubt
from trainer.importing.contents.file_contents import FileContents
from trainer.importing.inputs import fitted_inputs as inputs
from trainer.importing.inputs import words
from trainer.importing.inputs.number_types import as_requested, choose_integers, may_matter, with_float32, with_integers
from trainer.importing.inputs.outputs import DoesNotPredict, with_methods
from trainer.importing.inputs.sample import Sample
from trainer.importing.other_libraries import described
from trainer.importing.trial.columns import (
    InputColumn,
    borrowed_columns_remarks,
    column_remarks,
    columns_of,
    sample_remarks,
    sampled_columns_remark,
    text_column,
    unknown_kind_remarks,
    without_target,
)
from trainer.importing.trial.nulls import PossibleNulls, choose_nulls, with_nulls_that_work
from trainer.importing.trial.own_steps import other_guesses, unneeded, unneeded_remark, with_tried_kinds
from trainer.publishing.independence import Packed, with_independence
from trainer.publishing.verify import RANDOM, are_random

GOLDEN_ROWS = 20

GOLDEN_NUMBERS = 20_000
"""Most numbers in the answers to golden rows, if that leaves two rows: every process that uses the manifest reads them.
"""


# Ways to take rows


@dataclass(frozen=True)
class Reading:
    """One way in which an estimator may take rows. `rows` are some to try it with.

    `doubtful` columns may have been fitted on integers; `shown` has the kinds of numbers that the estimator shows,
    `nulls` what a null of each column may be, None if it may not be null.
    """

    format: RowFormat
    fields: Sequence[Field]
    input_format: InputFormat
    rows: Sequence[Row]
    doubtful: Collection[str] = ()
    shown: dict[str, Kind] = field(default_factory=dict)
    remarks: Sequence[Remark] = ()
    nulls: dict[str, PossibleNulls | None] = field(default_factory=dict)


def readings(contents: FileContents, sample: Sample | None) -> Iterator[Reading]:
    """Yield the possible readings, the most likely first. Raises `Refused`."""
    words.refuse_unservable(contents.estimator)
    sample = sample and sample.spelt_as(inputs.names(contents.estimator) or ())
    vectorizers = inputs.vectorizers(contents.estimator)
    if not vectorizers:
        yield from _of_table(contents, sample)
    elif words.reads_texts(vectorizers[0]):
        yield from _of_texts(contents, sample, vectorizers)
    else:
        yield _of_records(contents, sample, vectorizers)


def _of_texts(contents: FileContents, sample: Sample | None, vectorizers: Sequence[Any]) -> Iterator[Reading]:
    text = words.TEXT
    rows: list[Row] = [(text,) for text in words.texts_to_try(vectorizers, GOLDEN_ROWS)]
    known = contents.columns or ()
    column = text_column(contents.estimator, sample) if sample else known[0] if len(known) == 1 else None
    if column:
        text = dataclasses.replace(text, aliases=(column,) if column != text.name else ())
    if sample and column:
        rows = _rows_of_sample(Signature((text,), (), format=RowFormat.TEXTS), sample)
    if not sample or column:
        formats = [InputFormat.TEXTS, InputFormat.SERIES]
        if not inputs.reads_texts_first(contents.estimator):
            formats.reverse()  # a function may do more with a Series, on which most models are fitted
        for input_format in formats:
            yield Reading(RowFormat.TEXTS, (text,), input_format, rows)
    if sample:  # a step of one's own may take its columns by their names
        yield from _of_table(contents, sample)


def _of_records(contents: FileContents, sample: Sample | None, vectorizers: Sequence[Any]) -> Reading:
    fields = words.record_fields(vectorizers)
    rows: list[Row] = [(record,) for record in words.records_to_try(vectorizers, GOLDEN_ROWS)]
    if sample:
        kept = without_target(contents.estimator, sample)
        rows = _rows_of_sample(Signature(fields, (), format=RowFormat.RECORDS), sample.only(kept))
    return Reading(RowFormat.RECORDS, fields, InputFormat.RECORDS, rows)


def _of_table(contents: FileContents, sample: Sample | None) -> Iterator[Reading]:
    """Yield the readings of a table. A class of the user's own may make the columns of an estimator in it from those of
    the sample."""
    not_needed = unneeded(contents, sample)
    sample = sample and sample.only([name for name in sample.columns if name not in not_needed])
    remarks = [unneeded_remark(not_needed)] if not_needed else []
    borrowed = () if contents.columns else inputs.borrowed_names(contents.estimator)
    if sample is None or {*borrowed} <= {*sample.columns}:
        remarks += borrowed_columns_remarks(contents.estimator) if borrowed and sample is None else []
        yield from _of_columns(contents, sample, columns_of(contents, sample), remarks)
    if borrowed and sample:
        columns = columns_of(contents, sample, of_sample=True)
        yield from _of_columns(contents, sample, columns, [*remarks, sampled_columns_remark(columns)])


def _of_columns(
    contents: FileContents, sample: Sample | None, columns: list[InputColumn], of_names: Sequence[Remark]
) -> Iterator[Reading]:
    """Yield the possible kinds of the columns; doubtful ones may be integers."""
    estimator = contents.estimator
    unused, formats = inputs.unused(estimator), _formats(estimator)
    if contents.columns and may_matter(estimator):  # code of the user's own may take them by their names
        formats = [*dict.fromkeys((*formats, InputFormat.DATAFRAME))]
    if sample is None and formats[0] is InputFormat.DATAFRAME and may_matter(estimator):
        columns = with_tried_kinds(estimator, columns, unused)
    doubtful = {column.field.name for column in columns if column.doubtful} if may_matter(estimator) else set()
    shown = {column.field.name: column.whole for column in columns if column.whole}
    nulls = {column.field.name: column.nulls for column in columns}
    of_sample = sample_remarks(columns, sample) if sample else ()
    of_columns = [*of_names, *column_remarks(columns, contents.kinds), *of_sample]
    used = [column for column in columns if column.field.name not in unused]
    # Another member of an ensemble may use columns that the first one drops.
    for some in (used, columns) if used and unused else (columns,):
        fields = [column.field for column in some]
        in_utc = [dataclasses.replace(f, naive=False) for f in fields]
        as_naive = [dataclasses.replace(f, naive=f.kind is Kind.DATETIME, zone=None) for f in fields]
        text = [dataclasses.replace(f, kind=Kind.STRING, format=None) for f in in_utc]
        as_text = [text[n] if f.kind is Kind.DATETIME else f for n, f in enumerate(in_utc)]
        as_integers = [dataclasses.replace(f, kind=Kind.INTEGER) if f.name in doubtful else f for f in fields]
        others = [kinds for kinds in (in_utc, as_naive, as_text, as_integers) if kinds != fields]
        for input_format in formats:
            for kinds in (fields, *others):
                rows = _rows_of_columns(kinds, some, sample)
                remarks = [*of_columns, *unknown_kind_remarks(estimator, list(map(InputColumn.taken_as, some, kinds)))]
                yield Reading(RowFormat.TABLE, kinds, input_format, rows, doubtful, shown, remarks, nulls)
    if sample is None:
        for guess in other_guesses(estimator, columns):
            fields, rows = [column.field for column in guess], _rows_of_columns((), guess, None)
            numbers = doubtful & {column.field.name for column in guess if column.doubtful}
            remarks = [*of_columns, *unknown_kind_remarks(estimator, guess)]
            yield Reading(RowFormat.TABLE, fields, formats[0], rows, numbers, shown, remarks, nulls)


def _formats(estimator: Any) -> list[InputFormat]:
    """Return the formats in which the estimator may take a table, the most likely first."""
    if known := described(estimator):
        return list(dict.fromkeys((known.takes, InputFormat.DATAFRAME if known.names else known.takes)))
    if inputs.names(estimator):
        return [InputFormat.DATAFRAME]
    if inputs.count(estimator) is None:
        return [InputFormat.DATAFRAME, InputFormat.ARRAY]
    return [InputFormat.ARRAY, InputFormat.NUMBERED] if may_matter(estimator) else [InputFormat.ARRAY]


def _rows_of_columns(fields: Sequence[Field], columns: Sequence[InputColumn], sample: Sample | None) -> Sequence[Row]:
    if sample:
        return _rows_of_sample(Signature(tuple(fields), ()), sample)
    most = max(3, *(len(column.values) for column in columns))
    # Columns advance at different speeds, so that the rows do not lie on a diagonal.
    return [
        tuple(column.values[number * (index % 2 + 1) % len(column.values)] for index, column in enumerate(columns))
        for number in range(min(most, GOLDEN_ROWS))
    ]


def _rows_of_sample(signature: Signature, sample: Sample) -> list[Row]:
    """Return at least two rows: an estimator that misreads a table may not show it with one row."""
    separator = None if signature.format is RowFormat.TABLE else ","
    try:
        coerced = coerce(Grid(sample.columns, sample.rows, separator), signature)
    except InvalidInstances as invalid:
        first, others = invalid.errors[0], invalid.total - 1
        where = "" if first.row is None else f" in row {first.row + 1}"
        more = f" (and {others} more errors)" if others else ""
        raise Refused(f"has a sample that does not fit the model{where}: {first.message}{more}") from None
    rows = list(coerced.rows)
    return rows * 2 if len(rows) == 1 else rows


# The trial


def try_model(
    name: str, contents: FileContents, sample: Sample | None, artifact_format: ArtifactFormat, packed: Packed = None
) -> ManifestDraft:
    """Return the draft of a manifest, with golden rows that the estimator has predicted. `packed`: its artifact.

    Raises `Refused`, `DoesNotPredict` with the estimator's own exception, `NoProbabilities` and `MemoryError`.
    """
    estimator = contents.estimator
    failures: list[DoesNotPredict] = []
    process = ProcessState()
    integers_matter = may_matter(estimator)
    for reading in readings(contents, sample):
        draft = _draft(name, reading, artifact_format)
        draft = with_integers(draft, ()) if integers_matter else draft
        rows = as_requested(draft, reading.rows)
        nulls = choose_nulls(estimator, draft, rows, reading.nulls, reading.doubtful)
        draft, rows = nulls.draft, nulls.rows
        try:
            draft, of_float = with_float32(estimator, draft, rows)
            draft, of_output = with_methods(estimator, rows, draft)
            draft, of_numbers = choose_integers(
                estimator, draft, rows, reading.doubtful, reading.shown, sample is not None
            )
            rows = as_requested(draft, rows)
            draft = with_nulls_that_work(estimator, draft, rows[:GOLDEN_ROWS], nulls.refused)
            remarks = [*map(Remark, contents.warnings), *map(doubt, contents.doubts), *of_output, *of_float]
            remarks += [*of_numbers, *nulls.remarks, *reading.remarks]
            draft = _with_answers(estimator, draft, rows[:GOLDEN_ROWS], remarks, process)
            return with_independence(estimator, draft, rows, packed, made_up=sample is None)
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
    estimator: Any, draft: ManifestDraft, rows: Sequence[Row], remarks: Sequence[Remark], process: ProcessState
) -> ManifestDraft:
    row = next((row for row in rows if None not in row), rows[0])
    is_record = draft.signature.format is RowFormat.RECORDS
    changes = process.put_back()
    changes = () if process.imported else changes
    _predict(estimator, draft, rows[:1])  # a request may be of one row; and the first time it may import libraries
    process.put_back()
    answer = _predict(estimator, draft, rows)
    process.put_back()
    again = _predict(estimator, draft, rows)
    if are_random(answer, again):
        raise Refused(RANDOM)
    changes = tuple(dict.fromkeys((*changes, *process.put_back())))  # the second time it shows a seed
    answered = dataclasses.replace(
        draft,
        example=row[0] if is_record else dict(zip(draft.signature.names, row, strict=True)),
        artifact=dataclasses.replace(draft.artifact, changes=changes),
        golden=_golden(rows, answer),
        remarks=tuple(remarks),
    )
    answered = compared(answered, estimator)
    process.put_back()
    return answered


def _golden(rows: Sequence[Row], answer: Prediction) -> Golden:
    first = answer.values[0]
    kept = max(2, GOLDEN_NUMBERS // max(1, len(first) if isinstance(first, Mapping | list) else 1))
    probabilities = None if answer.probabilities is None else tuple(answer.probabilities[:kept])
    return Golden(tuple(tuple(row) for row in rows[:kept]), tuple(answer.values[:kept]), probabilities)


def _predict(estimator: Any, draft: ManifestDraft, rows: Sequence[Row]) -> Prediction:
    try:
        return predict(estimator, draft, rows)
    except ModelgateError as error:
        raise DoesNotPredict(error.__cause__ if isinstance(error.__cause__, Exception) else error) from error
