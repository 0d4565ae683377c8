"""Plans a file of any format for a model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from contract.model.signature import PREDICT
from contract.rows.answer_columns import answer_names
from contract.rows.file_formats import FileFormat
from scoring.files.answers import Scorable, score_rows
from scoring.files.column_types import answer_types, kept_types
from scoring.files.file_codecs import CODECS
from scoring.files.plan import FilePlan, RowBounds, Steps
from scoring.pace import find_call_rows


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
    )
    contents = yield from codec.plan(path, signature, model.manifest.training_data.target, bounds)
    file_plan = FilePlan(
        input=input_format,
        output=output,
        rows=sum(chunk.rows for chunk in contents.chunks),
        chunks=contents.chunks,
        columns=contents.columns,
        answers=answer_names(signature, method, contents.columns),
        types=[*kept_types(signature, contents.columns), *answer_types(signature, method)],
        call_rows=1,
        warnings=contents.warnings,
        csv=contents.csv,
        escape=escape,
    )
    return dataclasses.replace(file_plan, call_rows=(yield from _call_rows(model, path, file_plan, method)))


def _call_rows(model: Scorable, path: Path, plan: FilePlan, method: str) -> Steps[int]:
    """Return the rows that each call of the model gets, found with the first valid rows of the file."""
    chunk = yield from CODECS[plan.input].reader(path, plan, plan.chunks[0], model).read(lenient=True)
    return (yield from find_call_rows(lambda size: next(score_rows(model, chunk.rows, method, size)), len(chunk.rows)))
