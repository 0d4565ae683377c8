"""The figures about experiments come from the observer's own decisions, and are counted right."""

from __future__ import annotations

import numpy as np

from bench.experiments import LIVES, WORLDS, World, daily_t_test, drawn, experiment, table
from contract.model.experiments import Decision


def test_a_table_has_what_became_of_each_world() -> None:
    lines = table(None, LIVES[None], 5, 0).splitlines()[-len(WORLDS) :]
    counted = [line.split("|")[1].split() for line in lines]
    assert [line.split("|")[0].split()[0] for line in lines] == ["worse", "worse", "equal", "worse", "equal"]
    assert counted[3][:2] == ["0", "5"] and counted[4][:2] == ["5", "0"], "all are decided as they should be"
    assert all(int(promoted) + int(rolled_back) <= 5 for promoted, rolled_back, *_ in counted)


def test_versions_differ_as_their_world_says() -> None:
    for share in LIVES:
        pairs = drawn(World("worse", 0.05, 0.01), share, 200_000, np.random.default_rng(0))
        assert abs(pairs.baseline.mean() - 0.2) < 0.02 and abs(pairs.differences.mean() - 0.05) < 0.02
        assert pairs.outcomes[-1] <= 200_000 and (len(pairs) == 200_000) is (share is None)


def test_a_team_that_looks_each_day_decides_by_a_t_test() -> None:
    world = World("worse", 0.05, 0.01)
    pairs = drawn(world, None, 20_000, np.random.default_rng(1))
    theirs, ours = daily_t_test(world, pairs), experiment(world, pairs)
    assert theirs.decision is ours.decision is Decision.ROLL_BACK
    assert theirs.outcomes % 500 == 0 < theirs.outcomes
