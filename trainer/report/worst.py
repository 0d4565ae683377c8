"""The worst predictions. They may show mistakes in the data, or weaknesses of the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from contract.row import Value
from contract.wording import clean
from trainer.report.classification import Classes
from trainer.report.evidence import Evidence
from trainer.report.parts import PARAGRAPH, Facts, NotShown, number
from trainer.report.regression import Numbers

MOST_ROWS, MOST_COLUMNS = 10, 6


def worst(evidence: Evidence, answers: Classes | Numbers, strongest: Sequence[str]) -> Facts:
    """Return up to `MOST_ROWS` test rows, the worst prediction first, with their values in `columns`: the most
    important inputs (`strongest`, as reports write their names), if they are known.

    `row` counts from 1 in the data, without rows that have no target. For numbers, `error` is actual less predicted.
    For classes, only wrong predictions count, and `probability` is that of the actual class.
    """
    names = [clean(name) for name in evidence.draft.signature.names]
    known = [names.index(name) for name in strongest if name in names]
    columns = [*known, *(index for index in range(len(names)) if index not in known)][:MOST_COLUMNS]
    count = int((answers.actual != answers.predicted).sum())
    if not count:
        raise NotShown("The model predicts every test row correctly.")
    wrong = _wrong_numbers(answers) if isinstance(answers, Numbers) else _wrong_classes(answers)
    items = []
    for index, facts in islice(wrong, min(count, MOST_ROWS)):
        position = evidence.tested_on[index]
        row = evidence.values(evidence.rows[position])
        values = [_value(row[column]) for column in columns]
        name = None if evidence.ids is None else _value(evidence.ids[position])
        items.append({"row": position + 1, "id": name, **facts, "values": values})
    return {
        "columns": [names[column] for column in columns],
        "columns_left_out": len(names) - len(columns),
        "items": items,
        "wrong": count,
    }


def _wrong_classes(answers: Classes) -> Iterator[tuple[int, Facts]]:
    positions = np.flatnonzero(answers.actual != answers.predicted)
    probabilities = _of_actual(answers)[positions]
    # Rows of a class that the model does not know come first.
    for i in np.argsort(np.nan_to_num(probabilities, nan=-1.0), kind="stable"):
        actual, predicted = (answers.labels[codes[positions[i]]] for codes in (answers.actual, answers.predicted))
        facts = {"actual": clean(actual), "predicted": clean(predicted), "probability": number(probabilities[i])}
        yield int(positions[i]), facts


def _of_actual(answers: Classes) -> Any:
    """Return the probability of each row's actual class; NaN if the model does not know the class."""
    probabilities = np.full(len(answers.actual), np.nan)
    if answers.probabilities is not None:
        known = answers.actual < answers.probabilities.shape[1]
        probabilities[known] = answers.probabilities[known, answers.actual[known]]
    return probabilities


def _wrong_numbers(answers: Numbers) -> Iterator[tuple[int, Facts]]:
    error = answers.actual - answers.predicted
    for i in np.argsort(-np.abs(error), kind="stable"):
        actual, predicted = number(answers.actual[i]), number(answers.predicted[i])
        yield int(answers.positions[i]), {"actual": actual, "predicted": predicted, "error": number(error[i])}


def _value(value: Value) -> Value:
    if isinstance(value, float):
        return number(value, 12)
    return clean(value, PARAGRAPH) if isinstance(value, str) else value
