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
from contract.row import ColumnarRows, Row, Value
from contract.rows.coercion import coerce
from contract.rows.instances import Instances, Records
from scoring.files.plan import Steps

_AT_ONCE = 1000
"""Rows that are coerced in one step."""


@dataclass(slots=True)
class ChunkRows:
    """The valid rows of a chunk; the numbers of the `refused` ones in it, ascending; all errors, with the numbers that
    the rows have in the file. `ids` has the caller's id of each row, also of the refused ones; None if there are
    none."""

    rows: Sequence[Row]
    refused: Sequence[int] = ()
    errors: Sequence[FieldError] = field(default_factory=list)
    ids: Sequence[Value] | None = None

    @classmethod
    def of_columns(cls, columns: Sequence[Sequence[Any]], signature: Signature) -> ChunkRows:
        """Return rows that are all valid. `columns`: the values of each input, then the ids if there are any."""
        width = len(signature.inputs)
        return cls(ColumnarRows(columns[:width]), ids=columns[width] if len(columns) > width else None)


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
    ids: list[Value] = []
    for start, run in _pieces(runs):
        number = first_row + start
        try:
            if isinstance(run, NotJson):
                raise InvalidInstances([FieldError(number, None, "not_json", f"row {number} is not JSON: {run.why}")])
            coerced = coerce(run, signature, first_row=number)
            good = coerced.rows
            ids += coerced.ids or [None] * len(good)
        except InvalidInstances as error:
            if not lenient:
                raise
            if isinstance(run, NotJson):
                refused.append(start)
                errors += error.errors
                ids.append(None)
                continue
            good = _coerce_some(run, signature, start, first_row, refused, errors, ids)
        if signature.format is RowFormat.RECORDS:
            rows += good
        elif good:
            for column, values in zip(columns, by_column(good), strict=True):
                column += values
        yield 0
    valid = rows if signature.format is RowFormat.RECORDS else ColumnarRows(columns)
    return ChunkRows(valid, refused, errors, ids if signature.id_field else None)


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
    part: Instances,
    signature: Signature,
    start: int,
    first_row: int,
    refused: list[int],
    errors: list[FieldError],
    ids: list[Value],
) -> Sequence[Row]:
    """Return the valid rows. Adds the others to `refused`, all of their errors to `errors`, and the ids of all rows to
    `ids`: if there are too many errors for one request, halves of the rows are coerced each by itself."""
    count = len(part.rows)
    try:
        coerced = coerce(part, signature, lenient=True, first_row=first_row + start)
        good, bad, why, of_all = coerced.rows, coerced.refused, coerced.errors, coerced.ids
    except InvalidInstances as error:
        good, bad, why, of_all = [], range(count), error.errors, None
    if len(why) < InvalidInstances.SHOWN or count == 1:
        refused += [start + number for number in bad]
        errors += why
        ids += of_all or [None] * count
        return good
    half = count // 2
    halves = ((_slice(part, 0, half), start), (_slice(part, half, count), start + half))
    return [
        row for some, begin in halves for row in _coerce_some(some, signature, begin, first_row, refused, errors, ids)
    ]


def _slice(instances: Instances, start: int, end: int) -> Instances:
    if isinstance(instances, Records):
        return Records(instances.rows[start:end])
    return dataclasses.replace(instances, rows=instances.rows[start:end])


def are_valid(floats: Any, field: Field) -> bool:
    """Return whether an array of floats, with NaN for null, holds what coercion lets pass."""
    return bool((~np.isinf(floats) if field.nullable else np.isfinite(floats)).all())
