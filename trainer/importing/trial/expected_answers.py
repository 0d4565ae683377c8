"""Compares a model's answers with those that it gave where it was made: columns of the sample with the names that they
have in the output of a file (docs/reference/files.md).
"""

from __future__ import annotations

import math
from typing import Any

from contract.model.manifest import ManifestDraft
from contract.model.signature import PREDICT
from contract.rows.answer_columns import answer_columns, answer_names
from contract.rows.coercion import coerce
from contract.rows.instances import Grid
from contract.wording import listed, shown
from scoring.predict import predict
from trainer.importing.inputs import fitted_inputs as inputs
from trainer.importing.inputs.sample import Sample
from trainer.publishing.verify import TOLERANCE

_NAMES, _PREFIX = ("prediction", "score"), "probability_"


def split(sample: Sample, estimator: Any) -> tuple[Sample, Sample]:
    """Return the columns of the sample that the model takes, as far as that is known before it is tried, and the
    others."""
    known, width = inputs.names(estimator, sample.columns), inputs.count(estimator)
    if known and set(known) <= set(sample.columns):
        taken = [name for name in sample.columns if name in known]
    else:
        taken = [
            name for name in sample.columns if name not in (*_NAMES, sample.target) and not name.startswith(_PREFIX)
        ][:width]
    return sample.only(taken), sample.only([name for name in sample.columns if name not in taken])


def without(sample: Sample, draft: ManifestDraft) -> Sample:
    """Return the sample without the answers that it has of the model."""
    answers = _answer_names(draft) if draft.signature.outputs else ()
    return sample.only([name for name in sample.columns if name not in answers])


def why_not_equal(estimator: Any, draft: ManifestDraft, sample: Sample | None, expected: Sample | None) -> str | None:
    """Return why the answers to the rows of the sample do not prove to be those expected, as the rest of a sentence
    about them; None if all are equal. Raises what `predict` raises, and `InvalidInstances`."""
    if not draft.signature.outputs:
        return "a model without predict has none that could be compared"
    names = _answer_names(draft)
    if sample is None or expected is None or (missing := [name for name in names if name not in expected.columns]):
        wanted = names if expected is None else missing
        return f"no sample has them: it needs {'columns' if len(wanted) > 1 else 'a column'} {listed(wanted)}"
    rows = coerce(Grid(sample.columns, sample.rows), draft.signature).rows
    answers = predict(estimator, draft, rows)
    columns = answer_columns(answers.values, answers.probabilities, answers.scores, draft.signature, PREDICT.name)
    for name, column in zip(names, columns, strict=True):
        for row, (answer, wanted_cell) in enumerate(zip(column, expected.cells(name), strict=True)):
            if not _equal(answer, wanted_cell):
                return f"row {row + 1} of the sample has {name} {shown(wanted_cell)}, and here it is {shown(answer)}"
    return None


def _answer_names(draft: ManifestDraft) -> list[str]:
    return answer_names(draft.signature, PREDICT.name, draft.signature.names)


def _equal(answer: Any, cell: str | None) -> bool:
    if answer is None or cell is None:
        return answer is None and cell is None
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        return str(answer).lower() == cell.lower() if isinstance(answer, bool) else str(answer) == cell
    try:
        return math.isclose(answer, float(cell), rel_tol=TOLERANCE, abs_tol=1e-15)
    except ValueError:
        return False
