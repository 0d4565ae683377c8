"""Models in the repository: the version behind a reference, what callers see of it, hints for misses, and changes.

Only the trainer writes to the repository, so the gateway sends it commands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from redis.exceptions import RedisError

from contract.errors import Failure, ModelgateError
from contract.model.environments import SUPPORT_ENDED, TODAY
from contract.model.environments import environment_of as release_environment
from contract.model.manifest import ModelManifest
from contract.model.model_settings import ModelSettings
from contract.model.repository import CURRENT, NAME, NotInRepository, Repository, valid_name
from contract.work.api_keys import Key
from contract.work.training import RepositoryAction, RepositoryCommand
from gateway.problems import Problem, ProblemCode
from gateway.problems.problem import similar, status_of
from gateway.protocols.offload import offload

_MAX_LISTED, _MAX_VERSIONS_LISTED, _MAX_NAMED = 50, 20, 10
"""Models and versions that a refusal lists, and the models that its sentence names."""


class CallersRepository(Repository):
    """The model repository as a caller sees it: without the models that its key may not use.

    The door refuses requests that name another model, so only the list has to leave models out.
    """

    def __init__(self, root: Path, caller: Callable[[], Key]) -> None:
        """`caller` returns the key of the current request."""
        super().__init__(root)
        self._caller = caller

    def names(self) -> list[str]:
        caller = self._caller()
        return [name for name in super().names() if caller.may_use(name)]

    def all_names(self) -> list[str]:
        caller = self._caller()
        return [name for name in super().all_names() if caller.may_use(name)]


def resolve(repository: Repository, reference: str) -> tuple[str, int]:
    """Return name and version behind `loan`, `loan@3` or `loan@canary`. Raises `Problem` that says what there is."""
    try:
        return repository.resolve(reference)
    except NotInRepository as error:
        if versions := repository.versions(reference):
            raise _none_is_current(repository, reference, versions) from error
        detail = _removed(repository, reference.partition("@")[0]) or str(error)
        raise _unknown_model(repository, reference, detail) from error


def refuse_model(repository: Repository, reference: str) -> Problem:
    """Return the refusal for a model that the caller's key may not use: that for an unknown model, whether or not the
    model exists."""
    detail = f"there is no model {reference.partition('@')[0]!r} that this key may use"
    return _unknown_model(repository, reference, detail)


def check_model(repository: Repository, name: str) -> None:
    """Raise `Problem` unless `name` is the name of a model; `loan@3` is not."""
    if "@" in name or not repository.versions(name):
        resolve(repository, name)
        detail = f"this address takes the name of a model without a version, such as {name.partition('@')[0][:64]!r}"
        raise Problem(ProblemCode.UNKNOWN_MODEL, detail)


def manifest_of(repository: Repository, name: str, version: str) -> ModelManifest:
    """Return the manifest of a version, by its number or an alias, of the model `name`. Raises `Problem`."""
    check_model(repository, name)
    return repository.manifest(*resolve(repository, f"{name}@{version}"))


def settings_of(repository: Repository, name: str) -> ModelSettings:
    """Return the settings of a model as they are now. Raises `Problem` unless `name` is the name of one."""
    check_model(repository, name)
    repository.aliases(name)  # which a change of the settings writes, too
    return repository.settings(name)


def check_removed(repository: Repository, name: str) -> None:
    """Raise `Problem` unless a model of this name was removed and can be restored."""
    if not repository.removals(name):
        detail = f"no removed model {name[:64]!r} can be restored"
        raise _unknown_model(repository, name, detail)


def check_new_name(name: str) -> None:
    """Raise `Problem` unless `name` may be the name of a new model."""
    if not valid_name(name):
        detail = f"{name[:64]!r} cannot be the name of a model: use up to 64 of a-z, 0-9, _ and - (not inbox)"
        raise Problem(ProblemCode.INVALID_NAME, detail)


def model_summary(repository: Repository, name: str) -> dict[str, object]:
    """Return what a list shows of a model."""
    aliases = repository.aliases(name)
    summary, about = version_summary(repository, name, aliases["current"]), repository.settings(name).about
    return {"name": name, "aliases": aliases, "about": about.to_json(), **summary}


def aliases_by_version(repository: Repository, name: str) -> dict[int, list[str]]:
    """Return the aliases of each version that has some, `current` first."""
    by_version: dict[int, list[str]] = {}
    for alias, version in sorted(repository.aliases(name).items(), key=lambda item: (item[0] != CURRENT, item)):
        by_version.setdefault(version, []).append(alias)
    return by_version


def version_summary(repository: Repository, name: str, version: int) -> dict[str, object]:
    """Return what a list shows of a version. An unusable one says why and hides no other."""
    try:
        manifest = repository.manifest(name, version)
    except ModelgateError as error:
        return {"version": version, "error": error.failure.to_json()}
    return {
        "version": version,
        "created_at": manifest.created_at,
        "recipe": manifest.recipe,
        "metrics": dict(manifest.metrics),
        "environment": environment_of(manifest),
    }


def environment_of(manifest: ModelManifest) -> dict[str, str | None] | None:
    """Return the environment in which a version lives: its name, its scikit-learn, and the day since which that release
    is without support, if it is. None: today's."""
    if manifest.environment == TODAY:
        return None
    release = manifest.libraries.get("scikit-learn")
    since = SUPPORT_ENDED.get(release_environment(release or "") or "")
    return {"name": manifest.environment, "scikit_learn": release, "unsupported_since": since}


