"""The columns of the table that an estimator takes: the names and kinds that its file and its sample show."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from contract.model.manifest import Remark
from contract.model.signature import Field, Kind, Null
from contract.row import Value
from contract.rows.values import format_of_dates
from contract.wording import counted, listed, shown
from scoring.held_objects import parts_in
from scoring.methods import has_method
from trainer.importing import Refused
from trainer.importing.assumptions import unknown_kinds, unknown_zones
from trainer.importing.contents.file_contents import FileContents
from trainer.importing.inputs import fitted_inputs as inputs
from trainer.importing.inputs.outputs import classes_of
from trainer.importing.inputs.sample import Sample
from trainer.importing.inputs.words import TEXT
from trainer.importing.other_libraries.described import Hint
from trainer.importing.trial.nulls import PossibleNulls

MADE_UP: dict[Kind, tuple[Value, ...]] = {
    Kind.NUMBER: (0.0, 1.0),
    Kind.INTEGER: (0, 1),
    Kind.BOOLEAN: (False, True),
    Kind.STRING: ("a", "b"),
    Kind.DATETIME: ("2026-01-02T03:04:05+00:00", "2026-02-03T04:05:06+00:00"),
}

UTC = frozenset({"Z", "+00:00", "UTC"})
_NUMERIC = {Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN}


@dataclass(frozen=True)
class InputColumn:
    field: Field
    values: tuple[Value, ...]
    """Values for made-up rows."""
    guessed: bool
    """Whether its kind is unknown."""
    doubtful: bool
    """Whether all its numbers are whole, so that it may have been fitted on integers."""
    whole: Kind | None
    """INTEGER or NUMBER if the estimator shows which it was fitted on."""
    nulls: PossibleNulls | None
    """None: it may not be null."""
    undecided: bool = False
    """Whether the estimator takes several kinds in it and answers differently."""

    def taken_as(self, field: Field) -> InputColumn:
        """Return the column as `field`: integers where nothing but an error for floats shows them are undecided."""
        undecided = self.undecided or field.kind is Kind.INTEGER is not self.field.kind
        return dataclasses.replace(self, field=field, undecided=undecided)


def columns_of(contents: FileContents, sample: Sample | None, of_sample: bool = False) -> list[InputColumn]:
    """Return the columns in the estimator's order; `of_sample`: those of the sample. Raises `Refused`."""
    names = without_target(contents.estimator, sample) if sample and of_sample else _names(contents, sample)
    if len(set(names)) < len(names):
        raise Refused("was fitted on two columns of the same name; give each column its own name")
    hints = [Hint()] * len(names) if of_sample else inputs.hints(contents.estimator, len(names))
    for name, hint in zip(names, hints, strict=True):
        if hint.unsendable:
            raise Refused(_no_request_holds(name, hint.unsendable))
    return [_column(name, hint, contents, sample) for name, hint in zip(names, hints, strict=True)]


def _no_request_holds(name: str, kind: str) -> str:
    column = f"X[{shown(name)}]"
    converted = {"date": f"pd.to_datetime({column})", "Decimal": f"{column}.astype(float)"}
    return (
        f"encodes values of the type {kind} in {shown(name)}, and no request holds such values; convert the column"
        f" first, with {column} = {converted.get(kind, f'{column}.astype(str)')}, and fit it again"
    )


