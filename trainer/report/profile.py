"""The data profile: what each column holds, for a reader who has never seen the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from contract.model.signature import Kind, OutputKind
from contract.row import Value
from contract.wording import clean
from trainer.report.evidence import Evidence
from trainer.report.parts import Facts, histogram, number, part

MOST_COLUMNS, MOST_VALUES = 60, 5


def profile(evidence: Evidence) -> Facts:
    """Return the facts of the `columns` (the first `MOST_COLUMNS`; `left_out` is the number of others) and the
    `target`."""
    inputs = evidence.draft.signature.inputs
    columns = []
    for index, field in enumerate(inputs[:MOST_COLUMNS]):
        values = [evidence.values(row)[index] for row in evidence.rows]
        columns.append(part(f"column {field.name!r}", lambda f=field, v=values: column(f.name, f.kind, v)))  # type: ignore[misc]
    return {
        "rows": len(evidence.rows),
        "columns": columns,
        "left_out": max(0, len(inputs) - MOST_COLUMNS),
        "target": part("target", lambda: _target(evidence)),
    }


def _target(evidence: Evidence) -> Facts:
    if evidence.draft.signature.output.kind is OutputKind.NUMBER:
        return column(evidence.target, Kind.NUMBER, evidence.targets)
    return {**column(evidence.target, Kind.STRING, evidence.targets, most=12), "kind": "class"}


def column(name: str, kind: Kind, values: Sequence[Value], most: int = MOST_VALUES) -> Facts:
    """Return the facts of a column: `nulls` and `distinct`; for numbers and times `min`, `median`, `max`, a histogram,
    and the median's place in it (`median_at`, 0 to 1); for other kinds the `most` most frequent values, and the number
    of rows with `others`."""
    present = [value for value in values if value is not None]
    tally = Counter(present)
    facts = {"name": clean(name), "kind": str(kind), "nulls": len(values) - len(present), "distinct": len(tally)}
    if not present:
        return facts
    if kind is Kind.DATETIME:
        return {**facts, **_times(present)}
    if kind in (Kind.NUMBER, Kind.INTEGER):
        return {**facts, **_numbers(np.array(present, dtype=np.float64))}
    top = tally.most_common(most)
    return {
        **facts,
        "top": [{"value": clean(value), "rows": count} for value, count in top],
        "others": len(present) - sum(count for _, count in top),
    }


def _numbers(values: Any) -> Facts:
    low, middle, high = np.quantile(values, (0, 0.5, 1))
    facts = {"min": number(low), "median": number(middle), "max": number(high), "histogram": histogram(values)}
    return {**facts, "median_at": _share(low, middle, high)}


def _share(low: float, middle: float, high: float) -> float:
    """Return where `middle` is between the other two, from 0 to 1."""
    return round(float((middle / 2 - low / 2) / (high / 2 - low / 2)), 4) if high > low else 0.5


def _times(values: Sequence[Value]) -> Facts:
    """Return the same facts as for numbers, as days; also the histogram's edges."""
    seconds = np.array([datetime.fromisoformat(str(value)).timestamp() for value in values])
    low, middle, high = np.quantile(seconds, (0, 0.5, 1))
    bars = histogram(seconds)
    return {
        "min": _day(low),
        "median": _day(middle),
        "max": _day(high),
        "median_at": _share(low, middle, high),
        "histogram": bars and {**bars, "edges": [_day(edge) for edge in bars["edges"]]},
    }


def _day(seconds: float) -> str:
    # Not Python's datetime: the edge of a histogram may lie just outside of the years 1 to 9999.
    return str(np.datetime64(int(seconds // 1), "s").astype("datetime64[D]"))
