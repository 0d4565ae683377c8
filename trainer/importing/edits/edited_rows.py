"""Rows under an edited signature: the golden rows of a version, with new values where the old ones no longer fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence

from contract.model.signature import Field, Kind, Signature
from contract.row import Row, Value
from contract.rows.values import Conversion, Refusal
from trainer.importing.hints import Hint
from trainer.importing.trial.columns import MADE_UP

_LIKE_NUMBERS = frozenset({Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN})
_UNSEEN = "a text that no category has"


class EditedRows:
    """The rows of one version before and after its signature is edited. `hints` are by the name of an input."""

    def __init__(self, golden: Sequence[Row], old: Signature, new: Signature, hints: Mapping[str, Hint]) -> None:
        self._hints = hints
        self._fields = list(zip(old.inputs, new.inputs, strict=True))
        self.golden = list(golden) or [self._made_up_row(old.inputs, number) for number in range(2)]

    def changed(self) -> list[int]:
        """Return the positions of the inputs that take other values than before."""
        return [position for position, (old, new) in enumerate(self._fields) if _takes(old) != _takes(new)]

    def fields(self, positions: Collection[int]) -> list[Field]:
        """Return the inputs under their old names, those at `positions` taking what they take after the edit."""
        return [
            dataclasses.replace(new, name=old.name, aliases=old.aliases) if position in positions else old
            for position, (old, new) in enumerate(self._fields)
        ]

    def adapted(self, positions: Collection[int]) -> list[Row]:
        """Return the golden rows, valid with the changes of the inputs at `positions`."""
        columns = {position: self._column(position) for position in positions}
        return [
            tuple(columns[position][number] if position in positions else value for position, value in enumerate(row))
            for number, row in enumerate(self.golden)
        ]

    def with_nulls(self, positions: Collection[int]) -> list[Row]:
        """Return rows with null in all inputs at `positions` that become nullable, or whose null becomes another; none
        if there are none."""
        nulls = {
            position for position in positions if self._fields[position][1].nullable and self._changes_null(position)
        }
        return self._with(positions, dict.fromkeys(nulls)) if nulls else []

    def has_other_null(self, row: Row) -> bool:
        """Return whether a null in it is another to the estimator after the edit."""
        return any(value is None and self._changes_null(position) for position, value in enumerate(row))

    def _changes_null(self, position: int) -> bool:
        old, new = self._fields[position]
        return (old.nullable, old.null) != (new.nullable, new.null)

    def with_unseen(self, positions: Collection[int]) -> list[Row]:
        """Return rows with an unknown text in all inputs at `positions` that take any text from now on."""
        opened = [
            position
            for position in positions
            if (old := self._fields[position][0]).categories is not None
            and (new := self._fields[position][1]).categories is None
            and old.kind is new.kind is Kind.STRING
        ]
        return self._with(positions, dict.fromkeys(opened, _UNSEEN)) if opened else []

    def with_new_categories(self, positions: Collection[int]) -> Iterator[Row]:
        """Yield a row for each category that an input at `positions` gets."""
        for position in positions:
            old, new = self._fields[position]
            for category in new.categories or ():
                if category not in (old.categories or ()):
                    yield self._with(positions, {position: category})[0]

    def _with(self, positions: Collection[int], values: Mapping[int, Value]) -> list[Row]:
        """Return two adapted rows, the first with these values."""
        first, *others = self.adapted(positions)
        return [tuple(values.get(position, value) for position, value in enumerate(first)), *others[:1]]

    def _column(self, position: int) -> list[Value]:
        """Return the values of an input in the golden rows after the edit."""
        old, new = self._fields[position]
        kept = [_converted(row[position], old, new) for row in self.golden]
        others: Sequence[Value] = [v for v in kept if v is not None and not isinstance(v, Refusal)]
        others = others or self._values(new, old.name)
        return [
            others[number % len(others)] if isinstance(value, Refusal) else value for number, value in enumerate(kept)
        ]

    def _made_up_row(self, fields: Sequence[Field], number: int) -> Row:
        values = [self._values(field, field.name) for field in fields]
        return tuple(some[number % len(some)] for some in values)

    def _values(self, field: Field, name: str) -> Sequence[Value]:
        """Return some values for an input: what the estimator has seen, if it shows that; otherwise made-up ones."""
        hint = self._hints.get(name)
        seen = hint.values if hint is not None and hint.kind is field.kind else ()
        return field.categories or seen or MADE_UP[field.kind]


def _takes(field: Field) -> tuple[object, ...]:
    return field.kind, field.nullable, field.categories, field.naive, field.null


def _converted(value: Value, old: Field, new: Field) -> Value | Refusal:
    """Return a value of a golden row as the edited input takes it. Texts and dates do not become another kind: that a
    text looks like a number does not mean that the model reads it as one."""
    conversion = Conversion.for_field(new)
    if value is None:
        return conversion.null
    if old.kind is not new.kind and not {old.kind, new.kind} <= _LIKE_NUMBERS:
        return Refusal("another_kind", f"a {new.kind}")
    return conversion.convert(value)