def size_of(manifest: ModelManifest) -> int:
    """Return how many bytes a manifest has, about."""
    return 512 * len(manifest.signature.inputs)


def describe(manifest: ModelManifest) -> dict[str, object]:
    """Return the manifest without its golden rows and its profile, with an example that works when posted. The only
    output is the signature's `output`, too."""
    return offload(size_of(manifest), _described, manifest)


def _described(manifest: ModelManifest) -> dict[str, object]:
    described: dict[str, Any] = json.loads(manifest.dumps())
    del described["golden"], described["profile"], described["remarks"]
    described |= {"warnings": list(manifest.warnings), "environment": environment_of(manifest)}
    if len(outputs := described["signature"]["outputs"]) == 1:
        described["signature"]["output"] = outputs[0]
    return described


def read_report(repository: Repository, model: str, version: int, file: str) -> bytes:
    """Return a file of the report of a version. Raises `Problem` that says which versions have one."""
    try:
        return repository.files(model, version).report(file)
    except OSError as error:
        raise _no_report(repository, model, version) from error


def reported(repository: Repository, model: str) -> list[int]:
    """Return the versions that have a report, ascending."""
    return [version for version in repository.versions(model) if repository.files(model, version).has_report()]


def _no_report(repository: Repository, model: str, version: int) -> Problem:
    having = reported(repository, model)
    there_are = (
        f"those that have one: {', '.join(map(str, having[-20:]))}" if having else "no version of it has one yet"
    )
    detail = (
        f"version {version} of the model {model!r} has no report; {there_are}."
        " Reports are written when a model is trained here, or imported with a sample that has its target column"
    )
    return Problem(ProblemCode.NO_REPORT, detail, reports=having[-20:])


def _unknown_model(repository: Repository, reference: str, detail: str) -> Problem:
    """Return the refusal that lists the models; `detail` begins it if the reference is well-formed."""
    names = repository.names()
    name = reference.partition("@")[0]
    members: dict[str, Any] = {}
    if not NAME.fullmatch(name):
        detail = f"{name[:64]!r} cannot be the name of a model"
    if not names:
        detail += "; there are no models yet"
    elif name not in names:
        suggestion = similar(_as_name(name), names)
        if suggestion:
            detail += f" (did you mean {suggestion!r}?)"
            members["suggestion"] = suggestion
        more = len(names) - _MAX_NAMED
        detail += f"; there are: {', '.join(names[:_MAX_NAMED])}{f' and {more:,} more' if more > 0 else ''}"
    return Problem(ProblemCode.UNKNOWN_MODEL, detail, models=names[:_MAX_LISTED], **members)


