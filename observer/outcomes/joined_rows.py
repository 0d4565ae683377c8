"""Predictions joined with their outcomes, and how the values that users send as outcomes are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from contract.model.signature import Kind, Output, OutputKind
from contract.row import Value
from contract.rows.values import Conversion
from contract.wording import shown

_TRUTH = {**dict.fromkeys(("true", "t", "yes", "y", "1"), True), **dict.fromkeys(("false", "f", "no", "n", "0"), False)}
UNKNOWN = -1
"""The code of a value that is none of the labels."""


@dataclass(frozen=True)
class JoinedRows:
    """Predictions whose outcome is known, one a row.

    Classes: `actual` and `predicted` are positions in `labels`, and `probabilities` is rows × labels, or None. Numbers:
    `actual` and `predicted` are floats, and `labels` is None.
    """

    actual: Any
    predicted: Any
    probabilities: Any = None
    labels: Sequence[Value] | None = None

    def __len__(self) -> int:
        return len(self.actual)

    def take(self, rows: Any) -> JoinedRows:
        """Return the rows at these positions, or where a mask is true."""
        table = None if self.probabilities is None else self.probabilities[rows]
        return JoinedRows(self.actual[rows], self.predicted[rows], table, self.labels)


@dataclass(frozen=True)
class ReadRows:
    """The `rows` that can be measured and their `positions` among all.

    `unknown` counts the outcomes that are no label or no number, by their text. `unusable` counts rows with a valid
    outcome and a prediction that is no label or no finite number.
    """

    rows: JoinedRows
    positions: Any
    unknown: Mapping[str, int]
    unusable: int


def read_rows(outcomes: Sequence[Value], predictions: Sequence[Value], probabilities: Any, output: Output) -> ReadRows:
    """Read outcomes as users send them, and predictions as `output` shows them.

    `probabilities` is rows × labels, or None. If the version does not know its labels, they are its predictions.
    """
    if output.kind is OutputKind.NUMBER:
        labels = None
        (actual, unknown), (predicted, _) = read_numbers(outcomes), read_numbers(predictions)
        has_outcome, has_prediction = np.isfinite(actual), np.isfinite(predicted)
    else:
        labels = output.shown_labels or tuple(sorted(set(_plain(predictions)), key=str))
        (actual, unknown), (predicted, _) = read_labels(outcomes, labels), read_labels(predictions, labels)
        has_outcome, has_prediction = actual != UNKNOWN, predicted != UNKNOWN
    positions = np.flatnonzero(has_outcome & has_prediction)
    table = None if probabilities is None else np.asarray(probabilities, dtype=float)
    rows = JoinedRows(actual, predicted, table, labels).take(positions)
    return ReadRows(rows, positions, unknown, int((has_outcome & ~has_prediction).sum()))


def read_labels(values: Sequence[Value], labels: Sequence[Value]) -> tuple[Any, Mapping[str, int]]:
    """Return the position in `labels` of each value (`UNKNOWN` if it is none), and the count of each unknown text.

    A value means the label that it equals, type included. Otherwise it means the label of the same text, in any case
    and with any spelling of a number; and if the two labels are a yes and a no, the one of the same truth. A value that
    may mean two labels is unknown.
    """
    exact = {_typed(label): code for code, label in enumerate(labels)}
    readings = _unambiguous([_text(label) for label in labels])
    truths = [_TRUTH.get(_text(label)) for label in labels]
    yes_or_no = len(labels) == 2 and set(truths) == {True, False}

    def code_of(value: Value) -> int:
        if value is None or _typed(value) in exact:
            return exact.get(_typed(value), UNKNOWN)
        text = _text(value)
        truth = _TRUTH.get(text) if yes_or_no else None
        return readings.get(text, UNKNOWN if truth is None else truths.index(truth))

    known: dict[tuple[bool, Value], int] = {}
    tally: Counter[str] = Counter()
    codes = np.empty(len(values), dtype=np.int64)
    for row, value in enumerate(_plain(values)):
        key = _typed(value)
        code = known.get(key)
        if code is None:
            code = known[key] = code_of(value)
        if code == UNKNOWN:
            tally[shown(value)] += 1
        codes[row] = code
    return codes, tally


def read_numbers(values: Sequence[Value]) -> tuple[Any, Mapping[str, int]]:
    """Return each value as a float (NaN if it is no finite number), and the count of each text that is no number."""
    conversion, column = Conversion.of_kind(Kind.NUMBER), list(_plain(values))
    converted = conversion.convert_bulk(column)
    if converted is None:
        converted = [value if isinstance(value, float) else np.nan for value in conversion.convert_each(column)]
    numbers = np.array(converted, dtype=float)
    unread = np.flatnonzero(~np.isfinite(numbers))
    return numbers, Counter(shown(column[row]) for row in unread)


def _plain(values: Any) -> Sequence[Value]:
    """Return Python's own values: those of numpy have types of their own."""
    plain: Sequence[Value] = values.tolist() if isinstance(values, np.ndarray) else values
    return plain


def _typed(value: Value) -> tuple[bool, Value]:
    """Return a key that tells true from 1, which Python takes for equal."""
    return isinstance(value, bool), value


def _text(value: Value) -> str:
    text = str(value).strip().casefold()
    try:
        number = float(text)
    except ValueError:
        return text
    return f"{number:.17g}" if isfinite(number) else text


def _unambiguous(texts: Sequence[str]) -> Mapping[str, int]:
    counts = Counter(texts)
    return {text: code for code, text in enumerate(texts) if counts[text] == 1}
