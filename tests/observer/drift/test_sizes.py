"""Sizes of changes are finite, 0 without a change, and near what theory says for known changes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from bench.drift_worlds import SimulatedNumbers
from contract.model.manifest import ColumnProfile
from contract.model.signature import Kind
from observer.drift.bins import Counts, NumberBins, WordBins, column_bins
from observer.drift.sizes import quartiles, sizes

EDGES = norm.ppf(np.linspace(0, 1, 11)).clip(-3.7, 3.7)
NORMAL = NumberBins(tuple(EDGES.tolist()), (0, *[500] * 10, 0, 0))


def rows_of(column: SimulatedNumbers, bins: NumberBins, rows: int = 100_000) -> Counts:
    return np.round(column.shares(bins) * rows).astype(np.int64)


@pytest.mark.parametrize(
    ("column", "distance", "least_psi"),
    [
        (SimulatedNumbers(norm(0.5)), 0.5, 0.2),
        (SimulatedNumbers(norm(0.2)), 0.2, 0.03),
        (SimulatedNumbers(norm(0, 1.5)), 0.35, 0.2),
    ],
)
def test_known_changes_of_a_normal_column_have_their_known_sizes(
    column: SimulatedNumbers, distance: float, least_psi: float
) -> None:
    found = sizes(NORMAL, rows_of(column, NORMAL))
    assert found.wasserstein == pytest.approx(distance, abs=0.06)
    assert least_psi < found.psi < 2 * least_psi
    assert found.reach()


def test_the_shares_of_training_have_no_size() -> None:
    assert sizes(NORMAL, np.array(NORMAL.training) // 10) == (0, 0, 0)


def test_empty_bins_make_no_infinity() -> None:
    bins = WordBins(("a", "b"), (4_000, 1_000, 0, 0))
    vanished, unseen = (sizes(bins, np.array(counts)) for counts in ([300, 0, 0, 0], [0, 0, 0, 300]))
    assert 0.5 < vanished.psi < 2 and vanished.wasserstein == 0
    assert 5 < unseen.psi < 30 and unseen.nulls == 1
    assert sizes(bins, np.zeros(4, np.int64)) == (0, 0, 0)
    assert sizes(WordBins((), (0, 0)), np.array([5, 5])) == (0, 0, 0)


def test_the_distance_is_exact_where_the_distribution_functions_cross() -> None:
    bins = NumberBins((0.0, 1.0, 2.0, 3.0), (0, 10**8, 10**8, 10**8, 0, 0))
    counts = np.array([0, 15 * 10**7, 0, 15 * 10**7, 0, 0])
    # F - G is 0, -1/6, 1/6 and 0 at the edges, and the standard deviation of evenly spread numbers is 3 / √12.
    assert sizes(bins, counts).wasserstein == pytest.approx((1 / 12 + 1 / 12 + 1 / 12) * np.sqrt(12) / 3, rel=1e-4)


@pytest.mark.parametrize("rows", [60, 650, 5_000])
def test_few_rows_without_a_change_have_about_no_size(rows: int) -> None:
    rng = np.random.default_rng(rows)
    bins, shares = (NORMAL, np.array(NORMAL.training) / 5_000)
    drawn = [sizes(bins, counts) for counts in rng.multinomial(rows, shares, size=300)]
    assert np.median([found.psi for found in drawn]) < 3 / rows
    assert np.median([found.wasserstein for found in drawn]) < 0.6 / np.sqrt(rows)


def test_nulls_have_a_size_where_psi_sees_little() -> None:
    few, many = WordBins(("a",), (990, 0, 10)), WordBins(("a",), (800, 0, 200))
    assert sizes(few, np.array([900, 0, 100])).psi > 0.15
    change = sizes(many, np.array([700, 0, 300]))
    assert change.psi < 0.1 and change.nulls == pytest.approx(0.1) and change.reach()
    assert sizes(many, np.array([900, 0, 100])).reach()


def test_a_few_rows_in_a_wrong_unit_have_a_size() -> None:
    counts = np.array(NORMAL.training)
    counts[-2] = 250
    assert sizes(NORMAL, counts).psi > 0.2


def test_the_distance_counts_rows_beyond_the_edges_as_at_the_edge() -> None:
    beyond = np.zeros(13, np.int64)
    beyond[-2] = 1_000
    distance = sizes(NORMAL, beyond).wasserstein
    assert 2.5 < distance < 4


@pytest.mark.parametrize(
    "profile",
    [
        ColumnProfile(100),
        ColumnProfile(0, edges=(7.0, 7.0), counts=(100,)),
        ColumnProfile(0, edges=(0.0, 1.0, 1.0), counts=(60, 40)),
    ],
)
def test_columns_without_a_spread_have_finite_sizes(profile: ColumnProfile) -> None:
    bins = column_bins(profile, Kind.NUMBER, 50)
    for stream in np.eye(len(bins.training), dtype=np.int64) * 100:
        found = sizes(bins, stream)
        assert np.isfinite(found.psi) and np.isfinite(found.wasserstein)


def test_quartiles_are_near_those_of_the_rows() -> None:
    moved = quartiles(NORMAL, rows_of(SimulatedNumbers(norm(0.5)), NORMAL))
    assert moved == pytest.approx(norm.ppf([0.25, 0.5, 0.75]) + 0.5, abs=0.05)
    beyond = np.eye(13, dtype=np.int64)[-2] * 10
    assert quartiles(NORMAL, beyond) == (EDGES[-1],) * 3
    assert quartiles(NORMAL, np.eye(13, dtype=np.int64)[-1]) is None
