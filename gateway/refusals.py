"""Why a use case or a protocol refuses a request, without HTTP. `gateway.problems` gives each reason its status."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from contract.suggestions import Suggestions


class Reason(StrEnum):
    """The `code` of a refusal. A code never changes its meaning; clients compare with it."""

    INVALID_NAME = "invalid_name"
    INVALID_PARAMETER = "invalid_parameter"
    INVALID_TRAINING = "invalid_training"
    MALFORMED_BODY = "malformed_body"
    NO_CURRENT_VERSION = "no_current_version"
    NO_LOG = "no_log"
    NO_SCHEDULE = "no_schedule"
    NO_TRAINER = "no_trainer"
    OVERLOADED = "overloaded"
    QUEUE_FULL = "queue_full"
    SPOOL_FULL = "spool_full"
    TOO_MANY_ROWS = "too_many_rows"
    TOO_MANY_SCHEDULES = "too_many_schedules"
    UNKNOWN_JOB = "unknown_job"
    UNKNOWN_MODEL = "unknown_model"
    UPLOAD_TOO_LARGE = "upload_too_large"


class Refusal(Exception):
    """A refused request. `detail` says what is wrong and what to do; `members` are further members of the answer."""

    def __init__(self, reason: Reason, detail: str, *, retry_after: int | None = None, **members: object) -> None:
        """`retry_after`: seconds after which the same request may succeed."""
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        self.members = members


class MalformedBody(Refusal):
    """A body that cannot be read at all; the message says where and what to send."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.MALFORMED_BODY, detail)


def did_you_mean(name: str, names: Iterable[str], suggestions: Suggestions | None = None) -> str:
    """Return ` (did you mean 'iris'?)`, or nothing if no name is similar. `suggestions` is shared by all names of a
    request."""
    found = (suggestions or Suggestions()).closest(name, names, 0.6)
    return f" (did you mean {found!r}?)" if found else ""
