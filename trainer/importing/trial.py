"""Tries an estimator with rows, and drafts the manifest under which it predicts."""

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
from trainer.importing.outputs import DoesNotPredict, classes_of, detect_output
from trainer.importing.sample import Sample
from trainer.importing.whole_numbers import as_requested, choose_integers, may_matter, with_integers
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
    """Values for made-up rows."""
    guessed: bool
    """Whether its kind is unknown."""
    doubtful: bool
    """Whether all its numbers are whole, so that it may have been fitted on integers."""
    whole: Kind | None
    """INTEGER or NUMBER if the estimator shows which it was fitted on."""


def try_model(name: str, contents: Contents, sample: Sample | None, artifact_format: ArtifactFormat) -> ManifestDraft:
    """Return the draft of a manifest, with golden rows that the estimator has predicted.

    Raises `Refused`, `DoesNotPredict` with the estimator's own exception, `NoProbabilities` and `MemoryError`.
    """
    estimator = contents.estimator
    inputs.refuse_bare_text(estimator)
    columns = _columns(contents, sample)
    failures: list[DoesNotPredict] = []
    integers_matter = may_matter(estimator)
    doubtful = {column.field.name for column in columns if column.doubtful and integers_matter}
    shown = {column.field.name: column.whole for column in columns if column.whole}
    for fields, input_format in _readings([column.field for column in columns], estimator, doubtful):
        names = {field.name for field in fields}
        used = [column for column in columns if column.field.name in names]
        draft = _draft(name, fields, artifact_format, input_format)
        draft = with_integers(draft, ()) if integers_matter else draft
        rows = as_requested(draft, _rows(draft.signature, used, sample))
        try:
            draft = with_float32(estimator, draft, rows)
            found, of_output = detect_output(estimator, rows, draft)
            draft = dataclasses.replace(draft, signature=dataclasses.replace(draft.signature, output=found))
            draft, of_numbers = choose_integers(estimator, draft, rows, doubtful, shown, sample is not None)
            rows = as_requested(draft, rows)[:GOLDEN_ROWS]
            draft = _with_nulls_that_work(estimator, draft, rows)
            warnings = [*contents.warnings, *of_output, *of_numbers, *_unknown_kind_warnings(estimator, used)]
            return _with_answers(estimator, draft, rows, warnings)
        except DoesNotPredict as error:
            failures.append(error)
    raise failures[0]


def _columns(contents: Contents, sample: Sample | None) -> list[Column]:
    names = _names(contents, sample)
    if len(set(names)) < len(names):
        raise Refused("was fitted on two columns of the same name; give each column its own name")
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


def _unknown_kind_warnings(estimator: Any, columns: Sequence[Column]) -> list[str]:
    """Return a warning about columns of unknown kind. An estimator that treats all columns alike takes numbers."""
    guessed = [column.field.name for column in columns if column.guessed]
    if not guessed or not inputs.has_column_transformer(estimator):
        return []
    type_of, are = ("type", "is") if len(guessed) == 1 else ("types", "are")
    return [
        f"the {type_of} of {listed(guessed)} {are} unknown, so numbers are assumed; if they are words, dates or"
        " booleans, import the model again with a sample"
    ]


def _names(contents: Contents, sample: Sample | None) -> tuple[str, ...]:
    """Return the inputs' names in the estimator's order. Raises `Refused`."""
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
                f" that takes {count} and does not know their names; keep only the columns it was fitted on in the"
                " sample, in that order"
            )
        return columns
    if count is None:
        raise Refused(
            "does not know how many columns it takes; add a CSV sample with the columns it was fitted on, in that order"
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
    # Another member of an ensemble may use columns that the first one drops.
    for some in (used, list(fields)) if used and unused else (list(fields),):
        as_text = [dataclasses.replace(f, kind=Kind.STRING) if f.kind is Kind.DATETIME else f for f in some]
        as_integers = [dataclasses.replace(f, kind=Kind.INTEGER) if f.name in doubtful else f for f in some]
        for input_format in formats:
            yield some, input_format
            for others in (as_text, as_integers):
                if others != some:
                    yield others, input_format


def _rows(signature: Signature, columns: Sequence[Column], sample: Sample | None) -> list[Row]:
    """Return at least two rows: an estimator that misreads a table may not show it with one row."""
    if sample is None:
        most = max(3, *(len(column.values) for column in columns))
        # Columns advance at different speeds, so that the rows do not lie on a diagonal.
        return [
            tuple(column.values[number * (place % 2 + 1) % len(column.values)] for place, column in enumerate(columns))
            for number in range(min(most, GOLDEN_ROWS))
        ]
    try:
        coerced = coerce(Grid(sample.columns, sample.rows), signature)
    except InvalidInstances as invalid:
        first, others = invalid.errors[0], invalid.total - 1
        where = "" if first.row is None else f" in row {first.row + 1}"
        more = f" (and {others} more errors)" if others else ""
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
    """Keep a column nullable only if the estimator has predicted a row with a null in it."""

    def works(nulls: Collection[int]) -> bool:
        row = [None if place in nulls else value for place, value in enumerate(rows[0])]
        try:
            return None not in predict(estimator, draft, [row, rows[1]]).values
        except ModelgateError:
            return False

    fields = draft.signature.inputs
    proven = {place for row in rows for place, value in enumerate(row) if value is None}
    unproven = {place for place, field in enumerate(fields) if field.nullable} - proven
    # Testing thousands of columns one by one would take minutes.
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
    # A worker scores rows of several requests together, or one row alone.
    otherwise = difference(_first_row(answered.golden), _predict(estimator, draft, rows[:1]))
    if otherwise is None:
        return answered
    warning = "its answer to a row depends on the other rows of the batch, and Modelgate scores rows together"
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
    return error.__cause__ if isinstance(error.__cause__, Exception) else ValueError(_without_name(error.failure))


def _without_name(failure: Failure) -> str:
    """Return the failure's message without the model's name."""
    return failure.message.partition("' ")[2] or failure.message
