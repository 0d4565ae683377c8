"""How good the model is where an input has one value, or is in one range: the most important inputs, a few slices of
each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import exp
from typing import Any

import numpy as np
from scipy.special import ndtri

from contract.model.signature import Field, Kind
from contract.row import Value
from contract.wording import clean, shown, six_digits
from trainer.report.classification import Classes, wilson
from trainer.report.evidence import Evidence
from trainer.report.parts import Facts, number
from trainer.report.regression import Numbers

MOST_INPUTS, MOST_SLICES, FEWEST_ROWS, Z, LEVEL = 6, 4, 20, 1.96, 0.05


def slices(evidence: Evidence, answers: Classes | Numbers, strongest: Sequence[str]) -> Facts:
    """Return the `metric` (accuracy of classes, mean absolute error of numbers) with its 95 % interval in slices of up
    to `MOST_INPUTS` inputs, the most important (`strongest`, as reports write their names) or the first ones.

    A slice and the rows outside of it have at least `FEWEST_ROWS` test rows, which training has not seen. It is `worse`
    if its loss is significantly higher than elsewhere: a one-sided z-test with Bonferroni's correction for the slices.
    """
    fields = evidence.draft.signature.inputs
    names = [clean(field.name) for field in fields]
    chosen = [names.index(name) for name in strongest if name in names] or [*range(len(names))]
    if isinstance(answers, Classes):
        metric, losses, positions = "accuracy", answers.actual != answers.predicted, range(len(answers.actual))
    else:
        metric, losses = "mean_absolute_error", np.abs(answers.actual - answers.predicted)
        positions = answers.positions
    rows = [evidence.values(evidence.rows[evidence.tested_on[position]]) for position in positions]
    unseen = evidence.held_out or evidence.sample
    found = [
        (names[index], name, members)
        for index in (chosen[:MOST_INPUTS] if unseen else ())
        for name, members in _slices_of(fields[index], [row[index] for row in rows])
        if min(members.sum(), (~members).sum()) >= FEWEST_ROWS
    ]
    items = [
        {
            "input": column,
            "slice": name,
            "rows": int(members.sum()),
            **_figures(losses[members], metric),
            "worse": bool(_excess(losses, members) > ndtri(1 - LEVEL / len(found))),
        }
        for column, name, members in found
    ]
    return {"metric": metric, "items": items}


def _figures(losses: Any, metric: str) -> Facts:
    """Return the `value` of the metric, and its interval from `low` to `high`: Wilson's of a share. Of the mean of
    errors, the logarithm has the symmetric one."""
    mean = float(losses.mean())
    if metric == "accuracy":
        value, limits = 1 - mean, wilson(1 - mean, len(losses))
    else:
        reach = exp(min(Z * losses.std(ddof=1) / len(losses) ** 0.5 / mean, 700.0)) if mean else 1.0
        value, limits = mean, (mean / reach, mean * reach)
    return {"value": number(value), "low": number(limits[0]), "high": number(limits[1])}


def _excess(losses: Any, members: Any) -> float:
    """Return by how many standard errors the mean loss of the members is higher than that of the others."""
    inside, outside = losses[members], losses[~members]
    # The losses of few rows may be equal by chance.
    variance = max(inside.var(), losses.var()) / len(inside) + outside.var() / len(outside)
    return float((inside.mean() - outside.mean()) / variance**0.5) if variance else 0.0


def _slices_of(field: Field, values: Sequence[Value]) -> Iterator[tuple[str, Any]]:
    """Yield the name of each slice, and which rows are in it: few numbers or the quarters of more, the most frequent
    other values, and nulls. Times have none."""
    if field.kind is Kind.DATETIME:
        return
    nulls = np.array([value is None for value in values])
    if field.kind in (Kind.NUMBER, Kind.INTEGER) and not nulls.all():
        numbers = np.array([np.nan if value is None else value for value in values], dtype=float)
        distinct = np.unique(numbers[~nulls])
        starts = (
            distinct if len(distinct) <= MOST_SLICES else np.unique(np.quantile(numbers[~nulls], (0.25, 0.5, 0.75)))
        )
        codes = np.where(nulls, -1, np.searchsorted(starts[starts > distinct[0]], numbers, side="right"))
        for code in np.unique(codes[~nulls]):
            low, high = (six_digits(float(end)) for end in (numbers[codes == code].min(), numbers[codes == code].max()))
            yield low if low == high else f"{low} to {high}", codes == code
    else:
        for value, _ in Counter(value for value in values if value is not None).most_common(MOST_SLICES):
            yield clean(shown(value)), np.array([other == value for other in values])
    yield "null", nulls
