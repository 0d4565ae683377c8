"""A preview of a training: the columns of its file as the training would understand them, from the first rows."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from contract.model.signature import Field, Kind
from contract.rows import csv_table
from contract.rows.csv_cells import plain_numbers
from contract.settings import MB, Settings
from contract.wording import shown
from contract.work.training import ColumnPreview, ColumnUse, Task, TrainingPreview, TrainingRequest, name_of_kind
from contract.work.training_columns import Columns, resolve_columns
from trainer.recipe import DataError, Table
from trainer.tables.field_inference import FEW_VALUES, Counts, count_values, infer_input, infer_target, rows_with_target
from trainer.tables.training_rows import CsvFile, as_table, requested_file

MOST_ROWS, MOST_CELLS, MOST_BYTES = 20_000, 1_000_000, 16 * MB
"""What is read of a file at most: a second or two of work."""
MOST_COLUMNS = 10_000
"""Columns that a preview describes: as many features as a training may name."""
_FEWEST_TRIED = 100

_SAMPLES = 5
_INTERVALS = 10
_LONGEST_SAMPLE = 80
_TARGETS = ("target", "label", "class", "y", "outcome", "response", "result")
"""Names of columns that are targets more often than not."""


def preview(request: TrainingRequest, settings: Settings) -> TrainingPreview:
    """Return how a training of `request` would understand its file. Without a target it suggests one.

    Raises `DataError` for a file that cannot be read, and for columns that it does not have.
    """
    file = requested_file(request, settings)
    if file is None:
        raise DataError("a preview needs a CSV file: upload one, or name one below DATA_DIR")
    table, complete = read_head(file)
    if not table.rows:
        raise DataError(f"{table.source} has no rows; it needs a header and at least one row")
    target = request.target or _suggested_target(table, request)
    columns, errors = resolve_columns(table.columns, target, request.features, request.id_field, request.kinds)
    if errors:
        raise DataError(errors[0].message)
    return _Reading(table, columns).preview(complete)


def read_head(file: CsvFile) -> tuple[Table, bool]:
    """Return the first rows of a file, and whether these are all. Raises `DataError`."""
    head, whole = _head(file.path, file.source)
    try:
        width = max(1, len(csv_table.read(io.BytesIO(head), most=1).columns))
        if width > MOST_COLUMNS:
            raise DataError(f"{file.source} has {width:,} columns; a preview is for up to {MOST_COLUMNS:,}")
        most = max(1, min(MOST_ROWS, MOST_CELLS // width))
        parsed = _read(head, most + 1, whole)
    except csv_table.NotCsv as error:
        raise DataError(f"{file.source} is not a CSV file ({error}); save it as CSV in UTF-8") from error
    table = as_table(parsed, file.source)
    complete = whole and len(table.rows) <= most
    return Table(table.source, table.columns, table.rows[:most], table.remarks, table.separator), complete


def _head(path: Path, source: str) -> tuple[bytes, bool]:
    try:
        with path.open("rb") as file:
            head = file.read(MOST_BYTES)
            return head, not file.read(1)
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error.strerror})") from error


def _read(head: bytes, most: int, whole: bool) -> csv_table.CsvTable:
    """Read at most so many rows; fewer if the end of a part of a file cuts one in two."""
    while not whole and most > _FEWEST_TRIED:
        with suppress(csv_table.NotCsv):
            parsed = csv_table.read(io.BytesIO(head), most)
            if len(parsed.rows) == most:
                return parsed
        most //= 2
    return csv_table.read(io.BytesIO(head), most)


def _suggested_target(table: Table, request: TrainingRequest) -> str:
    """Return the column that is most probably the target: one with such a name, else the last one that can be one."""
    dates = {name for name, kind in request.kinds.items() if kind.startswith("datetime")}
    names = [name for name in table.columns if name and name != request.id_field and name not in dates]
    likely = [name for name in names if name.strip().lower() in _TARGETS]
    for name in (*likely, *reversed(names)):
        with suppress(DataError):
            index = list(table.columns).index(name)
            infer_target(table, name, count_values(rows_with_target(table, index, []), index), {})
            return name
    return names[-1] if names else ""


class _Reading:
    """The columns of a table, with what a training is asked to do with them."""

    def __init__(self, table: Table, columns: Columns) -> None:
        self._table = table
        self._columns = columns
        self._header = list(table.columns)
        self._problems: list[str] = []
        self._remarks = list(table.remarks)
        try:
            self._rows = rows_with_target(table, self._header.index(columns.target), self._remarks)
        except DataError as error:
            self._problems.append(str(error))
            self._rows = table.rows

    def preview(self, complete: bool) -> TrainingPreview:
        columns = [self._column(name, count_values(self._rows, at)) for at, name in enumerate(self._header)]
        target = next(column for column in columns if column.use is ColumnUse.TARGET)
        if not any(column.use is ColumnUse.FEATURE for column in columns):
            self._problems.append(f"no column is left to predict {shown(target.name)} from")
        return TrainingPreview(
            source=self._table.source,
            rows=len(self._table.rows),
            complete=complete,
            columns=columns,
            target=target.name,
            task=_task(target),
            problems=self._problems,
            remarks=self._remarks,
        )

    def _column(self, name: str, counts: Counts) -> ColumnPreview:
        columns = self._columns
        if name == columns.target:
            return self._target(name, counts)
        if name == columns.id_field:
            return _column(name, counts, ColumnUse.ID, None, ["it is repeated in the answers, not learned from"])
        if not name:
            return _column(name, counts, ColumnUse.IGNORED, None, ["it has no name"])
        wanted = columns.features is None or name in columns.features
        try:
            inferred = infer_input(name, counts, len(self._rows), self._table.separator, columns.kinds.get(name))
        except DataError as error:
            remarks = [str(error)] if wanted else []  # the training does not read what it leaves out
            self._problems += remarks
            return _column(name, counts, ColumnUse.IGNORED, None, remarks)
        use = ColumnUse.FEATURE if inferred.field and wanted else ColumnUse.IGNORED
        remarks = list(inferred.remarks) if wanted else []
        return _column(name, counts, use, inferred.field, remarks, inferred.nulls)

    def _target(self, name: str, counts: Counts) -> ColumnPreview:
        try:
            field, remarks = infer_target(self._table, name, counts, self._columns.kinds), []
        except DataError as error:
            self._problems.append(str(error))
            field, remarks = None, [str(error)]
        return _column(name, counts, ColumnUse.TARGET, field, remarks)


def _column(
    name: str,
    counts: Counts,
    use: ColumnUse,
    field: Field | None,
    remarks: Sequence[str],
    nulls: frozenset[object] = frozenset(),
) -> ColumnPreview:
    values = {str(value): count for value, count in counts.items() if value is not None and value not in nulls}
    frequent = sorted(values, key=values.__getitem__, reverse=True)[:_SAMPLES]
    bounds, histogram = _intervals(values, field) or (None, [values[value] for value in frequent])
    return ColumnPreview(
        name=name,
        use=use,
        kind=None if field is None else name_of_kind(field.kind, field.format),
        nullable=field is not None and field.nullable,
        categories=None if field is None or field.categories is None else list(field.categories),
        samples=[sample[:_LONGEST_SAMPLE] for sample in frequent],
        different=len(values),
        nulls=sum(counts.values()) - sum(values.values()),
        remarks=list(remarks),
        bounds=bounds,
        histogram=histogram,
    )


def _intervals(values: Mapping[str, int], field: Field | None) -> tuple[list[float], list[int]] | None:
    """Return the bounds of the numbers of a column, and the rows in each interval; None if it has no two numbers."""
    if field is None or field.kind not in (Kind.NUMBER, Kind.INTEGER):
        return None
    numbers = [float(cell) for cell in plain_numbers(list(values), field.format, field.unit)]
    least, greatest = (min(numbers), max(numbers)) if numbers else (0.0, 0.0)
    # In halves, because the width of the widest range of numbers is infinite.
    if not (width := greatest / 2 - least / 2):
        return None
    rows = [0] * _INTERVALS
    for number, count in zip(numbers, values.values(), strict=True):
        rows[min(_INTERVALS - 1, int((number / 2 - least / 2) / width * _INTERVALS))] += count
    return [least, greatest], rows


def _task(target: ColumnPreview) -> Task | None:
    """Return what the recipe `tabular` would do."""
    if target.kind is None:
        return None
    few = target.kind == Kind.INTEGER and target.different <= FEW_VALUES
    return Task.CLASSIFICATION if few or target.kind in (Kind.STRING, Kind.BOOLEAN) else Task.REGRESSION
