"""The limits of a version as sentences for its model card: what its figures, its answers and its training rows show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from contract.model.manifest import ColumnProfile, ModelManifest
from contract.model.signature import RowFormat
from contract.model.version_metrics import missed_baselines
from contract.row import Value
from contract.wording import counted, metric_in_words, number, percent, shown

Facts = Mapping[str, Any]

FEWEST_TESTED, FEWEST_SEEN = 50, 20
"""Figures of fewer rows are rough; and fewer rows say nothing of what is rare."""
CONFUSED, MOST_PAIRS = 0.1, 5
"""The share of the rows of a class that another class must get to be named, and most pairs of classes."""
RARE = 10
"""What fewer training rows have is rare."""
MOST_NAMES = 10


OTHER_SHAPE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What reading facts raises that have another shape than those of reports: the facts of an import may be anything."""


def limits(manifest: ModelManifest, facts: Facts) -> list[str]:
    """Return the limits of a version, from its manifest and the facts of its report."""
    sentences: list[str] = []
    for found in (_of_figures(facts), _of_answers(facts), _of_data(manifest)):
        with suppress(*OTHER_SHAPE):
            sentences += found
    return sentences


def _of_figures(facts: Facts) -> Iterator[str]:
    """Yield what makes the figures worth less."""
    if not facts:
        yield "Nothing shows how good it is: it has no report."
        return
    tested = facts["tested"]
    if tested["sample"]:
        yield "Its figures are of the sample of the import, from which it may have learnt: new rows may fare worse."
    elif not tested["held_out"]:
        yield "Its figures are of the rows that it was trained on, so they flatter it; other rows were not tested."
    if tested["rows"] < FEWEST_TESTED:
        yield f"Only {counted(tested['rows'], 'row')} were tested, so its figures are rough."
    for name, other in missed_baselines(facts["metrics"]).items():
        yield (
            f"It is no better than always giving the same answer: {metric_in_words(name)}"
            f" {number(facts['metrics'][name])} against {number(other)}."
        )
    if facts["refused"]:
        yield f"Its training did not promote it: {facts['refused']}."
    for leak in facts["leaks"]:
        yield f"Perhaps it is too good to be true: {leak}."


def _of_answers(facts: Facts) -> Iterator[str]:
    """Yield what its answers to the tested rows show."""
    answers = facts.get("answers") or {}
    if confusion := answers.get("confusion"):
        yield from _confused(confusion)
    bins = answers.get("calibration") or {}
    if said := bins.get("predicted"):
        missed = sum(not low <= at <= high for at, low, high in zip(said, bins["low"], bins["high"], strict=True))
        if missed > len(said) / 4:
            yield f"Its probabilities are off: in {missed} of {len(said)} ranges, more or less came true than they say."
    slices = facts.get("slices") or {}
    for one in slices.get("items", ()):
        if one["worse"]:
            metric = f"{metric_in_words(slices['metric'])} is {number(one['value'])}"
            yield f"It is significantly worse where {one['input']} is {one['slice']}: there its {metric}."


def _confused(confusion: Facts) -> Iterator[str]:
    labels, pairs = confusion["labels"], []
    for actual, row in zip(labels, confusion["counts"], strict=True):
        if sum(row) and not sum(other[labels.index(actual)] for other in confusion["counts"]):
            yield f"It never answers {shown(actual)}, which {counted(sum(row), 'tested row')} should have got."
        for predicted, count in zip(labels, row, strict=True):
            if predicted != actual and count >= max(2, CONFUSED * sum(row)):
                pairs.append((count, sum(row), actual, predicted))
    for count, rows, actual, predicted in sorted(pairs, key=lambda pair: -pair[0])[:MOST_PAIRS]:
        yield (
            f"It confuses classes: of {counted(rows, 'tested row')} of {shown(actual)}, it answers {count}"
            f" ({percent(count / rows)}) with {shown(predicted)}."
        )


def _of_data(manifest: ModelManifest) -> Iterator[str]:
    """Yield what training has not seen, or seldom; and if the model always gives the same answer."""
    profile, signature = manifest.profile, manifest.signature
    if profile is None:
        why = "it came without a sample" if signature.format is RowFormat.TABLE else "texts and records have no ranges"
        yield f"What its training saw of the inputs is not known: {why}."
        return
    if profile.sample:
        yield "Ranges and values are those of the sample of the import; those of its training rows are not known."
    if profile.rows < FEWEST_SEEN:
        yield f"Only {counted(profile.rows, 'row')} show what it has seen, so what is rare or missing is not known."
        return
    for output in profile.outputs:
        if len(answers := _distinct(output)) == 1:
            yield f"Its answer to every row that was tried is the same: {shown(answers[0])}."
    of_what = "of the sample" if profile.sample else "of the training"
    unseen, rare, constant = [], [], []
    for field, column in zip(signature.inputs, profile.inputs, strict=False):
        seen = {shown(value): rows for value, rows in zip(column.values, column.counts, strict=False)}
        wanted = [shown(category) for category in field.categories or ()] if not column.others else []
        wanted += ["null"] if field.nullable else []
        seen |= {"null": column.nulls} if column.nulls else {}
        unseen += [f"{field.name} = {value}" for value in wanted if value not in seen]
        rare += [f"{field.name} = {value}" for value, rows in seen.items() if rows < RARE]
        constant += [field.name] if len(_distinct(column)) == 1 else []
    for names, sentence in (
        (unseen, f"No row {of_what} has {{}}, though it is accepted."),
        (rare, f"Fewer than {RARE} rows {of_what} have {{}}."),
        (constant, f"All rows {of_what} have the same value in {{}}."),
    ):
        if names:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            yield sentence.format(", ".join(names[:MOST_NAMES]) + more)


def _distinct(profile: ColumnProfile) -> list[Value]:
    """Return the values of a column if there are few; of more numbers, the edges between them."""
    return [*profile.values, *[None] * bool(profile.others)] or [*dict.fromkeys(profile.edges)]
