"""The bins of a column depend on its training rows alone, and count served rows as training rows were counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from contract.model.manifest import ColumnProfile
from contract.model.row_profile import column_profile
from contract.model.signature import Kind
from contract.row import Value
from observer.drift.bins import FEWEST_ROWS, NumberBins, WordBins, column_bins

RNG = np.random.default_rng(0)
SAMPLES = {
    "continuous": RNG.standard_normal(614),
    "whole": RNG.integers(0, 7, 614).astype(float),
    "skewed whole": RNG.poisson(0.5, 614).astype(float),
    "mostly zero": np.where(RNG.random(614) < 0.7, 0.0, RNG.lognormal(size=614)),
    "yes or no": RNG.integers(0, 2, 614).astype(float),
    "constant": np.full(614, 7.0),
    "few": RNG.standard_normal(25),
    "one": np.array([3.0]),
}


def number_bins(values: Sequence[Value], kind: Kind = Kind.NUMBER) -> NumberBins:
    bins = column_bins(column_profile(kind, values), kind, 50)
    assert isinstance(bins, NumberBins)
    return bins


def word_bins(values: Sequence[Value], most: int = 50) -> WordBins:
    bins = column_bins(column_profile(Kind.STRING, values), Kind.STRING, most)
    assert isinstance(bins, WordBins)
    return bins


@pytest.mark.parametrize("values", SAMPLES.values(), ids=SAMPLES)
def test_training_rows_fall_into_the_bins_that_they_were_counted_in(values: np.ndarray) -> None:
    bins = number_bins([*values.tolist(), None, None])
    assert bins.count(np.append(values, [np.nan, np.nan])).tolist() == list(bins.training)
    assert len(bins.labels) == len(bins.training)


def test_values_beyond_the_training_range_and_nulls_have_bins_of_their_own() -> None:
    bins = number_bins(SAMPLES["continuous"].tolist())
    low, high = bins.edges[0], bins.edges[-1]
    counts = bins.count(np.array([low - 1e-9, low, high, high + 1e-9, np.inf, -np.inf, np.nan]))
    assert (counts[0], counts[1], counts[-3], counts[-2], counts[-1]) == (2, 1, 1, 2, 1)
    assert counts.sum() == 7
    assert bins.labels[0].startswith("< ") and bins.labels[-2].startswith("> ") and bins.labels[-1] == "null"


def test_other_values_of_a_constant_column_are_told_apart_from_it() -> None:
    bins = number_bins([7.0] * 100)
    assert bins.training == (0, 100, 0, 0)
    assert bins.labels == ("< 7", "7", "> 7", "null")
    assert bins.count(np.array([6.0, 7.0, 7.0, 8.0, np.nan])).tolist() == [1, 2, 1, 1]


def test_a_repeated_last_edge_is_a_bin_of_the_greatest_value() -> None:
    profile = ColumnProfile(0, edges=(0.0, 1.0, 1.0), counts=(60, 40))
    bins = column_bins(profile, Kind.INTEGER, 50)
    assert isinstance(bins, NumberBins)
    assert bins.count(np.array([0.0, 1.0, 1.0, 2.0])).tolist() == [0, 1, 2, 1, 0]


def test_small_training_samples_have_fewer_bins_with_enough_rows() -> None:
    assert len(number_bins(SAMPLES["continuous"].tolist()).edges) == 11
    bins = number_bins(RNG.standard_normal(90).tolist())
    assert 3 <= len(bins.edges) < 11
    assert all(rows >= FEWEST_ROWS for rows in bins.training[1:-2])
    assert number_bins([1.0, 2.0, 3.0]).training == (0, 3, 0, 0)


@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.INTEGER, Kind.DATETIME])
def test_numbers_appear_in_a_column_that_had_only_nulls_in_training(kind: Kind) -> None:
    bins = number_bins([None] * 40, kind)
    assert (bins.training, bins.labels) == ((0, 40), ("any value", "null"))
    assert bins.count(np.array([1.0, np.nan, 2.0])).tolist() == [2, 1]


def test_datetimes_are_counted_in_seconds_and_labelled_as_dates() -> None:
    days = [(datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)).isoformat() for day in range(400)]
    bins = number_bins(days, Kind.DATETIME)
    assert bins.labels[0] == "< 2024-01-01 00:00"
    later = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert bins.count(np.array([later]))[-2] == 1


def test_words_have_a_bin_each_and_unseen_words_share_one() -> None:
    bins = word_bins(["a"] * 60 + ["b"] * 30 + ["rare"] * 3 + [None] * 7)
    assert (bins.values, bins.training) == (("a", "b"), (60, 30, 3, 7))
    assert bins.count({"b": 2, "unseen": 4, "rare": 1, None: 5}).tolist() == [0, 2, 5, 5]
    assert bins.labels == ("a", "b", "other values", "null")


def test_the_most_frequent_words_keep_their_bins() -> None:
    bins = word_bins([f"word {number}" for number in range(30) for _ in range(30 + number)], most=8)
    assert bins.values == tuple(f"word {number}" for number in range(29, 21, -1))
    assert bins.training[-2] == sum(30 + number for number in range(22))


def test_booleans_and_class_labels_are_counted_by_value() -> None:
    bins = column_bins(column_profile(Kind.BOOLEAN, [True] * 50 + [False] * 30), Kind.BOOLEAN, 50)
    assert isinstance(bins, WordBins)
    assert bins.count({True: 3, False: 1}).tolist() == [3, 1, 0, 0]
    assert bins.labels == ("true", "false", "other values", "null")


def test_an_empty_profile_has_bins_without_rows() -> None:
    for kind in Kind:
        bins = column_bins(ColumnProfile(0), kind, 50)
        assert (bins.training, bins.labels) == ((0, 0), ("any value", "null"))
