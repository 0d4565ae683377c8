"""Every failure of a request as application/problem+json (RFC 9457). No traceback and no HTML leaves the gateway."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Response
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException

from broker.faults import fault_of
from broker.idempotency import Conflict, IdempotencyConflict, InFlight
from broker.trainer_jobs import TrainerUnavailable
from contract.errors import Code, InvalidInstances, ModelgateError
from contract.keys import Detail
from gateway.answers import json_response, quota_headers
from gateway.exchange import caller, current_route, note_problem
from gateway.refusals import Reason, Refusal
from gateway.serving.commands import CommandFailed
from gateway.serving.predicting import PredictionFailed
from gateway.terse import TERSE_SENTENCES, terse_errors

log = logging.getLogger(__name__)

RETRY_SOON = {"Retry-After": "1"}

STATUSES: Mapping[Reason, int] = {
    Reason.CANNOT_LOAD: 503,
    Reason.INVALID_KEY_REQUEST: 422,
    Reason.INVALID_NAME: 422,
    Reason.INVALID_PARAMETER: 400,
    Reason.INVALID_SIGNATURE: 422,
    Reason.INVALID_TRAINING: 422,
    Reason.INVALID_WEBHOOK: 422,
    Reason.JOBS_IN_FLIGHT_LIMIT: 429,
    Reason.KEY_EXPIRED: 409,
    Reason.MALFORMED_BODY: 400,
    Reason.MISSING_SCOPE: 403,
    Reason.NAME_TAKEN: 409,
    Reason.NO_CURRENT_VERSION: 404,
    Reason.NO_LOG: 404,
    Reason.NO_MARKER: 503,
    Reason.NO_OUTPUT: 404,
    Reason.NO_SCHEDULE: 404,
    Reason.NO_TRAINER: 503,
    Reason.NO_WORKER: 503,
    Reason.NOT_IN_TIME: 504,
    Reason.NOT_SUPPORTED: 400,
    Reason.NO_WEBHOOKS: 403,
    Reason.NOT_ACCEPTABLE: 406,
    Reason.NOT_FINISHED: 409,
    Reason.OTHERS_SCHEDULE: 409,
    Reason.OVERLOADED: 503,
    Reason.PREVIEWS_LIMIT: 429,
    Reason.QUEUE_FULL: 503,
    Reason.RATE_LIMIT: 429,
    Reason.REDIS_FULL: 503,
    Reason.ROWS_WAITING_LIMIT: 429,
    Reason.SEVERAL_MODELS: 400,
    Reason.SPOOL_FULL: 507,
    Reason.TIMED_OUT_TWICE: 422,
    Reason.TOO_MANY_KEYS: 409,
    Reason.TOO_MANY_ROWS: 413,
    Reason.TOO_MANY_SCHEDULES: 409,
    Reason.TOO_MANY_STREAMS: 429,
    Reason.TOO_MANY_WEBHOOKS: 409,
    Reason.TRAININGS_WAITING_LIMIT: 429,
    Reason.UNFIT_MODEL: 503,
    Reason.UNKNOWN_JOB: 404,
    Reason.UNKNOWN_KEY: 404,
    Reason.UNKNOWN_METHOD: 404,
    Reason.UNKNOWN_MODEL: 404,
    Reason.UNKNOWN_WEBHOOK: 404,
    Reason.UPLOAD_LIMIT: 429,
    Reason.UPLOAD_TOO_LARGE: 413,
}

COMMAND_STATUSES: Mapping[str, int] = {
    Code.MODEL_NOT_FOUND: 404,
    Code.MODEL_EXISTS: 409,
    Code.ALIAS_NOT_FOUND: 404,
    Code.CURRENT_REQUIRED: 409,
    Code.NO_DATA: 422,
    Code.NO_PREVIOUS: 409,
    Code.ALIAS_MOVED: 409,
    Code.VERSION_IN_USE: 409,
    Code.NOT_LOADED: 409,
    Code.NOT_TRUSTED: 409,
    Code.INVALID_ALIAS: 422,
    Code.MODELS_FULL: 507,
    Code.NOT_PUBLISHED: 422,
    Code.NOT_SIGNED: 403,
}
"""Statuses of failed commands that the client or the operator can correct; all others are 503."""

PREDICTION_STATUSES: Mapping[str, int] = {
    Code.MODEL_ERROR: 422,
    Code.OUT_OF_MEMORY: 422,
    Code.TIMEOUT: 504,
    Code.WORKER_CRASHED: 422,
}
"""Statuses of failed predictions where the answer is not the job: rows cause these failures. All others are 503."""

_SENTENCES = 5
"""Most errors of rows in the sentence of a foreign protocol."""


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
        note_problem(self.code)
        route = current_route()
        status = self.status if route is None else route.statuses.get(self.code, self.status)
        if route is not None and route.errors is not None:
            foreign, headers = route.errors(status, self.code, self.sentence())
            return json_response(foreign, status, {**self.headers, **headers})
        body = {
            "type": f"urn:modelgate:problem:{self.code}",
            "code": self.code,
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": self.detail,
            **self.members,
        }
        return json_response(body, status, self.headers, "application/problem+json")

    def sentence(self) -> str:
        """Return everything that a protocol without members can say: the first errors with their rows, or `detail`."""
        errors: Any = self.members.get("errors")
        if not errors:
            return self.detail
        shown = [_with_row(error) for error in errors[:_SENTENCES]]
        more = [f"and {len(errors) - _SENTENCES} more"] if len(errors) > _SENTENCES else []
        return "; ".join(shown + more)


def _with_row(error: Mapping[str, object]) -> str:
    return str(error["message"]) if error.get("row") is None else f"row {error['row']}: {error['message']}"


def response_to(error: Exception) -> Response:
    """Return the answer to a request that ended with `error`, as detailed as the key of the caller says."""
    return problem_of(error).response()


def problem_of(error: Exception) -> Problem:
    """Return what is wrong with a request that ended with `error`, and log what an operator has to know."""
    problem = next(_PROBLEMS[kind](error) for kind in type(error).__mro__ if kind in _PROBLEMS)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log_failure(problem, error)
    return _terse(problem, error) if caller().detail is Detail.TERSE else problem


def _terse(problem: Problem, error: Exception) -> Problem:
    """Return the problem as a terse key sees it. Refusals of commands stay full: a caller who may send commands gets
    versions and aliases in the answers anyway."""
    if isinstance(error, InvalidInstances):
        return _invalid_instances(InvalidInstances(terse_errors(error.errors)))
    if problem.code not in TERSE_SENTENCES or isinstance(error, CommandFailed):
        return problem
    return Problem(problem.status, problem.code, TERSE_SENTENCES[problem.code], headers=problem.headers)


def _log_failure(problem: Problem, error: Exception) -> None:
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("a request ended with %s", type(error).__name__, exc_info=error)
    elif isinstance(error, RedisError):
        log.warning("%s: Redis: %s: %s", problem.code, type(error).__name__, error)
    else:
        log.warning("%s: %s", problem.code, problem.detail)


def _refused(error: Refusal) -> Problem:
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.quota is not None:
        headers |= quota_headers(error.quota)
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


def _prediction_failed(error: PredictionFailed) -> Problem:
    failure = error.failure
    return Problem(PREDICTION_STATUSES.get(failure.code, 503), failure.code, failure.message)


def _trainer_unavailable(error: TrainerUnavailable) -> Problem:
    return Problem(503, "no_trainer", str(error), headers=RETRY_SOON)


def _idempotency_conflict(error: IdempotencyConflict) -> Problem:
    if error.conflict is Conflict.GONE:
        detail = "what this request has made does not exist any more; send a new Idempotency-Key to make it again"
        return Problem(410, "job_gone", detail)
    detail = "this Idempotency-Key was sent with another path, option or body; send a new key with each new request"
    return Problem(422, "idempotency_key_reused", detail)


def _in_flight(_: InFlight) -> Problem:
    detail = "an earlier request with this Idempotency-Key is still being carried out; try again"
    return Problem(409, "request_in_flight", detail, headers=RETRY_SOON)


def _redis_fault(error: RedisError) -> Problem:
    fault = fault_of(error)
    return Problem(503, fault.code, fault.detail, headers={"Retry-After": str(fault.retry_after)})


def _http_error(error: HTTPException) -> Problem:
    status = error.code or 500
    name = HTTPStatus(status).phrase.lower().replace(" ", "_").replace("'", "")
    headers = {key: value for key, value in error.get_headers() if key in ("Allow", "Content-Range")}
    return Problem(status, name, error.description or name, headers=headers)


def _internal_error(_: Exception) -> Problem:
    return Problem(500, "internal_error", "something went wrong in the gateway; its log says what")


_PROBLEMS: Mapping[type[BaseException], Callable[[Any], Problem]] = {
    Problem: lambda problem: problem,
    Refusal: _refused,
    InvalidInstances: _invalid_instances,
    ModelgateError: _unusable_model,
    CommandFailed: _command_failed,
    PredictionFailed: _prediction_failed,
    TrainerUnavailable: _trainer_unavailable,
    IdempotencyConflict: _idempotency_conflict,
    InFlight: _in_flight,
    RedisError: _redis_fault,
    HTTPException: _http_error,
    Exception: _internal_error,
}
