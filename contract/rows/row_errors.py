"""The errors of a request's rows: all are counted, the first are described."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import islice
from operator import itemgetter
from typing import Any

from contract.errors import FieldError, InvalidInstances
from contract.rows.row_plan import RowGroup, RowLayout, RowPlan
from contract.rows.values import Refusal
from contract.suggestions import Suggestions
from contract.wording import listed, shown

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
        if layout and refusal in (_MISSING, _REPEATED):
            message = self._about_layout(subject, position, refusal, layout)
        else:
            message = f"{subject} must be {refusal.expected}; it is {shown(evidence)}"
            near = self._closest((evidence,), refusal.choices) if isinstance(evidence, str) else None
            message += f": did you mean {shown(near)}?" if near else ""
        sent = layout.name_sent(position) if layout else None
        return FieldError(number, name, refusal.code, message, sent)

    def _about_layout(self, subject: str, position: int, refusal: Refusal, layout: RowLayout) -> str:
        spellings = self._plan.spellings[position]
        if refusal is _REPEATED:
            sent = dict.fromkeys(name for name in layout.names if name in spellings)
            return f"{subject} is given more than once, as {listed(list(sent))}"
        near = self._closest(spellings, layout.unknown)
        return f"{subject} is missing" + (f"; {shown(near)} is not an input: did you mean {subject}?" if near else "")

    def _closest(self, words: Sequence[str], choices: Sequence[str]) -> str | None:
        """Return the first suggestion for one of `words`, cached by question."""
        question = (words, id(choices))
        if question not in self._hints:
            close = (self._suggestions.closest(word, choices, 0.7) for word in words)
            self._hints[question] = next((name for name in close if name), None)
        return self._hints[question]
