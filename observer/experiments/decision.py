"""Decides what is to be done of an experiment, from the losses of both versions and from its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from contract.model.experiments import Decision, Experiment, ExperimentKind, Requirement
from contract.wording import decimals_of, fixed, loss_in_words, number, percent
from observer.experiments.betting import LimitTest, evidence, lower_limit
from observer.experiments.pairing import Pairs

BARELY = log(10) / 2
"""Evidence below √10 is worth no more than a bare mention (Jeffreys, "Theory of Probability", appendix B)."""
_RULE_OF_THREE = 3
"""What happens with the chance p is seen among 3 / p cases with a chance of 95 %."""
_LEAST_FAILURES = 0.001
_MOST_DECIMALS = 6


class Limit(NamedTuple):
    """A limit of the experiment, and a sentence that says that the candidate is beyond it."""

    test: LimitTest
    sentence: str


@dataclass(frozen=True)
class Behaviour:
    """What is seen of both versions besides their losses: the `rows` that the candidate has answered, those of a canary
    `at_share` of now, the limits, the limit above which enough answers are `alike`, and the `figures` of all this."""

    rows: int
    limits: Sequence[Limit] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    at_share: int = 0
    alike: Limit = Limit(LimitTest(), "")


class Verdict(NamedTuple):
    """What is to be done (None: nothing yet), why, what is missing before that is known, and the `pairs` that it rests
    on: those until it was certain."""

    decision: Decision | None
    reason: str
    missing: str
    pairs: Pairs | None


class Interval(NamedTuple):
    """The mean difference of losses. The true one is below `low` with a chance of at most the level, at whatever time
    one looks, and above `high` as well."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, pairs: Pairs, level: float) -> Interval:
        """Return that of at least one pair."""
        values, counts = np.unique(pairs.differences, return_counts=True)
        low = lower_limit(values, counts, -pairs.largest, level)
        high = -lower_limit(-values, counts, -pairs.largest, level)
        return cls(float(np.average(values, weights=counts)), low, high)


def decide(experiment: Experiment, behaviour: Behaviour, metric: str, pairs: Pairs | None) -> Verdict:
    """Return what is to be done. `pairs`: of losses by the `metric`; None as long as no outcome is known.

    The chance is at most `plan.level` that a claim is ever made that is wrong, for each of the claims: that a limit is
    broken, that the loss is worse than the margin, and that it is not or is better. A limit that is broken comes first.
    Then the losses decide as if somebody had looked after each outcome: the first claim that is certain holds.
    """
    plan, enough = experiment.plan, -log(experiment.plan.level)
    for limit in behaviour.limits:
        if limit.test.most >= enough:
            return Verdict(Decision.ROLL_BACK, limit.sentence, "", pairs)
    if pairs is None or not len(pairs):
        if behaviour.alike.test.most >= enough:
            return Verdict(Decision.PROMOTE, behaviour.alike.sentence, "", None)
        return _next(experiment, behaviour, 0.0, _without_outcomes(experiment, behaviour))
    worse, bets_on_worse = evidence(pairs.differences, experiment.margin, -pairs.largest)
    allowed = 0.0 if plan.require is Requirement.BETTER else experiment.margin
    good, bets_on_good = evidence(-pairs.differences, -allowed, -pairs.largest)
    certain = np.flatnonzero((worse >= enough) | (good >= enough))
    if len(certain):
        pairs = pairs.first(certain[0] + 1)
        decision = Decision.ROLL_BACK if worse[certain[0]] >= enough else Decision.PROMOTE
        return Verdict(decision, _sentence(experiment, metric, pairs, decision), "", pairs)
    gained, path = max((bets_on_good.max(), good), (bets_on_worse.max(), worse), key=itemgetter(0))
    missing = _missing(int(pairs.outcomes[-1]), gained, enough - path[-1])
    undecided = Verdict(None, _sentence(experiment, metric, pairs, None), missing, pairs)
    return _next(experiment, behaviour, float(worse[-1]), undecided)


def _without_outcomes(experiment: Experiment, behaviour: Behaviour) -> Verdict:
    """Return what is known as long as no outcome has come, and nothing is certain."""
    doubt = max(behaviour.limits, key=lambda limit: limit.test.now, default=Limit(LimitTest(), ""))
    reason = "Nothing speaks against it so far"
    if doubt.test.now >= BARELY:
        reason = f"Not certain yet, but it may break a limit: {doubt.sentence}"
    missing, agreement = "outcomes (none so far)", experiment.plan.agreement
    if not behaviour.rows:
        missing = "rows answered by the candidate (none so far)"
    elif agreement is not None:
        missing = f"more answers, to show that {percent(agreement)} agree, or outcomes"
    return Verdict(None, reason, missing, None)


def _next(experiment: Experiment, behaviour: Behaviour, worse: float, undecided: Verdict) -> Verdict:
    """Give a canary its next share once nothing speaks against it: there is no evidence of √10 now that a limit is
    broken or that the loss is worse than the margin, and it has answered so many rows at this share that one of them
    would have failed with a chance of 95 %, if as many failed as its limit allows."""
    plan = experiment.plan
    share = plan.next_share(experiment.share) if plan.kind is ExperimentKind.CANARY else None
    enough = _RULE_OF_THREE / max(plan.limits.failures, _LEAST_FAILURES)
    against = max([worse, *(limit.test.now for limit in behaviour.limits)])
    if share is None or behaviour.at_share < enough or against >= BARELY:
        return undecided
    done = f"{number(behaviour.at_share)} rows at {percent(experiment.share)}"
    return undecided._replace(decision=Decision.STEP, reason=f"Nothing speaks against {percent(share)} after {done}")


def _sentence(experiment: Experiment, metric: str, pairs: Pairs, decision: Decision | None) -> str:
    interval = Interval.of(pairs, experiment.plan.level)
    decimals = decimals_of(interval.high - interval.low)
    while decision and decimals < _MOST_DECIMALS and _hides(interval, experiment.margin, decimals):
        decimals += 1
    mean, low, high = (fixed(value, decimals) for value in interval)
    beyond = f"worse by more than {experiment.margin:g}:"
    if decision is None:
        claim = "differs by"
    elif decision is Decision.ROLL_BACK:
        claim = f"is {beyond}"
    else:
        claim = "is better:" if experiment.plan.require is Requirement.BETTER else f"is not {beyond}"
    outcomes = f"{number(int(pairs.outcomes[-1]))} outcomes"
    return f"Its {loss_in_words(metric)} {claim} {mean} (between {low} and {high}) on {outcomes}"


def _hides(interval: Interval, margin: float, decimals: int) -> bool:
    """Return whether an end of the interval looks as if it were no difference, or the margin."""
    ends, limits = ({round(value, decimals) for value in values} for values in (interval[1:], (0.0, margin)))
    return not ends.isdisjoint(limits)


def _missing(outcomes: int, gained: float, lacking: float) -> str:
    """Return how many outcomes are missing until the log of the evidence has gained what is `lacking`, if the best bet
    goes on as it did. `gained`: the log of its wealth, of which about 1 is chance, because it is the best (Akaike)."""
    if gained < 2:
        return f"more outcomes ({number(outcomes)} are too few to say how many)"
    needed = int(float(f"{max(1.0, outcomes * lacking / (gained - 1)):.0e}"))
    return f"about {number(needed)} more outcomes, if they are like the {number(outcomes)} so far"
