"""An estimator and what is known of its columns → a manifest under which it has predicted."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from contract.coercion import Grid, coerce
from contract.errors import Failure, InvalidInstances, ModelgateError
from contract.jobs import Row, Value
from contract.manifest import (
    ArtifactDraft,
    ArtifactFormat,
    Field,
    Golden,
    InputFormat,
    Kind,
    ManifestDraft,
    Output,
    OutputKind,
    Signature,
    TrainingData,
)
from contract.wording import counted, listed
from scoring.predict import Prediction, predict
from trainer.importing import Refused, inputs
from trainer.importing.contents import Contents
from trainer.importing.float32 import with_float32
from trainer.importing.inputs import Hint
from trainer.importing.outputs import DoesNotPredict, classes_of, output
from trainer.importing.sample import Sample
from trainer.importing.whole_numbers import as_asked, may_matter, settled, with_integers
from trainer.publishing.verify import difference

GOLDEN_ROWS = 20
_MADE_UP: dict[Kind, tuple[Value, ...]] = {
    Kind.NUMBER: (0.0, 1.0),
    Kind.INTEGER: (0, 1),
    Kind.BOOLEAN: (False, True),
    Kind.STRING: ("a", "b"),
    Kind.DATETIME: ("2026-01-02T03:04:05+00:00", "2026-02-03T04:05:06+00:00"),
}


@dataclass(frozen=True)
class Column:
    field: Field
    values: tuple[Value, ...]
    """What made-up rows may hold."""
    guessed: bool
    """Whether nothing tells what it holds."""
    doubtful: bool
    """Whether it is a column of numbers that are all whole."""
    whole: Kind | None
    """INTEGER or NUMBER if the estimator shows which it was fitted on."""


def tried(name: str, contents: Contents, sample: Sample | None, artifact_format: ArtifactFormat) -> ManifestDraft:
    """A manifest without version, artifact and source, but with golden rows that the estimator has answered.

    Raises `Refused`, `DoesNotPredict` with the estimator's own exception, `NoProbabilities` and `MemoryError`.
    """
    estimator = contents.estimator
    inputs.refuse_bare_text(estimator)
    columns = _columns(contents, sample)
    failures: list[DoesNotPredict] = []
    integers_matter = may_matter(estimator)
    doubtful = {column.field.name for column in columns if column.doubtful and integers_matter}
    told = {column.field.name: column.whole for column in columns if column.whole}
    for fields, input_format in _readings([column.field for column in columns], estimator, doubtful):
        names = {field.name for field in fields}
        used = [column for column in columns if column.field.name in names]
        draft = _draft(name, fields, artifact_format, input_format)
        draft = with_integers(draft, ()) if integers_matter else draft
        rows = as_asked(draft, _rows(draft.signature, used, sample))
        try:
            draft = with_float32(estimator, draft, rows)
            found, of_output = output(estimator, rows, draft)
            draft = dataclasses.replace(draft, signature=dataclasses.replace(draft.signature, output=found))
            draft, of_numbers = settled(estimator, draft, rows, doubtful, told, sample is not None)
            rows = as_asked(draft, rows)[:GOLDEN_ROWS]
            draft = _with_nulls_that_work(estimator, draft, rows)
            warnings = [*contents.warnings, *of_output, *of_numbers, *_doubts(estimator, used)]
            return _with_answers(estimator, draft, rows, warnings)
        except DoesNotPredict as error:
            failures.append(error)
    raise failures[0]


def _columns(contents: Contents, sample: Sample | None) -> list[Column]:
    names = _names(contents, sample)
    if len(set(names)) < len(names):
        raise Refused("was fitted on columns of which two have the same name; give each a name of its own")
    hints = inputs.hints(contents.estimator, len(names))
    return [_column(name, hint, contents, sample) for name, hint in zip(names, hints, strict=True)]


def _column(name: str, hint: Hint, contents: Contents, sample: Sample | None) -> Column:
    sample = sample if sample and name in sample.columns else None
    known = hint.kind or contents.kinds.get(name) or (sample and sample.kind(name))
    kind = known or Kind.NUMBER
    nullable = hint.nullable or bool(sample and sample.nullable(name))
    values = hint.values if hint.kind is kind or (hint.kind is None and kind is Kind.NUMBER) else ()
    values = values or _MADE_UP[kind]
    return Column(
        Field(name, kind, nullable, hint.categories),
        values,
        guessed=known is None and hint.whole is None,
        doubtful=kind is Kind.NUMBER
        and not nullable
        and name not in contents.kinds
        and (sample.whole(name) if sample else all(float(str(value)).is_integer() for value in values)),
        whole=None if hint.whole is None else Kind.INTEGER if hint.whole else Kind.NUMBER,
    )


def _doubts(estimator: Any, columns: Sequence[Column]) -> list[str]:
    """What takes a table without sorting its columns takes numbers."""
    guessed = [column.field.name for column in columns if column.guessed]
    if not guessed or not inputs.sorts_columns(estimator):
        return []
    type_of, are = ("type", "is") if len(guessed) == 1 else ("types", "are")
    return [
        f"the {type_of} of {listed(guessed)} {are} unknown, so numbers are assumed; if they are words, dates or"
        " booleans, import the model again with a sample"
    ]


def _names(contents: Contents, sample: Sample | None) -> tuple[str, ...]:
    """The inputs' names, in the order in which the estimator takes them."""
    fitted, count = inputs.names(contents.estimator), inputs.count(contents.estimator)
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
        columns = _without_target(contents.estimator, sample, count)
        if count is not None and len(columns) != count:
            raise Refused(
                f"has a sample with {counted(len(sample.columns), 'column')} ({listed(sample.columns)}) for a model"
                f" that takes {count} and does not tell their names; leave in the sample only what it was fitted on, in"
                " that order"
            )
        return columns
    if count is None:
        raise Refused(
            "does not tell how many columns it takes; put a CSV with some rows beside it, with the columns it was"
            " fitted on, in that order"
        )
    return tuple(f"x{number}" for number in range(count))


