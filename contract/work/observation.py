"""What the gateway asks of the observer, which keeps the prediction log."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class ObservationAction(StrEnum):
    """What an observation does."""

    READ_PREDICTIONS = "read_predictions"
    DELETE_PREDICTIONS = "delete_predictions"
    HEALTH = "health"
    ADD_OUTCOMES = "add_outcomes"
    MEASURE = "measure"
    READ_OUTCOMES = "read_outcomes"


@dataclass(frozen=True)
class Cursor:
    """The last row of a page: the microseconds since 1970 at which its job was accepted, the job, its number in it."""

    accepted_at: int
    job: str
    row: int

    def __str__(self) -> str:
        """Return the text that clients send back."""
        return f"{self.accepted_at}.{self.row}.{self.job}"

    @property
    def day(self) -> str:
        return datetime.fromtimestamp(self.accepted_at / 1_000_000, UTC).strftime("%Y-%m-%d")

    @classmethod
    def read(cls, text: str) -> Cursor:
        """Raises `ValueError` for a text that is no cursor."""
        match = CURSOR.fullmatch(text)
        if match is None:
            raise ValueError("it is no cursor of a page")
        return cls(int(match[1]), match[3], int(match[2]))


CURSOR = re.compile(r"([0-9]{1,16})\.([0-9]{1,9})\.([A-Za-z0-9_-]{1,64})", re.ASCII)

MOST_OUTCOMES = 10_000
"""Most outcomes of one request."""

LARGEST_PAGE = 1_000
"""Most rows of one page of the log."""

OUTCOME_PAGE = 10_000
"""Most rows of one page of READ_OUTCOMES."""


@dataclass(frozen=True)
class Observation:
    """A question about the prediction log of `model`, or a change of it, whose caller waits.

    READ_PREDICTIONS returns a page of at most `limit` rows, the newest first, that goes on at `cursor`. It has the rows
    with the caller's `id`, of the job `job`, of its `row`, of `version`, accepted from `since` on and before `until`
    (RFC 3339 in UTC), as far as these are given, and of `owner` (None: of all owners). With `parquet` it has the bytes
    of a file in base64 as `file` instead of rows. DELETE_PREDICTIONS deletes the rows of `owner` with
    `id`. HEALTH returns what the rows of `version` show: `rows`, `watched` columns, `alarms`, or the `reason` for none.

    ADD_OUTCOMES keeps `outcomes`, of the rows of `owner`: each a dict with the `outcome`, and with `job` and `row`, or
    with `id` and perhaps the time `at`. It returns how many were `new`, `corrected` or `repeated`. MEASURE returns how
    good the answers of `version` were, as far as the outcomes of the rows of `owner` are known (`observer.measuring`).
    READ_OUTCOMES returns a page of the newest `rows` of `owner` whose outcome is known: lists of the inputs of
    `version` that the log has (`columns`), the id, and the label or number that came true. Versions with other inputs
    are left out, and so are the `unread` outcomes, whose texts it counts.
    """

    action: ObservationAction
    model: str
    id: str | None = None
    job: str | None = None
    row: int | None = None
    version: int | None = None
    since: str | None = None
    until: str | None = None
    owner: str | None = None
    limit: int = LARGEST_PAGE
    cursor: str | None = None
    parquet: bool | None = None
    outcomes: Sequence[Mapping[str, Any]] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set: an observer refuses a field that it does not know."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Observation:
        return cls(**{**data, "action": ObservationAction(data["action"])})
