"""Experiments begin, end once, and are overtaken by what people do to their versions."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from redis import Redis

from broker.access.audit_log import AuditLog
from broker.link.connection import connect
from broker.state.boards import ExperimentBoard
from contract.errors import ModelgateError
from contract.model.experiments import Decision, Ending, Experiment, ExperimentFindings, ExperimentKind, ExperimentPlan
from contract.model.model_settings import LOGGING
from contract.model.repository import Repository
from contract.model.row_profile import ColumnProfile, DataProfile
from contract.model.signature import PREDICT, AnswerForm, Field, Kind, Method, Output, OutputKind, Signature
from contract.settings import Settings
from contract.work.jobs import timestamp
from contract.work.training import RepositoryAction, RepositoryCommand
from storage.disk import StoreError
from storage.models.repository_writer import RepositoryWriter
from tests.support import Sum, numbers, state_dir, until, write_version
from tests.trainer.publishing.test_promotion import CANNOT, worker
from trainer.jobs.commands import HANDLERS, CommandParts
from trainer.publishing import experiments
from trainer.publishing.aliases import change_settings, delete_version, move_alias, retain, roll_back
from trainer.publishing.experiment_states import MOST_KEPT
from trainer.publishing.experiments import Decisions

SHADOW = ExperimentPlan(ExperimentKind.SHADOW)
CANARY = ExperimentPlan(ExperimentKind.CANARY, share=0.25, steps=(0.01, 0.05))
LABELS = Output(OutputKind.CLASS, labels=(0, 1))
LATER = "2999-01-01T00:00:00.000000Z"
Start = Callable[..., Experiment]


@pytest.fixture
def repository(models: Path) -> RepositoryWriter:
    """`sum` has four versions; the second is current and the first previous; its requests are logged."""
    for version in (4, 3, 2, 1):
        write_version(models, "sum", Sum(), numbers("a"), LABELS, version=version, id_field="key")
    (models / "sum/aliases.json").write_text('{"current": 2, "previous": 1}')
    repository = RepositoryWriter(models)
    change_settings(repository, "sum", {LOGGING: {"share": 1}})
    return repository


@pytest.fixture
def settings(redis_url: str, models: Path) -> Settings:
    return Settings(models_dir=models, redis_url=redis_url)


@pytest.fixture
def start(settings: Settings, redis: Redis, repository: RepositoryWriter) -> Start:
    def start(plan: ExperimentPlan = SHADOW, candidate: int = 3, id: str = "x1", **more: Any) -> Experiment:  # noqa: A002
        return experiments.start(settings, redis, "sum", candidate, plan, id, **more)

    return start


@pytest.fixture
def decisions(settings: Settings, redis: Redis, repository: RepositoryWriter) -> Decisions:
    return Decisions(settings, redis, repository, AuditLog(redis, 90, of_trainer=True))


def say(redis: Redis, decision: Decision | None, id: str = "x1", missing: str = "", share: float = 1) -> None:  # noqa: A002
    findings = ExperimentFindings(id, decision, "it is as good", missing, LATER, {"share": share})
    ExperimentBoard(redis).say("sum", findings)


def now(repository: Repository) -> tuple[dict[str, int], Experiment]:
    """Return the aliases, and the newest experiment."""
    aliases = repository.aliases("sum")
    return dict(aliases), repository.settings("sum").experiments[0]


def noted(redis: Redis) -> list[tuple[Any, ...]]:
    """Return what the audit log has, the oldest first."""
    items = AuditLog(redis, 90).page({}, 100, None).items
    return [(item["action"], item["actor"], item["version"], item["alias"]) for item in reversed(items)]


def refused(start: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ModelgateError) as error:
        start()
    return error.value.failure.code, str(error.value)


def test_an_experiment_begins_with_its_first_share_and_the_first_metric_that_fits(
    start: Start, repository: RepositoryWriter
) -> None:
    begun = start(CANARY, by="ci")
    assert (begun.baseline, begun.candidate, begun.share, begun.started_by) == (2, 3, 0.01, "ci")
    assert (begun.plan.metric, begun.plan.margin) == ("accuracy", 0.01)
    assert datetime.fromisoformat(begun.until) - datetime.fromisoformat(begun.started_at) == timedelta(days=14)
    assert now(Repository(repository.root)) == ({"current": 2, "previous": 1}, begun)


def test_beginning_it_again_with_the_same_id_changes_nothing(start: Start, repository: RepositoryWriter) -> None:
    assert start(until=LATER) == start(until=LATER)
    assert len(repository.settings("sum").experiments) == 1


def test_a_second_one_is_refused_while_one_runs(start: Start) -> None:
    start()
    code, why = refused(lambda: start(CANARY, 4, "x2"))
    assert (code, "the experiment x1 of 'sum' runs: shadow of version 3 beside version 2" in why) == (
        "experiment_runs",
        True,
    )


@pytest.mark.parametrize(
    ("candidate", "plan", "code", "why"),
    [
        (9, SHADOW, "model_not_found", "version 9 of the model 'sum' is not in the model repository"),
        (2, SHADOW, "experiment_refused", "version 2 is current already; name another one"),
        (3, replace(SHADOW, metric="log_loss"), "experiment_refused", "its versions have accuracy"),
        (3, replace(SHADOW, margin=1.0), "experiment_refused", "no loss by accuracy is above 1, and the margin is 1"),
        (5, CANARY, "experiment_refused", "callers of version 2 cannot use version 5: 'b' is needed"),
        (6, SHADOW, "experiment_refused", "version 6 lives in the environment sklearn-1.2"),
        (7, CANARY, "experiment_refused", "answers no longer repeat 'key'"),
        (6, CANARY, "not_loaded", "no worker serves the environment 'sklearn-1.2'"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(
    start: Start, repository: RepositoryWriter, candidate: int, plan: ExperimentPlan, code: str, why: str
) -> None:
    write_version(repository.root, "sum", Sum(), numbers("a", "b"), LABELS, version=5, current=False, id_field="key")
    write_version(repository.root, "sum", Sum(), numbers("a"), LABELS, version=7, current=False)
    write_version(
        repository.root,
        "sum",
        Sum(),
        numbers("a"),
        LABELS,
        version=6,
        current=False,
        id_field="key",
        environment="sklearn-1.2",
    )
    refusal = refused(lambda: start(plan, candidate))
    assert (refusal[0], why in refusal[1]) == (code, True), refusal
    assert repository.settings("sum").experiments == ()


def test_a_shadow_without_a_log_and_a_model_without_a_current_version_are_refused(
    start: Start, repository: RepositoryWriter
) -> None:
    change_settings(repository, "sum", {LOGGING: {"share": 0}})
    assert "turn that on: modelgate logging sum --share 1, or PUT /v1/models/sum/logging" in refused(start)[1]
    (repository.root / "sum/aliases.json").write_text("{}")
    assert "it has no current version" in refused(lambda: start(CANARY))[1]


def test_a_candidate_that_no_worker_can_load_is_refused(start: Start, redis_url: str) -> None:
    with worker(redis_url, "w1", lambda: CANNOT):
        code, why = refused(start)
    assert (code, why) == (
        "not_loaded",
        f"version 3 of the model 'sum' cannot be tried, because it cannot be loaded: {CANNOT}",
    )


def test_a_candidate_that_lacks_a_method_is_tried(start: Start, repository: RepositoryWriter) -> None:
    methods = (PREDICT, Method("decision_function", AnswerForm.NUMBER))
    for version, offered in ((2, methods), (3, (PREDICT,))):
        shutil.rmtree(repository.root / f"sum/versions/{version}")
        signature = Signature(numbers("a"), (LABELS,), "key", methods=offered)
        write_version(
            repository.root, "sum", Sum(), signature.inputs, version=version, current=False, signature=signature
        )
    assert start(CANARY).candidate == 3


def test_an_experiment_that_could_never_promote_is_refused(settings: Settings, redis: Redis, models: Path) -> None:
    for version in (2, 1):
        write_version(models, "price", Sum(), numbers("a"), Output(OutputKind.NUMBER), version=version)
    change_settings(RepositoryWriter(models), "price", {LOGGING: {"share": 1}})

    def begin(plan: ExperimentPlan, id: str = "x1") -> Experiment:  # noqa: A002
        return experiments.start(settings, redis, "price", 2, plan, id)

    for plan in (CANARY, SHADOW, replace(SHADOW, metric="mean_absolute_error")):
        code, why = refused(lambda plan=plan: begin(plan))
        assert code == "experiment_refused" and "the range of its numbers is not known; publish it with a sample" in why
    assert begin(replace(SHADOW, promote=False)).ending is None
    experiments.stop(RepositoryWriter(models), ExperimentBoard(redis), "price", "x1")
    assert begin(replace(SHADOW, agreement=0.9), "x2").ending is None


def test_a_model_with_probabilities_is_compared_by_them(
    settings: Settings, redis: Redis, models: Path, redis_url: str
) -> None:
    for version in (2, 1):
        output = Output(OutputKind.CLASS, labels=(0, 1), probabilities=True)
        write_version(models, "kind", Sum(), [Field("a", Kind.NUMBER)], output, version=version)
    assert experiments.start(settings, redis, "kind", 2, CANARY, "x1").plan.metric == "log_loss"


def test_the_margin_of_an_absolute_error_is_a_hundredth_of_the_range(
    settings: Settings, redis: Redis, models: Path
) -> None:
    profile = DataProfile(10, (), (ColumnProfile(0, (400.0, 9_000.0, 18_900.0), counts=(5, 5)),))
    for version in (2, 1):
        output = Output(OutputKind.NUMBER)
        write_version(models, "price", Sum(), numbers("a"), output, version=version, profile=profile)
    begun = experiments.start(settings, redis, "price", 2, CANARY, "x1")
    assert (begun.plan.metric, begun.plan.margin) == ("mean_absolute_error", 180.0)
    experiments.stop(RepositoryWriter(models), ExperimentBoard(redis), "price", "x1")
    assert experiments.start(settings, redis, "price", 2, replace(CANARY, margin=3.0), "x2").margin == 3.0


@pytest.mark.parametrize(
    ("decision", "plan", "ending", "aliases"),
    [
        (Decision.PROMOTE, SHADOW, Ending.PROMOTED, {"current": 3, "previous": 2}),
        (Decision.PROMOTE, replace(SHADOW, promote=False), Ending.PASSED, {"current": 2, "previous": 1}),
        (Decision.ROLL_BACK, CANARY, Ending.ROLLED_BACK, {"current": 2, "previous": 1}),
    ],
)
def test_a_decision_is_carried_out_once(
    start: Start,
    decisions: Decisions,
    redis: Redis,
    decision: Decision,
    plan: ExperimentPlan,
    ending: Ending,
    aliases: dict[str, int],
) -> None:
    start(plan)
    decisions.carry_out()
    assert now(decisions.repository)[1].ending is None
    say(redis, decision)
    decisions.carry_out()
    decisions.carry_out()
    moved, ended = now(decisions.repository)
    assert (moved, ended.ending, ended.reason, ended.figures) == (aliases, ending, "it is as good", {"share": 1})
    alias = "current" if ending is Ending.PROMOTED else None
    assert noted(redis) == [(f"experiment_{ending}", "experiment", 3, alias)]


def test_findings_in_another_experiment_are_not_heard(start: Start, decisions: Decisions, redis: Redis) -> None:
    say(redis, Decision.PROMOTE, "x0")
    start()
    decisions.carry_out()
    assert now(decisions.repository)[1].ending is None


def test_a_canary_steps_once_for_findings_about_its_share(start: Start, decisions: Decisions, redis: Redis) -> None:
    start(CANARY)
    shares = []
    for about in (0.25, 0.01, 0.01, 0.05, 0.25):
        say(redis, Decision.STEP, share=about)
        decisions.carry_out()
        shares.append(now(decisions.repository)[1].share)
    assert shares == [0.01, 0.05, 0.05, 0.25, 0.25]
    assert [action for action, *_ in noted(redis)] == ["experiment_step"] * 2


def test_a_step_that_another_trainer_has_made_or_that_comes_after_the_end_changes_nothing(
    start: Start, decisions: Decisions, redis: Redis
) -> None:
    stale = start(CANARY)
    findings = ExperimentFindings("x1", Decision.STEP, "", "", LATER, {"share": 0.01})
    decisions._step("sum", stale, findings)
    decisions._step("sum", stale, findings)
    assert now(decisions.repository)[1].share == 0.05
    ended = experiments.stop(decisions.repository, ExperimentBoard(redis), "sum", "x1")
    decisions._step("sum", stale, findings)
    assert now(decisions.repository)[1] == ended
    assert len(noted(redis)) == 1


def test_an_experiment_whose_time_is_over_says_what_was_missing(
    start: Start, decisions: Decisions, redis: Redis
) -> None:
    start(until=timestamp(datetime.now(UTC) - timedelta(seconds=1)))
    say(redis, None, missing="about 4,000 more outcomes")
    decisions.carry_out()
    ended = now(decisions.repository)[1]
    assert (ended.ending, ended.reason) == (
        Ending.UNDECIDED,
        "its time is over, and it cannot be decided; missing: about 4,000 more outcomes",
    )


def test_a_decision_at_the_end_counts_though_the_time_is_over(start: Start, decisions: Decisions, redis: Redis) -> None:
    start(until=timestamp(datetime.now(UTC) - timedelta(seconds=1)))
    say(redis, Decision.PROMOTE)
    decisions.carry_out()
    assert now(decisions.repository)[1].ending is Ending.PROMOTED


def test_a_promotion_that_no_worker_can_load_ends_with_the_time(
    start: Start, decisions: Decisions, redis: Redis, redis_url: str
) -> None:
    start(until=timestamp(datetime.now(UTC) + timedelta(seconds=1)))
    say(redis, Decision.PROMOTE)
    with worker(redis_url, "w1", lambda: CANNOT):
        until(lambda: decisions.carry_out() or now(decisions.repository)[1].ending, "it has ended")
    aliases, ended = now(decisions.repository)
    assert (aliases, ended.ending) == ({"current": 2, "previous": 1}, Ending.UNDECIDED)
    assert ended.reason.startswith("its time is over, and it cannot be decided; ") and CANNOT in ended.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda repository: move_alias(repository, "sum", "current", 4), "version 4 was made current meanwhile"),
        (lambda repository: move_alias(repository, "sum", "current", 3), "version 3 was made current meanwhile"),
        (lambda repository: roll_back(repository, "sum", 1, 2), "version 1 was made current meanwhile"),
        (lambda repository: delete_version(repository, "sum", 3), "version 3 was deleted"),
    ],
    ids=["another", "the candidate", "rollback", "deleted"],
)
def test_what_people_do_to_its_versions_ends_it_in_the_same_change(
    start: Start, decisions: Decisions, redis: Redis, change: Callable[[RepositoryWriter], object], reason: str
) -> None:
    start()
    move_alias(decisions.repository, "sum", "other", 4)
    assert now(decisions.repository)[1].ending is None
    change(decisions.repository)
    ended = now(decisions.repository)[1]
    assert (ended.ending, ended.reason) == (Ending.OVERTAKEN, reason)
    say(redis, Decision.PROMOTE)
    aliases = now(decisions.repository)[0]
    decisions.carry_out()
    assert now(decisions.repository) == (aliases, ended)


def test_an_experiment_that_is_overtaken_keeps_what_was_found(start: Start, decisions: Decisions, redis: Redis) -> None:
    start()
    say(redis, None)
    decisions.carry_out()
    move_alias(decisions.repository, "sum", "current", 4)
    with patch.object(decisions.repository, "change", side_effect=StoreError("away")):
        decisions.carry_out()
    decisions.carry_out()
    ended = now(decisions.repository)[1]
    assert (ended.ending, ended.figures) == (Ending.OVERTAKEN, {"share": 1})
    decisions.carry_out()
    assert now(decisions.repository)[1] == ended


def test_what_a_release_without_experiments_has_done_ends_it_too(start: Start, decisions: Decisions) -> None:
    start()
    (decisions.repository.root / "sum/aliases.json").write_text('{"current": 4, "previous": 2}')
    decisions.carry_out()
    assert now(decisions.repository)[1].reason == "version 4 was made current meanwhile"


def test_a_removed_model_has_no_experiment_that_runs_when_it_is_restored(
    start: Start, settings: Settings, redis: Redis, repository: RepositoryWriter, tmp_path: Path
) -> None:
    start()
    parts = CommandParts(replace(settings, state_dir=state_dir(tmp_path)), redis)
    for action in (RepositoryAction.REMOVE_MODEL, RepositoryAction.RESTORE_MODEL):
        HANDLERS[action](parts, RepositoryCommand(action, "sum"))
    assert now(Repository(repository.root))[1].reason == "its model was removed"


def test_old_versions_are_removed_but_no_candidate(start: Start, repository: RepositoryWriter) -> None:
    start()
    assert retain(repository, "sum", 0) == [4]
    assert repository.versions("sum") == [1, 2, 3]


def test_a_stopped_experiment_is_not_promoted_by_a_decision_that_waits_for_workers(
    start: Start, repository: RepositoryWriter, redis: Redis
) -> None:
    start()
    say(redis, Decision.PROMOTE)
    ended = experiments.stop(repository, ExperimentBoard(redis), "sum", "x1", "ci")
    assert (ended.ending, ended.reason, ended.figures) == (Ending.STOPPED, "stopped by ci", {"share": 1})
    code, _ = refused(lambda: move_alias(repository, "sum", "current", 3, 2, "x1"))
    assert code == "experiment_not_found"
    assert experiments.stop(repository, ExperimentBoard(redis), "sum", "x1") == ended
    assert refused(lambda: experiments.stop(repository, ExperimentBoard(redis), "sum", "x9"))[0] == code


def test_a_promotion_whose_end_was_not_noted_is_recognized(start: Start, decisions: Decisions, redis: Redis) -> None:
    start()
    move_alias(decisions.repository, "sum", "current", 3, 2, "x1")
    decisions.carry_out()
    aliases, ended = now(decisions.repository)
    assert (aliases, ended.ending) == ({"current": 3, "previous": 2}, Ending.PROMOTED)


def test_a_promotion_whose_end_was_not_noted_is_one_even_if_people_roll_back(
    start: Start, repository: RepositoryWriter
) -> None:
    start()
    move_alias(repository, "sum", "current", 3, 2, "x1")
    roll_back(repository, "sum", 2, 3)
    aliases, ended = now(repository)
    assert (aliases, ended.ending) == ({"current": 2, "previous": 1}, Ending.PROMOTED)


def test_the_newest_experiments_are_kept(start: Start, repository: RepositoryWriter, redis: Redis) -> None:
    for number in range(MOST_KEPT + 2):
        start(id=f"x{number}")
        experiments.stop(repository, ExperimentBoard(redis), "sum", f"x{number}")
    kept = Repository(repository.root)
    kept.aliases("sum")
    assert [one.id for one in kept.settings("sum").experiments] == [f"x{n}" for n in range(MOST_KEPT + 1, 1, -1)]
    assert kept.settings("sum").logging.share == 1


@pytest.mark.parametrize("step", range(1, 8))
def test_killed_at_any_step_the_next_trainer_ends_it_once(
    start: Start, settings: Settings, redis: Redis, repository: RepositoryWriter, step: int
) -> None:
    """A child carries the decision out, and is killed before or after one of the renames by which a change is seen."""
    start()
    say(redis, Decision.PROMOTE)
    child = os.fork()
    if child == 0:
        try:
            _die_at(step)
            with connect(settings.redis_url) as own:
                audit = AuditLog(own, 90, of_trainer=True)
                Decisions(settings, own, RepositoryWriter(repository.root), audit).carry_out()
        finally:
            os._exit(0)  # nothing of the test must run here
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert killed == (step < 7), "there are three renames"
    after = RepositoryWriter(repository.root)
    Decisions(settings, redis, after, AuditLog(redis, 90, of_trainer=True)).carry_out()
    aliases, ended = now(after)
    assert (aliases, ended.ending) == ({"current": 3, "previous": 2}, Ending.PROMOTED)
    assert len(repository.settings("sum").experiments) == 1
    assert len(noted(redis)) <= 1


def _die_at(step: int) -> None:
    """Kill this process before (odd) or after (even) one of its renames."""
    rename, left = Path.replace, [step]

    def count() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def replace_or_die(path: Path, target: Path) -> Path:
        count()
        renamed = rename(path, target)
        count()
        return renamed

    Path.replace = replace_or_die  # type: ignore[method-assign,assignment]
