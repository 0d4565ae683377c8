"""A protected model's `current` moves only once a second person approves it, whatever one publisher tries alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from broker.access.audit_log import AuditLog
from broker.link.connection import connect
from broker.state.boards import ExperimentBoard
from contract.errors import ModelgateError
from contract.model.experiments import Decision, Ending, ExperimentFindings, ExperimentKind, ExperimentPlan
from contract.model.model_settings import LOGGING, PROTECTED, ModelSettings
from contract.model.promotions import Person, PromotionEnding, PromotionRequest
from contract.model.repository import Repository
from contract.model.signature import Output, OutputKind
from contract.settings import Settings
from contract.work.jobs import timestamp
from contract.work.training import RepositoryAction, RepositoryCommand
from storage.models.repository_writer import RepositoryWriter
from tests.support import Sum, numbers, state_dir, write_version
from trainer.jobs import training_main
from trainer.jobs.commands import CommandParts, carry_out
from trainer.publishing import approvals, experiments, promotion
from trainer.publishing.aliases import change_settings, delete_alias, delete_version, retain
from trainer.publishing.approvals import Approval
from trainer.publishing.experiments import Decisions

ANN, BEN = Person("ann", "ann", "key_1"), Person("ben", "ben", "key_2")
LABELS = Output(OutputKind.CLASS, labels=(0, 1))
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def repository(models: Path) -> RepositoryWriter:
    """`sum` has four versions and is protected; the second is current and the first previous."""
    for version in (4, 3, 2, 1):
        write_version(models, "sum", Sum(), numbers("a"), LABELS, version=version, id_field="key")
    (models / "sum/aliases.json").write_text('{"current": 2, "previous": 1}')
    repository = RepositoryWriter(models)
    change_settings(repository, "sum", {PROTECTED: True, LOGGING: {"share": 1}})
    return repository


@pytest.fixture
def settings(redis_url: str, models: Path, tmp_path: Path) -> Settings:
    return Settings(models_dir=models, redis_url=redis_url, state_dir=state_dir(tmp_path))


@pytest.fixture
def run(settings: Settings, redis: Redis, repository: RepositoryWriter) -> Run:
    """Has the trainer carry out a command of a person about `sum`."""

    def run(action: str, person: Person | None = ANN, **options: Any) -> dict[str, Any]:
        sent = None if person is None else asdict(person)
        command = RepositoryCommand(RepositoryAction(action), "sum", person=sent, **options)
        return dict(carry_out(command.to_json(), CommandParts(settings, redis)))

    return run


def refused(change: Callable[[], object]) -> str:
    with pytest.raises(ModelgateError) as error:
        change()
    return error.value.failure.code


def state(repository: RepositoryWriter) -> tuple[dict[str, int], ModelSettings]:
    """The aliases and the settings, as a reader sees them."""
    reader = Repository(repository.root)
    return reader.aliases("sum"), reader.settings("sum")


def test_a_second_person_makes_the_version_current(run: Run, repository: RepositoryWriter) -> None:
    asked = run("ask_promotion", version=4, promotion={"note": "better on March"})
    assert (asked["asker"], asked["note"], asked["ending"], asked["warnings"]) == ("ann", "better on March", None, [])
    assert "key_1" not in str(asked)
    assert state(repository)[0] == {"current": 2, "previous": 1}
    approved = run("approve_promotion", BEN, promotion={"id": asked["id"]})
    assert approved["aliases"] == {"current": 4, "previous": 2}
    ended = state(repository)[1].promotions[0]
    assert (ended.ending, ended.decided_by, ended.version) == (PromotionEnding.APPROVED, "ben", 4)
    assert approved["promotion"] == ended.shown()


@pytest.mark.parametrize(
    "alone",
    [ANN, Person("ann", "ann", "key_3"), Person("ben", "ben", "key_1"), Person("nobody")],
    ids=["the same key", "another key of the owner", "another owner of the key", "no key"],
)
@pytest.mark.parametrize("action", ["approve_promotion", "end_promotion"])
def test_nobody_else_is_a_second_person(run: Run, repository: RepositoryWriter, alone: Person, action: str) -> None:
    wanted = {"id": run("ask_promotion", version=4)["id"], "ending": "rejected"}
    assert refused(lambda: run(action, alone, promotion=wanted)) == "second_person_needed"
    assert state(repository)[0]["current"] == 2 and state(repository)[1].waiting


def _alone(action: str, **options: Any) -> Callable[[Run], object]:
    return lambda run: run(action, **options)


@pytest.mark.parametrize(
    "attempt",
    [
        _alone("move_alias", version=4, alias="current"),
        _alone("move_alias", version=4, alias="current", force=True, before=2),
        _alone("move_alias", version=4, alias="previous"),
        _alone("change_settings", edits={PROTECTED: False}),
        _alone("remove_model"),
    ],
    ids=["moves current", "forces it", "moves previous, to roll back to it", "unprotects", "removes, to publish anew"],
)
def test_one_publisher_alone_gets_no_way_around(run: Run, repository: RepositoryWriter, attempt: Any) -> None:
    assert refused(lambda: attempt(run)) == "approval_required"
    assert state(repository)[0] == {"current": 2, "previous": 1} and state(repository)[1].protected
    assert state(repository)[1].promotions == ()


def test_other_aliases_move_and_a_rollback_needs_nobody(run: Run, repository: RepositoryWriter) -> None:
    assert run("move_alias", version=3, alias="canary")["aliases"]["canary"] == 3
    assert run("move_alias", version=2, alias="current")["aliases"]["current"] == 2
    assert run("roll_back")["aliases"] == {"current": 1, "canary": 3}


def test_an_approval_is_for_the_version_that_was_asked_for(run: Run, repository: RepositoryWriter) -> None:
    request = run("ask_promotion", version=3)["id"]
    move = (repository, "sum", "current", 4)
    assert refused(lambda: promotion.move_alias(*move, approval=Approval(request, BEN))) == "approval_required"
    assert refused(lambda: run("approve_promotion", BEN, promotion={"id": "p0"})) == "promotion_not_found"
    moved = refused(lambda: run("approve_promotion", BEN, promotion={"id": request}, before=1))
    assert moved == "alias_moved" and state(repository)[1].waiting


def test_a_newer_request_replaces_the_one_that_waits(run: Run, repository: RepositoryWriter) -> None:
    first, again = run("ask_promotion", version=3), run("ask_promotion", version=3)
    assert first == again
    second = run("ask_promotion", BEN, version=4)
    assert second["warnings"] == ["it replaces the request of ann for version 3"]
    assert refused(lambda: run("approve_promotion", BEN, promotion={"id": first["id"]})) == "promotion_not_found"
    assert [one.ending for one in state(repository)[1].promotions] == [None, PromotionEnding.REPLACED]
    for _ in range(approvals.MOST_KEPT):
        run("ask_promotion", version=3)
        run("ask_promotion", version=4)
    assert len(state(repository)[1].promotions) == approvals.MOST_KEPT


def test_a_request_is_rejected_or_withdrawn_once(run: Run, repository: RepositoryWriter) -> None:
    for person, ending in ((BEN, "rejected"), (ANN, "withdrawn")):
        wanted = {"id": run("ask_promotion", version=4)["id"], "ending": ending}
        ended = run("end_promotion", person, promotion=wanted)
        assert (ended["ending"], ended["decided_by"]) == (ending, person.name)
        assert run("end_promotion", person, promotion=wanted) == ended
        assert refused(lambda wanted=wanted: run("approve_promotion", BEN, promotion=wanted)) == "promotion_not_found"
    assert state(repository)[0]["current"] == 2


def test_two_people_unprotect_a_model(run: Run, repository: RepositoryWriter) -> None:
    asked = run("ask_promotion")
    assert asked["version"] is None
    run("approve_promotion", BEN, promotion={"id": asked["id"]})
    assert not state(repository)[1].protected
    assert run("move_alias", version=4, alias="current")["aliases"]["current"] == 4
    assert refused(lambda: run("ask_promotion", version=3)) == "not_protected"


def test_what_cannot_be_asked_for_is_refused(run: Run) -> None:
    assert refused(lambda: run("ask_promotion", version=9)) == "model_not_found"
    assert refused(lambda: run("ask_promotion", version=2)) == "alias_moved"


def test_a_version_that_waits_is_kept_and_one_that_is_deleted_waits_no_more(
    run: Run, repository: RepositoryWriter
) -> None:
    run("ask_promotion", version=3)
    assert retain(repository, "sum", 0) == [4]
    delete_version(repository, "sum", 3)
    assert state(repository)[1].promotions[0].ending is PromotionEnding.GONE


def test_the_first_version_of_a_protected_model_needs_approval_too(run: Run, repository: RepositoryWriter) -> None:
    (repository.root / "sum/aliases.json").write_text("{}")
    assert refused(lambda: run("move_alias", version=1, alias="current")) == "approval_required"
    delete = refused(lambda: delete_alias(repository, "sum", "current"))
    assert delete == "current_required"


def test_a_training_asks_in_the_name_of_its_owner(
    settings: Settings, redis: Redis, repository: RepositoryWriter, run: Run
) -> None:
    asker = Person("a training of ann", "ann")
    promote = (settings, redis, "job", asker, "sum", 4, "current")
    assert refused(lambda: training_main._promote(*promote)) == "approval_required"
    waiting = state(repository)[1].waiting
    assert waiting and (waiting.version, waiting.asker) == (4, asker)
    entries = AuditLog(redis, 90).page({"action": "ask_promotion"}, 10, None).items
    assert [(entry["actor"], entry["owner"], entry["version"]) for entry in entries] == [("trainer", "ann", 4)]
    approve = {"promotion": {"id": waiting.id}}
    assert refused(lambda: run("approve_promotion", **approve)) == "second_person_needed"
    assert run("approve_promotion", BEN, **approve)["aliases"]["current"] == 4


def test_what_asks_without_an_owner_is_approved_by_any_one_key(
    settings: Settings, redis: Redis, run: Run, repository: RepositoryWriter
) -> None:
    with pytest.raises(ModelgateError, match="waits for a second person"):
        promotion.promote(settings, redis, "sum", 4, asker=Person("the inbox"))
    waiting = state(repository)[1].waiting
    assert waiting and run("approve_promotion", ANN, promotion={"id": waiting.id})["aliases"]["current"] == 4


def test_an_experiment_asks_in_place_of_promoting_and_a_canary_does_not_begin(
    settings: Settings, redis: Redis, repository: RepositoryWriter
) -> None:
    canary = ExperimentPlan(ExperimentKind.CANARY, share=0.5)
    begin = (settings, redis, "sum", 3)
    assert refused(lambda: experiments.start(*begin, canary, "x0")) == "experiment_refused"
    experiments.start(*begin, ExperimentPlan(ExperimentKind.SHADOW), "x1", "ci", owner="ann")
    now = timestamp(datetime.now(UTC))
    ExperimentBoard(redis).say("sum", ExperimentFindings("x1", Decision.PROMOTE, "it is better", "", now))
    decisions = Decisions(settings, redis, RepositoryWriter(repository.root), AuditLog(redis, 90, of_trainer=True))
    decisions.carry_out()
    aliases, known = state(repository)
    assert aliases["current"] == 2 and known.experiments[0].ending is Ending.PASSED
    assert known.waiting and (known.waiting.version, known.waiting.asker.owner) == (3, "ann")


def test_a_trainer_killed_after_the_move_only_ends_the_request_when_it_runs_again(
    run: Run, settings: Settings, repository: RepositoryWriter
) -> None:
    wanted = {"id": run("ask_promotion", version=4)["id"]}
    child = os.fork()
    if child == 0:  # dies between the move of the alias and the end of the request
        approvals.decide = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        with connect(settings.redis_url) as connection:
            promotion.approve(settings, connection, "sum", Approval(wanted["id"], BEN))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert state(repository)[0] == {"current": 4, "previous": 2} and state(repository)[1].waiting
    assert run("approve_promotion", BEN, promotion=wanted, before=2)["aliases"] == {"current": 4, "previous": 2}
    ended = state(repository)[1].promotions[0]
    assert (ended.ending, ended.decided_by) == (PromotionEnding.APPROVED, "ben")


def test_settings_of_the_next_release_are_read(repository: RepositoryWriter) -> None:
    request = PromotionRequest("p1", 4, ANN, "2030-01-01T00:00:00Z")
    later = {**request.to_json(), "colour": "red", "asker": {**asdict(ANN), "team": "a"}}
    read = ModelSettings.from_json({PROTECTED: True, "promotions": [later, {"id": "broken"}, 7]})
    assert read.promotions == (request,) and read.waiting == request
