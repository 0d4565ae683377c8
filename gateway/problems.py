"""Errors as application/problem+json (RFC 9457): no traceback and no HTML ever leaves the gateway."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from broker.trainer_jobs import TrainerUnavailable
from contract.errors import InvalidInstances, ModelgateError
from contract.suggestions import Suggestions
from gateway.answers import json_response
from gateway.protocols.dialects import MalformedBody
from gateway.serving.group_commit import Overloaded

log = logging.getLogger(__name__)

RETRY_SOON = {"Retry-After": "1"}


class Problem(Exception):
    """An answer that is not the one hoped for; `extra` are further members of the JSON object."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: object
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}
        self.extra = extra

    def response(self) -> Response:
        body = {
            "type": f"urn:modelgate:problem:{self.code}",
            "code": self.code,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }
        return json_response(body, self.status, self.headers, "application/problem+json")


def near(name: str, names: Iterable[str], suggestions: Suggestions | None = None) -> str:
    """Return ` (did you mean 'iris'?)`, or nothing if no name is similar. `suggestions` is shared by all names of a
    request."""
    found = (suggestions or Suggestions()).closest(name, names, 0.6)
    return f" (did you mean {found!r}?)" if found else ""


def register(app: Flask, max_body_mb: int) -> Callable[[Exception], Response]:
    """Turns every exception that a request can end with into a problem; returns what does."""
    answers: dict[type[Exception], Callable[[Any], Response]] = {}

    def answering(kind: type[Exception]) -> Callable[[Callable[[Any], Response]], None]:
        def note(answer: Callable[[Any], Response]) -> None:
            answers[kind] = answer
            app.register_error_handler(kind, answer)

        return note

    def answer(error: Exception) -> Response:
        return next(answers[kind](error) for kind in type(error).__mro__ if kind in answers)

    @answering(Problem)
    def problem(error: Problem) -> Response:
        return error.response()

    @answering(InvalidInstances)
    def invalid_instances(error: InvalidInstances) -> Response:
        shown = len(error.errors)
        detail = error.errors[0].message if error.total == 1 else f"{error.total} values cannot be used; see errors"
        if shown < error.total:
            detail += f" (the first {shown} are listed)"
        listed = [entry.to_json() for entry in error.errors]
        return Problem(422, "invalid_instances", detail, errors=listed).response()

    @answering(MalformedBody)
    def malformed_body(error: MalformedBody) -> Response:
        return Problem(400, "malformed_body", str(error)).response()

    @answering(ModelgateError)
    def unusable_model(error: ModelgateError) -> Response:
        failure = error.failure
        return Problem(503, failure.code, failure.message, details=dict(failure.details)).response()

    @answering(TrainerUnavailable)
    def no_trainer(error: TrainerUnavailable) -> Response:
        return Problem(503, "no_trainer", str(error), headers=RETRY_SOON).response()

    @answering(OutOfMemoryError)
    def redis_full(_: OutOfMemoryError) -> Response:
        detail = "Redis is full and takes no new jobs; results expire by themselves, try again later"
        return Problem(503, "redis_full", detail, headers={"Retry-After": "10"}).response()

    @answering(RedisError)
    def redis_unavailable(error: RedisError) -> Response:
        log.warning("Redis: %s: %s", type(error).__name__, error)
        refused = isinstance(error, ResponseError)
        detail = f"Redis {'refuses; the log of the gateway says why' if refused else 'does not answer'}; try again"
        return Problem(503, "redis_unavailable", detail, headers=RETRY_SOON).response()

    @answering(Overloaded)
    def overloaded(error: Overloaded) -> Response:
        return Problem(503, "overloaded", f"{error}; try again", headers=RETRY_SOON).response()

    @answering(RequestEntityTooLarge)
    def body_too_large(_: RequestEntityTooLarge) -> Response:
        detail = f"the body is larger than {max_body_mb} MB (MAX_BODY_MB); send the rows in several requests"
        return Problem(413, "body_too_large", detail, headers={"Connection": "close"}).response()

    @answering(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        name = HTTPStatus(status).phrase.lower().replace(" ", "_").replace("'", "")
        headers = {key: value for key, value in error.get_headers() if key == "Allow"}
        return Problem(status, name, error.description or name, headers=headers).response()

    @answering(Exception)
    def internal_error(error: Exception) -> Response:
        log.error("a request ended with %s", type(error).__name__, exc_info=error)
        detail = "something went wrong in the gateway; its log says what"
        return Problem(500, "internal_error", detail).response()

    return answer
