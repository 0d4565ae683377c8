"""How the rows of a request are read into the inputs of a signature, by which names and at which places; and the errors
of its rows, of which all are counted and the first described.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any

from contract.errors import FieldError, InvalidInstances
from contract.model.signature import RowFormat, Signature
from contract.row import Row
from contract.rows.instances import Instances, Records
from contract.rows.values import ID, TEXT, Conversion, Refusal
from contract.wording import Suggestions, listed, shown


@dataclass(slots=True)
class RowLayout:
    """Where rows have their values: `places` maps each position to an index. `sent` are the names at these indexes as
    the client wrote them."""

    names: Sequence[str]
    places: dict[int, int]
    repeated: list[int]
    unknown: list[str]
    sent: Sequence[str] | None = None

    def name_sent(self, position: int) -> str | None:
        """Return the name of a field as the client wrote it; None if it sent none."""
        place = self.places.get(position)
        return self.sent[place] if self.sent and place is not None else None


@dataclass(slots=True)
class RowGroup:
    """Rows that share a layout, and their numbers in the request."""

    layout: RowLayout
    numbers: Sequence[int]
    rows: Sequence[Any]


class RowPlan:
    """A signature, prepared for coercion.

    A position is the index of an input in the signature; the id field has the next one, `width`.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.width = len(signature.inputs)
        self._names = signature.names
        self.spellings = [(f.name, *f.aliases) for f in signature.inputs]
        self.is_table = signature.format is RowFormat.TABLE
        texts = signature.format is RowFormat.TEXTS
        self.conversions = [TEXT if texts else Conversion.for_field(f) for f in signature.inputs]
        self.positions = {name: position for position, names in enumerate(self.spellings) for name in names}
        if signature.id_field is not None:
            self.spellings.append((signature.id_field,))
            self.conversions.append(ID)
            self.positions.setdefault(signature.id_field, self.width)
        alike = Counter(name for names in self.spellings for name in set(map(_in_any_case, names)))
        self.in_any_case = {key: name for name in self.positions if alike[key := _in_any_case(name)] == 1}
        self._numbered = {str(number): number for number in range(self.width)} if signature.nameless else {}
        self.in_order = self.lay_out(signature.names)
        self._of_one_row = [(conversion.convert, conversion.null) for conversion in self.conversions[: self.width]]

    def match_case(self, header: Sequence[str]) -> list[str]:
        """Return the header of a CSV in the spelling of the inputs. Case does not matter there, nor do blanks around a
        name, which the reader of a CSV removes."""
        names = set(header)
        alike = [self.in_any_case.get(_in_any_case(name), name) for name in header]
        return [
            name if name in self.positions or field_name in names else field_name
            for name, field_name in zip(header, alike, strict=True)
        ]

    def lay_out_csv(self, header: Sequence[str]) -> RowLayout:
        """Return where the rows of a CSV have their values. Numbers name no inputs: a CSV may lack its header."""
        return self.lay_out(self.match_case(header), numbered=False)

    def coerce_one(self, instances: Instances) -> Row | None:
        """Return the only row, converted, if it has exactly the inputs and all are valid, else None."""
        row: Any = instances.rows[0]
        if isinstance(instances, Records):
            if type(row) is not dict or len(row) != self.width:
                return None
            try:
                row = [row[name] for name in self._names]
            except KeyError:
                return None
        elif type(row) is not list or len(row) != self.width or instances.columns is not None:
            return None
        converted: list[Any] = [
            null if value is None else convert(value)
            for (convert, null), value in zip(self._of_one_row, row, strict=True)
        ]
        return None if Refusal in map(type, converted) else tuple(converted)

    def lay_out(self, names: Sequence[str], repeated: Sequence[str] = (), *, numbered: bool = True) -> RowLayout:
        """Return where rows with these names have their values. `repeated` are the names that a row has twice.

        For a nameless signature, 0, 1, … are the positions of the inputs, if each has one and there are no other
        numbers; not `numbered`: they are not.
        """
        positions = self.positions
        if numbered and self._numbered and self._numbered.keys() == set(filter(str.isdecimal, names)):
            positions = {**positions, **self._numbered}
        places: dict[int, int] = {}
        twice = [positions[name] for name in repeated if name in positions]
        unknown: list[str] = []
        for place, name in enumerate(names):
            position = positions.get(name)
            if position is None:
                unknown.append(name)
            elif position not in places:
                places[position] = place
            elif position not in twice:
                twice.append(position)
        return RowLayout(names, places, twice, unknown)


def _in_any_case(name: str) -> str:
    return name.strip().lower()


_PLANS: dict[int, RowPlan] = {}
_MAX_PLANS = 512


