"""What a fitted estimator shows about one of its columns."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from contract.model.signature import Kind, Null
from contract.row import Value


@dataclass(frozen=True)
class Hint:
    """What a step shows about one column.

    `values` are some that it has seen, or similar ones; `whole`: whether its numbers were integers when it was fitted,
    None if that is unknown; `aliases` are other spellings of its name; `binary`: its numbers may have been booleans.
    `nulls` are those that it was fitted on, `not_nulls` those that it would know and does not; it replaces `imputed`
    ones. `fill` is the kind of what it replaces them by. `aware`: its dates had a time zone. `unsendable`: the type of
    values that it has seen and no request holds.
    """

    kind: Kind | None = None
    nullable: bool = False
    categories: tuple[str, ...] | None = None
    values: tuple[Value, ...] = ()
    whole: bool | None = None
    aliases: tuple[str, ...] = ()
    binary: bool = False
    nulls: frozenset[Null] = frozenset()
    not_nulls: frozenset[Null] = frozenset()
    imputed: frozenset[Null] = frozenset()
    fill: Kind | None = None
    aware: bool = False
    unsendable: str | None = None

    def completed_by(self, other: Hint) -> Hint:
        """Return `self` with unknown parts from `other`, the hint of a later step of the pipeline."""
        known = {field.name: getattr(self, field.name) or getattr(other, field.name) for field in fields(self)}
        return replace(
            Hint(**known),
            categories=other.categories if self.categories is None else self.categories,
            # Prefer categories, which are many values, to a statistic, which is one.
            values=max(self.values, other.values, key=len),
            whole=other.whole if self.whole is None else self.whole,
            nulls=self.nulls | other.nulls,
            not_nulls=self.not_nulls | (other.not_nulls - self.imputed),
            imputed=self.imputed | other.imputed,
        )
