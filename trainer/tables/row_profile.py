"""Makes the profile of rows that the manifest keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

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
        numbers = [datetime.fromisoformat(str(v)).timestamp() if times else float(v) for v in present]
        quantiles = np.quantile(numbers, np.linspace(0, 1, BINS + 1), method="nearest")
        edges = np.unique(quantiles) if quantiles[0] < quantiles[-1] else quantiles[[0, -1]]
        if len(edges) > 1 and quantiles[-2] == quantiles[-1] > quantiles[0]:
            edges = np.append(edges, edges[-1])  # a bin of its own, or 0 and 1 would share one
        counts = np.histogram(numbers, edges)[0].tolist() if edges[0] < edges[-1] else [len(numbers)]
        return ColumnProfile(nulls, tuple(edges.tolist()), counts=tuple(counts))
    top = Counter(value for value in present if len(str(value)) <= LONGEST_VALUE).most_common(MOST_VALUES)
    kept, rows = tuple(value for value, _ in top), tuple(count for _, count in top)
    return ColumnProfile(nulls, values=kept, counts=rows, others=len(present) - sum(rows))
