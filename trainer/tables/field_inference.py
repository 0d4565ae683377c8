"""Infers the fields of a table of text, given its target, and leaves out columns that cannot help to predict."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from contract.model.signature import Field, Format, Kind
from contract.rows.csv_cells import MISSING, NULLS, PLAIN, is_null_word, number_format, plain_numbers, why_not_dates
from contract.rows.number_text import is_money, number_and_unit
from contract.rows.values import FALSE_WORDS, TRUE_WORDS, Conversion, Refusal, format_of_dates
from contract.wording import counted, kind_in_words, listed, shown, spelt_alike
from contract.work.training import KINDS
from contract.work.training_columns import resolve_columns
from trainer.recipe import DataError, Recipe, Table

FEWEST_ROWS = 20
FEW_VALUES = 20
"""With at most this many different values, whole numbers are counts or grades, and words may be categories."""
SEEN_ENOUGH = (5, 0.01)
"""Words are categories if the rarest occurs in at least this many rows and this share of them."""

MOST_UNFIT = 0.1
"""A column is of a kind that all but this share of its values fit: the others become null. A larger share is no
accident, and a null would say less than the words."""
FEWEST_FIT = 10
"""In fewer rows, it proves nothing that the other values fit."""

_CODE = re.compile(r"0\d+")
_GROUPS = re.compile(r"\d{3}( \d{3}){2,}")
"""A number of a telephone or a company, if all are such."""
_TWO_LETTERS = re.compile(r"[A-Z]{2}")
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
    rows = _without_blanks(rows, header.index(columns.target), columns.target, remarks)
    targets = count_values(rows, header.index(columns.target))
    wanted_target = infer_target(table, columns.target, targets, columns.kinds)
    remarks += _reading_remarks(wanted_target, targets, table.separator, _Cells(), _Cells())
    inputs: list[Field] = []
    cells: list[tuple[int, frozenset[object]]] = []
    for index, name in enumerate(header):
        is_feature = columns.features is None or name in columns.features
        if not is_feature or name in (columns.target, columns.id_field, ""):
            continue
        column = infer_input(name, count_values(rows, index), len(rows), table.separator, columns.kinds.get(name))
        remarks += column.remarks
        if column.field:
            inputs.append(column.field)
            cells.append((index, column.nulls))
    if not inputs:
        raise DataError("; ".join([f"{table.source} has no column to predict {shown(columns.target)} from", *remarks]))
    others = [columns.target, *([columns.id_field] if columns.id_field else [])]
    cells += [(header.index(name), frozenset()) for name in others]
    names = [*(field.name for field in inputs), *others]
    kept = [[None if row[index] in nulls else row[index] for index, nulls in cells] for row in rows]
    known = dataclasses.replace(recipe, inputs=tuple(inputs), target=wanted_target, id_field=columns.id_field)
    return known, dataclasses.replace(table, columns=names, rows=kept), remarks


def rows_with_target(table: Table, target: int, remarks: list[str]) -> Sequence[Sequence[object]]:
    """Return the rows to learn from, and add a remark on the others. Raises `DataError` if there are too few."""
    rows = [row for row in table.rows if row[target] is not None and row[target] not in MISSING]
    name, lost = table.columns[target], len(table.rows) - len(rows)
    if lost:
        remarks.append(f"{counted(lost, 'row')} without {name} are left out")
    if len(rows) < FEWEST_ROWS:
        raise DataError(
            f"{table.source} has {counted(len(rows), 'row')} with a {name}; learning needs at least {FEWEST_ROWS}"
        )
    return rows


def _without_blanks(
    rows: Sequence[Sequence[object]], target: int, name: str, remarks: list[str]
) -> Sequence[Sequence[object]]:
    """Return the rows without blanks around words of the target, and add remarks on these and on words that differ by
    case alone."""
    words = [value.strip() if isinstance(value := row[target], str) else value for row in rows]
    if blank := sum(word != row[target] for word, row in zip(words, rows, strict=True)):
        remarks.append(f"blanks around the {name} of {counted(blank, 'row')} are left out")
    counts = Counter(words)
    for alike in spelt_alike(counts):
        spellings = ", ".join(f"{shown(word)} ({counted(counts[word], 'row')})" for word in alike)
        why = "differ by case alone and are classes of their own"
        remarks.append(f"{name} has {spellings}, which {why}: correct the file")
    return [[*row[:target], word, *row[target + 1 :]] for word, row in zip(words, rows, strict=True)] if blank else rows


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
    field, _, misfits = _infer_kind(name, counts, table.separator)
    kind = field.kind
    few, spelt = len(counts) <= FEW_VALUES, {str(value).strip().lower() for value in counts}
    if (few and field.unit) or (kind is Kind.BOOLEAN and not spelt <= {"true", "false"}):
        return Field(name, Kind.STRING)  # the answers are the words of the file
    if misfits:
        message = f"the target {shown(name)} is nearly always a {kind}, but holds {_some(misfits)}"
        raise DataError(f"{message}; correct the file")
    if kind is Kind.DATETIME:
        raise DataError(f"the target {shown(name)} is a date; a recipe learns numbers and classes: give it as a number")
    if kind is Kind.STRING and len(counts) > sum(counts.values()) / 2:
        raise DataError(
            f"the target {shown(name)} has {len(counts)} different words in {counted(sum(counts.values()), 'row')}:"
            " most occur in one row only, so they cannot be classes"
        )
    whole = dataclasses.replace(field, kind=Kind.INTEGER)
    few = few and kind is Kind.NUMBER
    # 0.0 and 1.0 are classes that some program wrote as floats
    return whole if few and not _unfit_values(counts, whole, table.separator) else field


def infer_input(name: str, counts: Counts, rows: int, separator: str | None, wanted: str | None) -> InferredColumn:
    """Return the field of a column to learn from, or why it is left out. `wanted`: the requested kind. Raises
    `DataError` if the values do not fit it."""
    null_words = NULLS if separator else frozenset[str]()  # other files have a null of their own
    nulls = frozenset[object](value for value in counts if value is None or value in null_words)
    if "NA" in nulls and len(counts) > 2 and all(map(_TWO_LETTERS.fullmatch, map(str, counts.keys() - nulls))):
        nulls -= {"NA"}  # a code like the others: North America, Namibia
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
    if not wanted and _is_id(name, field, values, rows):
        why = ", so it cannot help to predict"
        if field.kind is Kind.STRING:
            why = "" if remarks else f", such as {shown(next(iter(values)))}, which is neither a number nor a date"
        remedy = "choose it as the id (id_field) to have it repeated in the answers"
        remark = f"{name} is left out: each row has a different value{why}; {remedy}"
        return InferredColumn(None, remarks=[*remarks, remark])
    nullable, is_text = sum(values.values()) < rows, field.kind is Kind.STRING
    categories = tuple(sorted(map(str, values))) if is_text and _are_categories(values, rows) else None
    if is_text and (read_as_null := null_words & nulls):
        count = sum(counts[word] for word in read_as_null)
        remarks = [*remarks, f"{name} holds {listed(sorted(read_as_null))} in {counted(count, 'row')}, taken for null"]
    known = tuple(sorted(NULLS.intersection(map(str, values)))) if is_text else ()
    field = dataclasses.replace(field, nullable=nullable, categories=categories, words=known)
    return InferredColumn(field, nulls, remarks)


_Cells = frozenset[object]
_Found = tuple[Field, _Cells, list[str]]
"""A field, the words that mean null in it, and remarks."""


def _infer_field(name: str, values: Counts, separator: str | None) -> _Found:
    """Infer the field of the values, and the words among them that mean null."""
    words, rest = _without_null_words(values)
    field, guess, misfits = _infer_kind(name, rest or values, separator)
    if field.kind is Kind.STRING:
        return field, frozenset(), _text_remarks(name, values, separator)
    remarks = _reading_remarks(field, values, separator, words, misfits)
    return field, words | misfits, [*remarks, f"{name} {guess}"] if guess else remarks


def _requested_field(name: str, values: Counts, separator: str | None, wanted: str) -> _Found:
    """Return the field with the requested kind. Raises `DataError` with values that do not fit."""
    kind, written = KINDS[wanted]
    words, rest = _without_null_words(values) if kind is not Kind.STRING else (_Cells(), values)
    field = Field(name, kind, format=written)
    if kind in (Kind.NUMBER, Kind.INTEGER):
        field = dataclasses.replace(_number_field(name, rest, separator), kind=kind)
    elif kind is Kind.DATETIME and written is None:
        field = Field(name, kind, format=_dates(rest)[0])
    misfits = frozenset(_unfit_values(rest, field, separator))
    if misfits and (kind not in (Kind.NUMBER, Kind.DATETIME) or not _are_few(misfits, rest)):
        also = f" ({wanted})" if kind_in_words(wanted) != wanted else ""
        raise DataError(
            f"{shown(name)} cannot be read as {kind_in_words(wanted)}{also}: it holds {_some(misfits)};"
            " choose another kind, or correct the file"
        )
    return field, words | misfits, _reading_remarks(field, values, separator, words, misfits)


def _without_null_words(values: Counts) -> tuple[_Cells, Counts]:
    words = frozenset(value for value in values if is_null_word(value))
    return words, {value: count for value, count in values.items() if value not in words}


def _reading_remarks(field: Field, values: Counts, separator: str | None, words: _Cells, misfits: _Cells) -> list[str]:
    """Return remarks on the `words` that mean null, on numbers that JSON has not so, and on the `misfits`, which become
    null."""
    remarks = []
    if words:
        held = f"{listed(sorted(map(str, words)))} in {counted(sum(values[word] for word in words), 'row')}"
        remarks.append(f"{field.name} holds {held}, taken for null: otherwise it is a {field.kind}")
    fitting = [value for value in values if value not in words | misfits]
    numbers = separator is not None and field.kind in (Kind.NUMBER, Kind.INTEGER)
    if texts := [text for text in map(str, fitting if numbers else ()) if not PLAIN.fullmatch(text.strip())]:
        number = plain_numbers(texts[:1], field.format, field.unit)[0]
        remarks.append(f"{field.name} is read as numbers: {shown(texts[0])} is {number}")
    if misfits:
        unfit, total = (sum(values[value] for value in some) for some in (misfits, [*fitting, *misfits]))
        why = f"{unfit} of {counted(total, 'row')} do not fit ({_some(misfits)}) and are null"
        remarks.append(f"{field.name} is read as {field.kind}s: {why}")
    return remarks


def _infer_kind(name: str, values: Counts, separator: str | None) -> tuple[Field, str | None, _Cells]:
    """Infer the narrowest kind that nearly all values fit, by the rules of serving. Return a sentence, too, about a
    decision in doubt, and the values that do not fit.

    Whole numbers with many different values are numbers: after 1200 there may be 1200.5.
    """
    texts = [str(value) for value in values]
    if {text.strip().lower() for text in texts} <= {*TRUE_WORDS, *FALSE_WORDS}:
        return Field(name, Kind.BOOLEAN), None, frozenset()
    dates, guess = _dates(values)
    number = _number_field(name, values, separator)
    few = len(values) <= FEW_VALUES and not number.unit and not any(set(".,eE") & set(text) for text in texts)
    whole = [dataclasses.replace(number, kind=Kind.INTEGER)] if few else []
    for field in () if _codes(texts) else (*whole, number, Field(name, Kind.DATETIME, format=dates)):
        misfits = frozenset(_unfit_values(values, field, separator))
        if not misfits or (_are_few(misfits, values) and _is_measured(values, misfits, field)):
            return field, guess if field.kind is Kind.DATETIME else None, misfits
    return Field(name, Kind.STRING), None, frozenset()


def _codes(texts: Sequence[str]) -> Sequence[str]:
    """Return the texts that are codes: as a number, 01234 would lose a digit."""
    return texts if all(map(_GROUPS.fullmatch, texts)) else sorted(filter(_CODE.fullmatch, texts))


def _are_few(misfits: _Cells, values: Counts) -> bool:
    """Return whether enough other values fit for these to be mistakes."""
    rows, unfit = sum(values.values()), sum(values[value] for value in misfits)
    return unfit <= MOST_UNFIT * rows and rows - unfit >= FEWEST_FIT


def _is_measured(values: Counts, misfits: _Cells, field: Field) -> bool:
    """Return whether the values that fit are no codes, as whole numbers may be, and no categories, as few different
    ones may be."""
    fitting = [value for value in values if value not in misfits]
    measured = len(fitting) > FEW_VALUES and not all(str(value).strip().isdecimal() for value in fitting)
    return field.kind is Kind.DATETIME or field.unit is not None or measured


def _some(values: _Cells) -> str:
    return listed(sorted(map(str, values)), 3)


def _number_field(name: str, values: Counts, separator: str | None) -> Field:
    """Return a field of numbers in the unit that most have, in the format in which they are written."""
    if not separator:
        return Field(name, Kind.NUMBER)
    units = Counter[str]()
    for value, count in values.items():
        if found := number_and_unit(str(value)):
            units[found[1]] += count
    bare = units.pop("", 0)
    unit = max(units, key=units.__getitem__, default=None)
    if unit and units[unit] < bare and not is_money(unit):
        unit = None
    field = Field(name, Kind.NUMBER, unit=unit)
    return dataclasses.replace(field, format=number_format(values, separator, field))


def _dates(values: Counts) -> tuple[Format | None, str | None]:
    """Return the format of dates that are not in ISO 8601, and a remark if it was guessed."""
    written, guessed = format_of_dates(values)
    if not guessed:
        return written, None
    first, other = ("day", "month") if written is Format.DAY_FIRST else ("month", "day")
    return written, (
        f"holds dates that could begin with the day or with the month: the {first} was assumed;"
        f" kinds says otherwise (datetime_{other}_first)"
    )


def _unfit_values(values: Counts, field: Field, separator: str | None) -> list[object]:
    """Return the values that are not of the field. Only money may lack its unit: 0.12 beside 12 % is in doubt."""
    cells = list(values)
    if separator and field.kind in (Kind.NUMBER, Kind.INTEGER):
        cells = plain_numbers(cells, field.format, field.unit)
    results = Conversion.for_field(field).convert_each(cells)
    in_doubt = field.unit is not None and not is_money(field.unit)
    return [
        value
        for value, converted in zip(values, results, strict=True)
        if isinstance(converted, Refusal) or (in_doubt and PLAIN.fullmatch(str(value).strip()))
    ]


def _text_remarks(name: str, values: Counts, separator: str | None) -> list[str]:
    """Return a remark on a column of text of which most values are of another kind."""
    if reason := why_not_dates(list(map(str, values))):
        return [f"{name} is taken for text: {reason}"]
    codes, rows = _codes([*map(str, values)]), sum(values.values())
    for field in (_number_field(name, values, separator), Field("", Kind.DATETIME, format=_dates(values)[0])):
        words = frozenset(_unfit_values(values, field, separator))
        if codes and not words:
            return [f"{name} is taken for text: it has codes, such as {shown(codes[0])}"]
        fit, unit = rows - sum(values[word] for word in words), f" in {field.unit}" if field.unit else ""
        if fit >= rows * (0.5 if len(values) > FEW_VALUES else 1 - MOST_UNFIT):
            held = f"{fit} of {counted(rows, 'row')} are {field.kind}s{unit}, but not {_some(words)}"
            return [f"{name} is taken for text: {held}"]
    return []


def _is_id(name: str, field: Field, values: Counts, rows: int) -> bool:
    """Return whether the values identify the rows: all differ, and they are not measurements."""
    if len(values) < rows:
        return False
    if field.kind is Kind.STRING:
        return sum(" " in str(value).strip() for value in values) < rows / 2  # otherwise it is prose
    if field.kind is not Kind.NUMBER or field.unit:
        return False
    numbers = [float(str(cell)) for cell in plain_numbers(list(values), field.format, field.unit)]
    if not all(number.is_integer() for number in numbers):
        return False
    return bool(_ID.search(name)) or max(numbers) - min(numbers) == rows - 1


def _are_categories(values: Counts, rows: int) -> bool:
    return len(values) <= FEW_VALUES and min(values.values()) >= max(SEEN_ENOUGH[0], SEEN_ENOUGH[1] * rows)