def _without_target(estimator: Any, sample: Sample, count: int | None) -> tuple[str, ...]:
    """Return the columns of the sample. If there is one more than the estimator takes, leave out the one that holds the
    names of its classes. Classes that are numbers prove nothing: an input may hold the same."""
    if len(sample.columns) - 1 != count:
        return sample.columns
    known = {label for label in classes_of(estimator) or () if isinstance(label, str)}
    words = [column for column in sample.columns if sample.kind(column) is Kind.STRING]
    found = [column for column in words if {*sample.cells(column)} <= {*known, None}]
    return tuple(column for column in sample.columns if [column] != found)


def _readings(
    fields: Sequence[Field], estimator: Any, doubtful: Collection[str]
) -> Iterator[tuple[list[Field], InputFormat]]:
    """Yield the possible kinds of the columns, the most likely first; `doubtful` ones may be integers."""
    formats = [InputFormat.ARRAY]
    if inputs.names(estimator):
        formats = [InputFormat.DATAFRAME]
    elif inputs.count(estimator) is None:
        formats = [InputFormat.DATAFRAME, InputFormat.ARRAY]
    unused = inputs.unused(estimator)
    used = [f for f in fields if f.name not in unused]
    # Another member of an ensemble may use what the first one drops.
    for some in (used, list(fields)) if used and unused else (list(fields),):
        as_text = [dataclasses.replace(f, kind=Kind.STRING) if f.kind is Kind.DATETIME else f for f in some]
        as_integers = [dataclasses.replace(f, kind=Kind.INTEGER) if f.name in doubtful else f for f in some]
        for input_format in formats:
            yield some, input_format
            for others in (as_text, as_integers):
                if others != some:
                    yield others, input_format


