"""Exit codes, and which error ends with which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from modelgate.errors import Forbidden, ModelgateError, TimedOut, Unauthorized, Unavailable, Unreachable


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_ALLOWED = 4
    NOT_PROMOTED = 5
    INTERRUPTED = 130


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "Modelgate refused the request, or the job failed",
    ExitCode.USAGE: "wrong arguments, or a file that cannot be read or written",
    ExitCode.UNREACHABLE: "no Modelgate answers, or it cannot serve now; a later try may succeed",
    ExitCode.NOT_ALLOWED: "the key is missing or wrong, or does not allow this",
    ExitCode.NOT_PROMOTED: "`train` or `publish` has published a version, but the gate did not promote it",
    ExitCode.INTERRUPTED: "Ctrl-C: the job that the command waited for is cancelled",
}


class Failed(Exception):
    """The command cannot go on; the message is one line that says why, and what to do."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code


def exit_code(error: Failed | ModelgateError) -> ExitCode:
    """Return the exit code of a command that ends with `error`."""
    match error:
        case Failed():
            return error.code
        case Unauthorized() | Forbidden():
            return ExitCode.NOT_ALLOWED
        case Unreachable() | TimedOut() | Unavailable():
            return ExitCode.UNREACHABLE
        case _:
            return ExitCode.FAILED
