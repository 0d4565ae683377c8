"""Rows of a request × signature → values in signature order, or every error of every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract.jobs import Row, Value
from contract.manifest import Signature


class RepeatedKeys(dict[str, object]):
    """A JSON object that named some keys twice; `repeated` holds those. The last value is kept."""

    repeated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Records:
    """Instances as mappings of column name to value."""

    rows: Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class Grid:
    """Instances as lists of values under `columns`; None: exactly the inputs, in signature order."""

    columns: Sequence[str] | None
    rows: Sequence[Sequence[object]]


Instances = Records | Grid


@dataclass(frozen=True)
class Coerced:
    """`rows` in signature order; `ids` is None without any; `warnings` are sentences for the caller."""

    rows: list[Row]
    ids: list[Value] | None
    warnings: list[str]


def coerce(instances: Instances, signature: Signature) -> Coerced:
    """Raises `contract.errors.InvalidInstances`."""
    raise NotImplementedError