def _rows(signature: Signature, columns: Sequence[Column], sample: Sample | None) -> list[Row]:
    """At least two: what takes a table for something else may not show it with one row."""
    if sample is None:
        most = max(3, *(len(column.values) for column in columns))
        # Columns move on at different speeds, so that the rows are no mere steps along a diagonal.
        return [
            tuple(column.values[number * (place % 2 + 1) % len(column.values)] for place, column in enumerate(columns))
            for number in range(min(most, GOLDEN_ROWS))
        ]
    try:
        coerced = coerce(Grid(sample.columns, sample.rows), signature)
    except InvalidInstances as invalid:
        first, others = invalid.errors[0], invalid.total - 1
        where = "" if first.row is None else f" in row {first.row + 1}"
        more = f" (and {others} more of the kind)" if others else ""
        raise Refused(f"has a sample that does not fit the model{where}: {first.message}{more}") from None
    rows = list(coerced.rows)
    return rows * 2 if len(rows) == 1 else rows


def _draft(
    name: str, fields: Sequence[Field], artifact_format: ArtifactFormat, input_format: InputFormat
) -> ManifestDraft:
    return ManifestDraft(
        name=name,
        recipe="",
        artifact=ArtifactDraft(artifact_format, input_format),
        signature=Signature(tuple(fields), Output(OutputKind.NUMBER)),
        training_data=TrainingData("", 0, ""),
    )


def _with_nulls_that_work(estimator: Any, draft: ManifestDraft, rows: Sequence[Row]) -> ManifestDraft:
    """Lets a column be null only where the estimator has predicted a row with a null in it."""

    def works(nulls: Collection[int]) -> bool:
        row = [None if place in nulls else value for place, value in enumerate(rows[0])]
        try:
            return None not in predict(estimator, draft, [row, rows[1]]).values
        except ModelgateError:
            return False

    fields = draft.signature.inputs
    proven = {place for row in rows for place, value in enumerate(row) if value is None}
    unproven = {place for place, field in enumerate(fields) if field.nullable} - proven
    # One by one takes minutes where there are thousands.
    proven |= unproven if works(unproven) else {place for place in unproven if works({place})}
    tested = [
        dataclasses.replace(field, nullable=field.nullable and place in proven) for place, field in enumerate(fields)
    ]
    return dataclasses.replace(draft, signature=dataclasses.replace(draft.signature, inputs=tuple(tested)))


def _with_answers(estimator: Any, draft: ManifestDraft, rows: Sequence[Row], warnings: Sequence[str]) -> ManifestDraft:
    names = draft.signature.names
    example = next((row for row in rows if None not in row), rows[0])
    answered = dataclasses.replace(
        draft,
        example=dict(zip(names, example, strict=True)),
        golden=_golden(rows, _predict(estimator, draft, rows)),
        warnings=tuple(warnings),
    )
    # Rows of many requests are scored together, and a request may have one row.
    otherwise = difference(_first_row(answered.golden), _predict(estimator, draft, rows[:1]))
    if otherwise is None:
        return answered
    warning = "it answers a row otherwise when it stands alone than among others, and Modelgate scores rows together"
    return dataclasses.replace(answered, warnings=(*answered.warnings, warning))


def _golden(rows: Sequence[Row], answer: Prediction) -> Golden:
    probabilities = None if answer.probabilities is None else tuple(answer.probabilities)
    return Golden(tuple(tuple(row) for row in rows), tuple(answer.values), probabilities)


def _first_row(golden: Golden) -> Golden:
    return Golden(golden.rows[:1], golden.predictions[:1], golden.probabilities and golden.probabilities[:1])


def _predict(estimator: Any, draft: ManifestDraft, rows: Sequence[Row]) -> Prediction:
    try:
        return predict(estimator, draft, rows)
    except ModelgateError as error:
        raise DoesNotPredict(_cause(error)) from error


def _cause(error: ModelgateError) -> Exception:
    return error.__cause__ if isinstance(error.__cause__, Exception) else ValueError(_without_subject(error.failure))


def _without_subject(failure: Failure) -> str:
    """What scoring says, without the name of a version that does not exist yet."""
    return failure.message.partition("' ")[2] or failure.message
