"""Every failure of a request as application/problem+json (RFC 9457). No traceback and no HTML leaves the gateway."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Response
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError
from werkzeug.exceptions import HTTPException

from broker.trainer_jobs import TrainerUnavailable
from contract.errors import Code, InvalidInstances, ModelgateError
from gateway.answers import json_response
from gateway.refusals import Reason, Refusal
from gateway.serving.commands import CommandFailed

log = logging.getLogger(__name__)

RETRY_SOON = {"Retry-After": "1"}

STATUSES: Mapping[Reason, int] = {
    Reason.INVALID_NAME: 422,
    Reason.INVALID_PARAMETER: 400,
    Reason.INVALID_TRAINING: 422,
    Reason.MALFORMED_BODY: 400,
    Reason.NO_CURRENT_VERSION: 404,
    Reason.NO_LOG: 404,
    Reason.NO_SCHEDULE: 404,
    Reason.NO_TRAINER: 503,
    Reason.OVERLOADED: 503,
    Reason.QUEUE_FULL: 503,
    Reason.SPOOL_FULL: 507,
    Reason.TOO_MANY_ROWS: 413,
    Reason.TOO_MANY_SCHEDULES: 409,
    Reason.UNKNOWN_JOB: 404,
    Reason.UNKNOWN_MODEL: 404,
    Reason.UPLOAD_TOO_LARGE: 413,
}

COMMAND_STATUSES: Mapping[str, int] = {
    Code.MODEL_NOT_FOUND: 404,
    Code.ALIAS_NOT_FOUND: 404,
    Code.CURRENT_REQUIRED: 409,
    Code.NO_PREVIOUS: 409,
    Code.VERSION_IN_USE: 409,
    Code.NOT_LOADED: 409,
    Code.NOT_TRUSTED: 409,
    Code.INVALID_ALIAS: 422,
    Code.NOT_PUBLISHED: 422,
    Code.NOT_SIGNED: 403,
}
"""Statuses of failed commands that the client can correct; all others are 503."""

_UNREAD_BODY = frozenset({Reason.SPOOL_FULL, Reason.UPLOAD_TOO_LARGE})
"""Refusals of a body that is not read to its end, so that its connection cannot be used again."""


class Problem(Exception):
    """The answer to a failed request; `members` are further members of the JSON object."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}
        self.members = members

    def response(self) -> Response:
        body = {
            "type": f"urn:modelgate:problem:{self.code}",
            "code": self.code,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }
        return json_response(body, self.status, self.headers, "application/problem+json")


def response_to(error: Exception) -> Response:
    """Return the answer to a request that ended with `error`."""
    problem = next(_PROBLEMS[kind](error) for kind in type(error).__mro__ if kind in _PROBLEMS)
    return problem.response()


def _refused(error: Refusal) -> Problem:
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.reason in _UNREAD_BODY:
        headers["Connection"] = "close"
    return Problem(STATUSES[error.reason], error.reason, error.detail, headers=headers, **error.members)


def _invalid_instances(error: InvalidInstances) -> Problem:
    shown = len(error.errors)
    detail = error.errors[0].message if error.total == 1 else f"{error.total} values cannot be used; see errors"
    if shown < error.total:
        detail += f" (the first {shown} are listed)"
    return Problem(422, "invalid_instances", detail, errors=[entry.to_json() for entry in error.errors])


def _unusable_model(error: ModelgateError) -> Problem:
    failure = error.failure
    return Problem(503, failure.code, failure.message, details=dict(failure.details))


def _command_failed(error: CommandFailed) -> Problem:
    failure = error.failure
    status = COMMAND_STATUSES.get(failure.code, 503)
    return Problem(status, failure.code, failure.message, details=dict(failure.details))


def _trainer_unavailable(error: TrainerUnavailable) -> Problem:
    return Problem(503, "no_trainer", str(error), headers=RETRY_SOON)


def _redis_full(_: OutOfMemoryError) -> Problem:
    detail = "Redis is full and takes no new jobs; results expire by themselves, try again later"
    return Problem(503, "redis_full", detail, headers={"Retry-After": "10"})


def _redis_unavailable(error: RedisError) -> Problem:
    log.warning("Redis: %s: %s", type(error).__name__, error)
    refused = isinstance(error, ResponseError)
    detail = f"Redis {'refuses; the log of the gateway says why' if refused else 'does not answer'}; try again"
    return Problem(503, "redis_unavailable", detail, headers=RETRY_SOON)


def _http_error(error: HTTPException) -> Problem:
    status = error.code or 500
    name = HTTPStatus(status).phrase.lower().replace(" ", "_").replace("'", "")
    headers = {key: value for key, value in error.get_headers() if key == "Allow"}
    return Problem(status, name, error.description or name, headers=headers)


def _internal_error(error: Exception) -> Problem:
    log.error("a request ended with %s", type(error).__name__, exc_info=error)
    return Problem(500, "internal_error", "something went wrong in the gateway; its log says what")


_PROBLEMS: Mapping[type[BaseException], Callable[[Any], Problem]] = {
    Problem: lambda problem: problem,
    Refusal: _refused,
    InvalidInstances: _invalid_instances,
    ModelgateError: _unusable_model,
    CommandFailed: _command_failed,
    TrainerUnavailable: _trainer_unavailable,
    OutOfMemoryError: _redis_full,
    RedisError: _redis_unavailable,
    HTTPException: _http_error,
    Exception: _internal_error,
}
