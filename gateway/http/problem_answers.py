"""Every failure of a request as application/problem+json (RFC 9457). No traceback and no HTML leaves the gateway."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Response, request
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException, NotFound

from broker.link.faults import fault_of
from broker.link.idempotency import ConflictReason, IdempotencyConflict, InFlight
from broker.sides.gateway.observer_client import ObserverUnavailable
from broker.state.trainer_jobs import TrainerUnavailable
from contract.errors import FieldError, InvalidInstances, ModelgateError
from contract.wording import clean
from contract.work.api_keys import Detail, without_keys
from gateway.http.answers import FRESH, json_response, quota_headers
from gateway.http.exchange import caller, current, current_route, error_shape, note_problem, note_refusal
from gateway.http.near_routes import nearest
from gateway.problems import Problem, ProblemCode
from gateway.problems.terse import TERSE_SENTENCES, terse_errors
from gateway.protocols.native import to_json
from gateway.serving.model_versions import CommandFailed
from gateway.serving.readiness import ReadinessReport
from storage.disk import StoreError

log = logging.getLogger(__name__)

_RETRY_LATER = (ProblemCode.REDIS_FULL, ProblemCode.REDIS_DENIED, ProblemCode.REDIS_DISK_FULL)
"""What does not pass within a second."""

_LONGEST_PATH = 200
"""Most characters of a path that an answer repeats."""
_LONGEST_BODY = 1000  # in characters


def response_to(error: Exception) -> Response:
    """Return the answer to a request that ended with `error`, as detailed as the key of the caller says."""
    return problem_response(problem_of(error))


def problem_response(problem: Problem) -> Response:
    """Return the answer that says what is wrong, in the protocol of the route."""
    note_problem(problem.code)
    route, headers = current_route(), problem_headers(problem)
    status = problem.status if route is None else route.statuses.get(problem.code, problem.status)
    if (shape := error_shape()) is not None:
        foreign, foreign_headers = shape(status, problem.code, problem.sentence())
        return json_response(foreign, status, {**headers, **foreign_headers})
    body = {
        "type": f"urn:modelgate:problem:{problem.code}",
        "code": problem.code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": problem.detail,
        **problem.members,
    }
    return json_response(body, status, headers, "application/problem+json")


def not_ready(report: ReadinessReport, **members: Any) -> Response:
    """Return the answer that no prediction is accepted. Not raised, which would log it: the log has each change of
    readiness once."""
    return problem_response(Problem(ProblemCode.NOT_READY, report.detail, retry_after=1, headers=FRESH, **members))


def problem_headers(problem: Problem) -> dict[str, str]:
    """Return the headers of the answer that say more of the problem."""
    headers = dict(problem.headers)
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return headers if problem.quota is None else headers | quota_headers(problem.quota)


def problem_of(error: Exception) -> Problem:
    """Return what is wrong with a request that ended with `error`, and log what an operator has to know."""
    problem = next(_PROBLEMS[kind](error) for kind in type(error).__mro__ if kind in _PROBLEMS)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log_failure(problem, error)
    if isinstance(error, InvalidInstances):
        note_refusal(error)
    return _terse(problem, error) if caller().detail is Detail.TERSE else problem


def _terse(problem: Problem, error: Exception) -> Problem:
    """Return the problem as a terse key sees it. Refusals of commands stay full: a caller who may send commands gets
    versions and aliases in the answers anyway."""
    if isinstance(error, InvalidInstances):
        return _invalid_instances(InvalidInstances(terse_errors(error.errors)))
    if problem.code not in TERSE_SENTENCES or isinstance(error, CommandFailed):
        return problem
    terse = TERSE_SENTENCES[problem.code]
    return Problem(problem.code, terse, status=problem.status, retry_after=problem.retry_after, headers=problem.headers)


def _log_failure(problem: Problem, error: Exception) -> None:
    if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("a request ended with %s", type(error).__name__, exc_info=error)
        return
    reason = str(error) if isinstance(error, StoreError) else problem.detail
    if isinstance(error, RedisError):
        reason = f"Redis: {type(error).__name__}: {error}"
    log.warning("%s: %s", problem.code, reason, extra={"kind": problem.code})


def _with_example(error: InvalidInstances) -> Problem:
    """Return the problem; if the body has another shape than our own, with a body that works."""
    first, example = error.errors[0], current().example
    if not example or error_shape() or first.code not in ("not_instances", "ambiguous_body"):
        return _invalid_instances(error)
    message = f"{first.message}; a body that works is {clean(to_json([example]).strip(), _LONGEST_BODY)}"
    return _invalid_instances(InvalidInstances([FieldError(None, None, first.code, message)]))


def _invalid_instances(error: InvalidInstances) -> Problem:
    shown = len(error.errors)
    detail = error.errors[0].message if error.total == 1 else f"{error.total} values cannot be used; see errors"
    if shown < error.total:
        detail += f" (the first {shown} are listed)"
    return Problem(ProblemCode.INVALID_INSTANCES, detail, errors=[entry.to_json() for entry in error.errors])


def _unusable_model(error: ModelgateError) -> Problem:
    failure = error.failure
    return Problem(failure.code, failure.message, status=503, details=dict(failure.details))


def _idempotency_conflict(error: IdempotencyConflict) -> Problem:
    if error.conflict is ConflictReason.GONE:
        detail = "what this request has made does not exist any more; send a new Idempotency-Key to make it again"
        return Problem(ProblemCode.JOB_GONE, detail)
    detail = "this Idempotency-Key was sent with another path, option or body; send a new key with each new request"
    return Problem(ProblemCode.IDEMPOTENCY_KEY_REUSED, detail)


def _redis_fault(error: RedisError) -> Problem:
    fault = fault_of(error)
    return Problem(fault.code, fault.message, retry_after=10 if fault.code in _RETRY_LATER else 1)


def no_address(path: str, *, page: bool = False) -> Problem:
    """Return the refusal of a path that no route has. Its member `suggestion` is a similar one."""
    path = without_keys(path.rstrip("/") or path[:1])
    suggestion = nearest(path, page=page)
    what, where = ("page", "the navigation leads to all") if page else ("address", "GET /docs lists all")
    hint = f"; did you mean {suggestion}?" if suggestion else f"; {where}"
    members: dict[str, Any] = {"suggestion": suggestion} if suggestion else {}
    return Problem(ProblemCode.NOT_FOUND, f"there is no {what} {path[:_LONGEST_PATH]!r}{hint}", **members)


def _http_error(error: HTTPException) -> Problem:
    if isinstance(error, NotFound):
        return no_address(request.path)
    status = error.code or 500
    name = HTTPStatus(status).phrase.lower().replace(" ", "_").replace("'", "")
    headers = {key: value for key, value in error.get_headers() if key in ("Allow", "Content-Range")}
    return Problem(name, error.description or name, status=status, headers=headers)


_IN_FLIGHT = "an earlier request with this Idempotency-Key is still being carried out; try again"
_STORE_AWAY = "the object store with the files of users does not answer or refuses; nothing was kept, so try again"
_INTERNAL_ERROR = "something went wrong in the gateway; its log says what"
_PROBLEMS: Mapping[type[BaseException], Callable[[Any], Problem]] = {
    Problem: lambda problem: problem,
    InvalidInstances: _with_example,
    ModelgateError: _unusable_model,
    TrainerUnavailable: lambda error: Problem(ProblemCode.NO_TRAINER, str(error), retry_after=1),
    ObserverUnavailable: lambda error: Problem(ProblemCode.NO_OBSERVER, str(error), retry_after=1),
    IdempotencyConflict: _idempotency_conflict,
    InFlight: lambda _: Problem(ProblemCode.REQUEST_IN_FLIGHT, _IN_FLIGHT, retry_after=1),
    RedisError: _redis_fault,
    StoreError: lambda _: Problem(ProblemCode.STORE_AWAY, _STORE_AWAY, retry_after=10),
    HTTPException: _http_error,
    Exception: lambda _: Problem(ProblemCode.INTERNAL_ERROR, _INTERNAL_ERROR),
}