def _column(name: str, hint: Hint, contents: FileContents, sample: Sample | None) -> InputColumn:
    sample = sample if sample and name in sample.columns else None
    of_sample = sample.kind(name) if sample else None
    told = contents.kinds.get(name, of_sample if of_sample is Kind.INTEGER else None)
    shown_kind = told if {hint.kind, told} <= _NUMERIC else hint.kind  # a scaler takes integers and booleans, too
    known = shown_kind or told or of_sample or hint.fill
    kind = known or Kind.NUMBER
    has_nulls = bool(sample and sample.nullable(name))
    nullable = has_nulls or contents.nullable.get(name, hint.nullable)
    sampled = {*sample.nulls.get(name, ())} if sample else set()
    zones = sample.zones.get(name, frozenset()) if sample else frozenset()
    fits = hint.kind is kind or (hint.kind is None and kind is Kind.NUMBER)
    values = (fits and hint.values) or MADE_UP[kind]
    aliases = tuple(alias for alias in hint.aliases if alias != name)
    binary = not known or hint.binary or bool(sample and sample.binary(name))
    as_booleans = kind is Kind.NUMBER and binary and name not in contents.kinds
    return InputColumn(
        Field(
            name,
            kind,
            nullable,
            hint.categories,
            aliases,
            guessed=as_booleans,
            naive=kind is Kind.DATETIME and not hint.aware and not zones,
            format=format_of_dates(sample.cells(name))[0] if sample and kind is Kind.DATETIME else None,
            words=hint.words if kind is Kind.STRING else (),
            zone=min(zones) if kind is Kind.DATETIME and len(zones) == 1 and not zones <= UTC else None,
            nanoseconds=kind is Kind.DATETIME and sample is not None and sample.in_nanoseconds(name),
        ),
        values,
        guessed=known is None and hint.whole is None,
        doubtful=kind is Kind.NUMBER
        and sampled != {Null.NAN}  # it makes integers floats
        and name not in contents.kinds
        and (sample.whole(name) if sample else all(float(str(value)).is_integer() for value in values)),
        whole=None if hint.whole is None else Kind.INTEGER if hint.whole else Kind.NUMBER,
        nulls=PossibleNulls.of(kind, hint, sampled) if nullable or contents.nullable.get(name, True) else None,
    )


_ASSUMED = dict(zip(Kind, ("numbers", "integers", "words", "booleans", "dates"), strict=True))


def unknown_kind_remarks(estimator: Any, columns: Sequence[InputColumn]) -> list[Remark]:
    """Return a remark for each kind that is assumed. An estimator that treats all columns alike takes numbers."""
    names: dict[tuple[Kind, bool], list[str]] = {group: [] for group in product(Kind, (False, True))}
    for column in columns:
        if column.guessed:
            names[column.field.kind, column.undecided].append(column.field.name)
    if not inputs.has_column_transformer(estimator):
        names[Kind.NUMBER, False] = []
    return [unknown_kinds(some, _ASSUMED[kind], undecided) for (kind, undecided), some in names.items() if some]


def borrowed_columns_remarks(estimator: Any) -> list[Remark]:
    """Return a remark if the columns are those of an estimator in a class of the user's own."""
    holders = [inside for part in inputs.outermost_parts(estimator) if (inside := inputs.held(part))]
    return [
        Remark(
            f"its columns are unknown, so those of the {type(inside[0]).__name__} in it are assumed; if it takes"
            " others, import it again with a sample"
        )
        for inside in holders
    ]


def sampled_columns_remark(columns: Sequence[InputColumn]) -> Remark:
    """Return the remark about inputs of which nothing but the sample shows the names."""
    names = [column.field.name for column in columns]
    return Remark(
        f"its inputs are the columns of its sample: {listed(names, 50)}; if what it predicts is among them, import it"
        " again with a sample without that"
    )


def column_remarks(columns: Sequence[InputColumn], told: Mapping[str, Kind]) -> Iterator[Remark]:
    """Yield remarks about columns of another kind than is said of them, and about words that begin with a blank, which
    a reader of CSV drops."""
    for column in columns:
        field, name, other = column.field, shown(column.field.name), told.get(column.field.name, column.field.kind)
        if other is not field.kind:
            takes = f"the model was fitted on a {field.kind}: it takes a {field.kind}"
            yield Remark(f"{name} is said to be a {other}, and {takes}")
        words = [word for word in (*column.values, *(field.categories or ())) if str(word)[:1] == " "]
        if words:
            yield Remark(
                f"it knows words of {name} that begin with a blank, such as {shown(words[-1])}: send them with the"
                " blank, and within quotation marks in a CSV"
            )


