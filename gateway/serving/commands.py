"""Changes of the model repository: only the trainer writes there, so the gateway sends it commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contract.errors import Failure, ModelgateError
from contract.training import RepositoryCommand

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
