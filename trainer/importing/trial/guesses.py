"""Other guesses at columns that nothing shows, for an estimator that does not take their made-up numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from modelgate_kernels.matrix import to_matrix

from contract.model.manifest import InputFormat
from contract.model.signature import Kind, Signature
from trainer.importing.inputs import fitted_inputs as inputs
from trainer.importing.trial.columns import MADE_UP, InputColumn, assumed

_GUESSES = (
    *((kind, MADE_UP[kind]) for kind in (Kind.NUMBER, Kind.DATETIME, Kind.STRING)),
    (Kind.STRING, ("2026-01-02", "2026-02-03")),
)


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
