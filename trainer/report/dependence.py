"""Partial dependence: the mean prediction of the model when one input is set to a value in every row.

scikit-learn's own function supports neither integers, times and nulls nor custom estimators. This module applies the
same definition and predicts as serving does.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from modelgate_kernels.matrix import to_matrix

from contract.model.signature import Field, Kind
from contract.row import Row, Value
from contract.wording import clean
from scoring.estimators import predict_matrix
from trainer.report.classification import interesting
from trainer.report.evidence import Evidence
from trainer.report.parts import Facts, NotShown, number, numbers

ROWS, VALUES, MOST_INPUTS, MOST_CATEGORIES, SECONDS, SEED = 200, 12, 6, 8, 3.0, 0
FEWEST_ROWS = 20
LOOKED_AT = 10_000
"""Fewest rows from which the shown values are chosen, if the data have that many."""


def dependence(evidence: Evidence, strongest: Sequence[str], seconds: float = SECONDS) -> Facts:
    """Return the partial dependence of the `MOST_INPUTS` most important inputs (`strongest`, as reports write their
    names): `values` that occur in the data, and a line for each of `labels` with the mean probability, or a single line
    with the mean number.

    Uses at most `ROWS` rows and about `seconds`; a slow model may get only the first input (`not_measured` is the
    number of the others).
    """
    signature = evidence.draft.signature
    output = signature.output
    if output.labels is not None and not output.probabilities:
        raise NotShown("The model gives no probabilities.")
    if not strongest:
        raise NotShown("The most important inputs are unknown.")
    end = time.monotonic() + seconds
    classes = [] if output.labels is None else interesting(output.labels, evidence.targets)

    def answers(rows: Sequence[Row]) -> Any:
        """Return the predictions: rows × classes, or rows × 1."""
        matrix = to_matrix(rows, signature.inputs, evidence.draft.artifact.input_format)
        predicted, table = predict_matrix(evidence.estimator, matrix, evidence.draft)
        return table[:, classes] if classes else np.asarray(predicted, dtype=float)[:, None]

    names = [clean(name) for name in signature.names]
    wanted = [names.index(name) for name in strongest[:MOST_INPUTS] if name in names]
    rows = _affordable(evidence, answers, seconds / max(1, len(wanted) * VALUES))
    some = evidence.rows[:: max(1, len(evidence.rows) // LOOKED_AT)]
    items: list[Facts] = []
    for index in wanted:
        values = _values(signature.inputs[index], [row[index] for row in some])
        if len(values) < 2 or (items and time.monotonic() > end):
            continue
        predictions = answers([(*row[:index], value, *row[index + 1 :]) for value in values for row in rows])
        lines = predictions.reshape(len(values), len(rows), -1).mean(axis=1).T
        if not np.isfinite(lines).all():
            raise NotShown("The model gave predictions that are not finite numbers.")
        shown = {"values": [_shown(value) for value in values], "lines": [numbers(line) for line in lines]}
        field = signature.inputs[index]
        items.append({"name": names[index], "kind": str(field.kind), "naive": field.naive, **shown})
    if not items:
        raise NotShown("No input has two values.")
    return {
        "labels": [clean((output.labels or ())[index]) for index in classes],
        "rows": len(rows),
        "items": items,
        "not_measured": len(wanted) - len(items),
    }


def _affordable(evidence: Evidence, answers: Callable[[Sequence[Row]], Any], seconds: float) -> Sequence[Row]:
    """Return as many test rows as the model predicts in about `seconds`."""
    chosen = np.random.default_rng(SEED).permutation(len(evidence.tested_on))[:ROWS]
    rows = [evidence.rows[evidence.tested_on[index]] for index in np.sort(chosen)]
    began = time.monotonic()
    answers(rows)
    needed = time.monotonic() - began
    return rows if needed <= seconds else rows[: max(FEWEST_ROWS, int(len(rows) * seconds / needed))]


def _values(field: Field, column: Sequence[Value]) -> list[Value]:
    """Return some values of the column: of numbers and times from the 2nd to the 98th percentile, else the most
    frequent."""
    present: list[Any] = [value for value in column if value is not None]  # of one kind, so they compare
    tally = Counter(present)
    if field.kind in (Kind.STRING, Kind.BOOLEAN):
        return sorted((value for value, _ in tally.most_common(MOST_CATEGORIES)))
    if len(tally) <= VALUES:
        return sorted(tally)
    ordered = sorted(present)
    positions = np.linspace(0.02, 0.98, VALUES) * (len(ordered) - 1)
    return list(dict.fromkeys(ordered[round(position)] for position in positions))


def _shown(value: Value) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return clean(value)
    return number(value)
