"""Decides whether whole numbers reach an estimator as integers: a custom step may turn them into the text `1` or
`1.0`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from contract.errors import ModelgateError
from contract.jobs import Row, Value
from contract.manifest import InputDtype, InputFormat, Kind, ManifestDraft
from contract.wording import listed
from scoring.held_objects import parts_in
from scoring.predict import Prediction, predict

_MOST_ONE_BY_ONE = 50
"""Most columns that are decided one by one; of more, all are integers or none."""


def may_matter(estimator: Any) -> bool:
    """Return whether `estimator` has custom steps: scikit-learn's own treat integers as floats."""
    return any(
        not type(part).__module__.startswith("sklearn.") or getattr(part, "func", None) is not None
        for part in parts_in(estimator)
    )


def settled(
    estimator: Any,
    draft: ManifestDraft,
    rows: Sequence[Row],
    doubtful: Collection[str],
    told: Mapping[str, Kind],
    sampled: bool,
) -> tuple[ManifestDraft, list[str]]:
    """Return `draft`, with the `doubtful` columns that change the answers as integers, and warnings.

    Doubtful columns hold only whole numbers in `rows`; `told` are those whose kind `estimator` shows. All others stay
    numbers: after 34 there may be 34.5. If the estimator shows nothing, a sample decides.
    """
    doubtful = [field.name for field in draft.signature.inputs if field.name in doubtful]
    if not _differ(estimator, draft, with_integers(draft, doubtful), rows):
        return draft, []
    matter = _that_matter(estimator, draft, doubtful, rows)
    if _is_one_type(draft):
        told = dict.fromkeys(matter, Kind.INTEGER if Kind.INTEGER in told.values() else Kind.NUMBER) if told else {}
    otherwise = Kind.INTEGER if sampled else Kind.NUMBER
    chosen = [name for name in matter if told.get(name, otherwise) is Kind.INTEGER]
    return with_integers(draft, chosen), _doubts([name for name in matter if name not in told], sampled)


def with_integers(draft: ManifestDraft, names: Collection[str]) -> ManifestDraft:
    """`draft` with these inputs as integers."""
    fields = tuple(
        dataclasses.replace(field, kind=Kind.INTEGER) if field.name in names else field
        for field in draft.signature.inputs
    )
    artifact = draft.artifact
    whole = all(field.kind is Kind.INTEGER and not field.nullable for field in fields)
    if artifact.input_format is InputFormat.ARRAY and whole:
        artifact = dataclasses.replace(artifact, input_dtype=InputDtype.INT64)
    return dataclasses.replace(draft, signature=dataclasses.replace(draft.signature, inputs=fields), artifact=artifact)


def as_asked(draft: ManifestDraft, rows: Sequence[Row]) -> list[Row]:
    """Return `rows` as requests have them: the values of integer inputs as integers."""
    whole = [field.kind is Kind.INTEGER for field in draft.signature.inputs]
    return [
        tuple(
            int(value) if is_whole and value is not None else value for is_whole, value in zip(whole, row, strict=True)
        )
        for row in rows
    ]


def _that_matter(estimator: Any, draft: ManifestDraft, names: Sequence[str], rows: Sequence[Row]) -> Sequence[str]:
    """The fewest of the columns that make the answers those of all as integers."""
    if _is_one_type(draft) or len(names) > _MOST_ONE_BY_ONE:
        return names
    alone = [name for name in names if _differ(estimator, draft, with_integers(draft, [name]), rows)]
    enough = not _differ(estimator, with_integers(draft, alone), with_integers(draft, names), rows)
    return alone if enough else names


def _is_one_type(draft: ManifestDraft) -> bool:
    """Whether all columns have the same type, as those of an array of numbers."""
    return draft.artifact.input_format is InputFormat.ARRAY and all(
        field.kind in (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN) for field in draft.signature.inputs
    )


def _differ(estimator: Any, one: ManifestDraft, other: ManifestDraft, rows: Sequence[Row]) -> bool:
    """Return whether the answers differ; False if one of them raises."""
    if one == other:
        return False
    try:
        answer, another = (predict(estimator, draft, as_asked(draft, rows)) for draft in (one, other))
    except ModelgateError:
        return False
    return not all(map(_alike, _cells(answer), _cells(another)))


def _cells(answer: Prediction) -> Iterator[Value]:
    yield from answer.values
    for row in answer.probabilities or ():
        yield from row.values()


def _alike(old: Value, new: Value) -> bool:
    """Return whether they are equal up to rounding, which differs when integers are multiplied."""
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=1e-6, abs_tol=1e-9)
    return old == new


def _doubts(names: Sequence[str], sampled: bool) -> list[str]:
    if not names:
        return []
    way_out = (
        "the sample has whole numbers, so those are asked for: where it was fitted on numbers with a fraction, write"
        " them so in the sample (1.0), and import it again"
        if sampled
        else "numbers are asked for: where it was fitted on whole ones, import it again with a sample"
    )
    return [
        f"it answers otherwise where {listed(names)} {'is' if len(names) == 1 else 'are'} whole (1) and not just a"
        f" number (1.0), and does not tell which it was fitted on; {way_out}"
    ]
