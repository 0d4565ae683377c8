"""Guesses what columns of unknown kind hold, and finds out by trying what code of the user's own reads in them:
numbers, words or dates."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from modelgate_kernels.matrix import to_matrix

from contract.model.manifest import ArtifactDraft, ArtifactFormat, InputFormat
from contract.model.signature import Kind, Signature
from contract.row import Row, Value
from scoring.estimators import prepare
from scoring.held_objects import objects_in
from scoring.methods import has_method
from trainer.importing.inputs import fitted_inputs as inputs
from trainer.importing.trial.columns import MADE_UP, InputColumn, assumed

MOST_COLUMNS = 100
"""Most columns of unknown kind that are tried, one by one."""

_METHODS = ("predict_proba", "predict", "transform", "score_samples", "kneighbors")

_NUMBERS: tuple[Value, ...] = (1.0, 2.5, 40.0, 2019.0, 1.2e9, 1.7e9, 1.2e12, 1.7e12)
"""The large ones are seconds and milliseconds since 1970. As nanoseconds, which pandas assumes, they lie within half an
hour: a step that reads texts as dates makes the same of all of them."""
_WORDS: tuple[Value, ...] = ("a", "Some words", "B7")
_DATES: tuple[Value, ...] = tuple(f"{2019 + n}-{2 + 2 * n:02}-{5 + 3 * n:02}T{4 + 2 * n:02}:05:06" for n in range(6))
_DAYS = tuple(str(moment)[:10] for moment in _DATES)
_MOST_WORDS = 100

_GUESSES = (
    *((kind, MADE_UP[kind]) for kind in (Kind.NUMBER, Kind.DATETIME, Kind.STRING)),
    (Kind.STRING, ("2026-01-02", "2026-02-03")),
)

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
            for position, column in zip(
                positions, _taken_by(transformer, [columns[p] for p in positions]), strict=True
            ):
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
    for guess in (columns, *other_guesses(estimator, columns)):
        if _outcomes(estimator, guess, 0):
            known, words = list(guess), (*_WORDS, *islice(_words_in(estimator), _MOST_WORDS))
            for index in unknown:
                known[index] = _tried(estimator, known, index, words)
            return known
    return list(columns)


def _tried(estimator: Any, columns: Sequence[InputColumn], index: int, words: Sequence[Value]) -> InputColumn:
    """Return the column at `index` with the kind that the estimator takes; `words` are those to try."""

    def outcomes(kind: Kind, values: Sequence[Value], naive: bool = True) -> _Outcomes:
        column = assumed(columns[index], kind, values)
        field = dataclasses.replace(column.field, naive=column.field.naive and naive)
        column = dataclasses.replace(column, field=field)
        return _outcomes(estimator, [*columns[:index], column, *columns[index + 1 :]], index)

    texts, dates = outcomes(Kind.STRING, _DATES) or outcomes(Kind.STRING, _DAYS), outcomes(Kind.DATETIME, _DATES)
    numbers, known = outcomes(Kind.NUMBER, _NUMBERS), outcomes(Kind.STRING, words)
    if numbers and not texts and not outcomes(Kind.DATETIME, _DATES, naive=False):
        dates = {}  # scikit-learn takes a date without a zone for its number of nanoseconds
    tried = [(Kind.NUMBER, numbers), (Kind.DATETIME, dates), (Kind.STRING, known)]
    if texts != dates:  # equal ones: it reads texts as dates
        tried.append((Kind.STRING, texts))
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
    artifact = ArtifactDraft(ArtifactFormat.JOBLIB, InputFormat.DATAFRAME)
    values = columns[index].values
    rows: list[Row] = [
        tuple(value if other == index else column.values[0] for other, column in enumerate(columns)) for value in values
    ]

    def texts_of_rows(some: Sequence[Row]) -> list[str]:
        (final, matrix), (_, unchanged) = prepare(estimator, some, signature, artifact, 2)
        answer = getattr(final, next(name for name in _METHODS if has_method(final, name)))(matrix)
        seen = answer if final is estimator else unchanged
        seen = seen.toarray() if hasattr(seen, "toarray") else seen
        return [str(np.asarray(row, dtype=object).tolist()) for row in np.asarray(seen)]

    outcomes: dict[Value, str] = {}
    with warnings.catch_warnings(action="ignore"):
        with suppress(Exception):  # code of users may raise anything
            return dict(zip(values, texts_of_rows(rows), strict=True))
        for value, row in zip(values, rows, strict=True):
            with suppress(Exception):
                outcomes[value] = texts_of_rows([row])[0]
    return outcomes


def _words_in(estimator: Any) -> Iterator[str]:
    """Yield the words that the estimator knows: those of encoders, and of dicts in steps of the user's own."""
    for thing in objects_in(estimator):
        keys = thing.index if isinstance(thing, pd.Series) else thing.flat if isinstance(thing, np.ndarray) else thing
        if isinstance(thing, Mapping | pd.Series | np.ndarray):
            yield from (key for key in keys if isinstance(key, str))
