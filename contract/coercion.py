"""Converts the rows of a request to values in signature order, or lists every error of every row."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any, cast

from contract.csv_cells import as_json_cells, is_null_word
from contract.errors import FieldError, InvalidInstances
from contract.jobs import Row, Value
from contract.manifest import Signature
from contract.suggestions import Suggestions
from contract.values import ID, Conversion, Refusal
from contract.wording import counted, listed, shown

MAX_NAMES = 10_000
"""Most columns of a row: far more than a model has inputs, and few enough to check each."""


class RepeatedKeys(dict[str, object]):
    """A JSON object that named some keys twice; `repeated` holds those. The last value is kept."""

    repeated: tuple[str, ...] = ()


# Records, Grid and Coerced are made for every request; frozen dataclasses would take three times as long to make.


@dataclass(slots=True)
class Records:
    """Instances as mappings of column name to value."""

    rows: Sequence[Mapping[str, object]]


@dataclass(slots=True)
class Grid:
    """Instances as lists of values under `columns`; None means the inputs in signature order.

    `separator` is set for a CSV, whose values are text; `remarks` say how the CSV was read.
    """

    columns: Sequence[str] | None
    rows: Sequence[Sequence[object]]
    separator: str | None = None
    remarks: Sequence[str] = ()


Instances = Records | Grid


@dataclass(slots=True)
class Coerced:
    """Rows in signature order. `ids` is None if the request has none; `warnings` are sentences for the caller.

    `refused` are the numbers of the invalid rows, ascending, and `errors` their errors. `rows` lacks these rows, `ids`
    does not.
    """

    rows: list[Row]
    ids: list[Value] | None
    warnings: list[str]
    refused: Sequence[int] = ()
    errors: Sequence[FieldError] = ()


def coerce(instances: Instances, signature: Signature, target: str | None = None, *, lenient: bool = False) -> Coerced:
    """Coerce instances. Raises `contract.errors.InvalidInstances` with the errors of all rows; if `lenient`, only if no
    row is valid.

    Numbers become float, integers int, datetimes ISO 8601 text in UTC. An error that concerns
    all rows (a column that the header lacks) has the row None. `target` is the column that the model predicts.
    """
    count = len(instances.rows)
    if not count:
        raise InvalidInstances([FieldError(None, None, "no_rows", "the request has no rows; send at least one")])
    plan = _plan_of(signature)
    if count == 1 and (row := plan.coerce_one(instances)):
        return Coerced([row], None, [])
    errors = _Errors(plan)
    grid = instances if isinstance(instances, Grid) else None
    groups = _grid(grid, plan, errors) if grid else _records(cast(Records, instances).rows, plan, errors)
    separator = grid.separator if grid else None
    rows: list[Row] = [()] * count
    ids: list[Value] | None = None
    unknown: dict[str, None] = {}
    for group in groups:
        unknown.update(dict.fromkeys(group.layout.unknown))
        columns = _columns(group, plan, errors, separator)
        if errors.total and not lenient:
            continue
        if all(position in columns for position in range(plan.width)):
            inputs = [columns[position] for position in range(plan.width)]
            for number, row in zip(group.numbers, zip(*inputs, strict=True), strict=True):
                rows[number] = row
        if plan.width in columns:
            ids = ids or [None] * count
            for number, value in zip(group.numbers, columns[plan.width], strict=True):
                ids[number] = None if isinstance(value, Refusal) else value
    if errors.total and (not lenient or _ALL_ROWS in errors.rows or len(errors.rows) == count):
        raise errors.exception()
    warnings = [*(grid.remarks if grid else ()), *_ignored(list(unknown), target)]
    if not errors.total:
        return Coerced(rows, ids, warnings)
    found = errors.exception()
    good = [row for number, row in enumerate(rows) if number not in errors.rows]
    warnings.append(_refused_rows(len(errors.rows), count, found))
    return Coerced(good, ids, warnings, sorted(errors.rows), found.errors)


def _ignored(unknown: Sequence[str], target: str | None) -> list[str]:
    known = f"; {shown(target)} is the target" if target in unknown else ""
    return [f"ignored columns that are not inputs of the model: {listed(unknown)}{known}"] if unknown else []


def _refused_rows(refused: int, count: int, found: InvalidInstances) -> str:
    more = f" (the first {len(found.errors)} of {found.total} errors)" if len(found.errors) < found.total else ""
    return f"{refused} of {count} rows cannot be used: their predictions are null, and output.errors says why{more}"


_MISSING = Refusal("missing_field", "")
_REPEATED = Refusal("repeated_field", "")
_NOT_AN_OBJECT = Refusal("not_a_row", "an object of names and values")
_NOT_A_LIST = Refusal("not_a_row", "a list of values")
_ALL_ROWS = _WHOLE_ROW = -1
_MAX_LAYOUTS = 1000
"""Most different sets of columns among the rows of one request."""
_FEW = 8
"""With fewer rows, converting each value is faster than trying the column in bulk."""


def check_width(names: int, signature: Signature) -> None:
    """Raise `InvalidInstances` if rows have so many columns that most cannot be inputs of the model."""
    most = max(MAX_NAMES, 2 * len(signature.inputs))
    if names > most:
        message = f"a row has {names} names, and at most {most} are read; send the {len(signature.inputs)} of the model"
        raise InvalidInstances([FieldError(None, None, "too_many_names", message)])


class _Plan:
    """A signature, prepared for coercion.

    A position is the index of an input in the signature; the id field has the next one, `width`.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.width = len(signature.inputs)
        self._names = signature.names
        self.spellings = [(f.name, *f.aliases) for f in signature.inputs]
        self.conversions = [Conversion.for_field(f) for f in signature.inputs]
        self.positions = {name: position for position, names in enumerate(self.spellings) for name in names}
        if signature.id_field is not None:
            self.spellings.append((signature.id_field,))
            self.conversions.append(ID)
            self.positions.setdefault(signature.id_field, self.width)
        alike = Counter(name for names in self.spellings for name in {spelling.lower() for spelling in names})
        self.in_any_case = {name.lower(): name for name in self.positions if alike[name.lower()] == 1}
        self.in_order = _lay_out(self, signature.names, range(self.width))
        self._of_one_row = [(conversion.convert, conversion.null) for conversion in self.conversions[: self.width]]

    def match_case(self, header: Sequence[str]) -> list[str]:
        """Return the header of a CSV in the spelling of the inputs; the case of a CSV's names does not matter."""
        names = set(header)
        alike = [self.in_any_case.get(name.lower(), name) for name in header]
        return [
            name if name in self.positions or own in names else own for name, own in zip(header, alike, strict=True)
        ]

    def coerce_one(self, instances: Instances) -> Row | None:
        """Return the only row, converted, if it has exactly the inputs and all are valid, else None."""
        row: Any = instances.rows[0]
        if isinstance(instances, Records):
            if type(row) is not dict or len(row) != self.width:
                return None
            try:
                row = [row[name] for name in self._names]
            except KeyError:
                return None
        elif type(row) is not list or len(row) != self.width or instances.columns is not None:
            return None
        converted: list[Any] = [
            null if value is None else convert(value)
            for (convert, null), value in zip(self._of_one_row, row, strict=True)
        ]
        return None if Refusal in map(type, converted) else tuple(converted)


