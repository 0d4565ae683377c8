"""Finds out by trying which inputs may be null."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

from contract.errors import ModelgateError
from contract.jobs import Row
from contract.manifest import ManifestDraft
from contract.signature import Kind, RowFormat
from scoring.predict import predict
from trainer.importing.inputs import takes_nan

_MOST_TRIALS = 50


def with_nulls_that_work(estimator: Any, draft: ManifestDraft, rows: Sequence[Row]) -> ManifestDraft:
    """Make inputs nullable if something shows that they may be, or the estimator says that it takes NaN, and it has
    predicted a row with a null in it."""
    signature = draft.signature
    if signature.format is RowFormat.TEXTS:
        return draft
    is_table = signature.format is RowFormat.TABLE

    def works(nulls: Collection[int]) -> bool:
        row = [None if place in nulls else value for place, value in enumerate(rows[0])]
        if not is_table:
            row = [{**rows[0][0], **{signature.names[place]: None for place in nulls}}]
        try:
            answer = predict(estimator, draft, [row, rows[1]])
        except ModelgateError:
            return False
        # A prediction has to be a number, but a scaler passes nulls on.
        return not signature.outputs or not answer.warnings

    seen = {place for row in rows for place, value in enumerate(row) if value is None}
    may_be_nan = (Kind.NUMBER, Kind.STRING)[: 2 if is_table else 1] if takes_nan(estimator) else ()
    wanted = [
        place
        for place, field in enumerate(signature.inputs)
        if place not in seen and (field.nullable or field.kind in may_be_nan)
    ]
    proven = seen | _that_work(wanted, works)
    inputs = [dataclasses.replace(field, nullable=place in proven) for place, field in enumerate(signature.inputs)]
    return dataclasses.replace(draft, signature=dataclasses.replace(signature, inputs=tuple(inputs)))


def _that_work(places: Sequence[int], works: Callable[[Collection[int]], bool]) -> set[int]:
    """Return those of `places` that may be null, halving those that do not work together. Thousands of columns, one
    by one, would take minutes."""
    found: set[int] = set()
    waiting = [places] if places else []
    for _ in range(_MOST_TRIALS):
        if not waiting:
            break
        some = waiting.pop(0)
        if works(some):
            found.update(some)
        elif len(some) > 1:
            waiting += [some[: len(some) // 2], some[len(some) // 2 :]]
    return found
