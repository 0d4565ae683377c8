"""A profile has bounded counts of each column of rows."""

from __future__ import annotations

import numpy as np
import pytest

from contract.model.manifest import ColumnProfile
from contract.model.row_profile import column_profile
from contract.model.signature import Kind


def test_numbers_are_counted_between_quantiles_and_nulls_apart() -> None:
    profile = column_profile(Kind.NUMBER, [None, *map(float, range(101))])
    assert (profile.nulls, profile.edges) == (1, tuple(float(10 * step) for step in range(11)))
    assert profile.counts == (10,) * 9 + (11,)


@pytest.mark.parametrize(
    ("values", "edges", "counts"),
    [
        ([0] * 95 + [1] * 5, (0, 1, 1), (95, 5)),
        ([0] * 5 + [1] * 95, (0, 1, 1), (5, 95)),
        ([2, 0.5, 0.5, 7], (0.5, 2, 7, 7), (2, 1, 1)),
        ([3.0] * 5, (3, 3), (5,)),
        ([*range(10)], (*range(10), 9), (1,) * 10),
        ([0] * 100 + [*range(1, 11)], (0, 10), (110,)),
    ],
)
def test_up_to_ten_different_numbers_have_a_bin_each(
    values: list[float], edges: tuple[float, ...], counts: tuple[int, ...]
) -> None:
    assert column_profile(Kind.NUMBER, values) == ColumnProfile(0, edges, counts=counts)


def test_a_column_of_nulls_has_no_bins() -> None:
    assert column_profile(Kind.NUMBER, [None]) == ColumnProfile(1)


def test_times_are_counted_as_seconds() -> None:
    days = [f"2026-01-{day:02}T00:00:00Z" for day in range(1, 12)]
    edges = column_profile(Kind.DATETIME, days).edges
    assert np.diff(edges).tolist() == [86400.0] * 10


def test_the_most_frequent_words_are_counted_and_long_ones_are_not_kept() -> None:
    words = ["a"] * 3 + ["b"] * 2 + [f"w{number}" for number in range(60)] + ["x" * 101, None]
    profile = column_profile(Kind.STRING, words)
    assert (profile.values[:2], profile.counts[:2], len(profile.values)) == (("a", "b"), (3, 2), 50)
    assert (profile.nulls, profile.others) == (1, 13)
