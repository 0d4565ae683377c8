"""Infers the fields of a table of text, given its target, and leaves out columns that cannot help to predict."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from contract.model.signature import Field, Format, Kind
from contract.rows.csv_cells import NULLS, date_format, is_null_word, number_format, why_not_dates, without_commas
from contract.rows.values import Conversion, Refusal
from contract.wording import kind_in_words, listed, shown
from contract.work.training import KINDS
from contract.work.training_columns import resolve_columns
from trainer.recipe import DataError, Recipe, Table

FEWEST_ROWS = 20
FEW_VALUES = 20
"""With at most this many different values, whole numbers are counts or grades, and words may be categories."""
SEEN_ENOUGH = (5, 0.01)
"""Words are categories if the rarest occurs in at least this many rows and this share of them."""

_CODE = re.compile(r"0\d+")
_ID = re.compile(r"(?i:(^|[_\W])(id|uuid|guid|index|key)$|^unnamed: 0$)|[a-z]I[dD]$")

Counts = Mapping[object, int]
"""The number of rows with each value of a column, including nulls."""


@dataclasses.dataclass(frozen=True)
class InferredColumn:
    """The field of a column, or None if it is left out; `nulls` are the cells that mean null."""

    field: Field | None
    nulls: frozenset[object] = frozenset()
    remarks: Sequence[str] = ()


def infer_fields(
    recipe: Recipe,
    table: Table,
    target: str | None,
    features: Sequence[str] | None,
    id_field: str | None,
    kinds: Mapping[str, str] | None = None,
) -> tuple[Recipe, Table, list[str]]:
    """Return `recipe` with the fields inferred from `table`, the rows and columns to train on, and remarks.

    Raises `DataError` for a target or features that do not exist, and for a table that cannot be used.
    """
    header = list(table.columns)
    if not target:
        raise DataError(f"the recipe {recipe.name} needs a target: name one of {listed(header)}")
    columns, errors = resolve_columns(header, target, features, id_field, kinds or {})
    if errors:
        raise DataError(errors[0].message)
    remarks: list[str] = []
    rows = rows_with_target(table, header.index(columns.target), remarks)
    wanted_target = infer_target(table, columns.target, count_values(rows, header.index(columns.target)), columns.kinds)
    inputs: list[Field] = []
    cells: list[tuple[int, frozenset[object]]] = []
    for index, name in enumerate(header):
        if name in (columns.target, columns.id_field, "") or (
            columns.features is not None and name not in columns.features
        ):
            continue
        column = infer_input(name, count_values(rows, index), len(rows), table.separator, columns.kinds.get(name))
        remarks += column.remarks
        if column.field:
            inputs.append(column.field)
            cells.append((index, column.nulls))
    if not inputs:
        raise DataError("; ".join([f"{table.source} has no column to predict {shown(columns.target)} from", *remarks]))
    cells.append((header.index(columns.target), frozenset()))
    names = [*(f.name for f in inputs), columns.target]
    if columns.id_field:
        cells.append((header.index(columns.id_field), frozenset()))
        names.append(columns.id_field)
    kept = [[None if row[index] in nulls else row[index] for index, nulls in cells] for row in rows]
    known = dataclasses.replace(recipe, inputs=tuple(inputs), target=wanted_target, id_field=columns.id_field)
    return known, dataclasses.replace(table, columns=names, rows=kept), [*_comma_remarks(known), *remarks]


def _comma_remarks(recipe: Recipe) -> list[str]:
    inputs, target = recipe.fields
    ways = {Format.DECIMAL_COMMA: "a decimal comma", Format.THOUSANDS_COMMA: "commas between thousands"}
    named = {words: [f.name for f in (*inputs, target) if f.format is way] for way, words in ways.items()}
    return [f"the numbers in {', '.join(names)} have {words}" for words, names in named.items() if names]


def rows_with_target(table: Table, target: int, remarks: list[str]) -> Sequence[Sequence[object]]:
    """Return the rows to learn from, and add a remark on the others. Raises `DataError` if there are too few."""
    rows = [row for row in table.rows if row[target] is not None and row[target] not in NULLS]
    name, lost = table.columns[target], len(table.rows) - len(rows)
    if lost:
        remarks.append(f"{_rows(lost)} without {name} are left out")
    if len(rows) < FEWEST_ROWS:
        raise DataError(f"{table.source} has {_rows(len(rows))} with a {name}; learning needs at least {FEWEST_ROWS}")
    return rows


def count_values(rows: Sequence[Sequence[object]], index: int) -> Counts:
    """Return the number of rows with each value of a column."""
    return Counter(row[index] for row in rows)


def infer_target(table: Table, name: str, counts: Counts, kinds: Mapping[str, str]) -> Field:
    """Return the target's field: numbers are for regression, anything else for classification. Raises `DataError` for a
    column that cannot be a target."""
    if len(counts) < 2:
        raise DataError(f"the target {shown(name)} is {listed(list(counts))} in every row: there is nothing to predict")
    if name in kinds:
        field, words, _ = _requested_field(name, counts, table.separator, kinds[name])
        if words:
            raise DataError(f"the target {shown(name)} holds {listed(sorted(map(str, words)))}; correct the file")
        return field
    field, _ = _infer_kind(name, counts, table.separator)
    kind = field.kind
    if kind is Kind.DATETIME:
        raise DataError(f"the target {shown(name)} is a date; a recipe learns numbers and classes: give it as a number")
    if kind is Kind.STRING and len(counts) > sum(counts.values()) / 2:
        raise DataError(
            f"the target {shown(name)} has {len(counts)} different words in {_rows(sum(counts.values()))}:"
            " most occur in one row only, so they cannot be classes"
        )
    if kind is Kind.NUMBER and len(counts) <= FEW_VALUES:
        whole = dataclasses.replace(field, kind=Kind.INTEGER)
        return (
            field if _unfit_values(counts, whole) else whole
        )  # 0.0 and 1.0 are classes that some program wrote as floats
    return field


def infer_input(name: str, counts: Counts, rows: int, separator: str | None, wanted: str | None) -> InferredColumn:
    """Return the field of a column to learn from, or why it is left out. `wanted`: the requested kind. Raises
    `DataError` if the values do not fit it."""
    nulls = frozenset[object](value for value in counts if value is None or value in NULLS)
    values = {value: count for value, count in counts.items() if value not in nulls}
    if not values:
        return InferredColumn(None, remarks=[f"{name} is left out: it is null in every row"])
    if len(values) == 1 and not nulls:
        return InferredColumn(None, remarks=[f"{name} is left out: it is {listed(list(values))} in every row"])
    if wanted:
        field, words, remarks = _requested_field(name, values, separator, wanted)
    else:
        field, words, remarks = _infer_field(name, values, separator)
    nulls, values = nulls | words, {value: count for value, count in values.items() if value not in words}
    if not wanted and not remarks and _is_id(name, field, values, rows):
        return InferredColumn(
            None,
            remarks=[
                f"{name} is left out: each row has a different value, so it cannot help to predict;"
                " choose it as the id (id_field) to have it repeated in the answers"
            ],
        )
    categories = (
        tuple(sorted(map(str, values))) if field.kind is Kind.STRING and _are_categories(values, rows) else None
    )
    nullable = sum(values.values()) < rows
    return InferredColumn(dataclasses.replace(field, nullable=nullable, categories=categories), nulls, remarks)


_Found = tuple[Field, frozenset[object], list[str]]
"""A field, the words that mean null in it, and remarks."""


def _infer_field(name: str, values: Counts, separator: str | None) -> _Found:
    """Infer the field of the values, and the words among them that mean null."""
    (field, guess), nulls = _infer_kind(name, values, separator), frozenset[object]()
    remarks: list[str] = []
    if field.kind is Kind.STRING:
        words, rest = _without_null_words(values)
        without, other_guess = _infer_kind(name, rest, separator) if words and rest else (field, guess)
        if without.kind is Kind.STRING:
            remarks = _text_remarks(name, values)
        else:
            field, guess, nulls, remarks = without, other_guess, words, [_null_remark(name, words, without.kind)]
    if guess:
        remarks.append(f"{name} {guess}")
    return field, nulls, remarks


def _requested_field(name: str, values: Counts, separator: str | None, wanted: str) -> _Found:
    """Return the field with the requested kind. Raises `DataError` with values that do not fit."""
    kind, written = KINDS[wanted]
    words, rest = _without_null_words(values) if kind is not Kind.STRING else (frozenset[object](), values)
    if kind in (Kind.NUMBER, Kind.INTEGER) and separator:
        written = number_format(rest, separator)
    elif kind is Kind.DATETIME and written is None:
        written, _ = _dates(rest)
    field = Field(name, kind, format=written)
    if wrong := _unfit_values(rest, field):
        also = f" ({wanted})" if kind_in_words(wanted) != wanted else ""
        raise DataError(
            f"{shown(name)} cannot be read as {kind_in_words(wanted)}{also}: it holds {listed(wrong, 3)};"
            " choose another kind, or correct the file"
        )
    return field, words, [_null_remark(name, words, kind)] if words else []


def _without_null_words(values: Counts) -> tuple[frozenset[object], Counts]:
    words = frozenset(value for value in values if is_null_word(value))
    return words, {value: count for value, count in values.items() if value not in words}


def _null_remark(name: str, words: frozenset[object], kind: Kind) -> str:
    return f"{name} holds {listed(sorted(map(str, words)))}, taken for null: otherwise it is a {kind}"


def _infer_kind(name: str, values: Counts, separator: str | None) -> tuple[Field, str | None]:
    """Infer the narrowest kind that fits all values, by the rules of serving. Return a sentence, too, about a decision
    in doubt.

    Whole numbers with many different values are numbers: after 1200 there may be 1200.5.
    """
    texts = [str(value) for value in values]
    if {text.strip().lower() for text in texts} <= {"true", "false"}:
        return Field(name, Kind.BOOLEAN), None
    if any(_CODE.fullmatch(text) for text in texts):
        return Field(name, Kind.STRING), None  # 01234 is a code; as a number it would lose a digit
    written = number_format(values, separator) if separator else None
    if not _unfit_values(values, Field("", Kind.NUMBER, format=written)):
        whole = len(values) <= FEW_VALUES and not any(set(".,eE") & set(text) for text in texts)
        fits = whole and not _unfit_values(values, Field("", Kind.INTEGER))
        return Field(name, Kind.INTEGER if fits else Kind.NUMBER, format=written), None
    dates, guess = _dates(values)
    if _unfit_values(values, Field("", Kind.DATETIME, format=dates)):
        return Field(name, Kind.STRING), None
    return Field(name, Kind.DATETIME, format=dates), guess


def _dates(values: Counts) -> tuple[Format | None, str | None]:
    """Return the format of dates that are not in ISO 8601, and a remark if it was guessed."""
    inferred = date_format(str(value) for value in _unfit_values(values, Field("", Kind.DATETIME)))
    if inferred is None:
        return None, None
    written, guessed = inferred
    if not guessed:
        return written, None
    first, other = ("day", "month") if written is Format.DAY_FIRST else ("month", "day")
    return written, (
        f"holds dates that could begin with the day or with the month: the {first} was assumed;"
        f" kinds says otherwise (datetime_{other}_first)"
    )


def _unfit_values(values: Counts, field: Field) -> list[object]:
    cells = list(values)
    plain = without_commas(cells, field.format)
    results = Conversion.for_field(field).convert_each(plain)
    return [value for value, converted in zip(cells, results, strict=True) if isinstance(converted, Refusal)]


def _text_remarks(name: str, values: Counts) -> list[str]:
    """Return a remark on a column of text that is nearly of another kind."""
    if reason := why_not_dates(list(map(str, values))):
        return [f"{name} is taken for text: {reason}"]
    codes = sorted(text for text in map(str, values) if _CODE.fullmatch(text))
    dates, _ = _dates(values)
    for kind in (Kind.NUMBER, Kind.DATETIME):
        words = _unfit_values(values, Field("", kind, format=dates))
        if codes and not words:
            return [f"{name} is taken for text: it has codes that begin with 0, such as {shown(codes[0])}"]
        if sum(values[word] for word in words) <= 0.05 * sum(values.values()):
            return [f"{name} is taken for text: nearly all values are {kind}s, but some are {listed(words, 3)}"]
    return []


def _is_id(name: str, field: Field, values: Counts, rows: int) -> bool:
    """Return whether the values identify the rows: all differ, and they are not measurements."""
    if len(values) < rows:
        return False
    if field.kind is Kind.STRING:
        return sum(" " in str(value).strip() for value in values) < rows / 2  # otherwise it is prose
    if field.kind is not Kind.NUMBER:
        return False
    numbers = [float(str(cell)) for cell in without_commas(list(values), field.format)]
    if not all(number.is_integer() for number in numbers):
        return False
    return bool(_ID.search(name)) or max(numbers) - min(numbers) == rows - 1


def _are_categories(values: Counts, rows: int) -> bool:
    return len(values) <= FEW_VALUES and min(values.values()) >= max(SEEN_ENOUGH[0], SEEN_ENOUGH[1] * rows)


def _rows(number: int) -> str:
    return f"{number} row{'' if number == 1 else 's'}"
