"""What would change the answer to a row: other values of one or two inputs, within what training saw."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, combinations, pairwise, product
from typing import Any, TypeVar

from contract.model.manifest import ColumnProfile, DataProfile
from contract.model.signature import PREDICT, Field, Kind, OutputKind, RowFormat, Signature
from contract.row import Answer, Row, Value

T = TypeVar("T")
PredictRows = Callable[[Sequence[Row]], Mapping[str, Any]]
"""Returns the output of a prediction job with these rows."""

_MOST_ROWS, _MOST_VALUES = 1_000, 24
"""Rows with one changed input that are tried, and values of each input."""
_PAIRED_INPUTS, _PAIRED_VALUES = 7, 6
"""Inputs that are changed in pairs, and values of each: 756 rows."""
_REFINED, _REFINEMENTS, _POINTS = 4, 2, (24, 10)
"""How many changes are refined, how often, and the values of each input then, of one and of two inputs."""
_TENTH = 0.15
"""Below this share of the rows is the first decile, and not the second; ties move both a little."""


@dataclass(frozen=True)
class Change:
    """Another `value` of an input, at its `position` in the row, instead of `before`. `near`: a number between these,
    which was not enough; None if no number between may be tried.

    `size`: of a number, in units of the range from the first to the last decile of the training rows; else 1.
    """

    field: Field
    position: int
    before: Value
    value: Value
    size: float
    near: float | None


@dataclass(frozen=True)
class Counterfactual:
    """The `changes`, one or two, with which a row would get `answer`. None of the rows that were `tried` has smaller
    ones. Without changes, none of them gets another answer than the row. `untried`: inputs without another value that
    could be tried."""

    changes: Sequence[Change]
    answer: Answer
    tried: int
    untried: Sequence[str]


def may_change(signature: Signature) -> bool:
    """Return whether a model has rows whose values can be changed, and an answer that is a class."""
    kinds = [output.kind for output in signature.outputs]
    return signature.format is RowFormat.TABLE and kinds == [OutputKind.CLASS] and bool(signature.method(PREDICT.name))


def find_counterfactual(signature: Signature, profile: DataProfile, row: Row, predict: PredictRows) -> Counterfactual:
    """Return the smallest change of one input that changes the answer to a row; of two inputs if none of one does.

    It is the smallest of those that are tried: some values of each input, pairs of the most promising ones, and then
    values nearer to that of the row. Asks `predict` two to four times, for about 1,000 rows at most, and raises what it
    raises. The changed row has got its answer from the model.
    """
    inputs = [
        _Input(position, field, known, row[position])
        for position, (field, known) in enumerate(zip(signature.inputs, profile.inputs, strict=False))
    ]
    search = _Search(row, predict)
    most = min(_MOST_VALUES, max(1, _MOST_ROWS // len(inputs)))
    by_input = {one.field.name: _thinned(one.changes(), most) for one in inputs}
    alone = search.ask([(change,) for changes in by_input.values() for change in changes])
    found = _different(alone) or _different(search.ask(_pairs(alone)))
    for _ in range(_REFINEMENTS):
        found = _different(search.ask(_refined(found, inputs))) or found
    best = min(found, key=lambda one: one.size, default=None)
    untried = [name for name in signature.names if not by_input.get(name)]
    return Counterfactual(best.changes if best else (), best.answer if best else None, search.tried, untried)


@dataclass(frozen=True)
class _Tried:
    """A row with `changes`, and its answer; `differs`: it is another one than that of the row. `margin`: by how much
    its class is more probable than the next one; 0 without probabilities."""

    changes: tuple[Change, ...]
    answer: Answer
    differs: bool
    margin: float

    @property
    def size(self) -> float:
        return sum(change.size for change in self.changes)


class _Search:
    """Asks for the answers to changed rows, and counts them."""

    def __init__(self, row: Row, predict: PredictRows) -> None:
        self._row, self._predict, self.tried = row, predict, 0

    def ask(self, candidates: Sequence[tuple[Change, ...]]) -> list[_Tried]:
        if not candidates:
            return []
        output = self._predict([self._row, *map(self._changed, candidates)])
        self.tried += len(candidates)
        before, *answers = output["predictions"]
        margins = [_margin(shares) for shares in output.get("probabilities") or [None] * (1 + len(answers))]
        return [
            _Tried(changes, answer, answer != before, margin)
            for changes, answer, margin in zip(candidates, answers, margins[1:], strict=True)
        ]

    def _changed(self, changes: Sequence[Change]) -> Row:
        row = list(self._row)
        for change in changes:
            row[change.position] = change.value
        return row


def _different(tried: Sequence[_Tried]) -> list[_Tried]:
    return [one for one in tried if one.differs]


def _margin(shares: Mapping[str, float] | None) -> float:
    first, second, *_ = [*sorted((shares or {}).values(), reverse=True), 0.0, 0.0]
    return first - second


@dataclass(frozen=True)
class _Input:
    """An input, what training saw of it, and its value in the row."""

    position: int
    field: Field
    profile: ColumnProfile
    value: Any

    def changes(self) -> list[Change]:
        """Return changes to values that training saw, null among them. Times stay as they are, and texts of which the
        profile does not have all."""
        profile, found = self.profile, []
        if self.field.kind in (Kind.NUMBER, Kind.INTEGER) and profile.edges:
            found = self._to_numbers()
        elif known := self.field.categories or (() if profile.others else profile.values):
            found = [self._to(value) for value in profile.values if value in known and value != self.value]
        empty = [self._to(None)] if self.field.nullable and profile.nulls and self.value is not None else []
        return [*found, *empty]

    def _to_numbers(self) -> list[Change]:
        edges = self.profile.edges
        numbers, near = set(edges), None
        if edges[-1] != edges[-2]:  # else a few different numbers, which may be codes
            numbers |= {self._kept((low + high) / 2) for low, high in pairwise(edges)}
            near = None if self.value is None else min(max(self.value, edges[0]), edges[-1])
        return [self._to(number, near) for number in sorted(numbers) if number != self.value]

    def between(self, change: Change, count: int) -> list[Change]:
        """Return changes to up to `count` round numbers from what was not enough to the value of a change."""
        far: Any = change.value
        if change.near is None or change.near == far:
            return [change]
        step = (far - change.near) / count
        low, high = sorted((change.near, far))
        numbers = {self._kept(change.near + at * step, -math.floor(math.log10(abs(step)))) for at in range(count)}
        inside = {number for number in numbers if low < number < high and number != self.value}
        ordered = sorted({*inside, far}, key=lambda number: abs(number - change.near))
        return [self._to(number, near) for near, number in pairwise([change.near, *ordered])]

    def _kept(self, number: float, digits: int = 15) -> float:
        """Return the number with so many digits after its point, or whole if all that training saw are."""
        whole = self.field.kind is Kind.INTEGER or all(edge == int(edge) for edge in self.profile.edges)
        return round(number, min(digits, 0) if whole else digits)

    def _to(self, value: Any, near: float | None = None) -> Change:
        is_number = self.field.kind in (Kind.NUMBER, Kind.INTEGER) and value is not None
        size = abs(value - self.value) / self._spread if is_number and self.value is not None else 1.0
        kept = int(value) if is_number and self.field.kind is Kind.INTEGER else value
        return Change(self.field, self.position, self.value, kept, size, near)

    @cached_property
    def _spread(self) -> float:
        """The range from the first decile to the last one of what training saw, or its whole range if these are equal;
        1 for a single number."""
        edges, counts = self.profile.edges, self.profile.counts
        shares = [below / sum(counts) for below in accumulate(counts, initial=0)]
        low = max(edge for edge, share in zip(edges, shares, strict=True) if share <= _TENTH)
        high = min(edge for edge, share in zip(edges, shares, strict=True) if share >= 1 - _TENTH)
        return (high - low if high > low else edges[-1] - edges[0]) or 1.0


def _pairs(tried: Sequence[_Tried]) -> list[tuple[Change, ...]]:
    """Return pairs of changes of the inputs that, alone, make the class of the row least certain."""
    by_input: dict[int, list[_Tried]] = {}
    for one in sorted(tried, key=lambda one: one.margin):
        by_input.setdefault(one.changes[0].position, []).append(one)
    kept = []
    for best, *others in list(by_input.values())[:_PAIRED_INPUTS]:
        ordered = sorted(others, key=lambda one: one.size)
        kept.append([one.changes[0] for one in (best, *_thinned(ordered, _PAIRED_VALUES - 1))])
    return [pair for one, other in combinations(kept, 2) for pair in product(one, other)]


def _refined(found: Sequence[_Tried], inputs: Sequence[_Input]) -> list[tuple[Change, ...]]:
    """Return the smallest changes of each group of inputs, and smaller ones; nothing if there are none smaller."""
    best: dict[tuple[int, ...], _Tried] = {}
    for one in sorted(found, key=lambda one: one.size):
        best.setdefault(tuple(change.position for change in one.changes), one)
    kept = [one.changes for one in list(best.values())[:_REFINED]]
    smaller = [
        candidate
        for changes in kept
        for candidate in product(
            *(inputs[change.position].between(change, _POINTS[len(changes) - 1]) for change in changes)
        )
    ]
    return smaller if len(smaller) > len(kept) else []


def _thinned(items: Sequence[T], most: int) -> list[T]:
    """Return at most so many items: all, or some at even distances, with the first and the last one."""
    if len(items) <= most:
        return list(items)
    return [items[round(at * (len(items) - 1) / max(1, most - 1))] for at in range(most)]
