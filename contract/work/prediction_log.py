"""The prediction log between the services: what the gateway adds to a logged job, and what the scorer records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from contract.row import Value


@dataclass(slots=True)
class LoggedRequest:
    """What the log gets of a request beside the rows and their answers.

    `accepted_at`: RFC 3339 in UTC. `alias`: that in the request; None: it named a version. `owner`: of its key, or ''.
    `ids`: the caller's id of each scored row; None: there are none. `numbers`: those that the scored rows have in the
    request; None: all were scored. `leave_out`: inputs that the scorer must not pass on.
    """

    accepted_at: str
    alias: str | None = None
    owner: str = ""
    ids: Sequence[Value] | None = None
    numbers: Sequence[int] | None = None
    leave_out: Sequence[str] = ()
    warnings: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the members that are set."""
        members = ((entry.name, getattr(self, entry.name)) for entry in fields(self))
        return {name: value for name, value in members if value not in (None, "", ())}


@dataclass(frozen=True)
class LogRecord:
    """The record of one job: its `rows`, and all that the log keeps of them as one line of JSON."""

    job_id: str
    rows: int
    line: bytes
