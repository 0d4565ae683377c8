"""The rows that the clients of an old service send: where they are in a body, and how they name the inputs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from contract.errors import FieldError, InvalidInstances
from contract.json_objects import RepeatedKeys
from contract.model.signature import Field, Kind, RowFormat, Signature
from contract.row import Value
from contract.rows.instances import Grid, Instances, Records
from gateway.protocols import native
from gateway.protocols.mapped_answers import unfit
from runtime.exact_json import with_repeats_marked

_BOOLEAN = re.compile(rb"true|false")


@dataclass(frozen=True)
class RequestRows:
    """`path`: the names that lead to the rows in a body. `inputs`: the input of the model by the name that clients use.
    `defaults`: by the same names, the values of inputs that a row leaves out; with `default_nulls`, of nulls, too."""

    path: tuple[str, ...] = ()
    inputs: Mapping[str, str] | None = None
    defaults: Mapping[str, Value] | None = None
    default_nulls: bool = False

    def read(self, body: bytes, signature: Signature) -> Instances:
        """Return the rows in a body of JSON, which reads as Python does: NaN is null, and booleans are 1 and 0 where
        numbers should be. Raises `MalformedBody` and `InvalidInstances`."""
        value = native.python_json(body)
        for name in self.path:
            if not isinstance(value, dict) or name not in value:
                message = f"the body has no {'.'.join(self.path)}, where the rows of this address are"
                raise InvalidInstances([FieldError(None, None, "not_instances", message)])
            value = value[name]
        names = {*(self.inputs or ()), *(self.defaults or ())}
        rows = self.named(native.rows_of(value, signature, native.PYTHON, names), signature)
        return _with_booleans_counted(rows, signature) if _BOOLEAN.search(body) else rows

    def named(self, rows: Instances, signature: Signature) -> Instances:
        """Return rows with the names of the model, and with a value for each input that has a default."""
        if self.inputs:
            rows = _renamed(rows, self.inputs)
        if self.defaults:
            missing = [(self._field(name, signature), value) for name, value in self.defaults.items()]
            rows = _completed(rows, [(field, value) for field, value in missing if field], self.default_nulls)
        return rows

    def check(self, signature: Signature) -> None:
        """Raise `Problem` for names that the model does not have."""
        if signature.format is not RowFormat.TABLE:
            return
        known = {*native.spellings(signature), signature.id_field}
        for name in (self.inputs or {}).values():
            if name not in known:
                raise unfit(f"has no input {name!r}, which `inputs` names")
        for name in self.defaults or ():
            if self._field(name, signature) is None:
                raise unfit(f"has no input {name!r}, which `defaults` names")

    def sent_as(self, names: Iterable[str]) -> Sequence[str]:
        """Return the names of the model for those of clients."""
        return [(self.inputs or {}).get(name, name) for name in names]

    def _field(self, name: str, signature: Signature) -> Field | None:
        """Return the input that clients know by a name."""
        word = (self.inputs or {}).get(name, name)
        return next((field for field in signature.inputs if word in (field.name, *field.aliases)), None)


def _renamed(rows: Instances, inputs: Mapping[str, str]) -> Instances:
    if isinstance(rows, Grid):
        names = rows.columns
        return rows if names is None else replace(rows, columns=[inputs.get(name, name) for name in names], sent=names)
    return Records([_with_names(row, inputs) for row in rows.rows])


def _with_names(row: Any, inputs: Mapping[str, str]) -> Any:
    if not isinstance(row, dict):
        return row  # coerce() refuses it
    pairs = [(inputs.get(name, name), value) for name, value in row.items()]
    repeated = row.repeated if isinstance(row, RepeatedKeys) else ()
    return with_repeats_marked(pairs + [(inputs.get(name, name), row[name]) for name in repeated])


def _with_booleans_counted(rows: Instances, signature: Signature) -> Instances:
    fields = [field for field in signature.inputs if field.kind in (Kind.NUMBER, Kind.INTEGER)]
    numbers = {word for field in fields for word in (field.name, *field.aliases)}
    if isinstance(rows, Grid):
        names = signature.names if rows.columns is None else rows.columns
        counted = [name in numbers for name in names]
        return replace(rows, rows=[_with_cells_counted(row, counted) for row in rows.rows])
    for row in rows.rows:
        if isinstance(row, dict):
            row.update({name: int(row[name]) for name in numbers & row.keys() if isinstance(row[name], bool)})
    return rows


def _with_cells_counted(row: Any, counted: Sequence[bool]) -> Any:
    if not isinstance(row, list | tuple) or len(row) != len(counted):
        return row
    return [int(cell) if count and isinstance(cell, bool) else cell for cell, count in zip(row, counted, strict=True)]


def _completed(rows: Instances, defaults: Sequence[tuple[Field, Value]], nulls: bool) -> Instances:
    replaced = {word: value for field, value in defaults for word in (field.name, *field.aliases)} if nulls else {}
    if isinstance(rows, Records):
        return Records([_with_defaults(row, defaults, replaced) for row in rows.rows])
    if rows.columns is None:
        return rows
    present = {*rows.columns}
    added = [(field.name, value) for field, value in defaults if present.isdisjoint((field.name, *field.aliases))]
    names, values = [*rows.columns, *(name for name, _ in added)], [value for _, value in added]
    return replace(rows, columns=names, rows=[_extended(row, rows.columns, values, replaced) for row in rows.rows])


def _extended(row: Any, columns: Sequence[str], values: Sequence[Value], replaced: Mapping[str, Value]) -> Any:
    """Return a row with more values at its end. coerce() refuses one that is no list, or has another length."""
    if not isinstance(row, list | tuple):
        return row
    if replaced and len(row) == len(columns):
        row = [replaced.get(name) if cell is None else cell for name, cell in zip(columns, row, strict=True)]
    return [*row, *values]


def _with_defaults(row: Any, defaults: Sequence[tuple[Field, Value]], replaced: Mapping[str, Value]) -> Any:
    if not isinstance(row, dict) or isinstance(row, RepeatedKeys):
        return row
    row = {name: value for name, value in row.items() if value is not None or name not in replaced}
    added = {field.name: value for field, value in defaults if row.keys().isdisjoint((field.name, *field.aliases))}
    return {**row, **added}
