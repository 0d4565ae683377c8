"""What a look says of an experiment, from the rows of the log and the outcomes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from redis import Redis

from broker.metrics.table import MODEL_COUNTS
from broker.sides.observer import RequestCounts
from broker.state.boards import ExperimentBoard
from contract.model.experiments import SHADOW_ALIAS, Decision, ExperimentFindings, ExperimentKind, Requirement
from contract.model.manifest import ColumnProfile, DataProfile
from contract.model.repository import RepositoryWithRemoved
from contract.model.signature import Output, OutputKind
from observer.experiments.limits import of_canary
from observer.experiments.looks import ExperimentWatch
from observer.experiments.pairing import Losses, of_other_rows
from observer.experiments.reading import Answered, ExperimentRows
from observer.experiments.shadows import ShadowWatch
from observer.log.outcomes import Outcomes
from observer.log.store import LogStore
from storage.models.repository_writer import RepositoryWriter
from tests.observer.experiments.plans import begin, experiment
from tests.observer.log.test_outcomes import INPUTS, by_row, keep, logged, send
from tests.support import Clock, Sum, write_version
from trainer.publishing.aliases import change_settings

CLASSES = Output(OutputKind.CLASS, (0, 1), probabilities=True)
CANARY = ExperimentKind.CANARY


@pytest.fixture
def outcomes(store: LogStore) -> Outcomes:
    return Outcomes(store)


@pytest.fixture(autouse=True)
def _versions(models: Path) -> None:
    for version in (2, 1):
        write_version(models, "loan", Sum(), INPUTS, CLASSES, version=version)


@pytest.fixture
def make_watch(redis: Redis, store: LogStore, outcomes: Outcomes, models: Path) -> Callable[..., ExperimentWatch]:
    """Returns what makes a watch, by default one that looks after the second in which outcomes came."""

    def make(clock: Callable[[], float] = lambda: time.time() + 1, share: float = math.inf) -> ExperimentWatch:
        repository = RepositoryWithRemoved(models)
        rows, shadows = ExperimentRows(store, outcomes, clock), ShadowWatch(store, repository)
        return ExperimentWatch(ExperimentBoard(redis), rows, repository, RequestCounts(redis), shadows, share)

    return make


@pytest.fixture
def watch(make_watch: Callable[..., ExperimentWatch]) -> ExperimentWatch:
    return make_watch()


def worse(frame: pd.DataFrame, share: float) -> pd.DataFrame:
    """The same rows, a share of whose answers is turned."""
    turned = np.random.default_rng(9).random(len(frame)) < share
    shares = np.where(turned, 1 - frame["share"], frame["share"])
    return frame.assign(share=shares, prediction=(shares > 0.5).astype(int))


def shadowed(store: LogStore, frame: pd.DataFrame, candidate: pd.DataFrame) -> None:
    keep(store, frame)
    keep(store, candidate, version=2, alias=SHADOW_ALIAS)


def said(redis: Redis) -> ExperimentFindings:
    findings = ExperimentBoard(redis).of("loan")
    assert findings is not None
    return findings


def look(watch: ExperimentWatch, redis: Redis) -> ExperimentFindings:
    watch.look()
    return said(redis)


def test_a_shadow_that_is_as_good_is_promoted(
    watch: ExperimentWatch, redis: Redis, store: LogStore, outcomes: Outcomes, models: Path
) -> None:
    frame = logged(3_000)
    begin(models, "loan", experiment(metric="accuracy", margin=0.05))
    shadowed(store, frame, worse(frame, 0.01))
    assert look(watch, redis).missing == "rows answered by the candidate (none so far)"
    send(outcomes, by_row(frame))
    findings = look(watch, redis)
    assert findings.decision is Decision.PROMOTE and "not worse by more than 0.05" in findings.reason
    figures = findings.figures
    assert figures["outcomes"] == figures["pairs"] == figures["course"][-1]["pairs"] < 3_000
    assert figures["difference"]["low"] < figures["difference"]["mean"] < figures["difference"]["high"] <= 0.05
    assert 0.1 < figures["losses"]["baseline"] < 0.4 and figures["metric"] == "accuracy" and figures["share"] == 1.0
    assert json.loads(json.dumps(figures)) == figures


@pytest.mark.parametrize("metric", ["log_loss", "brier", "accuracy"])
def test_a_shadow_that_is_worse_is_rolled_back(
    watch: ExperimentWatch, redis: Redis, store: LogStore, outcomes: Outcomes, models: Path, metric: str
) -> None:
    frame = logged(2_000)
    begin(models, "loan", experiment(metric=metric))
    shadowed(store, frame, worse(frame, 0.3))
    send(outcomes, by_row(frame))
    findings = look(watch, redis)
    assert findings.decision is Decision.ROLL_BACK and findings.missing == ""


def test_losses_are_those_of_the_metric(
    watch: ExperimentWatch, redis: Redis, store: LogStore, outcomes: Outcomes, models: Path
) -> None:
    frame = logged(200)
    other = worse(frame, 0.1)
    shadowed(store, frame, other)
    send(outcomes, by_row(frame))
    for metric in ("log_loss", "brier", "accuracy"):
        begin(models, "loan", experiment(metric=metric, margin=0.9, require=Requirement.BETTER))
        losses = look(watch, redis).figures["losses"]
        for version, rows in (("baseline", frame), ("candidate", other)):
            of_truth = np.where(rows["outcome"] == 1, rows["share"], 1 - rows["share"])
            expected = {
                "log_loss": -np.log(of_truth.clip(0.001)),
                "brier": (1 - of_truth) ** 2,
                "accuracy": rows["prediction"] != rows["outcome"],
            }
            assert losses[version] == pytest.approx(np.mean(expected[metric]), rel=1e-9), metric


def test_numbers_are_compared_by_their_absolute_error(
    watch: ExperimentWatch, redis: Redis, store: LogStore, outcomes: Outcomes, models: Path
) -> None:
    profile = DataProfile(10, (), (ColumnProfile(0, (0.0, 50.0, 100.0), counts=(5, 5)),))
    for version in (3, 4):
        write_version(models, "loan", Sum(), INPUTS, Output(OutputKind.NUMBER), version=version, profile=profile)
    begin(models, "loan", replace(experiment(margin=5.0), baseline=4, candidate=3))
    frame = logged(1_000).assign(prediction=lambda rows: 100 * rows["share"], outcome=lambda rows: 90 * rows["share"])
    keep(store, frame, version=4)
    keep(store, frame.assign(prediction=frame["prediction"] + 40), version=3, alias=SHADOW_ALIAS)
    send(outcomes, by_row(frame))
    findings = look(watch, redis)
    assert findings.decision is Decision.ROLL_BACK
    assert findings.reason.startswith("Its mean absolute error is worse by more than 5: 40")


def test_a_log_that_is_switched_off_is_what_is_missing(watch: ExperimentWatch, redis: Redis, models: Path) -> None:
    begin(models, "loan", experiment(metric="accuracy"))
    for _ in range(2):  # the first look changes the log itself
        assert look(watch, redis).missing == "rows answered by the candidate (none so far)"
    change_settings(RepositoryWriter(models), "loan", {"logging": {"share": 0}})
    missing = "a log: nothing is logged of loan; modelgate logging loan --share 1 turns that on"
    assert look(watch, redis).missing == missing


def test_numbers_without_a_profile_have_no_bounded_loss(
    watch: ExperimentWatch, redis: Redis, store: LogStore, outcomes: Outcomes, models: Path
) -> None:
    for version in (3, 4):
        write_version(models, "loan", Sum(), INPUTS, Output(OutputKind.NUMBER), version=version)
    begin(models, "loan", replace(experiment(), baseline=4, candidate=3))
    assert look(watch, redis).missing.startswith("a loss with a bound")


@pytest.mark.slow
def test_outcomes_make_a_course_of_forty_points_at_most(
    watch: ExperimentWatch, make_watch: Any, redis: Redis, store: LogStore, outcomes: Outcomes, models: Path
) -> None:
    frame = logged(1_000)
    begin(models, "loan", experiment(metric="accuracy", margin=0.0001))
    shadowed(store, frame, frame)
    courses = []
    for first in range(0, 1_000, 90):
        send(outcomes, by_row(frame[first : first + 90]))
        courses.append(make_watch().look() or said(redis).figures["course"])
    assert all(len(course) <= 41 for course in courses) and len(courses[-1]) > 20
    assert [point["pairs"] for point in courses[-1]] == sorted({point["pairs"] for point in courses[-1]})
    of_size = {point["pairs"]: point for point in courses[-2]}
    assert all(of_size.get(point["pairs"], point) == point for point in courses[-1])
    assert courses[-1][-1]["pairs"] == 1_000 and courses[-1][-1]["at"].endswith("Z")


def test_looks_take_a_part_of_a_processor_at_most(
    make_watch: Any, redis: Redis, store: LogStore, outcomes: Outcomes, models: Path
) -> None:
    frame = logged(1_000)
    begin(models, "loan", experiment(metric="accuracy"))
    shadowed(store, frame, frame)
    watch = make_watch(share=1e-6)
    send(outcomes, by_row(frame[:100]))
    assert look(watch, redis).figures["outcomes"] == 100
    send(outcomes, by_row(frame[100:200]))
    assert look(watch, redis).figures["outcomes"] == 100, "it rests"
    begin(models, "loan", experiment(metric="accuracy"), "e2")
    assert look(watch, redis).experiment == "e2", "the first look at an experiment waits for nothing"


def test_rows_of_before_and_of_others_do_not_count(
    watch: ExperimentWatch, redis: Redis, store: LogStore, outcomes: Outcomes, models: Path
) -> None:
    frame = logged(900).sort_values("time", ignore_index=True)
    begin(models, "loan", replace(experiment(margin=0.0001), started_at=frame["time"][300].isoformat()))
    keep(store, frame)
    keep(store, frame[:600], version=2, alias=SHADOW_ALIAS)
    keep(store, frame[600:], version=2)
    send(outcomes, by_row(frame))
    send(outcomes, [{**one, "outcome": "perhaps"} for one in by_row(frame[500:510])])
    figures = look(watch, redis).figures
    assert (figures["outcomes"], figures["unread"]) == (290, 10)


def test_a_canary_compares_the_rows_of_callers(
    watch: ExperimentWatch, redis: Redis, store: LogStore, outcomes: Outcomes, models: Path
) -> None:
    frame = logged(4_000)
    mine = np.random.default_rng(3).random(4_000) < 0.2
    begin(models, "loan", experiment(CANARY, metric="accuracy"))
    keep(store, frame[~mine])
    keep(store, worse(frame[mine], 0.6), version=2)
    keep(store, frame[:100], version=2, alias="canary")
    send(outcomes, by_row(frame))
    findings = look(watch, redis)
    assert findings.decision is Decision.ROLL_BACK and "is worse by more than" in findings.reason
    assert findings.figures["rows"] == {"baseline": int((~mine).sum()), "candidate": int(mine.sum())}
    assert findings.figures["pairs"] < findings.figures["outcomes"]


def test_a_canary_that_is_slow_is_rolled_back(
    watch: ExperimentWatch, redis: Redis, store: LogStore, models: Path
) -> None:
    frame = logged(300).assign(milliseconds=np.random.default_rng(0).uniform(1, 2, 300))
    slow = np.arange(300) % 10 == 0
    begin(models, "loan", experiment(CANARY))
    keep(store, frame[~slow])
    keep(store, frame[slow].assign(milliseconds=frame["milliseconds"] * 4), version=2)
    findings = look(watch, redis)
    assert findings.decision is Decision.ROLL_BACK and findings.reason.startswith(
        "More than half of its batches take 3"
    )
    assert 5 < findings.figures["milliseconds"]["candidate"] < 7


def ended(redis: Redis, version: int, succeeded: int, failed: int) -> None:
    for status, jobs in (("succeeded", succeeded), ("failed", failed)):
        redis.hincrby(f"{MODEL_COUNTS}loan", f"jobs_by_version_total|{version}|{status}", jobs)


def test_a_canary_whose_requests_fail_is_rolled_back(watch: ExperimentWatch, redis: Redis, models: Path) -> None:
    ended(redis, 1, 5_000, 0)
    ended(redis, 2, 0, 500)  # before the experiment
    begin(models, "loan", experiment(CANARY, 0.05))
    assert look(watch, redis).decision is None
    ended(redis, 1, 190, 2)
    ended(redis, 2, 4, 6)
    begin(models, "loan", experiment(CANARY, 0.05, promote=False))  # noticed as another state
    findings = look(watch, redis)
    assert findings.decision is Decision.ROLL_BACK
    assert findings.reason == "60.0 % of its requests fail, of the current version's 1.0 %"
    assert findings.figures["failures"] == {"baseline": 2, "candidate": 6}


def test_failures_count_anew_at_the_next_share_and_after_a_restored_redis(
    watch: ExperimentWatch, redis: Redis, models: Path
) -> None:
    begin(models, "loan", experiment(CANARY, 0.05, steps=(0.05,)))
    watch.look()
    ended(redis, 2, 100, 3)
    begin(models, "loan", experiment(CANARY, 0.5, steps=(0.05,)))
    assert look(watch, redis).figures["failures"]["candidate"] == 0
    ended(redis, 2, 100, 1)
    begin(models, "loan", experiment(CANARY, 0.5, steps=(0.05,), promote=False))
    assert look(watch, redis).figures["failures"]["candidate"] == 1
    redis.delete(f"{MODEL_COUNTS}loan")
    begin(models, "loan", experiment(CANARY, 0.5, steps=(0.05,)))
    assert look(watch, redis).figures["failures"]["candidate"] == 0


def test_the_shares_of_a_canary_divide_the_level() -> None:
    nothing = Answered(0, 0, 0, of_other_rows(Losses(np.empty(0), np.empty(0)), Losses(np.empty(0), np.empty(0)), 1.0))
    alone, one_of_three = (
        of_canary(experiment(CANARY, steps=steps), nothing, (1_000, 0, 20, 3)).limits[0].test.most
        for steps in ((), (0.1, 0.2))
    )
    assert alone > 0 and one_of_three == pytest.approx(alone - np.log(3))


def test_a_canary_gets_its_next_share(watch: ExperimentWatch, redis: Redis, store: LogStore, models: Path) -> None:
    frame = logged(2_000).sort_values("time", ignore_index=True)
    canary = experiment(CANARY, steps=(0.1,))
    begin(models, "loan", canary)
    keep(store, frame[:1000])
    keep(store, frame[1000:1400], version=2)
    findings = look(watch, redis)
    assert findings.decision is Decision.STEP and findings.figures["share"] == 0.1
    begin(models, "loan", replace(canary, share=1.0, share_since=frame["time"][1400].isoformat()))
    findings = look(watch, redis)
    assert findings.decision is None and findings.figures["share"] == 1.0


def test_a_decision_stays_until_the_experiment_ends(
    watch: ExperimentWatch, make_watch: Any, redis: Redis, store: LogStore, outcomes: Outcomes, models: Path
) -> None:
    frame = logged(2_000)
    begin(models, "loan", experiment())
    shadowed(store, frame, worse(frame, 0.3))
    send(outcomes, by_row(frame))
    first = look(watch, redis)
    send(outcomes, [{**one, "outcome": "perhaps"} for one in by_row(frame)])
    assert look(make_watch(), redis) == first and first.decision is Decision.ROLL_BACK
    begin(models, "loan", None)
    watch.look()
    assert ExperimentBoard(redis).read() == {}
    assert not list(store.folder.glob("experiments/*/*")) and not list(store.folder.glob("shadows/*/*"))


def test_nothing_is_said_twice_and_a_redis_that_has_lost_it_hears_it_again(
    watch: ExperimentWatch, redis: Redis, store: LogStore, models: Path
) -> None:
    begin(models, "loan", experiment())
    first, changes = look(watch, redis), store.last.number
    assert look(watch, redis) == first and store.last.number == changes
    ExperimentBoard(redis).say("loan", None)
    assert look(watch, redis).reason == first.reason


def test_an_experiment_that_follows_begins_anew(
    watch: ExperimentWatch, redis: Redis, store: LogStore, outcomes: Outcomes, models: Path
) -> None:
    frame = logged(2_000).sort_values("time", ignore_index=True)
    begin(models, "loan", experiment())
    shadowed(store, frame, worse(frame, 0.3))
    send(outcomes, by_row(frame))
    assert look(watch, redis).decision is Decision.ROLL_BACK
    begin(models, "loan", replace(experiment(), started_at=frame["time"][1_990].isoformat()), "e2")
    findings = look(watch, redis)
    assert (findings.experiment, findings.decision, findings.figures["outcomes"]) == ("e2", None, 10)


def test_what_is_known_stays_while_the_repository_is_away(
    watch: ExperimentWatch, redis: Redis, store: LogStore, models: Path
) -> None:
    begin(models, "loan", experiment(CANARY))
    ended(redis, 2, 5, 5)
    watch.look()
    models.rename(models.with_name("away"))
    watch.look()
    assert list(store.folder.glob("experiments/*/*"))
    models.with_name("away").rename(models)
    assert look(watch, redis).experiment == "e1"


def test_the_outcomes_of_this_second_wait(
    make_watch: Any, redis: Redis, store: LogStore, outcomes: Outcomes, models: Path
) -> None:
    frame, clock = logged(50), Clock(time.time())
    begin(models, "loan", experiment())
    shadowed(store, frame, frame)
    send(outcomes, by_row(frame))
    watch = make_watch(clock)
    for _ in range(3):
        assert look(watch, redis).figures["outcomes"] == 0
    clock.now = time.time() + 1
    assert look(watch, redis).figures["outcomes"] == 50
