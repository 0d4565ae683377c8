"""Finds values far outside of what training saw: an age of 2900, an income in cents, a country that never occurred."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from modelgate_kernels.matrix import by_column

from contract.model.manifest import ColumnProfile, ModelManifest
from contract.model.signature import Field, Kind
from contract.row import Row, Value
from contract.wording import listed, shown

FEWEST_ROWS = 30
"""Rows with a value from which a column is known well enough."""

RAREST = 0.01
"""The share of rows whose value occurs once, beyond which further values are to be expected (Good and Turing)."""

MOST_CHECKED = 1_000
"""Rows of a job that are checked, evenly spread: a wrong unit is in all of them, and bulk stays fast."""


class UnusualValues:
    """The bounds of one version. Made once; looking at a row takes less than a microsecond for each ten inputs."""

    def __init__(self, manifest: ModelManifest) -> None:
        self._ranges: list[tuple[int, float, float]] = []
        self._known: list[tuple[int, frozenset[Value]]] = []
        self._fields: dict[int, tuple[Field, ColumnProfile]] = {}
        profile = manifest.profile
        self._of_sample = profile is not None and profile.sample
        columns = profile.inputs if profile else ()
        for index, (field, column) in enumerate(zip(manifest.signature.inputs, columns, strict=False)):
            if sum(column.counts) + column.others < FEWEST_ROWS:
                continue
            if field.kind in (Kind.NUMBER, Kind.INTEGER) and column.edges:
                low, high = column.edges[0], column.edges[-1]
                margin = (high - low) or max(1.0, abs(high))
                self._ranges.append((index, low - margin, high + margin))
            elif field.kind is Kind.STRING and field.categories is None and _is_complete(column):
                self._known.append((index, frozenset((*column.values, None))))
            self._fields[index] = (field, column)

    def find(self, rows: Sequence[Row]) -> list[str]:
        """Return a warning for each input that has such values in these rows."""
        if len(rows) == 1:
            row = rows[0]
            for index, low, high in self._ranges:
                value = row[index]
                if value is not None and not low <= value <= high:
                    break
            else:
                for index, known in self._known:
                    if row[index] not in known:
                        break
                else:
                    return []
        step = -(-len(rows) // MOST_CHECKED)
        columns = by_column(rows[::step]) if self._fields else ()
        return [self._warning(index, value) for index, value in self._found(columns)]

    def _found(self, columns: Sequence[Sequence[Any]]) -> Iterator[tuple[int, Any]]:
        """Yield each input that has an unusual value, with the first one."""
        for index, low, high in self._ranges:
            column = columns[index]
            numbers = [value for value in column if value is not None] if None in column else column
            if numbers and not (low <= min(numbers) and max(numbers) <= high):
                yield index, next(value for value in numbers if not low <= value <= high)
        for index, known in self._known:
            if not known.issuperset(columns[index]):
                yield index, next(value for value in columns[index] if value not in known)

    def _warning(self, index: int, value: Any) -> str:
        field, column = self._fields[index]
        was, saw = shown(value), listed(list(column.values), 10)
        if column.edges:
            was, saw = f"{value:.15g}", f"{column.edges[0]:.15g} to {column.edges[-1]:.15g}"
        known, has = "what training saw", "training saw"
        if self._of_sample:
            known, has = "the sample of its import", "that has"
        return f"{field.name!r} is far from {known}: it is {was}, and {has} {saw}"


def _is_complete(column: ColumnProfile) -> bool:
    """Return whether other values than the known ones are hardly to be expected."""
    return bool(column.values) and column.others == 0 and column.counts.count(1) <= RAREST * sum(column.counts)
