"""Plans a file of any format for a model, and scores its chunks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from contract.errors import FieldError, InvalidInstances
from contract.model.signature import EXPLAIN, PREDICT, AnswerForm, Kind, Output, OutputKind, RowFormat, Signature
from contract.row import Row
from contract.rows.answer_columns import answer_columns, answer_names, explains_classes
from contract.rows.file_formats import FileFormat
from contract.rows.row_plan import plan_of
from contract.work.explanations import ExplainRequest
from runtime.exact_json import dumps
from scoring.explain.rows import explain_rows
from scoring.files.answers import Answers, Scorable, listed, score_rows, spread
from scoring.files.codec import Codec
from scoring.files.csv_codec import CsvCodec
from scoring.files.json_codec import NdjsonCodec
from scoring.files.parquet_codec import ParquetCodec
from scoring.files.plan import Chunk, FilePlan, RowBounds, Steps
from scoring.files.rows import ChunkRows
from scoring.pace import find_call_rows

CODECS: Mapping[FileFormat, Codec] = {
    FileFormat.CSV: CsvCodec(),
    FileFormat.NDJSON: NdjsonCodec(),
    FileFormat.PARQUET: ParquetCodec(),
}
"""The codec of each format of files."""

_EXPLAINED_ROWS = 32
"""Rows of a chunk whose answers are explained, each of which may take a second."""
_DOUBLE, _TEXT = "DOUBLE", "VARCHAR"
_KINDS = {
    Kind.NUMBER: _DOUBLE,
    Kind.INTEGER: "BIGINT",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.STRING: _TEXT,
    Kind.DATETIME: "TIMESTAMP WITH TIME ZONE",
}
_WHOLE = {"int64": "BIGINT", "uint64": "UBIGINT"}
_LABELS = {bool: "BOOLEAN", int: "BIGINT", float: _DOUBLE, str: _TEXT}
"""The types in SQL of the columns of a Parquet output. They follow from the signature, so all parts have the same."""


def plan(
    path: Path,
    input_format: FileFormat,
    output: FileFormat,
    model: Scorable,
    *,
    method: str = PREDICT.name,
    escape: bool = False,
) -> Steps[FilePlan]:
    """Plan the predictions of a file in `input_format`; yields the bytes that each step has read. `escape`: see
    `FilePlan`.

    Raises `contract.errors.InvalidInstances` for a file without rows, or whose columns do not fit the signature;
    `NotReadable` for a file that is not in its format; `OSError`; and as `score` what the model raises.
    """
    signature, codec, converted = model.manifest.signature, CODECS[input_format], output is not input_format
    bounds = RowBounds(
        size=path.stat().st_size,
        free=codec.free_bytes,
        inputs=len(signature.inputs),
        answers=answer_names(signature, method, ()),
        converted=converted,
        named=converted and CODECS[output].repeats_names,
        most_rows=_EXPLAINED_ROWS if method == EXPLAIN else 0,
    )
    contents = yield from codec.plan(path, signature, model.manifest.training_data.target, bounds)
    rows = sum(chunk.rows for chunk in contents.chunks)
    if not rows:
        raise InvalidInstances([FieldError(None, None, "no_rows", "the file has no rows; send at least one")])
    file_plan = FilePlan(
        input=input_format,
        output=output,
        rows=rows,
        chunks=contents.chunks,
        columns=contents.columns,
        answers=answer_names(signature, method, contents.columns),
        types=[*kept_types(signature, contents.columns), *answer_types(signature, method)],
        call_rows=1,
        warnings=contents.warnings,
        csv=contents.csv,
        escape=escape,
    )
    if method == EXPLAIN or model.manifest.artifact.alone:  # then each row has a call of its own
        return file_plan
    return dataclasses.replace(file_plan, call_rows=(yield from _call_rows(model, path, file_plan, method)))


def _call_rows(model: Scorable, path: Path, plan: FilePlan, method: str) -> Steps[int]:
    """Return the rows that each call of the model gets, found with the first valid rows of the file."""
    chunk = yield from CODECS[plan.input].reader(path, plan, plan.chunks[0], model).read(lenient=True)
    return (yield from find_call_rows(lambda size: next(score_rows(model, chunk.rows, method, size)), len(chunk.rows)))


def kept_types(signature: Signature, columns: Sequence[str]) -> list[str]:
    """Return the types of the columns of a file that is no Parquet: inputs by their kind, others as text."""
    plan = plan_of(signature)
    if not plan.is_table:
        return [_TEXT] * len(columns)
    places = plan.lay_out(plan.match_case(columns)).places
    kinds = {
        column: _KINDS[signature.inputs[position].kind] for position, column in places.items() if position < plan.width
    }
    return [kinds.get(column, _TEXT) for column in range(len(columns))]


def answer_types(signature: Signature, method: str) -> list[str]:
    """Return the types of the columns that a method adds, in the order of `answer_names`."""
    if method == EXPLAIN:
        about = [_DOUBLE, _DOUBLE, *([_TEXT] if explains_classes(signature) else []), _DOUBLE]
        return about + ([_DOUBLE] * len(signature.inputs) if signature.format is RowFormat.TABLE else [_TEXT])
    if method == PREDICT.name:
        first = signature.outputs[0]
        labels = sum(len(output.shown_labels) for output in signature.outputs) if first.probabilities else 0
        returned = signature.methods[0].returned
        dtype = returned.dtypes[0] if returned and len({*returned.dtypes}) == 1 else ""
        return [*(_type_of(output, dtype) for output in signature.outputs), *[_DOUBLE] * (labels + first.scores)]
    described = signature.method(method)
    form = described.answer if described else None
    if form is AnswerForm.LABELS:
        return [_DOUBLE] * sum(len(output.shown_labels) for output in signature.outputs)
    if form is AnswerForm.NAMED and described:
        # What a transformer gives may be words.
        return [_TEXT if method == "transform" else _DOUBLE] * len(described.names or signature.outputs)
    return [_DOUBLE if form is AnswerForm.NUMBER else _TEXT]


def _type_of(output: Output, dtype: str) -> str:
    if output.kind is OutputKind.NUMBER:
        return _WHOLE.get(dtype, _DOUBLE)
    types = set(map(type, output.shown_labels))
    return _LABELS[types.pop()] if len(types) == 1 else _TEXT


class Part(NamedTuple):
    """The files that one chunk becomes: rows with their answers, and errors (absent if there are none)."""

    output: Path
    errors: Path


@dataclass(frozen=True)
class Scored:
    """What scoring a chunk has found: its `rows`, how many of them were `refused`, all their `errors`, and how many
    answers are null because they are not finite numbers; the `valid` rows and their `answers`."""

    rows: int
    refused: int
    errors: int
    nulls: int
    valid: ChunkRows
    answers: Answers


def score(
    model: Scorable,
    path: Path,
    plan: FilePlan,
    chunk: Chunk,
    part: Part,
    *,
    method: str = PREDICT.name,
    lenient: bool = True,
    explaining: tuple[ExplainRequest, Sequence[Row]] | None = None,
) -> Steps[Scored]:
    """Score a chunk; yields the rows of each call of the model, and 0 after other steps (reading, writing). Or explain
    its answers: `explaining` is what is asked for, and the background; then it yields 1 after each row.

    Only `part.output` and `part.errors` are written; the same chunk gives the same bytes, but for estimates that time
    has stopped. The caller passes names of its own and renames the files into place.

    Raises `contract.errors.InvalidInstances` if a row is invalid and not `lenient`, with the numbers that rows have in
    the file; `contract.errors.ModelgateError` (`model_error`) if the model raises; `MemoryError`; `OSError`.
    """
    reader = CODECS[plan.input].reader(path, plan, chunk, model)
    chunk_rows = yield from reader.read(lenient=lenient)
    if explaining:
        found = yield from explain_rows(model, chunk_rows.rows, explaining[1], explaining[0])
        answers = Answers([*answer_columns(found, None, None, model.manifest.signature, method)], 0.0)
    else:
        answers = yield from score_rows(model, chunk_rows.rows, method, plan.call_rows)
    columns = answers.columns
    if chunk_rows.refused:
        good = sorted(set(range(chunk.rows)).difference(chunk_rows.refused))
        columns = [spread(column, good, chunk.rows) for column in columns]
    nulls = listed(columns[0]).count(None) - len(chunk_rows.refused)
    yield from CODECS[plan.output].write(part.output, plan, reader, columns)
    if chunk_rows.errors:
        part.errors.write_bytes(b"".join(dumps(error.to_json()) + b"\n" for error in chunk_rows.errors))
    return Scored(chunk.rows, len(chunk_rows.refused), len(chunk_rows.errors), nulls, chunk_rows, answers)
