"""Losses of two versions become one sequence of differences, whatever the share of the candidate is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from observer.experiments.pairing import Losses, Pairs, of_other_rows, of_same_rows

SECOND = 1_000_000


def losses(values: Any, received: Any) -> Losses:
    return Losses(np.array(values, float), np.array(received, np.int64))


def drawn(share: Any, of_current: Any, of_candidate: Any, seed: int = 0) -> Pairs:
    """A canary of rows whose losses would be these; `share` may change from row to row."""
    mine = np.random.default_rng(seed).random(len(of_current)) < share
    received = np.arange(len(of_current)) * SECOND
    return of_other_rows(losses(of_current[~mine], received[~mine]), losses(of_candidate[mine], received[mine]), 1.0)


def test_the_pairs_of_a_shadow_come_as_their_outcomes_did() -> None:
    received = [3 * SECOND, 1 * SECOND, 2 * SECOND]
    pairs = of_same_rows(losses([0.3, 0.1, 0.2], received), losses([0.6, 0.1, 0.1], received), 1.0)
    assert pairs.received.tolist() == sorted(received)
    assert pairs.differences.tolist() == pytest.approx([0.0, -0.1, 0.3])
    assert pairs.outcomes.tolist() == [1, 2, 3]


def test_rows_that_share_an_outcome_are_one_pair() -> None:
    received = [SECOND, SECOND, 2 * SECOND]
    pairs = of_same_rows(losses([0, 1, 0], received), losses([1, 1, 0], received), 1.0)
    assert pairs.differences.tolist() == [0.5, 0.0]


def test_a_row_without_a_loss_of_one_version_is_no_pair() -> None:
    received = [SECOND, 2 * SECOND]
    pairs = of_same_rows(losses([0, 1], received), losses([np.nan, 1], received), 1.0)
    assert pairs.received.tolist() == [2 * SECOND]


def test_each_outcome_of_the_rarer_version_meets_the_others_since_the_last() -> None:
    current, candidate = losses([0, 1, 1, 0], [1, 2, 4, 6]), losses([1, 0, 1], [3, 7, 8])
    pairs = of_other_rows(
        Losses(current.values, current.received * SECOND), Losses(candidate.values, candidate.received * SECOND), 1.0
    )
    assert pairs.baseline.tolist() == [0.5, 0.5] and pairs.candidate.tolist() == [1.0, 0.0]
    assert pairs.outcomes.tolist() == [3, 6], "the outcome at 8 waits for one of the current version"


def test_no_outcome_of_one_version_is_no_pair() -> None:
    pairs = of_other_rows(losses([], []), losses([1, 0], [SECOND, 2 * SECOND]), 1.0)
    assert len(pairs) == 0


def test_a_file_that_is_sorted_by_version_makes_pairs() -> None:
    received = SECOND * 5 + np.arange(1_000)
    pairs = of_other_rows(losses(np.zeros(900), received[:900]), losses(np.ones(100), received[900:]), 1.0)
    assert len(pairs) > 50 and (pairs.differences == 1).all()


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.95])
def test_a_pair_is_unbiased_at_any_share(share: float) -> None:
    rng = np.random.default_rng(1)
    current, candidate = (rng.random((2, 200_000)) < [[0.2], [0.3]]).astype(float)
    differences = drawn(share, current, candidate).differences
    assert abs(differences.mean() - 0.1) < 4 * differences.std() / np.sqrt(len(differences))


def test_a_share_that_changes_while_rows_become_harder_makes_no_bias() -> None:
    """Means of all rows would differ by 0.2: the candidate answers most of the hard ones."""
    rng = np.random.default_rng(2)
    rows = 100_000
    harder = np.arange(rows) >= rows // 2
    current, candidate = (rng.random((2, rows)) < np.where(harder, 0.6, 0.2)).astype(float)
    differences = drawn(np.where(harder, 0.5, 0.05), current, candidate).differences
    assert abs(differences.mean()) < 4 * differences.std() / np.sqrt(len(differences))
