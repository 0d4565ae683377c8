"""Coerces rows that are objects of any names, as `DictVectorizer` and `FeatureHasher` take them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, cast

from contract.errors import FieldError, InvalidInstances
from contract.json_objects import RepeatedKeys, is_encodable
from contract.model.signature import Kind, Signature
from contract.row import Record, Row, Value
from contract.rows.instances import MAX_NAMES, Coerced, Grid, Instances, Records
from contract.rows.values import ID, Conversion, Refusal
from contract.wording import listed, shown

MAX_LIST = 10_000
"""Most texts of one list."""

_NUMBER = Conversion.of_kind(Kind.NUMBER)
_EXAMPLE = '[{"city": "Rome", "visits": 3}]'
_NOT_A_NAME = Refusal("not_a_string", "named by text in Unicode")
_NOT_A_VALUE = Refusal("not_a_value", "a number, a text, true or false")
_NOT_A_VALUE_OR_LIST = Refusal("not_a_value", "a number, a text, true, false or a list of texts")
_NOT_A_STRING = Refusal("not_a_string", "text, or a list of texts")
_LEFT_OUT = object()


def coerce_records(instances: Instances, signature: Signature, *, lenient: bool, first_row: int = 0) -> Coerced:
    """Coerce the rows of a model whose rows are records. Raises as `contract.rows.coercion.coerce`.

    A name that the model knows as a number is read as a number, and one that it knows as text as text, or as a list of
    texts. Other values stay as they are. The model reads null as NaN where it knows a number, so such a name must be
    nullable; any other null is left out, which gives the same answer. A CSV has no other way to leave a name out than
    a blank cell.
    """
    reader = _Reader(signature)
    records: list[Record] = []
    ids: list[Value] = []
    errors: list[FieldError] = []
    refused: list[int] = []
    total = 0
    for number, row in enumerate(_rows(instances, reader)):
        record, own_id, row_errors = reader.read(first_row + number, row)
        ids.append(own_id)
        if row_errors:
            errors += row_errors[: InvalidInstances.SHOWN - len(errors)]
            total += len(row_errors)
            refused.append(number)
        else:
            records.append(record)
    invalid = InvalidInstances(errors, total)
    if errors and not (lenient and records):
        raise invalid
    warnings = [*(instances.remarks if isinstance(instances, Grid) else ()), *reader.warnings(records)]
    if errors:
        warnings.append(invalid.as_warning(len(refused), len(ids)))
    rows: list[Row] = [(record,) for record in records]
    return Coerced(rows, ids if signature.id_field else None, warnings, refused, errors)


def _rows(instances: Instances, reader: _Reader) -> Iterator[object]:
    """Yield each row as a mapping, or as what it is if it cannot be one."""
    if isinstance(instances, Records):
        yield from instances.rows
        return
    names = instances.columns
    if names is None:
        message = f"the rows of this model are objects of names and values, such as {_EXAMPLE}"
        raise InvalidInstances([FieldError(None, None, "not_a_row", message)])
    repeated = tuple(name for name, times in Counter(names).items() if times > 1)
    for row in instances.rows:
        if not isinstance(row, list | tuple) or len(row) != len(names):
            yield row
            continue
        record = RepeatedKeys(zip(names, row, strict=True))
        record.repeated = repeated
        if instances.separator:
            for name, cell in zip(names, row, strict=True):
                record[name] = reader.from_cell(name, cast("str | None", cell))
        yield record


class _Reader:
    """Reads records of one signature."""

    def __init__(self, signature: Signature) -> None:
        self._id_field = signature.id_field
        self._known = {field.name: field for field in signature.inputs}
        self._conversions = {field.name: Conversion.for_field(field) for field in signature.inputs}

    def read(self, number: int, row: object) -> tuple[dict[str, Any], Value, list[FieldError]]:
        """Return the row with this number as a record, its id, and all its errors."""
        if not isinstance(row, Mapping):
            message = f"row {number} must be an object of names and values; it is {shown(row)}"
            return {}, None, [FieldError(number, None, "not_a_row", message)]
        if len(row) > MAX_NAMES:
            message = f"row {number} has {len(row)} names, and at most {MAX_NAMES} are read"
            return {}, None, [FieldError(number, None, "too_many_names", message)]
        repeated = getattr(row, "repeated", ())
        errors = [
            FieldError(number, name, "repeated_field", f"{shown(name)} is given more than once", name)
            for name in repeated
        ]
        record = {}
        for name, value in row.items():
            converted = self._converted(name, value)
            if isinstance(converted, Refusal):
                message = f"{shown(name)} must be {converted.expected}; it is {shown(value)}"
                errors.append(FieldError(number, name, converted.code, message, name))
            elif converted is not _LEFT_OUT:
                record[name] = converted
        own_id = record.pop(self._id_field, None) if self._id_field else None
        return record, own_id, errors

    def from_cell(self, name: str, cell: str | None) -> object:
        """Return the cell of a CSV: as a number if it is one, unless the model knows this name as text."""
        if cell is None:
            return _LEFT_OUT
        field = self._known.get(name)
        if name == self._id_field or (field is not None and not field.guessed):
            return cell
        number = _NUMBER.convert(cell)
        return cell if isinstance(number, Refusal) else number

    def _converted(self, name: str, value: object) -> Any:
        """Return the value, `_LEFT_OUT`, or a `Refusal`."""
        if value is _LEFT_OUT or not is_encodable(name):
            return value if value is _LEFT_OUT else _NOT_A_NAME
        if name == self._id_field:
            return value if value is None else ID.convert(value)
        field = self._known.get(name)
        if field is None:
            return self._of_unknown_name(value)
        is_text = field.kind is Kind.STRING
        if value is None:
            return _LEFT_OUT if is_text else self._conversions[name].null
        if isinstance(value, list) and (is_text or field.guessed):
            return value if _are_texts(value) else _NOT_A_STRING if is_text else _NOT_A_VALUE_OR_LIST
        if field.guessed:
            return value if _is_plain(value) else _NOT_A_VALUE_OR_LIST
        if isinstance(value, bool) and field.kind is Kind.NUMBER:
            return value
        return self._conversions[name].convert(value)

    def _of_unknown_name(self, value: object) -> Any:
        """A model that knows its names ignores others; a `FeatureHasher` knows none, and takes no lists."""
        if value is None:
            return _LEFT_OUT
        if isinstance(value, list) and self._known and _are_texts(value):
            return value
        return value if _is_plain(value) else _NOT_A_VALUE_OR_LIST if self._known else _NOT_A_VALUE

    def warnings(self, records: Sequence[Record]) -> list[str]:
        """Return the warning about names that the model does not know, which it ignores."""
        if not self._known:
            return []
        unknown = dict.fromkeys(name for record in records for name in record if name not in self._known)
        return [f"ignored names that the model does not know: {listed(list(unknown))}"] if unknown else []


def _are_texts(value: list[object]) -> bool:
    return len(value) <= MAX_LIST and all(isinstance(word, str) and is_encodable(word) for word in value)


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return is_encodable(value)
    if not isinstance(value, int | float):
        return False
    try:
        return isfinite(value)
    except OverflowError:  # an int beyond the range of floats
        return False
