"""Asks a model for the columns that scoring adds to the rows of a file."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from modelgate_kernels import ModelKernel

from contract.model.manifest import ModelManifest
from contract.model.signature import PREDICT
from contract.row import Row
from contract.rows.answer_columns import answer_columns, answer_names
from scoring.files.plan import Steps
from scoring.predict import predict, predict_columns

Column = Sequence[Any]
"""The values of a column, one a row: a list with None for null, or an array of floats with NaN for null."""


class Scorable(Protocol):
    """A loaded model; `worker.model_cache.Model` is one."""

    @property
    def manifest(self) -> ModelManifest: ...
    @property
    def estimator(self) -> Any: ...
    @property
    def kernel(self) -> ModelKernel | None: ...


class Answers(NamedTuple):
    """The columns that a method adds, and the mean time of a call of the model."""

    columns: list[Column]
    milliseconds: float


def score_rows(model: Scorable, rows: Sequence[Row], method: str, call_rows: int) -> Steps[Answers]:
    """Return what a method answers; yields the rows of each call of the model. Raises `ModelgateError` (`model_error`)
    and `MemoryError`."""
    names = answer_names(model.manifest.signature, method, ())
    pieces: list[list[Column]] = [[] for _ in names]
    starts, seconds = range(0, len(rows), call_rows), 0.0
    for start in starts:
        some, began = rows[start : start + call_rows], time.perf_counter()
        for piece, values in zip(pieces, _columns(model, some, method), strict=True):
            piece.append(values)
        seconds += time.perf_counter() - began
        yield len(some)
    return Answers(list(map(joined, pieces)), round(1000 * seconds / max(1, len(starts)), 3))


def _columns(model: Scorable, rows: Sequence[Row], method: str) -> Iterable[Column]:
    manifest = model.manifest
    if method == PREDICT.name:
        return predict_columns(model.estimator, manifest, rows, model.kernel)
    answer = predict(model.estimator, manifest, rows, model.kernel, method)
    return answer_columns(answer.values, None, None, manifest.signature, method)


def joined(pieces: Sequence[Column]) -> Column:
    """Return the pieces of a column as one."""
    if pieces and all(isinstance(piece, np.ndarray) for piece in pieces):
        return cast(Column, np.concatenate(pieces))
    return list(chain.from_iterable(map(listed, pieces)))


def listed(column: Column) -> list[Any]:
    """Return a column as a list, with None for null."""
    if isinstance(column, list):
        return column
    values = column.tolist() if isinstance(column, np.ndarray) else column  # masked values become None
    return [None if value != value else value for value in values]


def spread(column: Column, places: Sequence[int], count: int) -> Column:
    """Return a column of so many rows with these values at these places, and null elsewhere."""
    if isinstance(column, np.ndarray):
        floats: Any = np.full(count, np.nan)
        floats[places] = column
        return cast(Column, floats)
    values = [None] * count
    for index, value in zip(places, column, strict=True):
        values[index] = value
    return values