_PLANS: dict[int, _Plan] = {}
_MAX_PLANS = 512


def _plan_of(signature: Signature) -> _Plan:
    """Return the cached plan. The key is the signature's id, since hashing a signature costs more than coercing a row.
    A plan keeps its signature alive, so no other signature gets that id."""
    plan = _PLANS.get(id(signature))
    if plan is None:
        if len(_PLANS) >= _MAX_PLANS:
            _PLANS.clear()
        plan = _PLANS[id(signature)] = _Plan(signature)
    return plan


@dataclass(slots=True)
class _Layout:
    """Where rows have their values: `places` maps each position to a key or an index."""

    names: Sequence[str]
    places: dict[int, Any]
    repeated: list[int]
    unknown: list[str]


@dataclass(slots=True)
class _Group:
    """Rows that share a layout, and their numbers in the request."""

    layout: _Layout
    numbers: Sequence[int]
    rows: Sequence[Any]


def _lay_out(plan: _Plan, names: Sequence[str], places: Iterable[Any], repeated: Sequence[str] = ()) -> _Layout:
    found: dict[int, Any] = {}
    twice = [plan.positions[name] for name in repeated if name in plan.positions]
    unknown: list[str] = []
    for name, place in zip(names, places, strict=True):
        position = plan.positions.get(name)
        if position is None:
            unknown.append(name)
        elif position not in found:
            found[position] = place
        elif position not in twice:
            twice.append(position)
    return _Layout(names, found, twice, unknown)


