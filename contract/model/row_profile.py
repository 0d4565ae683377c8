"""Makes the profile of rows that the manifest keeps, and the observer of rows that it logs."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby, islice, pairwise
from typing import Any

from contract.model.manifest import ColumnProfile, DataProfile
from contract.model.signature import Kind, OutputKind, RowFormat, Signature
from contract.row import Row, Value

BINS, MOST_VALUES, MOST_COLUMNS, LONGEST_VALUE = 10, 50, 1_000, 100
"""Bins of numbers, values of other columns, columns, and characters of a value."""


def profile_of(
    signature: Signature, rows: Sequence[Row], answers: Sequence[Any], *, sample: bool = False
) -> DataProfile | None:
    """Return the profile of `rows` and of what the model answered; None for texts, records and no rows."""
    if signature.format is not RowFormat.TABLE or not rows:
        return None
    inputs = signature.inputs[:MOST_COLUMNS]
    columns = [column_profile(field.kind, [row[index] for row in rows]) for index, field in enumerate(inputs)]
    outputs = []
    for output in signature.outputs:
        values = [answer[output.name] if isinstance(answer, Mapping) else answer for answer in answers]
        outputs.append(column_profile(Kind.NUMBER if output.kind is OutputKind.NUMBER else Kind.STRING, values))
    return DataProfile(len(rows), tuple(columns), tuple(outputs), sample)


def column_profile(kind: Kind, values: Sequence[Value]) -> ColumnProfile:
    """Return the profile of a column of this kind."""
    present = [value for value in values if value is not None]
    nulls = len(values) - len(present)
    if kind in (Kind.NUMBER, Kind.INTEGER, Kind.DATETIME) and present:
        times = kind is Kind.DATETIME
        numbers = sorted(datetime.fromisoformat(str(v)).timestamp() if times else float(v) for v in present)
        edges = _edges(numbers)
        below = [*(bisect_left(numbers, edge) for edge in edges[:-1]), len(numbers)]
        return ColumnProfile(nulls, tuple(edges), counts=tuple(end - start for start, end in pairwise(below)))
    top = Counter(value for value in present if len(str(value)) <= LONGEST_VALUE).most_common(MOST_VALUES)
    kept, rows = tuple(value for value, _ in top), tuple(count for _, count in top)
    return ColumnProfile(nulls, values=kept, counts=rows, others=len(present) - sum(rows))


def _edges(numbers: Sequence[float]) -> list[float]:
    """Return the edges of bins for sorted numbers. Up to `BINS` different ones have a bin each: by quantiles, a flag
    that is seldom set would share the bin of one that is not."""
    edges = [number for number, _ in islice(groupby(numbers), BINS + 1)]
    has_own_bin = len(edges) <= BINS
    if not has_own_bin:
        last = len(numbers) - 1
        quantiles = [numbers[round(step * last / BINS)] for step in range(BINS + 1)]
        edges = sorted(set(quantiles))
        has_own_bin = quantiles[-2] == quantiles[-1]
    return [*edges, edges[-1]] if has_own_bin else edges
