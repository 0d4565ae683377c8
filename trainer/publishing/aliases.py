"""Moves aliases, changes settings of models and removes versions.

They are together because a version with an alias must not be removed. Errors are `ModelgateError`s, whose codes the
gateway maps to statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.errors import Code, ModelgateError, version_error
from contract.model.about import ABOUT, edited
from contract.model.model_settings import PROTECTED, ROLLED_BACK
from contract.model.repository import CURRENT, PREVIOUS, not_in_repository, valid_alias
from contract.work.jobs import timestamp_now
from storage.models.repository_writer import RepositoryWriter
from storage.models.states import ModelState, unknown
from trainer.publishing import approvals
from trainer.publishing.approvals import Approval
from trainer.publishing.experiment_states import running, settle

MOST_KEPT = 20
"""Most versions in the history of a model."""


def move_alias(
    repository: RepositoryWriter,
    model: str,
    alias: str,
    version: int,
    before: int | None = None,
    experiment: str | None = None,
    approval: Approval | None = None,
) -> dict[str, int]:
    """Point `alias` at `version` and return all aliases. `previous` then names the former `current` version.

    `experiment`: the id of the one that promotes its candidate. Any other that runs ends if another version becomes
    current. `approval`: a second person's, which moves of `current` and `previous` of a protected model need. Raises
    `model_not_found`, `invalid_alias`, `alias_moved` unless the alias names `before`, if that is given,
    `experiment_not_found` if the `experiment` does not run any more, and as `approvals.check_move`.
    """
    check_move(repository, model, alias, version, approval)

    def edit(state: ModelState) -> None:
        if version not in state.versions:  # another process may have deleted it while we waited
            raise not_in_repository(model, version)
        approvals.check_move(state, model, alias, version, approval)
        aliases, old = state.aliases, state.aliases.get(alias)
        was_current = aliases.get(CURRENT)
        if experiment is not None and not running(state, experiment):
            raise not_running(model, experiment)
        if before is not None:
            _check_unmoved(model, aliases, alias, before)
        if alias == CURRENT and old is not None and old != version:
            further = [*state.history, *([aliases[PREVIOUS]] if PREVIOUS in aliases else [])]
            state.history = [number for number in further if number not in (old, version)][-MOST_KEPT:]
            aliases[PREVIOUS] = old
        aliases[alias] = version
        if experiment is None:
            settle(state, was_current)

    return repository.change(model, edit).aliases


def check_move(
    repository: RepositoryWriter, model: str, alias: str, version: int, approval: Approval | None = None
) -> None:
    """Raise what `move_alias` would raise."""
    if not valid_alias(alias):
        raise ModelgateError(
            Code.INVALID_ALIAS,
            f"{alias[:64]!r} cannot be an alias: use up to 64 of a-z, 0-9, _ and -, and not digits alone",
            alias=alias[:64],
        )
    _check_version(repository, model, version)
    approvals.check_move(repository.state(model), model, alias, version, approval)


def delete_alias(repository: RepositoryWriter, model: str, alias: str) -> dict[str, int]:
    """Delete an alias and return the others. Raises `alias_not_found`, and `current_required` for `current`."""
    if alias == CURRENT:
        raise ModelgateError(
            Code.CURRENT_REQUIRED,
            f"{model!r} needs the alias {CURRENT!r}, which requests without a version use; move it instead",
        )

    def edit(state: ModelState) -> None:
        if alias not in state.aliases:
            raise ModelgateError(
                Code.ALIAS_NOT_FOUND,
                f"{model!r} has no alias {alias[:64]!r}; it has {', '.join(sorted(state.aliases)) or 'none'}",
                model=model,
            )
        del state.aliases[alias]

    return repository.change(model, edit).aliases


def change_settings(repository: RepositoryWriter, model: str, settings: Mapping[str, Any], by: str = "") -> None:
    """Change settings of a model; the others stay, and so do the members of `about` that are not in it, which is
    changed `by` the key of this name. Raises `model_not_found`, and `approval_required` for a model that is to be
    protected no more."""
    others, now = {name: setting for name, setting in settings.items() if name != ABOUT}, timestamp_now()

    def edit(state: ModelState) -> None:
        if not state.versions:
            raise unknown(model)
        if settings.get(PROTECTED) is False:
            approvals.check_unprotected(state, model)
        state.settings = edited({**state.settings, **others}, settings.get(ABOUT, {}), by, now)

    repository.change(model, edit)


def previous(repository: RepositoryWriter, model: str) -> int:
    """Return the version to roll back to. Raises `no_previous`."""
    return _previous(model, repository.aliases(model))


def roll_back(repository: RepositoryWriter, model: str, version: int, before: int | None) -> dict[str, int]:
    """Point `current` from the version `before` to the `previous` one, and `previous` to the one that was current
    before that. Nothing names the version `before` then. Returns all aliases.

    Raises `no_previous`, and `alias_moved` unless they name `before` and `version`.
    """

    def edit(state: ModelState) -> None:
        aliases, target = state.aliases, _previous(model, state.aliases)
        _check_unmoved(model, aliases, CURRENT, before)
        _check_unmoved(model, aliases, PREVIOUS, version)
        state.history = [number for number in state.history if number != before and number in state.versions]
        del aliases[PREVIOUS]
        if state.history:
            aliases[PREVIOUS] = state.history.pop()
        aliases[CURRENT] = target
        earlier = {number: at for number, at in state.settings.get(ROLLED_BACK, {}).items() if number != str(before)}
        newest = [*earlier.items(), (str(before), timestamp_now())][-MOST_KEPT:]
        state.settings = {**state.settings, ROLLED_BACK: dict(newest)}
        settle(state, before)

    return repository.change(model, edit).aliases


def delete_version(repository: RepositoryWriter, model: str, version: int) -> None:
    """Delete a version, which ends an experiment with it. Raises `model_not_found`, and `version_in_use` while an alias
    names it.

    Readers no longer see it at once; its files are removed afterwards.
    """

    def edit(state: ModelState) -> None:
        if version not in state.versions:
            raise not_in_repository(model, version)
        names = sorted(alias for alias, named in state.aliases.items() if named == version)
        if names:
            what = f"has the alias {' and '.join(map(repr, names))}; move the alias first"
            raise version_error(Code.VERSION_IN_USE, model, version, what, aliases=names)
        state.versions.remove(version)
        settle(state, state.aliases.get(CURRENT))
        approvals.settle(state)

    repository.change(model, edit)


def retain(repository: RepositoryWriter, model: str, keep: int) -> list[int]:
    """Remove all but `keep` of the versions without an alias, and return the removed ones: those stay that were
    current last, up to half of `keep`, and the newest. So refused versions do not use up what a rollback goes to. The
    candidate of an experiment that runs stays, as if an alias named it, and so does a version that waits for approval.

    Raises `version_in_use` if the aliases cannot be read.
    """
    removed: list[int] = []

    def edit(state: ModelState) -> None:
        experiment, request = running(state), approvals.waiting(state)
        named = {*state.aliases.values(), *([experiment.candidate] if experiment else [])}
        if request and request.version:
            named.add(request.version)
        versions = [version for version in state.versions if version not in named]
        were_current = [version for version in state.history if version in versions]
        stay = were_current[max(0, len(were_current) - keep // 2) :]
        free = [version for version in versions if version not in stay]
        removed[:] = free[: max(0, len(free) + len(stay) - keep)]
        state.versions = [version for version in state.versions if version not in removed]

    repository.change(model, edit)
    return removed


def not_running(model: str, experiment: str) -> ModelgateError:
    """Return the error for an experiment that does not run, or is not known (`experiment_not_found`)."""
    what = f"no experiment {experiment[:64]!r} of {model!r} runs"
    return ModelgateError(Code.EXPERIMENT_NOT_FOUND, what, model=model)


def _check_version(repository: RepositoryWriter, model: str, version: int) -> None:
    if not repository.has_version(model, version):
        raise not_in_repository(model, version)


def _check_unmoved(model: str, aliases: dict[str, int], alias: str, version: int | None) -> None:
    if (now := aliases.get(alias)) != version:
        detail = f"{alias!r} of {model!r} names {'no version' if now is None else f'version {now}'} by now"
        what = f"{detail}, not {'none' if version is None else version}; look at its versions, and decide again"
        raise ModelgateError(Code.ALIAS_MOVED, what, model=model)


def _previous(model: str, aliases: dict[str, int]) -> int:
    if PREVIOUS not in aliases:
        raise ModelgateError(Code.NO_PREVIOUS, f"{model!r} has no {PREVIOUS!r} version to roll back to", model=model)
    return aliases[PREVIOUS]
