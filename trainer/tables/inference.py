"""A table of text and the name of its target → fields, and what of the table can be learnt from."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from contract.kinds import Conversion, Refusal, listed, shown
from contract.manifest import Field, Kind
from trainer.recipe import DataError, Recipe, Table
from trainer.tables.csv_file import STANDS_FOR_NULL

FEWEST_ROWS = 20
FEW_VALUES = 20
"""Up to so many different values, whole numbers count or grade something, and words may be all there are."""
SEEN_ENOUGH = (5, 0.01)
"""Words are all there are when the rarest stands in so many rows, and in such a share of them."""

_CODE = re.compile(r"0\d+")
_ID = re.compile(r"(?i:(^|[_\W])(id|uuid|guid|index|key)$|^unnamed: 0$)|[a-z]I[dD]$")

Counts = Mapping[object, int]
"""The values of a column, nulls among them, and in how many rows each stands."""


@dataclasses.dataclass(frozen=True)
class _Column:
    """How one column is taken: as `field`, unless None, with the cells `nulls` for no value."""

    field: Field | None
    nulls: frozenset[object] = frozenset()
    remark: str | None = None


def infer(
    recipe: Recipe, table: Table, target: str | None, features: Sequence[str] | None, id_field: str | None
) -> tuple[Recipe, Table, list[str]]:
    """`recipe` with the fields that `table` suggests, the rows and columns to learn from, and remarks on the rest.

    Raises `DataError` for a target or features that are not there, and for a table that nothing can be learnt from.
    """
    header = _header(table)
    if not target:
        raise DataError(f"the recipe {recipe.name} needs a target: name one of {listed(header)}")
    target = _find(target, "target", header)
    id_field = _find(id_field, "id_field", header) if id_field else None
    if id_field == target:
        raise DataError(f"id_field and target both name {shown(target)}; what is only echoed cannot be learnt")
    if features is not None:
        features = [_find(name, "features", header) for name in features]
    remarks: list[str] = []
    rows = _with_target(table, header.index(target), remarks)
    wanted_target = _target(target, _counts(rows, header.index(target)))
    inputs: list[Field] = []
    cells: list[tuple[int, frozenset[object]]] = []
    for index, name in enumerate(header):
        if name in (target, id_field, "") or (features is not None and name not in features):
            continue
        column = _input(name, _counts(rows, index), len(rows))
        if column.remark:
            remarks.append(column.remark)
        if column.field:
            inputs.append(column.field)
            cells.append((index, column.nulls))
    if not inputs:
        raise DataError("; ".join([f"{table.source} has no column to learn {shown(target)} from", *remarks]))
    cells.append((header.index(target), frozenset()))
    names = [*(f.name for f in inputs), target]
    if id_field:
        cells.append((header.index(id_field), frozenset()))
        names.append(id_field)
    kept = [[None if row[index] in nulls else row[index] for index, nulls in cells] for row in rows]
    known = dataclasses.replace(recipe, inputs=tuple(inputs), target=wanted_target, id_field=id_field)
    return known, Table(table.source, names, kept), remarks


def _header(table: Table) -> list[str]:
    names = list(table.columns)
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise DataError(f"{table.source} has the column {shown(twice[0])} twice; rename one of them")
    return names


def _find(name: str, what: str, header: Sequence[str]) -> str:
    """The column of that name, in any case where that leaves no doubt."""
    alike = [column for column in header if column.lower() == name.strip().lower() and column]
    if name in header:
        return name
    if len(alike) == 1:
        return alike[0]
    near = get_close_matches(name, header, n=1)
    hint = f"did you mean {shown(near[0])}?" if near else f"there are {listed(header)}"
    raise DataError(f"{what} names {shown(name)}, which is no column of the data; {hint}")


def _with_target(table: Table, target: int, remarks: list[str]) -> Sequence[Sequence[object]]:
    rows = [row for row in table.rows if row[target] is not None]
    name, lost = table.columns[target], len(table.rows) - len(rows)
    if lost:
        remarks.append(f"{_rows(lost)} without {name} are left out")
    if len(rows) < FEWEST_ROWS:
        raise DataError(f"{table.source} has {_rows(len(rows))} with a {name}; learning needs at least {FEWEST_ROWS}")
    return rows


def _counts(rows: Sequence[Sequence[object]], index: int) -> Counts:
    return Counter(row[index] for row in rows)


def _target(name: str, counts: Counts) -> Field:
    """A field of numbers is to be estimated, any other one is a class."""
    if len(counts) < 2:
        raise DataError(f"the target {shown(name)} is {listed(list(counts))} in every row: there is nothing to learn")
    kind = _kind(counts)
    if kind is Kind.DATETIME:
        raise DataError(f"the target {shown(name)} is a date; a recipe learns numbers and classes: give it as a number")
    if kind is Kind.STRING and len(counts) > sum(counts.values()) / 2:
        raise DataError(
            f"the target {shown(name)} has {len(counts)} different words in {_rows(sum(counts.values()))}:"
            " most stand in one row only, and no class can be learnt from that"
        )
    if kind is Kind.NUMBER and len(counts) <= FEW_VALUES and not _refused(counts, Kind.INTEGER):
        kind = Kind.INTEGER  # 0.0 and 1.0: classes that went through a program
    return Field(name, kind)


def _input(name: str, counts: Counts, rows: int) -> _Column:
    values = {value: count for value, count in counts.items() if value is not None}
    if not values:
        return _Column(None, remark=f"{name} is left out: it is null in every row")
    if len(counts) == 1:
        return _Column(None, remark=f"{name} is left out: it is {listed(list(values))} in every row")
    nulls, remark = frozenset[object](), None
    kind = _kind(values)
    if kind is Kind.STRING:
        nulls = frozenset(v for v in values if isinstance(v, str) and v.strip().lower() in STANDS_FOR_NULL)
        rest = {value: count for value, count in values.items() if value not in nulls}
        without = _kind(rest) if nulls and rest else kind
        if without is not Kind.STRING:
            kind, values = without, rest
            remark = f"{name} holds {listed(sorted(map(str, nulls)))}, taken for null: otherwise it is a {kind}"
        else:
            nulls, remark = frozenset(), _nearly_numbers(name, values)
    if remark is None and _is_id(name, kind, values, rows):
        return _Column(
            None,
            remark=f"{name} is left out: it is different in every row, so it names a row and tells nothing about"
            " others (as id_field it is echoed in answers)",
        )
    nullable = sum(values.values()) < rows
    categories = tuple(sorted(map(str, values))) if kind is Kind.STRING and _closed(values, rows) else None
    return _Column(Field(name, kind, nullable, categories), nulls, remark)


def _kind(values: Counts) -> Kind:
    """The narrowest kind which all values fit, by the rules that serving has.

    Whole numbers with many different values are numbers: where there was 1200, there will be 1200.5.
    """
    texts = [str(value) for value in values]
    if {text.strip().lower() for text in texts} <= {"true", "false"}:
        return Kind.BOOLEAN
    if any(_CODE.fullmatch(text) for text in texts):
        return Kind.STRING  # 01234 is a code; as a number it would lose a digit
    if not _refused(values, Kind.NUMBER):
        whole = len(values) <= FEW_VALUES and not any(set(".eE") & set(text) for text in texts)
        return Kind.INTEGER if whole and not _refused(values, Kind.INTEGER) else Kind.NUMBER
    return Kind.STRING if _refused(values, Kind.DATETIME) else Kind.DATETIME


def _refused(values: Counts, kind: Kind) -> list[object]:
    found = Conversion.of(Field("", kind)).each(list(values))
    return [value for value, converted in zip(values, found, strict=True) if isinstance(converted, Refusal)]


def _nearly_numbers(name: str, values: Counts) -> str | None:
    for kind in (Kind.NUMBER, Kind.DATETIME):
        words = _refused(values, kind)
        if sum(values[word] for word in words) <= 0.05 * sum(values.values()):
            return f"{name} is taken for text: nearly all of it are {kind}s, but there is {listed(words, 3)}"
    return None


def _is_id(name: str, kind: Kind, values: Counts, rows: int) -> bool:
    """Whether each row has a value of its own that is a name and no measure."""
    if len(values) < rows:
        return False
    if kind is Kind.STRING:
        return sum(" " in str(value).strip() for value in values) < rows / 2  # else it is prose
    if kind is not Kind.NUMBER or any(not float(str(value)).is_integer() for value in values):
        return False
    numbers = [float(str(value)) for value in values]
    return bool(_ID.search(name)) or max(numbers) - min(numbers) == rows - 1


def _closed(values: Counts, rows: int) -> bool:
    return len(values) <= FEW_VALUES and min(values.values()) >= max(SEEN_ENOUGH[0], SEEN_ENOUGH[1] * rows)


def _rows(number: int) -> str:
    return f"{number} row{'' if number == 1 else 's'}"
