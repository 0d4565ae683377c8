"""Why a use case or a protocol refuses a request, without HTTP. `gateway.problems` gives each reason its status."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from contract.keys import Key, Scope
from contract.quotas import Quota
from contract.suggestions import Suggestions


class Reason(StrEnum):
    """The `code` of a refusal. A code never changes its meaning; clients compare with it."""

    CANNOT_LOAD = "cannot_load"
    INVALID_KEY_REQUEST = "invalid_key_request"
    INVALID_NAME = "invalid_name"
    INVALID_PARAMETER = "invalid_parameter"
    INVALID_SIGNATURE = "invalid_signature"
    INVALID_TRAINING = "invalid_training"
    INVALID_WEBHOOK = "invalid_webhook"
    JOBS_IN_FLIGHT_LIMIT = "jobs_in_flight_limit"
    KEY_EXPIRED = "key_expired"
    MALFORMED_BODY = "malformed_body"
    MISSING_SCOPE = "missing_scope"
    NAME_TAKEN = "name_taken"
    NO_CURRENT_VERSION = "no_current_version"
    NO_LOG = "no_log"
    NO_MARKER = "no_marker"
    NO_OUTPUT = "no_output"
    NO_SCHEDULE = "no_schedule"
    NO_TRAINER = "no_trainer"
    NO_WORKER = "no_worker"
    NOT_IN_TIME = "not_in_time"
    NOT_SUPPORTED = "not_supported"
    NO_WEBHOOKS = "no_webhooks"
    NOT_ACCEPTABLE = "not_acceptable"
    NOT_FINISHED = "not_finished"
    OTHERS_SCHEDULE = "others_schedule"
    OVERLOADED = "overloaded"
    PREVIEWS_LIMIT = "previews_limit"
    QUEUE_FULL = "queue_full"
    RATE_LIMIT = "rate_limit"
    REDIS_FULL = "redis_full"
    ROWS_WAITING_LIMIT = "rows_waiting_limit"
    SEVERAL_MODELS = "several_models"
    SPOOL_FULL = "spool_full"
    TIMED_OUT_TWICE = "timed_out_twice"
    TOO_MANY_KEYS = "too_many_keys"
    TOO_MANY_ROWS = "too_many_rows"
    TOO_MANY_SCHEDULES = "too_many_schedules"
    TOO_MANY_STREAMS = "too_many_streams"
    TOO_MANY_WEBHOOKS = "too_many_webhooks"
    TRAININGS_WAITING_LIMIT = "trainings_waiting_limit"
    UNFIT_MODEL = "unfit_model"
    UNKNOWN_JOB = "unknown_job"
    UNKNOWN_KEY = "unknown_key"
    UNKNOWN_METHOD = "unknown_method"
    UNKNOWN_MODEL = "unknown_model"
    UNKNOWN_WEBHOOK = "unknown_webhook"
    UPLOAD_LIMIT = "upload_limit"
    UPLOAD_TOO_LARGE = "upload_too_large"


class Refusal(Exception):
    """A refused request. `detail` says what is wrong and what to do; `members` are further members of the answer."""

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        retry_after: int | None = None,
        quota: Quota | None = None,
        **members: object,
    ) -> None:
        """`retry_after`: seconds after which the same request may succeed. `quota`: the state of a limit that the
        request counts for."""
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        self.quota = quota
        self.members = members


class MalformedBody(Refusal):
    """A body that cannot be read at all; the message says where and what to send."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.MALFORMED_BODY, detail)


def missing_scope(key: Key, scope: Scope) -> Refusal:
    detail = f"the key {key.name!r} lacks the scope {scope}; ask an admin for a key that has it"
    return Refusal(Reason.MISSING_SCOPE, detail, scope=str(scope))


def did_you_mean(name: str, names: Iterable[str], suggestions: Suggestions | None = None) -> str:
    """Return ` (did you mean 'iris'?)`, or nothing if no name is similar. `suggestions` is shared by all names of a
    request."""
    found = (suggestions or Suggestions()).closest(name, names, 0.6)
    return f" (did you mean {found!r}?)" if found else ""
