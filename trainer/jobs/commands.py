"""One function for each repository command. It returns the answer for the caller, or raises `ModelgateError`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from redis import Redis

from broker.access.signatures import Signer
from broker.records.job_kinds import TRAINING
from broker.state.boards import ExperimentBoard
from broker.state.schedules import Schedules, TooManySchedules
from contract.errors import Code, ModelgateError
from contract.model.experiments import Ending, ExperimentPlan
from contract.model.manifest import ModelManifest
from contract.model.promotions import Person, PromotionEnding
from contract.model.repository import CURRENT, not_in_repository
from contract.settings import Settings
from contract.work.jobs import timestamp
from contract.work.training import DIFFERENCES, RepositoryAction, RepositoryCommand, TrainingRequest
from storage.disk import StoreError, code_of, not_written
from trainer import recipes
from trainer.forks import Forks, KeptForks
from trainer.importing.edits.migration import Migration, Outcome
from trainer.importing.edits.signature_edits import publish_edited
from trainer.importing.inbox import imports
from trainer.importing.inbox.judging import Wish, promote_if_passed
from trainer.publishing import aliases, approvals, experiments, promotion
from trainer.publishing.approvals import Approval
from trainer.publishing.experiment_states import end, running
from trainer.publishing.repositories import repository_of
from trainer.recipe import DataError
from trainer.tables.preview import preview, read_head
from trainer.tables.training_rows import own_data, requested_file, spelled, to_rows


@dataclass(frozen=True)
class CommandParts:
    """What the commands of one process share."""

    settings: Settings
    redis: Redis
    forks: KeptForks = field(default_factory=KeptForks)


_SHOWN_WITHIN = 2.0
"""Seconds that an answer waits for the machines that have not seen the change."""

CommandHandler = Callable[[CommandParts, RepositoryCommand], dict[str, Any]]


def move_alias(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    remark = promotion.promote(
        parts.settings,
        parts.redis,
        command.model,
        _version(command),
        command.alias or CURRENT,
        command.force,
        command.before,
    )
    return _answer(parts, command, remark)


def delete_alias(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    aliases.delete_alias(repository_of(parts.settings), command.model, command.alias or "")
    return _answer(parts, command)


def roll_back(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    remark = promotion.roll_back(
        parts.settings, parts.redis, command.model, command.force, command.version, command.before
    )
    return _answer(parts, command, remark)


def delete_version(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    aliases.delete_version(repository_of(parts.settings), command.model, _version(command))
    return _answer(parts, command)


def remove_model(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    repository = repository_of(parts.settings)
    approvals.check_unprotected(repository.state(command.model), command.model)
    schedules, remark = schedules_of(parts.settings, parts.redis), None
    if repository.versions(command.model) and (entry := schedules.entry(command.model)):
        # Before it is deleted, so that a command that starts again after a crash loses nothing.
        repository.change(command.model, lambda state: setattr(state, "schedule", entry))
        schedules.delete(command.model)
        remark = "its schedule is removed with it, and comes back if the model is restored"
    if experiment := running(repository.state(command.model)):
        overtaken = (experiment.id, Ending.OVERTAKEN, "its model was removed")
        repository.change(command.model, lambda state: end(state, *overtaken))
    removed_at = repository.remove(command.model)
    until = timestamp(removed_at + timedelta(days=parts.settings.retention.removed_model_days))
    return {**_answer(parts, command, remark), "restorable_until": until}


def restore_model(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    repository, remark = repository_of(parts.settings), None
    repository.restore(command.model, command.version)
    if schedule := repository.state(command.model).schedule:
        try:
            back = schedules_of(parts.settings, parts.redis).put_back(command.model, schedule)
            why = "it has another one, or none that a gateway has signed"
        except TooManySchedules as error:
            back, why = False, str(error)
        repository.change(command.model, lambda state: setattr(state, "schedule", None))
        remark = None if back else f"the model is back without its schedule: {why}"
    return _answer(parts, command, remark)


def change_settings(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    aliases.change_settings(repository_of(parts.settings), command.model, command.edits or {}, command.by or "")
    return _answer(parts, command)


def start_experiment(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    wanted = dict(command.experiment or {})
    plan = ExperimentPlan.from_json(wanted.pop("plan"))
    experiment = experiments.start(parts.settings, parts.redis, command.model, _version(command), plan, **wanted)
    return {"experiment": experiment.to_json()}


def stop_experiment(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    repository, wanted = repository_of(parts.settings), command.experiment or {}
    experiment = experiments.stop(repository, ExperimentBoard(parts.redis), command.model, **wanted)
    return {"experiment": experiment.to_json()}


def ask_promotion(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    repository = repository_of(parts.settings)
    if command.version is not None and not repository.has_version(command.model, command.version):
        raise not_in_repository(command.model, command.version)
    note = (command.promotion or {}).get("note", "")
    request, replaced = approvals.ask(repository, command.model, command.version, _person(command), note)
    what = replaced and (f"version {replaced.version}" if replaced.version else "taking the protection away")
    remarks = [f"it replaces the request of {replaced.asker.name} for {what}"] if replaced else []
    return {**request.shown(), "warnings": remarks}


def approve_promotion(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    approval = Approval((command.promotion or {}).get("id", ""), _person(command))
    request, remark = promotion.approve(
        parts.settings, parts.redis, command.model, approval, command.force, command.before
    )
    return {**_answer(parts, command, remark), "promotion": request.shown()}


def end_promotion(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    wanted = command.promotion or {}
    approval, ending = Approval(wanted.get("id", ""), _person(command)), PromotionEnding(wanted.get("ending", ""))
    return approvals.decide(repository_of(parts.settings), command.model, approval, ending).shown()


def import_version(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    if parts.settings.allow_upload == "0":  # the gateway checks too, but may have other settings
        raise ModelgateError(
            Code.NOT_PUBLISHED,
            "the trainer does not import uploads, because its ALLOW_UPLOAD is off; set it to 1 for gateway and trainer",
        )
    with parts.forks.lend() as forks:
        judge = partial(_judged, parts, command, forks=forks)
        answer: dict[str, Any] = imports.import_upload(parts.settings, command, forks, judge)
        return answer


def _judged(
    parts: CommandParts, command: RepositoryCommand, manifest: ModelManifest, rows: Path | None, forks: Forks
) -> dict[str, Any]:
    """Promote a new version as the command asks, unless the gate refuses it, and return the answer. `rows`: those that
    came with it."""
    wish = Wish(command.alias or CURRENT, not command.no_promote, command.accept or ())
    asker = Person(**command.person) if command.person else None  # the gateway may not know yet that it is protected
    promote = partial(promotion.promote, parts.settings, parts.redis, asker=asker)
    outcome = promote_if_passed(parts.settings, manifest, rows, wish, promote, forks)
    remark = f"it is published, but not {wish.alias}: {outcome.reason}" if outcome.reason else outcome.remark
    answer = _answer(parts, command, remark)
    return {
        **answer,
        "version": manifest.version,
        "warnings": [*manifest.warnings, *answer["warnings"]],
        "promoted": outcome.promoted,
        "reason": outcome.reason,
        "verdict": outcome.verdict,
    }


def edit_signature(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    manifest = publish_edited(parts.settings, command.model, _version(command), command.edits or {})
    return {**_answer(parts, command), "version": manifest.version, "warnings": list(manifest.warnings)}


def migrate(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    manifest = repository_of(parts.settings).read_manifest(command.model, _version(command))
    with parts.forks.lend() as forks:
        migration = Migration(parts.settings, manifest, forks, command.rows or ())
        if command.environment is None:
            trials = [trial.to_json() for trial in migration.trials(migration.newer())]
            tried = {"version": manifest.version, "rows": len(migration.tried_rows), "items": trials}
            stays = trials and not any(trial["outcome"] is Outcome.IDENTICAL for trial in trials)
            remark = f"no newer environment here gives the same answers; {migration.other_way}" if stays else None
            return {**_answer(parts, command, remark), **tried}
        (trial,) = migration.trials([command.environment])
        published = migration.publish(trial, accept_differences=DIFFERENCES in (command.accept or ()))
        return _judged(parts, command, published, None, forks)


def preview_training(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    return preview(TrainingRequest.from_json(command.training or {}), parts.settings).to_json()


def check_training(parts: CommandParts, command: RepositoryCommand) -> dict[str, Any]:
    request = TrainingRequest.from_json(command.training or {})
    recipe = recipes.get(request.recipe, parts.settings.recipes_dir)
    if request.outcomes:  # those of the day of the training decide
        return {}
    if (file := requested_file(request, parts.settings)) is None:
        own_data(recipe)
    elif recipe.inputs is not None:
        to_rows(recipe, spelled(recipe, read_head(file)[0]))
    elif problems := preview(request, parts.settings).problems:
        raise DataError(f"{file.source}: {problems[0]}")
    return {}


HANDLERS: Mapping[RepositoryAction, CommandHandler] = {
    RepositoryAction.MOVE_ALIAS: move_alias,
    RepositoryAction.DELETE_ALIAS: delete_alias,
    RepositoryAction.ROLL_BACK: roll_back,
    RepositoryAction.DELETE_VERSION: delete_version,
    RepositoryAction.REMOVE_MODEL: remove_model,
    RepositoryAction.RESTORE_MODEL: restore_model,
    RepositoryAction.CHANGE_SETTINGS: change_settings,
    RepositoryAction.IMPORT: import_version,
    RepositoryAction.EDIT_SIGNATURE: edit_signature,
    RepositoryAction.MIGRATE: migrate,
    RepositoryAction.PREVIEW_TRAINING: preview_training,
    RepositoryAction.CHECK_TRAINING: check_training,
    RepositoryAction.START_EXPERIMENT: start_experiment,
    RepositoryAction.STOP_EXPERIMENT: stop_experiment,
    RepositoryAction.ASK_PROMOTION: ask_promotion,
    RepositoryAction.APPROVE_PROMOTION: approve_promotion,
    RepositoryAction.END_PROMOTION: end_promotion,
}


def carry_out(payload: Mapping[str, Any], parts: CommandParts) -> Mapping[str, Any]:
    """Run the command in a job's payload and return its answer. Raises `ModelgateError`; its code is
    `models_full` or `store_away` where the model repository cannot be written."""
    command = RepositoryCommand.from_json(payload)
    try:
        repository_of(parts.settings).refresh(command.model)  # another trainer may have changed it
        answer = HANDLERS[command.action](parts, command)
        promotion.show_everywhere(parts.settings, parts.redis, command.model, _SHOWN_WITHIN)
        return answer
    except StoreError as error:
        what = f"nothing was changed, because the store of the model repository is away ({error}); try again"
        raise ModelgateError(Code.STORE_AWAY, what, model=command.model) from error
    except OSError as error:
        if code_of(error) is not Code.MODELS_FULL:
            raise
        raise ModelgateError(Code.MODELS_FULL, f"{not_written(error)} and try again", model=command.model) from error


def schedules_of(settings: Settings, connection: Redis) -> Schedules:
    ttls = {"timeout": settings.train_timeout, "result_ttl": TRAINING.kept(settings.retention)}
    return Schedules(connection, Signer.from_settings(settings), **ttls)


def _person(command: RepositoryCommand) -> Person:
    return Person(**(command.person or {"name": ""}))


def _version(command: RepositoryCommand) -> int:
    if command.version is None:
        raise ModelgateError(Code.MODEL_NOT_FOUND, f"{command.action} needs a version")
    return command.version


def _answer(parts: CommandParts, command: RepositoryCommand, remark: str | None = None) -> dict[str, Any]:
    """Return the model's aliases and versions after the command."""
    repository = repository_of(parts.settings)
    return {
        "name": command.model,
        "aliases": repository.aliases(command.model),
        "versions": repository.versions(command.model),
        "warnings": [remark] if remark else [],
    }
