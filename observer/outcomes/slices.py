"""Slices of the rows in which a version is significantly worse than elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtr

from contract.row import Value
from contract.wording import shown, significant
from observer.outcomes.joined_rows import JoinedRows
from observer.outcomes.metrics import Focus, Measured, NotMeasured, log_losses, measure, probabilities

BINS, MOST_VALUES, MOST_SLICES = 10, 50, 5
FEWEST_ROWS = 50
"""A slice, and the rows outside of it, have at least so many."""
LEVEL = 0.05
LEAST = 1e-4
"""The lower bound of probabilities in a log loss: one confident wrong prediction must not outweigh all others."""


@dataclass(frozen=True)
class Column:
    """An input. `values` are floats, with NaN for null; or positions in `words`, with -1 for null."""

    name: str
    values: Any
    words: Sequence[Value] | None = None


@dataclass(frozen=True)
class Slice:
    """The rows of one value or range of an input, called `name`: `age 18 to 24`.

    `loss` is the mean over its `rows` (a count), `elsewhere` that over all others (see `row_losses`). `p_value` is
    corrected for the number of slices compared. `measured`: the metrics in the slice.
    """

    name: str
    rows: int
    loss: float
    elsewhere: float
    p_value: float
    measured: Measured


@dataclass(frozen=True)
class _Partition:
    """Which slice of a column each row is in (`codes`, -1 for none), and how each slice is read and compared."""

    column: Column
    codes: Any
    rows: Any
    loss: Any
    elsewhere: Any
    p_values: Any


def row_losses(rows: JoinedRows) -> Any:
    """Return the loss of each row: the absolute error of numbers; of classes the log loss, or without probabilities 1
    for a wrong prediction."""
    if rows.labels is None:
        return np.abs(rows.actual - rows.predicted)
    try:
        return log_losses(rows.actual, probabilities(rows), LEAST)
    except NotMeasured:
        return (rows.actual != rows.predicted).astype(float)


def worst_slices(rows: JoinedRows, columns: Sequence[Column], focus: Focus | None = None) -> Sequence[Slice]:
    """Return up to `MOST_SLICES` slices whose loss is significantly higher than elsewhere, the highest first.

    The slices of a column are its most frequent words, or ranges of about equal size of its numbers, and its nulls. The
    correction is Holm's. It allows for any dependence between the slices, which overlap, and keeps the probability that
    any slice is named by mistake below `LEVEL`.
    """
    if len(rows) < 2 * FEWEST_ROWS or not columns:
        return []
    focus, losses = focus or Focus.of(rows), row_losses(rows)
    partitions = [_compare(column, losses) for column in columns]
    adjusted = np.split(
        holm(np.concatenate([partition.p_values for partition in partitions])),
        np.cumsum([len(partition.p_values) for partition in partitions])[:-1],
    )
    worse = [
        (partition, int(code), float(p_values[code]))
        for partition, p_values in zip(partitions, adjusted, strict=True)
        for code in np.flatnonzero(p_values < LEVEL)
    ]
    worse.sort(key=lambda entry: -entry[0].loss[entry[1]])
    return [_slice(rows, *entry, focus) for entry in worse[:MOST_SLICES]]


def holm(p_values: Any) -> Any:
    """Return the p-values with Holm's correction. Those that are NaN were not compared, do not count and stay NaN.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]
    adjusted = np.full(len(p_values), np.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1)))
    return adjusted


def _slice(rows: JoinedRows, partition: _Partition, code: int, p_value: float, focus: Focus) -> Slice:
    members = partition.codes == code
    name = _name(partition.column, members)
    loss, elsewhere = float(partition.loss[code]), float(partition.elsewhere[code])
    return Slice(name, int(partition.rows[code]), loss, elsewhere, p_value, measure(rows.take(members), focus))


def _name(column: Column, members: Any) -> str:
    values = column.values[members]
    if column.words is not None:
        return f"{column.name} missing" if values[0] < 0 else f"{column.name} = {shown(column.words[values[0]])}"
    if np.isnan(values[0]):
        return f"{column.name} missing"
    low, high = (significant(float(value)) for value in (values.min(), values.max()))
    return f"{column.name} = {low}" if low == high else f"{column.name} {low} to {high}"


def _compare(column: Column, losses: Any) -> _Partition:
    """Return the slices of a column, with one-sided p-values: NaN where a slice or the rest is too small.

    This is Welch's t-test, but the variance of a slice is at least that of all rows: the losses of a small slice may be
    equal by chance.
    """
    codes = _number_codes(column.values) if column.words is None else _word_codes(column.values)
    mean, variance = losses.mean(), losses.var()
    centred = losses - mean
    rows, sums, squares = (
        np.bincount(codes + 1, weights)[1:].astype(float) for weights in (None, centred, np.square(centred))
    )
    others = len(losses) - rows
    with np.errstate(divide="ignore", invalid="ignore"):
        inside, outside = sums / rows, -sums / others
        own = np.maximum(squares / rows - np.square(inside), variance) / (rows - 1)
        rest = np.maximum((variance * len(losses) - squares) / others - np.square(outside), 0) / others
        p_values = stdtr(rows - 1, (outside - inside) / np.sqrt(own + rest))
    p_values[(rows < FEWEST_ROWS) | (others < FEWEST_ROWS)] = np.nan
    return _Partition(column, codes, rows, inside + mean, outside + mean, p_values)


def _word_codes(values: Any) -> Any:
    """Return 0 for null and 1, 2, … for the most frequent words; -1 for the others."""
    counts = np.bincount(values + 1)[1:]
    frequent = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    code_of = np.full(len(counts) + 1, -1)
    code_of[0], code_of[frequent + 1] = 0, np.arange(1, len(frequent) + 1)
    return code_of[values + 1]


def _number_codes(values: Any) -> Any:
    """Return 0 for null, and 1, 2, … for ranges of rising numbers: one for each number if there are few, else up to
    `BINS` of about equal size."""
    ordered = np.sort(values)
    ordered = ordered[: len(values) - np.isnan(values).sum()]
    if not len(ordered):
        return np.zeros(len(values), dtype=np.int64)
    distinct = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    ends = np.arange(1, BINS + 1) * len(ordered) // BINS - 1
    edges = distinct if len(distinct) <= BINS else np.unique(ordered[np.maximum(ends, 0)])
    return np.where(np.isnan(values), 0, 1 + np.searchsorted(edges[:-1], values))
