"""Evidence about a mean is seldom wrong however often one looks, and is the same in one piece or in many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from observer.experiments.betting import LimitTest, evidence, lower_limit, more_often

LEVEL = 0.05
ENOUGH = -np.log(LEVEL)


def differences(rng: np.random.Generator, rows: int, mean: float = 0.0) -> Any:
    """Differences of 0/1 losses: most are 0."""
    return rng.choice([-1.0, 0.0, 1.0], rows, p=[0.05 - mean / 2, 0.9, 0.05 + mean / 2])


def test_a_true_claim_is_seldom_disproved_ever() -> None:
    rng = np.random.default_rng(0)
    wrong = [evidence(differences(rng, 3_000), 0.0, -1.0)[0].max() >= ENOUGH for _ in range(400)]
    assert sum(wrong) <= 30  # 20 are expected at most; more than 30 have a chance of 1 %


def test_a_false_claim_is_disproved() -> None:
    path, _ = evidence(differences(np.random.default_rng(0), 3_000, mean=0.05), 0.0, -1.0)
    assert path.max() > 2 * ENOUGH


def test_a_mean_that_changes_is_judged_by_all_observations_so_far() -> None:
    """The first half is much below 0, and the second one above it: the mean of all is 0."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(300):
        values = np.concatenate([differences(rng, 1_000, -0.08), differences(rng, 1_000, 0.08)])
        wrong += evidence(values, 0.0, -1.0)[0].max() >= ENOUGH
    assert wrong <= 23


def test_evidence_in_pieces_is_that_of_the_whole() -> None:
    values = differences(np.random.default_rng(1), 500, 0.03)
    whole, bets = evidence(values, 0.01, -1.0)
    before, pieces = None, []
    for piece in np.split(values, [1, 7, 300]):
        path, before = evidence(piece, 0.01, -1.0, *([] if before is None else [before]))
        pieces.append(path)
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=1e-9)
    np.testing.assert_allclose(before, bets, rtol=1e-9)


def test_the_worst_values_leave_some_wealth() -> None:
    path, _ = evidence(np.full(1_000, -1.0), 0.99, -1.0)
    assert np.isfinite(path).all()


def test_a_limit_is_where_the_evidence_is_enough() -> None:
    values, counts = np.unique(differences(np.random.default_rng(2), 2_000, 0.05), return_counts=True)
    low = lower_limit(values, counts, -1.0, LEVEL)
    for mean, is_enough in ((low - 1e-6, True), (low + 1e-6, False)):
        path, _ = evidence(np.repeat(values, counts), mean, -1.0)
        assert (path[-1] >= ENOUGH) is np.bool_(is_enough)


@pytest.mark.parametrize("values", [[0.0], [-1.0, -1.0], [-1.0] * 1_000, [1.0]])
def test_a_limit_is_within_the_bounds(values: list[float]) -> None:
    low = lower_limit(np.array(values), np.ones(len(values)), -1.0, LEVEL)
    assert -1.0 <= low <= np.mean(values)


@pytest.mark.slow
def test_a_limit_holds_at_all_times() -> None:
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(200):
        values = differences(rng, 1_000, 0.02)
        limits = []
        for rows in range(50, 1_001, 50):
            kinds, counts = np.unique(values[:rows], return_counts=True)
            limits.append(lower_limit(kinds, counts, -1.0, LEVEL))
        wrong += max(limits) > 0.02
    assert wrong <= 17


def test_a_test_of_a_limit_goes_on_and_forgets_no_evidence() -> None:
    test = LimitTest().after([1.0] * 10, 0.1)
    assert test.most == test.now > ENOUGH
    later = test.after([0.0] * 100, 0.1)
    assert later.most == test.most and later.now < 0
    assert later.after([], 0.1) == later


def test_a_limit_of_nothing_at_all_is_broken_by_one_case() -> None:
    assert LimitTest().after([0.0] * 20, 0.0).most < 0.1
    assert LimitTest().after([1.0], 0.0).most > -np.log(0.01)


def test_failures_beyond_the_limit_are_found_soon() -> None:
    assert more_often((0, 5), (200, 0), 0.01) >= ENOUGH
    assert more_often((900, 100), (9_900, 100), 0.01) >= ENOUGH


@pytest.mark.parametrize(
    ("ours", "theirs"), [((0, 0), (0, 0)), ((100, 0), (0, 100)), ((0, 100), (0, 100)), ((980, 20), (980, 20))]
)
def test_failures_within_the_limit_are_no_evidence(ours: tuple[int, int], theirs: tuple[int, int]) -> None:
    assert more_often(ours, theirs, 0.01) < 0


@pytest.mark.slow
def test_failures_within_the_limit_are_seldom_found_ever() -> None:
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(200):
        ours, theirs = np.cumsum(rng.random(1_000) < 0.06), np.cumsum(rng.random(1_000) < 0.05)
        looks = range(9, 1_000, 30)
        wrong += any(
            more_often((at + 1 - ours[at], ours[at]), (at + 1 - theirs[at], theirs[at]), 0.01) >= ENOUGH for at in looks
        )
    assert wrong <= 17
