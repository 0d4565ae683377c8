"""How good the model is where an input has one value, or is in one range."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri

from contract.model.signature import Field, Kind
from contract.row import Value
from contract.wording import clean, shown, significant
from trainer.report.classification import Classes, wilson
from trainer.report.evidence import Evidence
from trainer.report.parts import Facts, equal_bins, number
from trainer.report.regression import Numbers

MOST_INPUTS, MOST_SLICES, FEWEST_ROWS, LEVEL, Z = 6, 4, 20, 0.05, 1.96


def slices(evidence: Evidence, answers: Classes | Numbers, strongest: Sequence[str]) -> Facts:
    """Return the `metric` (accuracy of classes, mean absolute error of numbers) with its 95 % interval in slices of up
    to `MOST_INPUTS` inputs: the most important (`strongest`, as reports write their names), or else the first ones.

    A slice and the rows outside of it have at least `FEWEST_ROWS` test rows, which training has not seen. It is `worse`
    if its loss is significantly higher than elsewhere: a one-sided z-test with Bonferroni's correction for the slices.
    """
    fields, of_classes = evidence.draft.signature.inputs, isinstance(answers, Classes)
    names = [clean(field.name) for field in fields]
    chosen = [names.index(name) for name in strongest if name in names] or [*range(len(names))]
    losses = (answers.actual != answers.predicted) * 1.0 if of_classes else np.abs(answers.actual - answers.predicted)
    positions = answers.positions if isinstance(answers, Numbers) else range(len(losses))
    rows = [evidence.values(evidence.rows[evidence.tested_on[position]]) for position in positions]
    found = [
        (names[index], name, members)
        for index in (chosen[:MOST_INPUTS] if evidence.held_out or evidence.sample else ())
        for name, members in _slices_of(fields[index], [row[index] for row in rows])
        if min(members.sum(), (~members).sum()) >= FEWEST_ROWS
    ]
    items = []
    for column, name, members in found:
        inside, outside = losses[members], losses[~members]
        mean, reach = inside.mean(), Z * inside.std() / len(inside) ** 0.5
        limits = wilson(1 - mean, len(inside)) if of_classes else (max(0.0, mean - reach), mean + reach)
        # The losses of few rows may be equal by chance.
        variance = max(inside.var(), losses.var()) / len(inside) + outside.var() / len(outside)
        worse = bool(mean - outside.mean() > ndtri(1 - LEVEL / len(found)) * variance**0.5)
        what = {"input": column, "slice": name, "rows": len(inside)}
        value = number(1 - mean if of_classes else mean)
        items.append({**what, "value": value, "interval": [*map(number, limits)], "worse": worse})
    return {"metric": "accuracy" if of_classes else "mean_absolute_error", "items": items}


def _slices_of(field: Field, values: Sequence[Value]) -> Iterator[tuple[str, Any]]:
    """Yield the name of each slice, and which rows are in it: the quarters of numbers, the most frequent other values,
    and nulls."""
    nulls = np.array([value is None for value in values])
    present = [value for value in values if value is not None]
    if field.kind in (Kind.NUMBER, Kind.INTEGER) and len(set(present)) > MOST_SLICES:
        bins = np.full(len(values), -1)
        bins[~nulls] = equal_bins(np.array(present, dtype=float), MOST_SLICES)
        for code in np.unique(bins[~nulls]):
            inside = np.array(values, dtype=float)[bins == code]
            yield f"{significant(inside.min())} to {significant(inside.max())}", bins == code
    else:
        for value, _ in Counter(present).most_common(MOST_SLICES):
            yield (
                clean(significant(value) if isinstance(value, float) else shown(value)),
                np.array([other == value for other in values]),
            )
    yield "null", nulls
