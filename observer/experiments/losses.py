"""The loss of each answer: bounded ones only, because evidence about a mean needs a bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from contract.model.experiments import LEAST_PROBABILITY, OF_PROBABILITIES
from contract.model.signature import Output, OutputKind
from contract.row import Value
from observer.outcomes.joined_rows import UNKNOWN, JoinedRows, ReadRows, read_labels, read_numbers
from observer.outcomes.metrics import log_losses

_LOSSES: Mapping[str, Callable[[JoinedRows], Any]] = {
    "accuracy": lambda rows: rows.actual != rows.predicted,
    "mean_absolute_error": lambda rows: np.abs(rows.actual - rows.predicted),
    "log_loss": lambda rows: log_losses(rows.actual, rows.probabilities, LEAST_PROBABILITY),
    "brier": lambda rows: np.square(rows.probabilities - _certain(rows)).sum(axis=1) / 2,
}


def losses_of(metric: str, read: ReadRows, readable: Any, largest: float) -> Any:
    """Return the loss of each row of a version, NaN where there is none to compare.

    `readable`: whether the outcome of each row is one. An answer that is none, and one to an outcome that the version
    does not know, has the `largest` loss. If the version has no probabilities and the metric needs them, no row has a
    loss.
    """
    losses = np.full(len(readable), np.nan)
    if metric in OF_PROBABILITIES and read.rows.probabilities is None:
        return losses
    losses[readable] = largest
    measured = _LOSSES[metric](read.rows).astype(float)
    losses[read.positions] = np.where(np.isfinite(measured), np.minimum(measured, largest), largest)
    return losses


def readable_outcomes(outcomes: Sequence[Value], outputs: Sequence[Output]) -> Any:
    """Return which outcomes mean something to one of the versions with these outputs."""
    return np.logical_or.reduce([_readable(outcomes, output) for output in outputs])


def _readable(outcomes: Sequence[Value], output: Output) -> Any:
    if output.kind is OutputKind.NUMBER:
        return np.isfinite(read_numbers(outcomes)[0])
    if not output.shown_labels:
        return np.array([outcome is not None for outcome in outcomes], bool)
    return read_labels(outcomes, output.shown_labels)[0] != UNKNOWN


def _certain(rows: JoinedRows) -> Any:
    """Return the probabilities of who knows what comes true."""
    return rows.actual[:, None] == np.arange(rows.probabilities.shape[1])
