"""Converts the rows of a request to values in signature order, or lists every error of every row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import compress
from operator import itemgetter
from typing import Any, cast

from contract.errors import FieldError, InvalidInstances
from contract.model.signature import RowFormat, Signature
from contract.row import ColumnarRows, Row
from contract.rows.csv_cells import as_json_cells, is_null_word
from contract.rows.instances import Coerced, Grid, Instances, Records, check_width
from contract.rows.record_rows import coerce_records
from contract.rows.row_plan import ALL_ROWS, WHOLE_ROW, RowErrors, RowGroup, RowLayout, RowPlan, plan_of
from contract.rows.values import Refusal
from contract.wording import counted, listed, shown

_NOT_AN_OBJECT = Refusal("not_a_row", "an object of names and values")
_NOT_A_LIST = Refusal("not_a_row", "a list of values")
_MAX_LAYOUTS = 1000
"""Most different sets of columns among the rows of one request."""
_FEW_ROWS = 8
"""Up to so many rows, converting each value is faster than trying the column in bulk, and rows travel as rows."""


def coerce(
    instances: Instances, signature: Signature, target: str | None = None, *, lenient: bool = False, first_row: int = 0
) -> Coerced:
    """Coerce instances. Raises `contract.errors.InvalidInstances` with the errors of all rows; if `lenient`, only if no
    row is valid.

    Numbers become float, integers int, datetimes ISO 8601 text in UTC. An error of all rows, such as a column that the
    header lacks, has the row None. `target` is the column that the model predicts. Errors count rows from `first_row`.
    """
    count = len(instances.rows)
    if not count:
        raise InvalidInstances([FieldError(None, None, "no_rows", "the request has no rows; send at least one")])
    plan = plan_of(signature)
    if plan.is_table:
        row = plan.coerce_one(instances) if count == 1 else None
        return Coerced([row], None, []) if row else _coerce_rows(instances, plan, target, lenient, first_row)
    if signature.format is RowFormat.RECORDS:
        return coerce_records(instances, signature, lenient=lenient, first_row=first_row)
    return _coerce_texts(instances, plan, target, lenient, first_row)


def _coerce_rows(instances: Instances, plan: RowPlan, target: str | None, lenient: bool, first_row: int) -> Coerced:
    count = len(instances.rows)
    errors = RowErrors(plan, first_row)
    grid = instances if isinstance(instances, Grid) else None
    groups = _grid(grid, plan, errors) if grid else _records(cast(Records, instances).rows, plan, errors)
    columns: dict[int, Sequence[Any]] = {}
    unknown: dict[str, None] = {}
    for group in groups:
        unknown.update(dict.fromkeys(group.layout.unknown))
        group_columns = _columns(group, plan, errors, grid)
        if errors.total and not lenient:
            continue
        if len(group.rows) == count:
            columns = group_columns
        else:
            _spread(group_columns, group.numbers, columns, count)
    if errors.total and (not lenient or ALL_ROWS in errors.rows or len(errors.rows) == count):
        raise errors.exception()
    warnings = [*(grid.remarks if grid else ()), *_ignored(list(unknown), target)]
    ids = columns.get(plan.width)
    inputs = [columns[position] for position in range(plan.width)]
    if not errors.total:
        return Coerced(_rows(inputs), ids, warnings)
    invalid = errors.exception()
    good = [number not in errors.rows for number in range(count)]
    warnings.append(invalid.as_warning(len(errors.rows), count))
    ids = ids and [None if isinstance(value, Refusal) else value for value in ids]
    rows = _rows([list(compress(column, good)) for column in inputs])
    return Coerced(rows, ids, warnings, sorted(errors.rows), invalid.errors)


def check_columns(grid: Grid, signature: Signature, target: str | None = None) -> list[str]:
    """Return the warnings about the columns of a table, whose rows need not be there yet. Raises `InvalidInstances` as
    `coerce` if the columns do not fit."""
    plan = plan_of(signature)
    if signature.format is RowFormat.RECORDS:
        return list(grid.remarks)
    if signature.format is RowFormat.TEXTS and grid.separator:
        grid = _named_as_the_text(grid, signature)
    errors = RowErrors(plan)
    layout = _layout(grid, plan, errors)
    if errors.total:
        raise errors.exception()
    return [*grid.remarks, *_ignored(layout.unknown, target)]


def _rows(columns: Sequence[Sequence[Any]]) -> Sequence[Row]:
    rows = ColumnarRows(columns)
    return rows if len(rows) > _FEW_ROWS else list(rows)


def _spread(
    group_columns: Mapping[int, Sequence[Any]], numbers: Sequence[int], columns: dict[int, Sequence[Any]], count: int
) -> None:
    """Put the values of a group at the numbers of its rows, into columns of all rows."""
    for position, values in group_columns.items():
        column: Any = columns.setdefault(position, [None] * count)
        for number, value in zip(numbers, values, strict=True):
            column[number] = value


def _coerce_texts(instances: Instances, plan: RowPlan, target: str | None, lenient: bool, first_row: int) -> Coerced:
    if isinstance(instances, Grid) and instances.separator:
        instances = _named_as_the_text(instances, plan.signature)
    row = plan.coerce_one(instances) if len(instances.rows) == 1 else None
    coerced = Coerced([row], None, []) if row else _coerce_rows(instances, plan, target, lenient, first_row)
    blank = [number for number, (text,) in enumerate(coerced.rows) if not text.strip()]
    if blank:
        coerced.warnings.append(f"the text of {len(blank)} of {counted(len(coerced.rows), 'row')} is blank")
    return coerced


def _named_as_the_text(grid: Grid, signature: Signature) -> Grid:
    """Return a CSV of one column with the name of the text: whatever its name is, it can only be the text."""
    (text,) = signature.inputs
    columns = grid.columns or ()
    if len(columns) != 1 or columns[0].lower() in (spelling.lower() for spelling in (text.name, *text.aliases)):
        return grid
    remark = f"the only column, {shown(columns[0])}, was taken as {shown(text.name)}"
    return Grid([text.name], grid.rows, grid.separator, [*grid.remarks, remark], columns, grid.formats)


def _ignored(unknown: Sequence[str], target: str | None) -> list[str]:
    known = f"; {shown(target)} is the target" if target in unknown else ""
    return [f"ignored columns that are not inputs of the model: {listed(unknown)}{known}"] if unknown else []


def _grid(grid: Grid, plan: RowPlan, errors: RowErrors) -> Iterator[RowGroup]:
    rows, layout = grid.rows, _layout(grid, plan, errors)
    names = layout.names
    if set(map(type, rows)) <= {list, tuple} and set(map(len, rows)) == {len(names)}:
        yield RowGroup(layout, range(len(rows)), rows)
        return
    which = f" ({listed(names)})" if grid.columns is None else ", one for each column"
    wrong_length = Refusal("wrong_length", f"a list of {counted(len(names), 'value')}{which}")
    fitting = []
    for number, row in enumerate(rows):
        if not isinstance(row, (list, tuple)):
            errors.add(number, WHOLE_ROW, _NOT_A_LIST, row)
        elif len(row) != len(names):
            errors.add(number, WHOLE_ROW, wrong_length, row)
        else:
            fitting.append(number)
    yield RowGroup(layout, fitting, [rows[number] for number in fitting])


def _layout(grid: Grid, plan: RowPlan, errors: RowErrors) -> RowLayout:
    """Return the layout of all rows. Adds its errors to `errors`. Raises `InvalidInstances` for too many columns."""
    names = plan.signature.names if grid.columns is None else grid.columns
    check_width(len(names), plan.signature)
    layout = plan.in_order
    if grid.columns is not None:
        layout = plan.lay_out_csv(names) if grid.separator else plan.lay_out(names, numbered=not grid.labelled)
        layout.sent = grid.sent or grid.columns
    errors.add_layout(layout, [ALL_ROWS])
    first = [name for name in names if name]
    is_title = len(first) < plan.width  # rather than a header of misspelt names
    if grid.separator and not layout.places and (is_title or not any(e.misspelt for e in errors.exception().errors)):
        remedy = "remove any title above it" if is_title else "write it above the rows"
        message = f"the first line of the CSV must be the header, with {listed(plan.signature.names)}; it has"
        raise InvalidInstances([FieldError(None, None, "no_header", f"{message} {listed(first)}: {remedy}")])
    return layout


def _records(rows: Sequence[Mapping[str, object]], plan: RowPlan, errors: RowErrors) -> Iterator[RowGroup]:
    if set(map(type, rows)) == {dict} and len(set(map(len, rows))) == 1:
        with suppress(KeyError):  # rows with other names
            yield _group(rows, range(len(rows)), plan, errors)
            return
    alike: defaultdict[Hashable, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        if type(row) is dict:
            alike[frozenset(row)].append(number)
        elif isinstance(row, Mapping):
            alike[frozenset(row), getattr(row, "repeated", ())].append(number)
        else:
            errors.add(number, WHOLE_ROW, _NOT_AN_OBJECT, row)
        if len(alike) > _MAX_LAYOUTS:
            message = f"the first {number + 1} rows have {len(alike)} different sets of names; send the same in all"
            raise InvalidInstances([FieldError(number, None, "too_many_layouts", message)])
    for numbers in alike.values():
        yield _group([rows[number] for number in numbers], numbers, plan, errors)


def _group(rows: Sequence[Mapping[str, object]], numbers: Sequence[int], plan: RowPlan, errors: RowErrors) -> RowGroup:
    """Return the group of rows with the same number of names. Adds the errors of their layout to `errors`. Raises
    `KeyError` if a row lacks a name of the first."""
    first = rows[0]
    names = tuple(first)
    check_width(len(names), plan.signature)
    read: Any = itemgetter(*names) if len(names) > 1 else lambda row: tuple(row[name] for name in names)
    values = list(map(read, rows))
    layout = plan.lay_out(names, getattr(first, "repeated", ()))
    layout.sent = names
    errors.add_layout(layout, numbers)
    return RowGroup(layout, numbers, values)


def _columns(group: RowGroup, plan: RowPlan, errors: RowErrors, grid: Grid | None) -> dict[int, Sequence[Any]]:
    """Return the group's converted columns by position. Adds invalid values to `errors`."""
    columns: dict[int, Sequence[Any]] = {}
    sent = list(zip(*group.rows, strict=True))
    for position, place in group.layout.places.items() if sent else ():
        if position in group.layout.repeated:
            continue
        column, values = convert_column(list(sent[place]), position, plan, grid)
        if values is not column and Refusal in map(type, values):
            errors.add_column(position, group, column, values)
        columns[position] = values
    return columns


def convert_column(
    column: list[object], position: int, plan: RowPlan, grid: Grid | None
) -> tuple[list[object], Sequence[Any]]:
    """Return the values of one column of `grid` (None: of records) as JSON has them, and each converted, or a `Refusal`
    that says why it is invalid."""
    conversion = plan.conversions[position]
    separator = grid.separator if grid else None
    written = plan.signature.inputs[position] if separator and position < plan.width else None
    if grid and written and separator:
        column = as_json_cells(column, written, separator, grid.formats)
    values: Sequence[Any] | None = conversion.convert_bulk(column) if len(column) > _FEW_ROWS else None
    if values is None:
        values = conversion.convert_each(column)
        if written and written.nullable and Refusal in map(type, values):
            values = _without_null_words(column, values)
    return column, values


def _without_null_words(column: Sequence[object], values: Sequence[Any]) -> list[Any]:
    pairs = zip(column, values, strict=True)
    return [None if value.__class__ is Refusal and is_null_word(cell) else value for cell, value in pairs]
