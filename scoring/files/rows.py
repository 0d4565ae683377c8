"""The rows of a chunk, coerced as the rows of a request."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from modelgate_kernels.matrix import by_column

from contract.errors import FieldError, InvalidInstances
from contract.model.signature import Field, RowFormat, Signature
from contract.row import ColumnarRows, Row
from contract.rows.coercion import coerce
from contract.rows.instances import Instances, Records
from scoring.files.plan import Steps

_AT_ONCE = 1000
"""Rows that are coerced in one step."""


@dataclass(slots=True)
class ChunkRows:
    """The valid rows of a chunk; the numbers of the `refused` ones in it, ascending; all errors, with the numbers that
    the rows have in the file."""

    rows: Sequence[Row]
    refused: Sequence[int] = ()
    errors: Sequence[FieldError] = field(default_factory=list)


@dataclass(slots=True)
class NotJson:
    """A row that cannot be read; `why` completes "it is not JSON: …"."""

    why: str


Run = Instances | NotJson


def coerce_chunk(runs: Iterable[Run], signature: Signature, first_row: int, *, lenient: bool) -> Steps[ChunkRows]:
    """Coerce the rows of a chunk: runs of rows of the same form. The first row has this number in the file. Raises
    `InvalidInstances` unless `lenient`, with the first errors."""
    rows: list[Row] = []
    columns: list[list[Any]] = [[] for _ in signature.inputs]
    refused: list[int] = []
    errors: list[FieldError] = []
    for start, run in _pieces(runs):
        number = first_row + start
        try:
            if isinstance(run, NotJson):
                raise InvalidInstances([FieldError(number, None, "not_json", f"row {number} is not JSON: {run.why}")])
            good = coerce(run, signature, first_row=number).rows
        except InvalidInstances as error:
            if not lenient:
                raise
            if isinstance(run, NotJson):
                refused.append(start)
                errors += error.errors
                continue
            good = _coerce_some(run, signature, start, first_row, refused, errors)
        if signature.format is RowFormat.RECORDS:
            rows += good
        elif good:
            for column, values in zip(columns, by_column(good), strict=True):
                column += values
        yield 0
    return ChunkRows(rows if signature.format is RowFormat.RECORDS else ColumnarRows(columns), refused, errors)


def _pieces(runs: Iterable[Run]) -> Iterator[tuple[int, Run]]:
    """Yield the runs in pieces of one step, each with the number of its first row."""
    start = 0
    for run in runs:
        if isinstance(run, NotJson):
            yield start, run
            start += 1
            continue
        for first in range(0, len(run.rows), _AT_ONCE):
            yield start + first, _slice(run, first, first + _AT_ONCE)
        start += len(run.rows)


def _coerce_some(
    part: Instances, signature: Signature, start: int, first_row: int, refused: list[int], errors: list[FieldError]
) -> Sequence[Row]:
    """Return the valid rows. Adds the others to `refused`, and all of their errors to `errors`: if there are too many
    for one request, halves of the rows are coerced each by itself."""
    count = len(part.rows)
    try:
        coerced = coerce(part, signature, lenient=True, first_row=first_row + start)
        good, bad, why = coerced.rows, coerced.refused, coerced.errors
    except InvalidInstances as error:
        good, bad, why = [], range(count), error.errors
    if len(why) < InvalidInstances.SHOWN or count == 1:
        refused += [start + number for number in bad]
        errors += why
        return good
    half = count // 2
    halves = ((_slice(part, 0, half), start), (_slice(part, half, count), start + half))
    return [row for some, begin in halves for row in _coerce_some(some, signature, begin, first_row, refused, errors)]


def _slice(instances: Instances, start: int, end: int) -> Instances:
    if isinstance(instances, Records):
        return Records(instances.rows[start:end])
    return dataclasses.replace(instances, rows=instances.rows[start:end])


def are_valid(floats: Any, field: Field) -> bool:
    """Return whether an array of floats, with NaN for null, holds what coercion lets pass."""
    return bool((~np.isinf(floats) if field.nullable else np.isfinite(floats)).all())
