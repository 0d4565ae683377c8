"""`python -m bench.experiments`: how often experiments decide wrongly, and after how many outcomes they are right.
Takes about ten minutes.

Each run draws the 0/1 losses of two versions, whose error is 0.2 before one of them changes, and asks the observer's
own code what to do. Beside it stands a team that looks each day, and acts on a t-test with p < 0.05.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from bench.console import say
from contract.model.experiments import Decision, Experiment, ExperimentKind, ExperimentPlan, Requirement
from observer.experiments.decision import Behaviour, decide
from observer.experiments.pairing import Losses, Pairs, of_other_rows, of_same_rows

ERROR, DIFFERING = 0.2, 0.2
"""The error of the current version, and the share of rows on which a candidate may answer otherwise."""
DAY = 500
"""Outcomes of a day."""
LIVES = {None: 20_000, 0.5: 60_000, 0.05: 300_000}
"""The outcomes of a run, by the share of a canary; None: of a shadow."""
LEVEL, P = 0.01, 0.05


@dataclass(frozen=True)
class World:
    """A candidate whose error is greater by `extra`. `right`: what is to be done, in a shadow `within` so many
    outcomes; None: no promotion."""

    name: str
    extra: float
    margin: float
    require: Requirement = Requirement.NOT_WORSE
    right: Decision | None = None
    within: int | None = None


WORLDS = (
    World("worse by 0.011", 0.011, 0.01),
    World("worse by 0.02", 0.02, 0.01),
    World("equal", 0.0, 0.01, Requirement.BETTER),
    World("worse by 0.05", 0.05, 0.01, right=Decision.ROLL_BACK, within=2_000),
    World("equal", 0.0, 0.02, right=Decision.PROMOTE, within=5_000),
)


@dataclass(frozen=True)
class Decided:
    """What was decided, and after how many `outcomes`."""

    decision: Decision | None = None
    outcomes: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000, help="runs of each line (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    say(f"seed {options.seed}; {options.runs} runs a line; level {LEVEL:g}; a t-test each {DAY} outcomes, p < {P:g}")
    for share, life in LIVES.items():
        say(table(share, life, options.runs, options.seed))
    say(f"took {time.monotonic() - began:.0f} s")


def table(share: float | None, life: int, runs: int, seed: int) -> str:
    """Return what becomes of each world."""
    kind = "shadow" if share is None else f"canary of {100 * share:.0f} %"
    head = f"{'promoted':>9}{'rolled back':>12}"
    lines = [
        f"\n{f'{kind}, {life:,} outcomes at most':<39}|{'experiment':^50}|{'daily t-test':^21}",
        f"{'candidate':<28}{'margin':>10} |{head}{'median':>9}{'95 %':>9}{'in time':>10} |{head}",
    ]
    for number, world in enumerate(WORLDS):
        rng = np.random.default_rng([seed, number, int(100 * (share or 0))])
        pairs = (drawn(world, share, life, rng) for _ in range(runs))
        ours, theirs = zip(*((experiment(world, one), daily_t_test(world, one)) for one in pairs), strict=True)
        right = sorted(one.outcomes for one in ours if one.decision and one.decision == world.right)
        needed = [f"{right[int(part * runs)]:,}" if len(right) > part * runs else "" for part in (0.5, 0.95)]
        in_time = sum(outcomes <= world.within for outcomes in right) if world.within and share is None else ""
        margin = "better" if world.require is Requirement.BETTER else f"{world.margin:g}"
        cells = f"{counted(ours)}{needed[0]:>9}{needed[1]:>9}{in_time:>10} |{counted(theirs)}"
        lines.append(f"{world.name:<28}{margin:>10} |{cells}")
    return "\n".join(lines)


def counted(runs: Sequence[Decided]) -> str:
    promoted, rolled_back = (
        sum(one.decision is decision for one in runs) for decision in (Decision.PROMOTE, Decision.ROLL_BACK)
    )
    return f"{promoted:>9}{rolled_back:>12}"


def drawn(world: World, share: float | None, life: int, rng: np.random.Generator) -> Pairs:
    """Return the pairs of a run. In a shadow both versions answer all rows, and err differently on a fifth at most."""
    current = rng.random(life) < ERROR
    redrawn = rng.random(life) < ERROR + world.extra / DIFFERING
    candidate = np.where(rng.random(life) < DIFFERING, redrawn, current)
    received = np.arange(life) * 1_000_000
    theirs, ours = (Losses(losses.astype(float), received) for losses in (current, candidate))
    if share is None:
        return of_same_rows(theirs, ours, 1.0)
    mine = rng.random(life) < share
    return of_other_rows(Losses(theirs.values[~mine], received[~mine]), Losses(ours.values[mine], received[mine]), 1.0)


def experiment(world: World, pairs: Pairs) -> Decided:
    """Return what the observer decides."""
    plan = ExperimentPlan(ExperimentKind.SHADOW, margin=world.margin, level=LEVEL, require=world.require)
    running = Experiment("e", 1, 2, plan, "", "", 1.0, "")
    verdict = decide(running, Behaviour(len(pairs)), "accuracy", pairs)
    return Decided(verdict.decision, int(verdict.pairs.outcomes[-1]) if verdict.pairs else 0)


def daily_t_test(world: World, pairs: Pairs) -> Decided:
    """Return what a team decides that looks at the end of each day."""
    days = np.arange(DAY, int(pairs.outcomes[-1]) + 1, DAY)
    counts = np.searchsorted(pairs.outcomes, days, side="right")
    counts = counts[counts > 1]
    mean, square = (np.cumsum(pairs.differences**power)[counts - 1] / counts for power in (1, 2))
    error = np.sqrt(np.maximum(square - mean**2, 1e-12) / (counts - 1))
    allowed = 0.0 if world.require is Requirement.BETTER else world.margin
    better, worse = (stdtr(counts - 1, (mean - limit) / error) for limit in (allowed, world.margin))
    sure = np.flatnonzero((better < P) | (worse > 1 - P))
    if not len(sure):
        return Decided()
    decision = Decision.PROMOTE if better[sure[0]] < P else Decision.ROLL_BACK
    return Decided(decision, int(pairs.outcomes[counts[sure[0]] - 1]))


if __name__ == "__main__":
    main()
