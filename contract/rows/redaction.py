"""A row of a request without its values, to show what refused requests look like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from contract.model.signature import Signature
from contract.rows.instances import Grid, Instances
from contract.rows.row_plan import plan_of
from contract.wording import counted

MOST_FIELDS, _LONGEST_NAME = 20, 64
"""Most fields of a row that is shown, and characters of their names."""
_UNKNOWN = "«a field that the model does not have»"


def redacted(instances: Instances, number: int, signature: Signature, first: str = "") -> object:
    """Return a row with a description in place of each value, such as `«text of 5 characters»`, and `null` for null.
    Names that the signature lacks are not in it. The field `first` comes first, if the row has it."""
    if number >= len(instances.rows):
        return None
    plan, row = plan_of(signature), instances.rows[number]
    cells: Iterable[tuple[str, object]]
    if isinstance(row, Mapping):
        cells = row.items()
    elif isinstance(instances, Grid) and isinstance(row, list | tuple):
        names = signature.names if instances.columns is None else plan.match_case(instances.columns)
        cells = zip(names, row, strict=False)
    else:
        return _described(row)
    known = {name if name in plan.positions else _UNKNOWN: value for name, value in cells}
    names = sorted((name for name in known if len(name) <= _LONGEST_NAME), key=lambda name: name != first)
    shown: dict[str, Any] = {name: _described(known[name]) for name in names[:MOST_FIELDS]}
    if len(known) > len(shown):
        shown["…"] = f"«and {counted(len(known) - len(shown), 'more field')}»"
    return shown


def _described(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return f"«text of {counted(len(value), 'character')}»"
    if isinstance(value, list | tuple):
        return f"«list of {counted(len(value), 'value')}»"
    return {bool: "«true or false»", int: "«whole number»", float: "«number»"}.get(type(value), "«object»")