def sample_remarks(columns: Sequence[InputColumn], sample: Sample) -> Iterator[Remark]:
    """Yield remarks about dates that may begin with the day or with the month, or whose offsets change in the sample,
    as with daylight saving time, and about words that are read as null."""
    fields = [column.field for column in columns if column.field.name in sample.columns]
    for field in fields:
        if field.format and format_of_dates(sample.cells(field.name))[1]:
            yield Remark(
                f"the dates of {shown(field.name)} in the sample could begin with the day or with the month:"
                f" {field.format} is assumed; edit the input's format if that is wrong"
            )
        if sample.kind(field.name) is Kind.STRING and (words := sample.null_words(field.name)):
            cells = f"{counted(len(words), 'cell')} of the sample with {listed([*dict.fromkeys(words)])}"
            like_others = "are null, as in other CSV files; in JSON that is a text: send null there"
            yield Remark(f"in {shown(field.name)} {cells} {like_others}")
    changing = [field.name for field in fields if len(sample.zones.get(field.name, ())) > 1]
    if changing:
        yield unknown_zones(changing)


def assumed(column: InputColumn, kind: Kind, values: Sequence[Value], naive: bool = True) -> InputColumn:
    """Return a column of unknown kind as one of this kind, with these values for made-up rows. `naive`: dates are."""
    field = dataclasses.replace(column.field, kind=kind, guessed=False, naive=naive and kind is Kind.DATETIME)
    return dataclasses.replace(column, field=field, values=tuple(values), doubtful=False)


def _names(contents: FileContents, sample: Sample | None) -> tuple[str, ...]:
    """Return the inputs' names in the estimator's order. Raises `Refused`."""
    written = {*(contents.columns or ()), *(sample.columns if sample else ())}
    fitted, count = inputs.names(contents.estimator, written), inputs.count(contents.estimator)
    names = fitted or contents.columns
    if names:
        if count is not None and len(names) != count:
            raise Refused(
                f"lists {counted(len(names), 'column')} ({listed(names)}) beside a model that takes {count};"
                " list those that it was fitted on, in that order"
            )
        unused = inputs.unused(contents.estimator)
        needed = [name for name in names if name not in unused]
        missing = [name for name in needed if name not in sample.columns] if sample else []
        if sample and missing:
            raise Refused(
                f"has a sample without {listed(missing)}; the model takes {listed(needed, 50)}, and the sample has"
                f" {listed(sample.columns, 50)}"
            )
        return names
    if sample:
        columns = without_target(contents.estimator, sample, count)
        if count is not None and len(columns) != count:
            raise Refused(
                f"has a sample with {counted(len(sample.columns), 'column')} ({listed(sample.columns)}) for a model"
                f" that takes {count} and does not know their names; keep only the columns it was fitted on in the"
                " sample, in that order"
            )
        return columns
    if count is None:
        raise Refused(
            "does not know how many columns it takes; add a CSV sample with the columns it was fitted on, in that order"
        )
    return _positions(count)


def _positions(count: int) -> tuple[str, ...]:
    return tuple(f"x{index}" for index in range(count))


def without_target(estimator: Any, sample: Sample, count: int | None = None) -> tuple[str, ...]:
    """Return the columns of the sample without its target. If nobody names that and there is one more than the
    estimator takes (None: unknown), leave out the one beside the positions `x0`, `x1`, …, or the one that holds the
    names of its classes. Classes that are numbers prove nothing: an input may hold the same."""
    if sample.target is not None or (count is not None and len(sample.columns) - 1 != count):
        return tuple(name for name in sample.columns if name != sample.target)
    positions = _positions(count or 0)
    among = tuple(name for name in sample.columns if name in positions)
    if positions and among == positions and f"x{count}" not in sample.columns:
        return positions
    predictors = (part for part in parts_in(estimator) if has_method(part, "predict"))
    known = {label for part in predictors for label in classes_of(part) or () if isinstance(label, str)}
    words = [column for column in sample.columns if sample.kind(column) is Kind.STRING]
    labels = [column for column in words if {*sample.cells(column)} <= {*known, None}]
    return tuple(column for column in sample.columns if [column] != labels)


def text_column(estimator: Any, sample: Sample) -> str | None:
    """Return the column of the sample with the texts: the one named so, or the only one that holds words and is not
    the target; None if that is unclear."""
    named = [column for column in sample.columns if column.lower() == TEXT.name]
    columns = named or without_target(estimator, sample)
    if len(columns) > 1:
        columns = [column for column in columns if sample.kind(column) is Kind.STRING]
    return columns[0] if len(columns) == 1 else None
