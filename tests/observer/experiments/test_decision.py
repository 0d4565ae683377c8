"""What is to be done of an experiment, why, and what is missing."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from contract.model.experiments import Decision, ExperimentKind, ExperimentLimits, Requirement
from observer.experiments.betting import LimitTest
from observer.experiments.decision import BARELY, Behaviour, Limit, decide
from observer.experiments.pairing import Pairs
from tests.observer.experiments.plans import experiment

CANARY = ExperimentKind.CANARY
BEYOND = Limit(LimitTest(now=5.0, most=5.0), "It fails.")


def pairs(rows: int, extra: float = 0.0, seed: int = 0) -> Pairs:
    """0/1 losses of a shadow: an error of 0.2, and another answer on a fifth of the rows."""
    rng = np.random.default_rng(seed)
    current = rng.random(rows) < 0.2
    candidate = np.where(rng.random(rows) < 0.2, rng.random(rows) < 0.2 + extra / 0.2, current)
    received = np.arange(rows) * 1_000_000
    return Pairs(current.astype(float), candidate.astype(float), received, np.arange(1, rows + 1), 1.0)


def test_a_candidate_that_is_as_good_is_promoted() -> None:
    verdict = decide(experiment(margin=0.02), Behaviour(5_000), "accuracy", pairs(5_000))
    assert verdict.decision is Decision.PROMOTE and verdict.missing == ""
    match = re.fullmatch(
        r"Its share of wrong answers is not worse by more than 0\.02: .* \(between .* and (.*)\) on (.*) outcomes",
        verdict.reason,
    )
    assert match and float(match[1].replace("−", "-")) <= 0.02
    assert verdict.pairs is not None and f"{len(verdict.pairs):,}" == match[2]


def test_a_candidate_that_is_worse_is_rolled_back() -> None:
    verdict = decide(experiment(margin=0.01), Behaviour(5_000), "accuracy", pairs(5_000, 0.05))
    assert verdict.decision is Decision.ROLL_BACK
    assert verdict.reason.startswith("Its share of wrong answers is worse by more than 0.01: ")


def test_it_rests_on_the_outcomes_until_it_was_certain() -> None:
    """What came after it changes nothing: somebody who had looked after each outcome would have decided by then."""
    worse, better = pairs(2_000, 0.05), pairs(20_000, -0.05, seed=1)
    joined = Pairs(
        *(np.concatenate([getattr(one, name) for one in (worse, better)]) for name in ("baseline", "candidate")),
        np.arange(22_000),
        np.arange(1, 22_001),
        1.0,
    )
    alone = decide(experiment(), Behaviour(2_000), "accuracy", worse)
    verdict = decide(experiment(), Behaviour(22_000), "accuracy", joined)
    assert alone.decision is verdict.decision is Decision.ROLL_BACK and alone.reason == verdict.reason


def test_a_candidate_that_has_to_be_better_is_not_promoted_for_being_as_good() -> None:
    better = experiment(margin=0.02, require=Requirement.BETTER)
    assert decide(better, Behaviour(5_000), "accuracy", pairs(5_000)).decision is None
    verdict = decide(better, Behaviour(9_000), "accuracy", pairs(9_000, -0.03))
    assert verdict.decision is Decision.PROMOTE and "is better: −0.0" in verdict.reason


def test_a_limit_comes_before_the_losses() -> None:
    verdict = decide(experiment(margin=0.02), Behaviour(5_000, [BEYOND]), "accuracy", pairs(5_000))
    assert verdict[:3] == (Decision.ROLL_BACK, "It fails.", "")


def test_without_outcomes_nothing_is_promoted_unless_agreement_was_asked_for() -> None:
    verdict = decide(experiment(), Behaviour(5_000), "accuracy", None)
    assert verdict[:3] == (None, "Nothing speaks against it so far", "outcomes (none so far)")
    alike = Behaviour(5_000, alike=Limit(LimitTest(now=5.0, most=5.0), "99.9 % are the same"))
    assert decide(experiment(agreement=0.99), alike, "accuracy", None).reason == "99.9 % are the same"
    assert decide(experiment(agreement=0.99), alike, "accuracy", pairs(10)).decision is None


def test_without_outcomes_it_says_what_agreement_lacks_and_what_may_be_beyond_a_limit() -> None:
    verdict = decide(experiment(agreement=0.99), Behaviour(50), "accuracy", None)
    assert verdict.missing == "more answers, to show that 99.0 % agree, or outcomes"
    doubtful = Behaviour(
        50, [Limit(LimitTest(now=2.0, most=2.0), "It fails."), Limit(LimitTest(now=0.1), "It is slow.")]
    )
    verdict = decide(experiment(), doubtful, "accuracy", None)
    assert verdict[:2] == (None, "Not certain yet, but it may break a limit: It fails.")


@pytest.mark.parametrize("seed", [8, 15], ids="ends just below 0: {}".format)
def test_a_claim_is_not_contradicted_by_its_own_interval(seed: int) -> None:
    seen = decide(experiment(margin=0.0), Behaviour(9_000), "accuracy", pairs(9_000, -0.03, seed=seed))
    assert seen.decision is Decision.PROMOTE
    low, high = (
        float(end.replace("−", "-")) for end in re.findall(r"−?[0-9.]+", seen.reason.partition("between")[2])[:2]
    )
    assert low < high < 0


def test_it_is_said_that_no_row_has_come() -> None:
    assert (
        decide(experiment(), Behaviour(0), "accuracy", None).missing == "rows answered by the candidate (none so far)"
    )


def test_what_is_missing_is_about_right() -> None:
    ratios = []
    for seed in range(60):
        whole = pairs(30_000, seed=seed)
        needed = decide(experiment(margin=0.02), Behaviour(1), "accuracy", whole).pairs
        verdict = decide(experiment(margin=0.02), Behaviour(1), "accuracy", whole.first(500))
        said = re.fullmatch(r"about ([0-9,]+) more outcomes, if they are like the 500 so far", verdict.missing)
        if needed is not None and said:
            ratios.append(int(said[1].replace(",", "")) / (len(needed) - 500))
    assert len(ratios) > 15 and 0.5 < np.median(ratios) < 2


@pytest.mark.parametrize(
    ("seen", "missing"),
    [
        (pairs(20), "more outcomes (20 are too few to say how many)"),
        (pairs(3_000, 0.01), "more outcomes (3,000 are too few to say how many)"),
        (pairs(1).first(0), "outcomes (none so far)"),
    ],
)
def test_it_is_not_said_how_many_are_missing_when_nobody_knows(seen: Any, missing: str) -> None:
    assert decide(experiment(margin=0.01), Behaviour(1), "accuracy", seen).missing == missing


def steps(behaviour: Behaviour, seen: Pairs | None = None, **changes: Any) -> Decision | None:
    canary = experiment(CANARY, steps=(0.01, 0.05), **{"share": 0.01, **changes})
    return decide(canary, behaviour, "accuracy", seen).decision


def test_a_canary_goes_on_once_enough_rows_speak_not_against_it() -> None:
    assert steps(Behaviour(299, at_share=299)) is None
    verdict = decide(experiment(CANARY, steps=(0.01, 0.05)), Behaviour(300, at_share=300), "accuracy", None)
    assert verdict[:2] == (Decision.STEP, "Nothing speaks against 5.0 % after 300 rows at 1.0 %")
    assert verdict.missing == "outcomes (none so far)"


def test_a_canary_at_its_last_share_and_a_shadow_do_not_step() -> None:
    enough = Behaviour(5_000, at_share=5_000)
    assert steps(enough, share=1.0) is None
    assert decide(experiment(share=0.1), enough, "accuracy", None).decision is None


def test_a_canary_waits_while_something_speaks_against_it() -> None:
    leaning = Limit(LimitTest(now=BARELY, most=BARELY), "It fails.")
    assert steps(Behaviour(300, [leaning], at_share=300)) is None
    for wrong, decision in ((0, Decision.STEP), (2, Decision.STEP), (6, None), (20, Decision.ROLL_BACK)):
        current, candidate = np.zeros(60), (np.arange(60) < wrong).astype(float)
        seen = Pairs(current, candidate, np.arange(60), np.arange(1, 61), 1.0)
        assert steps(Behaviour(300, at_share=300), seen) is decision


def test_fewer_failures_that_are_allowed_need_more_rows() -> None:
    canary = experiment(CANARY, steps=(0.01,), limits=ExperimentLimits(failures=0.001))
    assert decide(canary, Behaviour(2_999, at_share=2_999), "accuracy", None).decision is None
    assert decide(canary, Behaviour(3_000, at_share=3_000), "accuracy", None).decision is Decision.STEP
