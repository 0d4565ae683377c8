"""Changes of models: only the trainer writes to their repository, so the gateway sends it commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from contract.errors import Failure, ModelgateError
from contract.model.repository import Repository
from contract.work.training import RepositoryAction, RepositoryCommand
from gateway.problems import Problem, ProblemCode
from gateway.serving.model_versions import check_model, check_removed

RunCommand = Callable[[RepositoryCommand], dict[str, Any]]
"""Has the trainer run a command, and returns its answer. Raises `ModelgateError` with the trainer's reason, and
`TrainerUnavailable`."""


class CommandFailed(Exception):
    """The trainer has refused a command, or failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


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
    without such a model and as `run` does."""

    repository: Repository
    run_command: RunCommand

    def run(self, command: RepositoryCommand) -> dict[str, Any]:
        check_model(self.repository, command.model)
        return run(self.run_command, command)

    def remove(self, name: str, confirm: str) -> dict[str, Any]:
        """Raises `Problem` unless `confirm` is the name of the model."""
        check_model(self.repository, name)
        if confirm != name:
            detail = f"confirm={confirm[:64]!r} is not the name of the model; to remove it, send confirm={name}"
            raise Problem(ProblemCode.INVALID_PARAMETER, detail)
        return run(self.run_command, RepositoryCommand(RepositoryAction.REMOVE_MODEL, name))

    def restore(self, name: str, version: int | None = None) -> dict[str, Any]:
        """Restore what was removed last, or what was removed with `version`."""
        check_removed(self.repository, name)
        return run(self.run_command, RepositoryCommand(RepositoryAction.RESTORE_MODEL, name, version=version))