def _removed(repository: Repository, name: str) -> str | None:
    """Return when a model was removed and how to restore it, or None if it was not."""
    if repository.versions(name) or not (removals := repository.removals(name)):
        return None
    when = f"{removals[0].removed_at:%Y-%m-%d %H:%M} UTC"
    return f"the model {name!r} was removed on {when}; restore it: POST /v1/models/{name}/restore"


def _none_is_current(repository: Repository, name: str, versions: list[int]) -> Problem:
    """Return the refusal for a model without a promoted version, with the reason of the gate for the newest."""
    newest, listed = versions[-1], versions[-_MAX_VERSIONS_LISTED:]
    if reason := _reason_of_gate(repository, name, newest):
        why, how = f"the gate refused version {newest}, because {reason}", "anyway"
    else:
        why = f"none of {', '.join(map(str, listed))} was promoted"
        how = "(if that fails, the answer says why)"
    detail = (
        f"the model {name!r} has no current version: {why}; ask for {name}@{newest}, or make it current {how}:"
        f' PUT /v1/models/{name}/aliases/current {{"version": {newest}}}'
    )
    return Problem(ProblemCode.NO_CURRENT_VERSION, detail, versions=listed)


def _reason_of_gate(repository: Repository, name: str, version: int) -> str | None:
    """Return why the gate of its training refused a version, or None if the report does not say."""
    reason = (repository.files(name, version).report_facts() or {}).get("refused")
    return reason[:500] if isinstance(reason, str) else None


def _as_name(text: str) -> str:
    """Return the likely name: `My%20Loan` → `my-loan`."""
    return re.sub(r"[^a-z0-9_-]+", "-", unquote(text).lower()).strip("-")


RunCommand = Callable[[RepositoryCommand], dict[str, Any]]
"""Has the trainer run a command, and returns its answer. Raises `ModelgateError` with the trainer's reason, and
`TrainerUnavailable`."""


class CommandFailed(Problem):
    """The trainer has refused a command, or failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code, failure.message, status=status_of(failure), details=dict(failure.details))


def run(run_command: RunCommand, command: RepositoryCommand) -> dict[str, Any]:
    """Return the trainer's answer. Raises `CommandFailed`, `TrainerUnavailable`, `IdempotencyConflict` and
    `InFlight`."""
    try:
        return run_command(command)
    except ModelgateError as error:
        raise CommandFailed(error.failure) from error


@dataclass(frozen=True)
class ModelChanges:
    """Changes of the models in `repository`, that of the caller. Each returns the state after it, and raises `Problem`
    without such a model and as `run` does. `forget` drops what Redis keeps of the requests to a removed model."""

    repository: Repository
    run_command: RunCommand
    forget: Callable[[str], object]

    def run(self, command: RepositoryCommand) -> dict[str, Any]:
        check_model(self.repository, command.model)
        return run(self.run_command, command)

    def remove(self, name: str, confirm: str) -> dict[str, Any]:
        """Raises `Problem` unless `confirm` is the name of the model."""
        check_model(self.repository, name)
        if confirm != name:
            detail = f"confirm={confirm[:64]!r} is not the name of the model; to remove it, send confirm={name}"
            raise Problem(ProblemCode.INVALID_PARAMETER, detail)
        removed = run(self.run_command, RepositoryCommand(RepositoryAction.REMOVE_MODEL, name))
        with suppress(RedisError):  # it expires within days
            self.forget(name)
        return removed

    def restore(self, name: str, version: int | None = None) -> dict[str, Any]:
        """Restore what was removed last, or what was removed with `version`."""
        check_removed(self.repository, name)
        return run(self.run_command, RepositoryCommand(RepositoryAction.RESTORE_MODEL, name, version=version))
