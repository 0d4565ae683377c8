"""What callers of one version have to change to call another: the difference between two signatures.

A request that the one accepts must be accepted by the other and mean the same, and an answer must keep its shape. So an
input may accept more: null, other categories and spellings, any number instead of whole ones. An input may also go: a
row that still names it is answered with a warning. If the names are positions (`x0`, `x1`, …), the others then mean
something else. `guessed` does not count: what callers send is what the column holds, however it was found out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contract.model.signature import Field, Format, Kind, Method, Output, RowFormat, Signature
from contract.row import Value
from contract.wording import Suggestions, counted, listed, shown

_SHOWN = 5
_NEAR = 0.6
_ROWS = {RowFormat.TABLE: "values by input", RowFormat.TEXTS: "texts", RowFormat.RECORDS: "records"}
_VALUES = {
    Kind.NUMBER: "numbers",
    Kind.INTEGER: "whole numbers",
    Kind.STRING: "texts",
    Kind.BOOLEAN: "true and false",
    Kind.DATETIME: "dates and times",
}
_FORMATS = {
    Format.DECIMAL_COMMA: "as 1.212,5 in a CSV",
    Format.THOUSANDS_COMMA: "as 1,212.5 in a CSV",
    Format.DAY_FIRST: "with the day first",
    Format.MONTH_FIRST: "with the month first",
    Format.YEAR_FIRST: "with the year first",
    Format.MONTH_NAMED: "with the month's name",
    None: "as in JSON",
}


@dataclass(frozen=True)
class SignatureChanges:
    """Sentences without a full stop. `requests` and `answers`: what is different in what callers send and get.
    `methods`: methods other than the first that are gone or answer something else. `unused`: the names of inputs that
    are ignored from now on. `decisions`: which class is answered from another probability on."""

    requests: Sequence[str]
    answers: Sequence[str]
    methods: Sequence[str]
    unused: Sequence[str]
    decisions: Sequence[str] = ()

    @property
    def breaking(self) -> list[str]:
        """All but the unused inputs and the decisions."""
        return [*self.requests, *self.answers, *self.methods]


def signature_changes(before: Signature, now: Signature) -> SignatureChanges:
    """Return what callers of `before` have to change when `now` takes its place."""
    requests, unused = _requests(before, now)
    methods = list(_methods(before.methods[1:], now))
    return SignatureChanges(requests, list(_answers(before, now)), methods, unused, list(_decisions(before, now)))


def some(changes: Sequence[str]) -> str:
    """Return the first changes as a list in a sentence, and the number of the others."""
    left = len(changes) - _SHOWN
    return "; ".join([*changes[:_SHOWN], *([f"and {counted(left, 'more change')}"] if left > 0 else [])])


# Requests


def _requests(before: Signature, now: Signature) -> tuple[list[str], list[str]]:
    """Return what callers have to change in their rows, and the inputs that are not used any more."""
    if before.format is not now.format:
        return [f"rows are {_ROWS[now.format]} instead of {_ROWS[before.format]}"], []
    inputs = {spelling: field for field in now.inputs for spelling in (field.name, *field.aliases)}
    changes: list[str] = []
    sources: dict[str, str] = {}
    """The input of before from which each input of now gets its values."""
    unused = []
    for old in before.inputs:
        spellings = (old.name, *old.aliases)
        new = next((inputs[spelling] for spelling in spellings if spelling in inputs), None)
        if new is None:
            unused.append(old.name)
        elif new.name in sources:
            changes.append(f"{shown(sources[new.name])} and {shown(old.name)} are the same input now")
        else:
            sources[new.name] = old.name
            gone = [spelling for spelling in spellings if inputs.get(spelling) is not new]
            changes += [f"{shown(new.name)} is needed instead of {listed(gone)}"] if gone else []
            changes += _narrowed(old, new)
    if before.format is not RowFormat.RECORDS:  # a record may leave names out
        changes = [*_added(now, sources, unused), *changes, *_moved(before, now, sources, unused)]
    return changes, unused


def _added(now: Signature, sources: dict[str, str], unused: list[str]) -> Iterator[str]:
    """Yield the inputs that callers do not send. Removes those from `unused` that have probably been renamed."""
    suggestions = Suggestions()
    for name in now.names:
        if name in sources:
            continue
        near = suggestions.closest(name, unused, _NEAR)
        if near is None:
            yield f"{shown(name)} is needed"
        else:
            unused.remove(near)
            yield f"{shown(name)} is needed instead of {shown(near)}"


def _narrowed(old: Field, new: Field) -> Iterator[str]:
    """Yield the values that the input takes no longer, or reads otherwise."""
    name = shown(new.name)
    if old.kind is not new.kind and (old.kind, new.kind) != (Kind.INTEGER, Kind.NUMBER):
        yield f"{name} takes {_VALUES[new.kind]} instead of {_VALUES[old.kind]}"
        return
    if new.categories is not None:
        taken = frozenset(new.categories)
        gone = [word for word in old.categories or () if word not in taken]
        if gone:
            yield f"{name} no longer takes {listed(gone, _SHOWN)}"
        elif old.categories is None:
            yield f"{name} takes only {listed(new.categories, _SHOWN)}"
    if old.nullable and not new.nullable:
        yield f"{name} may no longer be null"
    # ISO 8601 can be read beside every format of dates.
    if old.format is not new.format and not (new.kind is Kind.DATETIME and old.format is None):
        yield f"{name} is read {_FORMATS[new.format]} instead of {_FORMATS[old.format]}"
    if old.unit not in (None, new.unit):
        yield f"{name} is no longer read with {shown(old.unit)}"


def _moved(before: Signature, now: Signature, sources: dict[str, str], unused: Sequence[str]) -> Iterator[str]:
    """Yield what is different for rows without names, whose values are in the order of the inputs."""
    places = {name: index for index, name in enumerate(before.names)}
    order = [places[sources[name]] for name in now.names if name in sources]
    if order != sorted(order):
        yield f"rows without names have another order: {listed(now.names, _SHOWN)}"
    fewer_or_more = len(now.inputs) != len(before.inputs)
    if unused and fewer_or_more and all(name == f"x{index}" for name, index in places.items()):
        yield f"rows have {counted(len(now.inputs), 'value')} instead of {len(before.inputs)}"


# Answers


def _answers(before: Signature, now: Signature) -> Iterator[str]:
    if before.id_field not in (None, now.id_field):
        yield f"answers no longer repeat {shown(before.id_field)}"
    if not before.outputs:
        yield from _methods(before.methods[:1], now)
        return
    if _names(before.outputs) != _names(now.outputs):
        yield f"predict answers {_shape(now.outputs)} instead of {_shape(before.outputs)}"
        return
    for old, new in zip(before.outputs, now.outputs, strict=True):
        yield from _output(old, new, "predict" if old.name is None else shown(old.name))


def _output(old: Output, new: Output, what: str) -> Iterator[str]:
    if old.kind is not new.kind:
        yield f"{what} answers a {new.kind} instead of a {old.kind}"
        return
    if old.labels and new.labels:
        yield from _labels(old.shown_labels, new.shown_labels, what)
    if old.probabilities and not new.probabilities:
        yield f"{what} no longer has probabilities"
    if old.scores and not new.scores:
        yield f"{what} no longer has scores"


def _labels(old: Sequence[Value], new: Sequence[Value], what: str) -> Iterator[str]:
    before, now = ({json.dumps(label): label for label in labels} for labels in (old, new))  # 1 and true are two
    added = [now[label] for label in now if label not in before]
    gone = [before[label] for label in before if label not in now]
    if added:
        yield f"{what} may now answer {listed(added, _SHOWN)}"
    if gone:
        yield f"{what} no longer answers {listed(gone, _SHOWN)}"
    if not added and not gone and list(before) != list(now):
        yield f"{what} has its classes in another order: {listed(new, _SHOWN)}"


def _decisions(before: Signature, now: Signature) -> Iterator[str]:
    if len(before.outputs) == len(now.outputs) == 1 and before.output.decision != now.output.decision:
        yield f"predict decides {decided(now.output)} instead of {decided(before.output)}"


def decided(output: Output) -> str:
    """Return how a classifier decides, in words."""
    if output.decision is None:
        return "as the model itself does"
    label = output.shown_labels[(output.labels or ()).index(output.decision.label)]
    return f"for {shown(label)} from a probability of {output.decision.threshold:g} on"


def _methods(before: Sequence[Method], now: Signature) -> Iterator[str]:
    for old in before:
        new = now.method(old.name)
        if new is None:
            yield f"there is no {old.name} any more"
        elif new.answer is not old.answer:
            yield f"{old.name} answers {new.answer} instead of {old.answer}"
        elif new.names != old.names:
            yield f"{old.name} answers {_columns(new.names)} instead of {_columns(old.names)}"


def _names(outputs: Sequence[Output]) -> list[str | None]:
    return [output.name for output in outputs]


def _shape(outputs: Sequence[Output]) -> str:
    if not outputs:
        return "nothing"
    return "one value" if _names(outputs) == [None] else f"an object of {listed(_names(outputs), _SHOWN)}"


def _columns(names: Sequence[str] | None) -> str:
    return "numbers without names" if names is None else listed(names, _SHOWN)
