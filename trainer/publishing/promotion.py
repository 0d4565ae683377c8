"""Promotion: workers load a version first, then an alias moves to it. No request waits for a model to load."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from redis import Redis
from redis.exceptions import RedisError

from broker.access.audit_log import TRAINER, AuditEntry, AuditLog
from broker.state.load_status import WarmUp, load_statuses, request_load, warm_up, withdraw_request
from broker.state.mirrors import announce, last_change, wait_for_mirrors
from contract.errors import Code, ModelgateError, version_error
from contract.model.environments import TODAY, no_worker
from contract.model.manifest import ModelManifest
from contract.model.promotions import Person, PromotionEnding, PromotionRequest
from contract.model.repository import CURRENT, Repository
from contract.settings import Settings
from scoring.trust import Trust
from trainer.publishing import aliases, approvals
from trainer.publishing.aliases import check_move, move_alias, previous
from trainer.publishing.approvals import Approval, waiting
from trainer.publishing.repositories import repository_of

Promote = Callable[[str, int, str], str | None]
"""Model, version, alias: moves the alias to the version; returns a remark or None. Raises `ModelgateError` if the alias
stays."""

_CHECK_EVERY = 0.02
"""Seconds between two checks of what the workers have loaded."""

_KEEP_AFTER_MOVE = 2.0
"""Seconds that workers keep a version after the alias has moved, until they have noticed the move."""


def promote(
    settings: Settings,
    connection: Redis | None,
    model: str,
    version: int,
    alias: str = CURRENT,
    force: bool = False,
    before: int | None = None,
    asker: Person | None = None,
) -> str | None:
    """Move `alias` to `version` once every live worker that serves `model` has loaded it, at the latest after
    `WARMUP_TIMEOUT`. Returns a remark if some have not. `before`: the version that the alias must name. `asker`: who
    asks a second person where the model is protected; then it is `approval_required`, too.

    Raises `ModelgateError`, and the alias stays: as `trainer.publishing.aliases.move_alias` does; `not_trusted` where
    workers ask for a signature that it lacks, and `not_loaded` where none of them can load it, unless `force`.
    """
    repository = repository_of(settings)
    try:
        check_move(repository, model, alias, version)
    except ModelgateError as error:
        if asker is None or alias != CURRENT or error.failure.code != Code.APPROVAL_REQUIRED:
            raise
        raise asked(settings, connection, model, version, asker) from error
    return once_loaded(
        settings, connection, model, version, force, lambda: move_alias(repository, model, alias, version, before)
    )


def approve(
    settings: Settings,
    connection: Redis | None,
    model: str,
    approval: Approval,
    force: bool = False,
    before: int | None = None,
) -> tuple[PromotionRequest, str | None]:
    """Do what a request asks for, and return the request and a remark as `promote` does. Harmless to repeat. Raises
    `ModelgateError` as `promote` does, and as `trainer.publishing.approvals.decide`."""
    repository, remark = repository_of(settings), None
    state = repository.state(model)
    request = waiting(state)
    if request and request.id == approval.request and request.version and request.version != state.aliases.get(CURRENT):
        approvals.decidable(state, model, approval)  # before the workers load anything
        move = partial(move_alias, repository, model, CURRENT, request.version, before=before, approval=approval)
        remark = once_loaded(settings, connection, model, request.version, force, move)
    return approvals.decide(repository, model, approval, PromotionEnding.APPROVED), remark


def asked(settings: Settings, connection: Redis | None, model: str, version: int, asker: Person) -> ModelgateError:
    """Ask a second person to approve the promotion, and return the error that says so (`approval_required`)."""
    request, _ = approvals.ask(repository_of(settings), model, version, asker)
    entry = AuditEntry("ask_promotion", TRAINER, owner=asker.owner or None, model=model, version=version)
    AuditLog(connection, settings.retention.audit_days, of_trainer=True).write(entry)
    what = f"waits for a second person, because {model!r} is protected: modelgate approve {model}, or see its page"
    return version_error(Code.APPROVAL_REQUIRED, model, version, what, promotion=request.id)


def once_loaded(
    settings: Settings, connection: Redis | None, model: str, version: int, force: bool, move: Callable[[], object]
) -> str | None:
    if not force:
        check_trust(settings, model, version)
        _wait_for_mirrors(settings, connection, model, version)
    environment = Repository(settings.models_dir).manifest(model, version).environment
    remark = _warm_up(connection, model, version, environment, settings.warmup_timeout, force)
    move()
    if connection:
        with suppress(RedisError):  # workers then keep the version a little longer
            request_load(connection, f"{model}@{version}", environment, _KEEP_AFTER_MOVE)
    return remark


def request_loads(settings: Settings, connection: Redis | None, versions: Sequence[ModelManifest]) -> None:
    """Have the workers load these versions before each is promoted."""
    if connection:
        with suppress(RedisError):  # promoting requests each again
            for manifest in versions:
                wanted, seconds = f"{manifest.name}@{manifest.version}", settings.warmup_timeout + _KEEP_AFTER_MOVE
                request_load(connection, wanted, manifest.environment, seconds)


def roll_back(
    settings: Settings,
    connection: Redis | None,
    model: str,
    force: bool = False,
    version: int | None = None,
    before: int | None = None,
) -> str | None:
    """Make the last version current that was so and was not rolled back from. Returns a remark as `promote` does.

    Raises `ModelgateError` as `promote` does, `no_previous`, and `alias_moved` if that is not `version` or the current
    one is not `before`, where these are given, or if another one becomes current meanwhile.
    """
    repository = repository_of(settings)
    version = version or previous(repository, model)
    before = before or repository.aliases(model).get(CURRENT)
    return once_loaded(
        settings, connection, model, version, force, lambda: aliases.roll_back(repository, model, version, before)
    )


def check_trust(settings: Settings, model: str, version: int) -> None:
    """Raise `ModelgateError` (`not_trusted`) if workers with these settings would refuse the version."""
    repository = Repository(settings.models_dir)
    Trust.from_settings(settings).check(repository.manifest(model, version), repository.files(model, version))


def show_everywhere(settings: Settings, connection: Redis, model: str, seconds: float) -> None:
    """Wait some seconds until all machines show a change, so that who asked for it finds it wherever they look."""
    if settings.models_url:
        with suppress(RedisError):
            wait_for_mirrors(connection, model, last_change(connection), time.monotonic() + seconds)


def _wait_for_mirrors(settings: Settings, connection: Redis | None, model: str, version: int) -> None:
    """Wait until each machine has the version: a worker without it could not answer. Raises `ModelgateError`
    (`not_loaded`)."""
    if connection is None or not settings.models_url:
        return
    try:
        number, end = announce(connection, model), time.monotonic() + settings.warmup_timeout
        lacking = wait_for_mirrors(connection, model, number, end)
    except RedisError:  # then no worker takes a job, either
        return
    if lacking:
        name, reason = next(iter(lacking.items()))
        what = (
            f"gets no alias, because the mirror {name!r} does not have it: {reason}; mend or stop that mirror, or move"
            ' the alias anyway with "force": true'
        )
        raise version_error(Code.NOT_LOADED, model, version, what, reasons=lacking)


def _warm_up(
    connection: Redis | None, model: str, version: int, environment: str, seconds: float, force: bool
) -> str | None:
    """Wait for the workers. The remark names those that have not loaded the version. Raises `ModelgateError`
    (`not_loaded`)."""
    if connection is None:
        return "moved at once: REDIS_URL is not set, so no worker could be asked to load it first"
    wanted, end = f"{model}@{version}", time.monotonic() + seconds
    try:
        _forget_refusals(connection, model, wanted, environment, end)
        state = warm_up(connection, model, version, environment, end, _KEEP_AFTER_MOVE)
        if state.missing:
            return f"moved after {seconds:g} s though {_names(state.missing)} had not loaded it"
        if state.impossible and len(state.impossible) == len(state.workers) and not force:
            withdraw_request(connection, wanted, environment)
            raise _not_loaded(model, version, state.impossible)
        if environment != TODAY and not state.workers and not force:
            withdraw_request(connection, wanted, environment)
            raise version_error(Code.NOT_LOADED, model, version, f"gets no alias, because {no_worker(environment)}")
    except RedisError as error:
        return f"moved at once: Redis does not answer, so no worker could be asked to load it first ({error})"
    return _remark(state)


def _forget_refusals(connection: Redis, model: str, wanted: str, environment: str, end: float) -> None:
    """Have workers check the version again: the reason for an earlier refusal may be gone."""
    while time.monotonic() < end and any(
        wanted in status.refused for status in load_statuses(connection, model, environment).values()
    ):
        withdraw_request(connection, wanted, environment)
        time.sleep(_CHECK_EVERY)


def _remark(state: WarmUp) -> str | None:
    if not state.workers:
        return "moved at once: no worker is alive that serves this model"
    if state.refused:
        return f"moved though {_names([*state.refused])} did not load it: {next(iter(state.refused.values()))}"
    return None


def _not_loaded(model: str, version: int, refused: Mapping[str, str]) -> ModelgateError:
    reason = next(iter(refused.values()))
    what = (
        f"gets no alias, because {_names([*refused])} cannot load it: {reason}; fix that, or move the alias anyway with"
        ' "force": true'
    )
    return version_error(Code.NOT_LOADED, model, version, what, reasons=dict(refused))


def _names(workers: Sequence[str]) -> str:
    shown = ", ".join(workers[:3]) + (", …" if len(workers) > 3 else "")
    return f"the worker {shown}" if len(workers) == 1 else f"the workers {shown}"
