"""The profile of the rows that a version learnt from: counts in bins for each input and each output."""

from __future__ import annotations

from dataclasses import dataclass

from contract.row import Value


@dataclass(frozen=True)
class ColumnProfile:
    """One column of a profile; `nulls` is its number of nulls.

    Numbers, and times as seconds since 1970, have `edges`: up to 11 quantiles from the least to the greatest value, and
    `counts` has the rows between each two. Other columns have their most frequent `values`, `counts` has the rows of
    each, and `others` is the number of rows with another value.
    """

    nulls: int
    edges: tuple[float, ...] = ()
    values: tuple[Value, ...] = ()
    counts: tuple[int, ...] = ()
    others: int = 0


@dataclass(frozen=True)
class DataProfile:
    """`inputs` are in the order of the signature, without those beyond a limit; `outputs` are what the model answered
    for such rows. `sample`: they are those of an import's sample, and not the training rows."""

    rows: int
    inputs: tuple[ColumnProfile, ...]
    outputs: tuple[ColumnProfile, ...]
    sample: bool = False