def plan_of(signature: Signature) -> RowPlan:
    """Return the cached plan. The key is the signature's id, since hashing a signature costs more than coercing a row.
    A plan keeps its signature alive, so no other signature gets that id."""
    plan = _PLANS.get(id(signature))
    if plan is None:
        if len(_PLANS) >= _MAX_PLANS:
            _PLANS.clear()
        plan = _PLANS[id(signature)] = RowPlan(signature)
    return plan


_MISSING = Refusal("missing_field", "")
_REPEATED = Refusal("repeated_field", "")
ALL_ROWS = -1
"""In place of a row's number: the error is one of every row."""
WHOLE_ROW = -1
"""In place of a position: the error is not one of a single field."""


class RowErrors:
    """Counts all errors. Keeps only the first in row order, and writes messages for those."""

    def __init__(self, plan: RowPlan, first_row: int = 0) -> None:
        """The messages count rows from `first_row`."""
        self.total = 0
        self.rows: set[int] = set()
        self._plan = plan
        self._first_row = first_row
        self._kept: list[tuple[int, int, Refusal, object, RowLayout | None]] = []
        self._last_row = sys.maxsize
        self._hints: dict[object, str | None] = {}
        self._suggestions = Suggestions()

    def add(self, row: int, position: int, refusal: Refusal, evidence: object, layout: RowLayout | None = None) -> None:
        """Add an error. `evidence`: the wrong value. `layout`: where the row has its values, for the name as sent."""
        self.total += 1
        self.rows.add(row)
        if row <= self._last_row:
            self._kept.append((row, position, refusal, evidence, layout))
            if len(self._kept) > 20 * InvalidInstances.SHOWN:
                self._cut()

    def add_layout(self, layout: RowLayout, numbers: Sequence[int]) -> None:
        """Add the missing and repeated fields of a layout, for each row of `numbers`."""
        missing = self._plan.width - len(layout.places) + (self._plan.width in layout.places)
        wrong = (missing + len(layout.repeated)) * len(numbers)
        if not wrong:
            return
        before = self.total
        self.rows.update(numbers)
        shown = [number for number in numbers[: InvalidInstances.SHOWN] if number <= self._last_row]
        lacking = [p for p in range(self._plan.width) if p not in layout.places] if shown else ()
        for number in shown:
            for position in lacking:
                self.add(number, position, _MISSING, None, layout)
            for position in layout.repeated:
                self.add(number, position, _REPEATED, None, layout)
        self.total = before + wrong

    def add_column(self, position: int, group: RowGroup, column: list[Any], values: Sequence[Any]) -> None:
        """Add an error for each of the `values` that is a `Refusal`. `column`: the values as sent."""
        cells = zip(group.numbers, column, values, strict=True)
        wrong = ((number, value, result) for number, value, result in cells if result.__class__ is Refusal)
        for number, value, refusal in islice(wrong, InvalidInstances.SHOWN):
            self.add(number, position, refusal, value, group.layout)
        rest = [number for number, _, _ in wrong]
        self.total += len(rest)
        self.rows.update(rest)

    def exception(self) -> InvalidInstances:
        """Return the exception with the first errors and the count of all."""
        self._cut()
        return InvalidInstances([self._error(*kept) for kept in self._kept], self.total)

    def _cut(self) -> None:
        self._kept.sort(key=itemgetter(0, 1))
        del self._kept[InvalidInstances.SHOWN :]
        if len(self._kept) == InvalidInstances.SHOWN:
            self._last_row = self._kept[-1][0]

    def _error(
        self, row: int, position: int, refusal: Refusal, evidence: object, layout: RowLayout | None
    ) -> FieldError:
        name = None if position == WHOLE_ROW else self._plan.spellings[position][0]
        number = None if row == ALL_ROWS else row + self._first_row
        subject = f"row {number}" if name is None else repr(name)
        misspelt = False
        if layout and refusal is _REPEATED:
            sent_as = dict.fromkeys(name for name in layout.names if name in self._plan.spellings[position])
            message = f"{subject} is given more than once, as {listed(list(sent_as))}"
        elif layout and refusal is _MISSING:
            near = self._closest(self._plan.spellings[position], layout.unknown)
            message, misspelt = f"{subject} is missing", near is not None
            message += f"; {shown(near)} is not an input: did you mean {subject}?" if near else ""
        else:
            message = f"{subject} must be {refusal.expected}; it is {shown(evidence)}"
            near = self._closest((evidence,), refusal.choices) if isinstance(evidence, str) else None
            message += f": did you mean {shown(near)}?" if near else ""
        sent = layout.name_sent(position) if layout else None
        return FieldError(number, name, refusal.code, message, sent, misspelt)

    def _closest(self, words: Sequence[str], choices: Sequence[str]) -> str | None:
        """Return the first suggestion for one of `words`, cached by question."""
        question = (words, id(choices))
        if question not in self._hints:
            close = (self._suggestions.closest(word, choices, 0.7) for word in words)
            self._hints[question] = next((name for name in close if name), None)
        return self._hints[question]