def _grid(grid: Grid, plan: _Plan, errors: _Errors) -> Iterator[_Group]:
    rows, names = grid.rows, plan.signature.names if grid.columns is None else grid.columns
    check_width(len(names), plan.signature)
    names = plan.match_case(names) if grid.separator else names
    layout = plan.in_order if grid.columns is None else _lay_out(plan, names, range(len(names)))
    errors.add_layout(layout, [_ALL_ROWS])
    if set(map(type, rows)) <= {list, tuple} and set(map(len, rows)) == {len(names)}:
        yield _Group(layout, range(len(rows)), rows)
        return
    which = f" ({listed(names)})" if grid.columns is None else ", one for each column"
    wrong_length = Refusal("wrong_length", f"a list of {counted(len(names), 'value')}{which}")
    fitting = []
    for number, row in enumerate(rows):
        if not isinstance(row, (list, tuple)):
            errors.add(number, _WHOLE_ROW, _NOT_A_LIST, row)
        elif len(row) != len(names):
            errors.add(number, _WHOLE_ROW, wrong_length, row)
        else:
            fitting.append(number)
    yield _Group(layout, fitting, [rows[number] for number in fitting])


def _records(rows: Sequence[Mapping[str, object]], plan: _Plan, errors: _Errors) -> Iterator[_Group]:
    alike: defaultdict[Hashable, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        if type(row) is dict:
            alike[frozenset(row)].append(number)
        elif isinstance(row, Mapping):
            alike[frozenset(row), getattr(row, "repeated", ())].append(number)
        else:
            errors.add(number, _WHOLE_ROW, _NOT_AN_OBJECT, row)
        if len(alike) > _MAX_LAYOUTS:
            message = f"the first {number + 1} rows have {len(alike)} different sets of names; send the same in all"
            raise InvalidInstances([FieldError(number, None, "too_many_layouts", message)])
    for numbers in alike.values():
        first = rows[numbers[0]]
        names = tuple(first)
        check_width(len(names), plan.signature)
        layout = _lay_out(plan, names, names, getattr(first, "repeated", ()))
        errors.add_layout(layout, numbers)
        yield _Group(layout, numbers, [rows[number] for number in numbers])


def _columns(group: _Group, plan: _Plan, errors: _Errors, separator: str | None) -> dict[int, Sequence[Any]]:
    """Return the group's converted columns by position. Adds invalid values to `errors`."""
    columns: dict[int, Sequence[Any]] = {}
    for position, place in group.layout.places.items():
        if position in group.layout.repeated:
            continue
        column = list(map(itemgetter(place), group.rows))
        conversion = plan.conversions[position]
        written = plan.signature.inputs[position] if separator and position < plan.width else None
        if written and separator:
            column = as_json_cells(column, written, separator)
        values: Sequence[Any] | None = conversion.convert_bulk(column) if len(column) > _FEW else None
        if values is None:
            values = conversion.convert_each(column)
            if written and written.nullable and Refusal in map(type, values):
                values = _without_null_words(column, values)
            if Refusal in map(type, values):
                errors.add_column(position, group.numbers, column, values)
        columns[position] = values
    return columns


def _without_null_words(column: Sequence[object], values: Sequence[Any]) -> list[Any]:
    found = zip(column, values, strict=True)
    return [None if value.__class__ is Refusal and is_null_word(cell) else value for cell, value in found]


class _Errors:
    """Counts all errors. Keeps only the first in row order, and writes messages for those."""

    def __init__(self, plan: _Plan) -> None:
        self.total = 0
        self.rows: set[int] = set()
        self._plan = plan
        self._kept: list[tuple[int, int, Refusal, object]] = []
        self._last_row = sys.maxsize
        self._hints: dict[object, str | None] = {}
        self._suggestions = Suggestions()

    def add(self, row: int, position: int, refusal: Refusal, evidence: object) -> None:
        self.total += 1
        self.rows.add(row)
        if row <= self._last_row:
            self._kept.append((row, position, refusal, evidence))
            if len(self._kept) > 20 * InvalidInstances.SHOWN:
                self._cut()

    def add_layout(self, layout: _Layout, numbers: Sequence[int]) -> None:
        """Add the missing and repeated fields of a layout, for each row of `numbers`."""
        missing = self._plan.width - len(layout.places) + (self._plan.width in layout.places)
        wrong = (missing + len(layout.repeated)) * len(numbers)
        if not wrong:
            return
        before = self.total
        self.rows.update(numbers)
        shown = [number for number in numbers[: InvalidInstances.SHOWN] if number <= self._last_row]
        lacking = [p for p in range(self._plan.width) if p not in layout.places] if shown else ()
        for number in shown:
            for position in lacking:
                self.add(number, position, _MISSING, layout)
            for position in layout.repeated:
                self.add(number, position, _REPEATED, layout)
        self.total = before + wrong

    def add_column(self, position: int, numbers: Sequence[int], column: list[Any], values: Sequence[Any]) -> None:
        found = zip(numbers, column, values, strict=True)
        wrong = ((number, value, result) for number, value, result in found if result.__class__ is Refusal)
        for number, value, refusal in islice(wrong, InvalidInstances.SHOWN):
            self.add(number, position, refusal, value)
        rest = [number for number, _, _ in wrong]
        self.total += len(rest)
        self.rows.update(rest)

    def exception(self) -> InvalidInstances:
        self._cut()
        return InvalidInstances([self._error(*kept) for kept in self._kept], self.total)

    def _cut(self) -> None:
        self._kept.sort(key=itemgetter(0, 1))
        del self._kept[InvalidInstances.SHOWN :]
        if len(self._kept) == InvalidInstances.SHOWN:
            self._last_row = self._kept[-1][0]

    def _error(self, row: int, position: int, refusal: Refusal, evidence: object) -> FieldError:
        name = None if position == _WHOLE_ROW else self._plan.spellings[position][0]
        subject = f"row {row}" if name is None else repr(name)
        if isinstance(evidence, _Layout):
            message = self._about_layout(subject, position, refusal, evidence)
        else:
            message = f"{subject} must be {refusal.expected}; it is {shown(evidence)}"
            near = self._closest((evidence,), refusal.choices) if isinstance(evidence, str) else None
            message += f": did you mean {shown(near)}?" if near else ""
        return FieldError(None if row == _ALL_ROWS else row, name, refusal.code, message)

    def _about_layout(self, subject: str, position: int, refusal: Refusal, layout: _Layout) -> str:
        spellings = self._plan.spellings[position]
        if refusal is _REPEATED:
            given = dict.fromkeys(name for name in layout.names if name in spellings)
            return f"{subject} is given more than once, as {listed(list(given))}"
        near = self._closest(spellings, layout.unknown)
        return f"{subject} is missing" + (f"; {shown(near)} is not an input: did you mean {subject}?" if near else "")

    def _closest(self, words: Sequence[str], choices: Sequence[str]) -> str | None:
        """Return the first suggestion for one of `words`, cached by question."""
        question = (words, id(choices))
        if question not in self._hints:
            close = (self._suggestions.closest(word, choices, 0.7) for word in words)
            self._hints[question] = next((found for found in close if found), None)
        return self._hints[question]
