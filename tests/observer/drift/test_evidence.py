"""The evidence of a change is a fair bet where nothing has changed, and grows where something has."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import binom

from contract.model.row_profile import column_profile
from contract.model.signature import Kind
from observer.drift.bins import Counts, column_bins
from observer.drift.evidence import DENSE_AGE, ColumnEvidence, log_evidence, log_start_weights, surviving
from observer.drift.screening import Screening


def normal_evidence(rows: int, rng: np.random.Generator) -> ColumnEvidence:
    return ColumnEvidence(column_bins(column_profile(Kind.NUMBER, rng.standard_normal(rows).tolist()), Kind.NUMBER, 50))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.03, 0.3, 0.5])
@pytest.mark.parametrize(("training", "stream"), [(20, 1), (20, 100), (300, 40)])
def test_the_mean_of_the_evidence_is_at_most_1_for_any_shares_of_two_bins(
    share: float, training: int, stream: int
) -> None:
    T, S = np.arange(training + 1)[:, None], np.arange(stream + 1)[None, :]
    of_training = np.broadcast_to(np.stack([T, training - T], -1), (training + 1, stream + 1, 2))
    of_stream = np.broadcast_to(np.stack([S, stream - S], -1), (training + 1, stream + 1, 2))
    chance = binom.pmf(T, training, share) * binom.pmf(S, stream, share)
    assert (chance * np.exp(log_evidence(of_training, of_stream))).sum() <= 1


@pytest.mark.parametrize(("rows", "bins"), [(40, 2), (100, 4), (600, 10), (5_000, 10)])
def test_quantiles_of_the_training_rows_as_edges_make_the_evidence_smaller_than_a_martingale(
    rows: int, bins: int
) -> None:
    """The shares between order statistics are Dirichlet with their gaps; the martingale is m(S) / DM(S)."""
    rng = np.random.default_rng(rows)
    training = np.array([0, *np.full(bins, rows // bins), 0])
    gaps = training + np.array([1, *np.zeros(bins), 1]) - np.eye(bins + 2)[-2]
    for size in (1, 100, 10_000, 1_000_000):
        shares = rng.dirichlet(gaps, size=500)
        stream = rng.multinomial(size, shares)
        all_bins = _log_factor(training, stream, gaps)
        assert (all_bins < np.log(1 / 20)).all()
        for lower in range(1, bins + 2):
            merge = np.eye(2, dtype=np.int64)[(np.arange(bins + 2) < lower).astype(int)]
            assert (_log_factor(training @ merge, stream @ merge, gaps @ merge) < 0).all()


def _log_factor(training: Counts, stream: Counts, gaps: np.ndarray) -> np.ndarray:
    """Return the logarithm of what the evidence is of m(S) / DM(S)."""
    mixture = log_evidence(np.zeros_like(training), stream) + _greatest(stream)
    rows = stream.sum(-1)
    dirichlet = (gammaln(gaps + stream) - gammaln(gaps)).sum(-1) + gammaln(gaps.sum()) - gammaln(gaps.sum() + rows)
    factor: np.ndarray = log_evidence(training, stream) - mixture + dirichlet
    return factor


def _greatest(counts: Counts) -> np.ndarray:
    return (counts * np.log(np.maximum(counts, 1))).sum(-1) - counts.sum(-1) * np.log(counts.sum(-1))


def test_the_weights_of_all_starts_sum_to_less_than_1() -> None:
    number = 1_000_000
    rest = 1 / (2.10975 * np.log(number))
    assert 0.9 < np.exp(log_start_weights(np.arange(number))).sum() + rest < 1


def test_starts_are_dropped_by_their_age_alone_and_stay_few() -> None:
    alive = np.zeros(0, np.int64)
    for block in range(5_000):
        alive = np.append(alive, block)
        alive = alive[surviving(alive, block)]
        if block in (7, 100, 4_999):
            numbers = np.arange(block + 1)
            assert alive.tolist() == numbers[surviving(numbers, block)].tolist()
    assert alive[0] == 0 and alive[-8:].tolist() == list(range(4_992, 5_000))
    assert len(alive) <= 8 + 4 * np.log2(DENSE_AGE / 8) + np.log2(5_000 / DENSE_AGE) + 2
    ages = 4_999 - alive
    share = np.diff(alive) / ages[:-1]
    assert (share[(ages[:-1] < DENSE_AGE) & (ages[:-1] >= 8)] <= 0.4).all()
    assert (share[:-1] <= 0.7).all()


@pytest.mark.parametrize("rows", [25, 90, 600, 5_000])
def test_the_screening_never_bounds_the_evidence_too_low(rows: int) -> None:
    rng = np.random.default_rng(rows)
    evidence = normal_evidence(rows, rng)
    screening = Screening([evidence, evidence])
    bins = len(evidence.training)
    shares = rng.dirichlet(np.ones(bins) * 0.7, size=60)
    streams = rng.multinomial(rng.integers(1, 3_000, size=60), shares)
    bound = screening.bound(np.concatenate([streams, streams], axis=1))
    assert (bound[:, 0] >= evidence.log_e(streams)).all()
    assert (bound[:, 0] == bound[:, 1]).all()


def test_evidence_grows_with_the_rows_of_a_change_and_falls_without_one() -> None:
    rng = np.random.default_rng(1)
    sample = rng.standard_normal(5_000)
    bins = column_bins(column_profile(Kind.NUMBER, sample.tolist()), Kind.NUMBER, 50)
    evidence = ColumnEvidence(bins)
    for moved in (0.0, 0.5):
        rows = rng.standard_normal(2_000) + moved
        counts = np.stack([bins.count(rows[:number]) for number in (100, 300, 1_000, 2_000)])  # type: ignore[arg-type]
        log_e = evidence.log_e(counts)
        grows = [later > earlier for earlier, later in itertools.pairwise(log_e)]
        assert all(grows) if moved else log_e[-1] < 0
        # All bins alone would not show it after 300 rows: the views with fewer bins do.
        assert not moved or log_evidence(evidence.training, counts[1]) < 0 < 12 < log_e[1]
