"""Plans a file of any format for a model."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from contract.model.signature import PREDICT
from contract.row import Row
from contract.rows.answer_columns import answer_names
from contract.rows.file_formats import FileFormat
from scoring.files.answers import Scorable, score_rows
from scoring.files.column_types import answer_types, kept_types
from scoring.files.file_codecs import CODECS
from scoring.files.plan import FilePlan, RowBounds, Steps

_MOST_CALL_ROWS = 4096
_GROWTH = 4
_TRIES = 3
_WAITING = 4
CALL_MS = 15.0
"""The processor time that one call of a model may take, if it gets more than one row."""


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
    """Return the rows that each call of the model gets: the most that take at most `CALL_MS`, by trying calls on the
    first valid rows of the file. A size that is a power of four seldom differs from one run to the next."""
    rows = yield from CODECS[plan.input].reader(path, plan, plan.chunks[0], model).read(lenient=True)
    size = 1
    while size <= min(len(rows.rows), _MOST_CALL_ROWS):
        if not (yield from _is_fast(model, rows.rows[:size], method)):
            break
        size *= _GROWTH
    return max(1, size // _GROWTH)


def _is_fast(model: Scorable, rows: Sequence[Row], method: str) -> Steps[bool]:
    """Return whether one of some calls takes at most `CALL_MS` of a processor: a first call is slow. The time on the
    clock, which is longer where others use the processors, only limits models that wait."""
    for _ in range(_TRIES):
        began, used = time.perf_counter(), time.thread_time()
        next(score_rows(model, rows, method, len(rows)))
        used, took = time.thread_time() - used, time.perf_counter() - began
        if used * 1000 <= CALL_MS and took * 1000 <= _WAITING * CALL_MS:
            return True
        yield 0
    return False
