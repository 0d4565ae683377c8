"""Guesses what columns of unknown kind hold, and finds out by trying what code of the user's own reads in them:
numbers, words, dates or booleans."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import combinations, islice, product
from typing import Any

import numpy as np
import pandas as pd
from modelgate_kernels.matrix import to_matrix

from contract.model.manifest import ArtifactDraft, ArtifactFormat, InputFormat, Remark
from contract.model.signature import Field, Kind, Signature
from contract.row import Row, Value
from contract.rows.coercion import coerce
from contract.rows.instances import Grid
from contract.wording import listed
from scoring.estimators import prepare
from scoring.held_objects import objects_in
from scoring.methods import has_method
from trainer.importing.assumptions import doubt
from trainer.importing.contents.file_contents import FileContents
from trainer.importing.inputs import fitted_inputs as inputs
from trainer.importing.inputs.sample import Sample
from trainer.importing.trial.columns import MADE_UP, InputColumn, assumed, without_target

MOST_COLUMNS = 100
"""Most columns of unknown kind that are tried, one by one."""

_MOST_GUESSES = 500
"""Most guesses of mixed kinds."""

_METHODS = ("predict_proba", "predict", "transform", "score_samples", "kneighbors")

_NUMBERS: tuple[Value, ...] = (1.0, 2.5, 40.0, 2019.0, 1.2e9, 1.7e9, 1.2e12, 1.7e12)
"""The large ones are seconds and milliseconds since 1970. As nanoseconds, which pandas assumes, they lie within half an
hour: a step that reads texts as dates makes the same of all of them."""
_WHOLE: tuple[Value, ...] = (0, 1, 2, 40, 2019)
_WORDS: tuple[Value, ...] = ("a", "Some words", "B7")
_DATES: tuple[Value, ...] = tuple(f"{2019 + n}-{2 + 2 * n:02}-{5 + 3 * n:02}T{4 + 2 * n:02}:05:06" for n in range(6))
_DAYS = tuple(str(moment)[:10] for moment in _DATES)
_MOST_WORDS, _MOST_ROWS = 100, 20

_GUESSES = (
    *((kind, MADE_UP[kind]) for kind in (Kind.NUMBER, Kind.DATETIME, Kind.STRING)),
    (Kind.STRING, ("2026-01-02", "2026-02-03")),
)
_FLAGS_AND_INTEGERS = tuple((kind, MADE_UP[kind]) for kind in (Kind.BOOLEAN, Kind.INTEGER))

_Outcomes = Mapping[Value, str]
"""What the last step gets for each value of a column, without those for which a step raises."""


def other_guesses(estimator: Any, columns: Sequence[InputColumn]) -> Iterator[list[InputColumn]]:
    """Yield the columns with other numbers than 0 and 1, by which a model may divide; then with other kinds for those
    of unknown kind. The parts of a ColumnTransformer are tried one by one, all other columns together."""
    if not any(column.guessed for column in columns):
        return
    yield [
        dataclasses.replace(column, values=tuple(float(position + number) for number in (2, 5, 11)))
        if column.guessed
        else column
        for position, column in enumerate(columns)
    ]
    parts = [part for outer in inputs.outermost_parts(estimator) for part in inputs.by_columns(outer)]
    if parts:
        guessed = list(columns)
        for transformer, positions in parts:
            taken = _taken_by(transformer, [columns[position] for position in positions])
            for position, column in zip(positions, taken, strict=True):
                guessed[position] = column
        yield guessed
        return
    for kind, values in _GUESSES[1:]:
        yield [assumed(column, kind, values) if column.guessed else column for column in columns]


def _taken_by(transformer: Any, columns: Sequence[InputColumn]) -> Sequence[InputColumn]:
    """Return the columns with the first guess that a part of a ColumnTransformer takes for the unknown ones."""
    if hasattr(transformer, "transform") and any(column.guessed for column in columns):
        for kind, values in _GUESSES:
            guess = [assumed(column, kind, values) if column.guessed else column for column in columns]
            rows = [tuple(column.values[number % len(column.values)] for column in guess) for number in range(2)]
            signature = Signature(tuple(column.field for column in guess), ())
            with suppress(Exception):  # code of users may raise anything
                transformer.transform(to_matrix(rows, signature.inputs, InputFormat.DATAFRAME))
                return guess if kind is not Kind.NUMBER else columns
    return columns


def with_tried_kinds(estimator: Any, columns: Sequence[InputColumn], unused: Collection[str]) -> list[InputColumn]:
    """Return the columns of a DataFrame with the kinds that the estimator takes. Where it takes several kinds and
    nothing shows which one it was fitted on, the column is `undecided`."""
    unknown = [index for index, column in enumerate(columns) if column.guessed and column.field.name not in unused]
    if not 0 < len(unknown) <= MOST_COLUMNS:
        return list(columns)
    for guess in (columns, *other_guesses(estimator, columns), *islice(_mixed(columns, unknown), _MOST_GUESSES)):
        if _outcomes(estimator, guess, 0):
            known, words = list(guess), (*_WORDS, *islice(_words_in(estimator), _MOST_WORDS))
            for index in unknown:
                known[index] = _tried(estimator, known, index, words)
            return known
    return list(columns)


def _mixed(columns: Sequence[InputColumn], unknown: Sequence[int]) -> Iterator[list[InputColumn]]:
    """Yield the columns with all of those of unknown kind as booleans or integers, then with a few of them as something
    else than numbers."""
    for kind, values in _FLAGS_AND_INTEGERS:
        yield [assumed(column, kind, values) if column.guessed else column for column in columns]
    for places in (*combinations(unknown, 1), *combinations(unknown, 2)):
        for guesses in product((*_FLAGS_AND_INTEGERS, *_GUESSES[1:]), repeat=len(places)):
            chosen = dict(zip(places, guesses, strict=True))
            yield [assumed(c, *chosen[index]) if index in chosen else c for index, c in enumerate(columns)]


def _tried(estimator: Any, columns: Sequence[InputColumn], index: int, words: Sequence[Value]) -> InputColumn:
    """Return the column at `index` with the kind that the estimator takes; `words` are those to try."""

    def outcomes(kind: Kind, values: Sequence[Value], naive: bool = True) -> _Outcomes:
        column = assumed(columns[index], kind, values, naive)
        return _outcomes(estimator, [*columns[:index], column, *columns[index + 1 :]], index)

    texts, dates = outcomes(Kind.STRING, _DATES) or outcomes(Kind.STRING, _DAYS), outcomes(Kind.DATETIME, _DATES)
    numbers, known = outcomes(Kind.NUMBER, _NUMBERS), outcomes(Kind.STRING, words)
    if numbers and not texts and not outcomes(Kind.DATETIME, _DATES, naive=False):
        dates = {}  # scikit-learn takes a date without a zone for its number of nanoseconds
    tried = [(Kind.NUMBER, numbers), (Kind.DATETIME, dates), (Kind.STRING, known)]
    if texts != dates:  # equal ones: it reads texts as dates
        tried.append((Kind.STRING, texts))
    if not numbers:
        tried.append((Kind.INTEGER, outcomes(Kind.INTEGER, _WHOLE)))
    if len({*numbers.values()}) < 2:  # true is 1 to a step that tells numbers apart
        flags = outcomes(Kind.BOOLEAN, MADE_UP[Kind.BOOLEAN])
        if flags != outcomes(Kind.NUMBER, MADE_UP[Kind.NUMBER]):
            tried.append((Kind.BOOLEAN, flags))
    taken = [(kind, some) for kind, some in tried if some]
    # A step that makes the same of all numbers, and not of all dates, reads dates.
    telling = [(kind, some) for kind, some in taken if len({*some.values()}) > 1] or taken
    column, kinds = columns[index], {kind for kind, _ in telling}
    if len(kinds) != 1 or column.field.kind in kinds:
        return dataclasses.replace(column, undecided=len(kinds) > 1)
    return assumed(column, kinds.pop(), [value for _, some in telling for value in some])


def _outcomes(estimator: Any, columns: Sequence[InputColumn], index: int) -> _Outcomes:
    """Return what the last step gets for each value of the column at `index`, beside the first of each other one."""
    signature = Signature(tuple(column.field for column in columns), ())
    values = columns[index].values
    rows: list[Row] = [
        tuple(value if other == index else column.values[0] for other, column in enumerate(columns)) for value in values
    ]

    outcomes: dict[Value, str] = {}
    with warnings.catch_warnings(action="ignore"):
        with suppress(Exception):  # code of users may raise anything
            return dict(zip(values, _seen_by_last(estimator, rows, signature), strict=True))
        for value, row in zip(values, rows, strict=True):
            with suppress(Exception):
                outcomes[value] = _seen_by_last(estimator, [row], signature)[0]
    return outcomes


def _seen_by_last(estimator: Any, rows: Sequence[Row], signature: Signature) -> list[str]:
    """Return what the last step gets for each row; what the estimator answers, if it is the only step."""
    artifact = ArtifactDraft(ArtifactFormat.JOBLIB, InputFormat.DATAFRAME)
    (final, matrix), (_, unchanged) = prepare(estimator, rows, signature, artifact, 2)
    answer = getattr(final, next(name for name in _METHODS if has_method(final, name)))(matrix)
    seen = answer if final is estimator else unchanged
    seen = seen.toarray() if hasattr(seen, "toarray") else seen
    return [str(np.asarray(row, dtype=object).tolist()) for row in np.asarray(seen)]


def unneeded(contents: FileContents, sample: Sample | None) -> list[str]:
    """Return the columns of the sample without which an estimator that knows no columns answers the same. One of them
    may be its target."""
    estimator = contents.estimator
    is_known = contents.columns or inputs.names(estimator) or inputs.count(estimator) is not None
    if sample is None or sample.target is not None or is_known or len(sample.columns) > MOST_COLUMNS:
        return []
    if without_target(estimator, sample) != sample.columns:
        return []  # its classes show its target
    grid = Grid(sample.columns, sample.rows[:_MOST_ROWS])

    def answers(names: Sequence[str]) -> list[str]:
        fields = [Field(name, sample.kind(name) or Kind.NUMBER, nullable=True, naive=True) for name in names]
        signature = Signature(tuple(fields), ())
        with warnings.catch_warnings(action="ignore"), suppress(Exception):  # code of users may raise anything
            return _seen_by_last(estimator, coerce(grid, signature).rows, signature)
        return []

    needed, all_answers = [*sample.columns], answers(sample.columns)
    for name in reversed(sample.columns if all_answers else ()):
        others = [other for other in needed if other != name]
        needed = others if answers(others) == all_answers else needed
    return [name for name in sample.columns if name not in needed]


def unneeded_remark(names: Sequence[str]) -> Remark:
    """Return the remark about columns of the sample that the estimator does not need (`unneeded`)."""
    return doubt(
        f"it answers the same without {listed(names)} of the sample, which may be its target, so requests need not have"
        " it; name the target of the sample, or leave it out, and import it again"
    )


def _words_in(estimator: Any) -> Iterator[str]:
    """Yield the words that the estimator knows: those of encoders, and of dicts in steps of the user's own."""
    for thing in objects_in(estimator):
        keys = thing.index if isinstance(thing, pd.Series) else thing.flat if isinstance(thing, np.ndarray) else thing
        if isinstance(thing, Mapping | pd.Series | np.ndarray):
            yield from (key for key in keys if isinstance(key, str))
