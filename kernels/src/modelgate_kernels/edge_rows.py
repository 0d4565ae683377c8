"""Rows at the edges of a layout: nulls, unknown words, and numbers that rounding affects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from modelgate_kernels.layout import ColumnLike, InputFormat, Kind, Layout, Row, Value

_MOST_NULLS = 8
"""Most inputs that are null alone."""
_NUMBERS: Sequence[float] = (0, 0.0, -0.0, 5e-324, 1e-300, 16777217, 1e30, -1e30, 1e300)
"""Zeros, denormal numbers, numbers that float32 rounds or does not hold."""
_INTEGERS = (0, -1, 2**31, 2**53 + 1)
_WORDS = ("", " ", "a word that no training row has", "None", "nan", "1.0")


def edge_rows(layout: Layout, rows: Sequence[Row]) -> list[Row]:
    """Return rows that the layout allows: golden `rows` with other values."""
    if layout.input_format == InputFormat.RECORDS:
        return [({},), ({_WORDS[2]: 1.0},)]
    columns = [list(_edges(field)) for field in layout.columns]
    most = max(map(len, columns), default=0)
    rows_at_edges = [_with(rows[index % len(rows)], columns, index) for index in range(most)]
    nullable = [index for index, field in enumerate(layout.columns) if field.nullable]
    if nullable:
        rows_at_edges.append(_nulls(rows[0], nullable))
        rows_at_edges += [_nulls(rows[0], [index]) for index in nullable[:_MOST_NULLS]]
    return rows_at_edges


def _edges(field: ColumnLike) -> Iterator[Value]:
    if field.kind == Kind.NUMBER:
        yield from _NUMBERS
    elif field.kind == Kind.INTEGER:
        yield from _INTEGERS
    elif field.kind == Kind.BOOLEAN:
        yield from (False, True)
    elif field.kind == Kind.STRING:
        yield from _WORDS if field.categories is None else field.categories[: len(_WORDS)]


def _with(row: Row, columns: Sequence[Sequence[Value]], index: int) -> Row:
    """Return the row with the edge at this place in each column; a datetime stays."""
    edges: list[Any] = [values[index % len(values)] if values else None for values in columns]
    return tuple(value if not values else edge for value, values, edge in zip(row, columns, edges, strict=True))


def _nulls(row: Row, places: Sequence[int]) -> Row:
    return tuple(None if index in places else value for index, value in enumerate(row))
