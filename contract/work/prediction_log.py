"""The prediction log between the services: what the gateway adds to a logged job, and what the scorer records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.row import Value

LoggedRequest = Mapping[str, Any]
"""What the log gets of a request beside the rows and their answers (`logged_request`)."""


def logged_request(
    accepted_at: str,
    alias: str | None = None,
    owner: str = "",
    ids: Sequence[Value] | None = None,
    numbers: Sequence[int] | None = None,
    leave_out: Sequence[str] = (),
    warnings: Sequence[str] = (),
    experiment: str | None = None,
) -> LoggedRequest:
    """Return the members that are set.

    `accepted_at`: RFC 3339 in UTC. `alias`: that in the request; None: it named a version. `owner`: of its key, or ''.
    `ids`: the caller's id of each scored row; None: there are none. `numbers`: those that the scored rows have in the
    request; None: all were scored. `leave_out`: inputs that the scorer must not pass on. `experiment`: the id of
    the one whose candidate is to score the rows, too; None: none is.
    """
    members: dict[str, Any] = {"accepted_at": accepted_at}
    if alias is not None:
        members["alias"] = alias
    if owner:
        members["owner"] = owner
    if ids is not None:
        members["ids"] = ids
    if numbers is not None:
        members["numbers"] = numbers
    if leave_out:
        members["leave_out"] = leave_out
    if warnings:
        members["warnings"] = warnings
    if experiment is not None:
        members["experiment"] = experiment
    return members


@dataclass(frozen=True)
class LogRecord:
    """What the log keeps of the jobs of one batch, or of one of them: its `rows`, all in one line of JSON
    (`worker.log_records`).

    `experiment`: the id of the one whose candidate scores the rows, too, or ''. `complete`: the line that it gets, with
    all inputs, if some are left out of `line`.
    """

    rows: int
    line: bytes
    experiment: str = ""
    complete: bytes = b""
