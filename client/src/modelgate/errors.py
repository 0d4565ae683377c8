"""The errors of the client, each with the sentence of the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelgate.text import visible

_MOST_SHOWN = 3
"""Most errors of rows that the message of an `Invalid` repeats."""


class ModelgateError(Exception):
    """Something went wrong; the message says what, and what to do.

    `detail` is the sentence of the server, `code` its code and `status` the status of its answer. `errors` lists what
    is wrong with each row or field. Without an answer they are "", None and empty.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        code: str = "",
        errors: Sequence[Mapping[str, Any]] = (),
        retry_after: float | None = None,
        request_id: str | None = None,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        """`retry_after`: seconds after which the same request may succeed. `problem`: all that the server said."""
        self.detail = visible(detail)  # a traceback shows it in a terminal
        super().__init__(self.detail)
        self.status = status
        self.code = code
        self.errors = tuple(errors)
        self.retry_after = retry_after
        self.request_id = request_id
        self.problem = dict(problem or {})


class Unreachable(ModelgateError, ConnectionError):
    """No Modelgate answers at the address."""


class TimedOut(ModelgateError, TimeoutError):
    """What was waited for took longer than the time-out."""


class Unauthorized(ModelgateError):
    """The API key is missing, unknown or expired (401)."""


class Forbidden(ModelgateError):
    """The API key, or this installation, does not allow the request (403)."""


class NotFound(ModelgateError, LookupError):
    """There is no such model, version, job or key (404, 410)."""


class UnknownMethod(NotFound, AttributeError):
    """The model does not have this method."""


class Conflict(ModelgateError):
    """The state of what the request names does not allow it (409)."""


class Invalid(ModelgateError, ValueError):
    """The request has values that cannot be used; `errors` names each (400, 406, 411, 413 to 416, 422)."""

    def __str__(self) -> str:
        """The sentence of the server, and the first of the errors."""
        if not self.errors:
            return self.detail
        shown = "; ".join(_located(error) for error in self.errors[:_MOST_SHOWN])
        left = len(self.errors) - _MOST_SHOWN
        return f"{shown}; and {left} more in `errors`" if left > 0 else shown


class Unavailable(ModelgateError):
    """Modelgate could not carry out the request now, even after the retries (408, 429, 502, 503, 504, 507)."""


class JobFailed(ModelgateError):
    """A job ended without a result. `job` is the job as JSON."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self.job = dict(job)
        failure = job.get("error") or {}
        super().__init__(
            str(failure.get("message") or f"the job {job['id']} was {job['status']}"),
            code=str(failure.get("code", job["status"])),
            errors=(failure.get("details") or {}).get("errors", ()),
            problem=failure,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Let other processes raise it: an exception is made anew from its arguments."""
        return type(self), (self.job,)


class JobCanceled(JobFailed):
    """The job was cancelled, or it expired before it began."""


class ModelRaised(JobFailed, ValueError):
    """The model raised a ValueError for these rows."""


class ModelgateWarning(UserWarning):
    """A warning of the server about a request that it carried out."""


_BY_CODE: Mapping[str, type[ModelgateError]] = {"unknown_method": UnknownMethod}
_BY_STATUS: Mapping[int, type[ModelgateError]] = {
    **dict.fromkeys((400, 406, 411, 413, 414, 415, 416, 422), Invalid),
    **dict.fromkeys((404, 410), NotFound),
    **dict.fromkeys((408, 429, 502, 503, 504, 507), Unavailable),
    401: Unauthorized,
    403: Forbidden,
    409: Conflict,
}


def error_of(
    status: int, problem: Mapping[str, Any], retry_after: float | None = None, request_id: str | None = None
) -> ModelgateError:
    """Return the error for an answer with `problem` as its JSON."""
    code = str(problem.get("code", ""))
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, ModelgateError)
    detail = str(problem.get("detail") or f"the server answered with the status {status}")
    if code == "missing_key":
        detail = f"{detail.partition(';')[0]}; set MODELGATE_API_KEY, or name a profile with a key"
    return kind(
        detail,
        status=status,
        code=code,
        errors=problem.get("errors") or (),
        retry_after=retry_after,
        request_id=request_id,
        problem=problem,
    )


def failure_of(job: Mapping[str, Any]) -> JobFailed:
    """Return the error for a job that has ended without a result."""
    if job["status"] in ("canceled", "expired"):
        return JobCanceled(job)
    details = (job.get("error") or {}).get("details") or {}
    return ModelRaised(job) if details.get("exception") == "ValueError" else JobFailed(job)


def counted_from(start: int, errors: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Return the errors of a part of the rows, which begins with the row `start`, with the number of each row among all
    of them."""
    return tuple(error if error.get("row") is None else _moved(error, start) for error in errors)


def _moved(error: Mapping[str, Any], rows: int) -> Mapping[str, Any]:
    before, row = error["row"], error["row"] + rows
    if error.get("field") is not None:
        return {**error, "row": row}
    # The message is about the row as a whole, and names it.
    return {**error, "row": row, "message": str(error.get("message")).replace(f"row {before} ", f"row {row} ", 1)}


def _located(error: Mapping[str, Any]) -> str:
    row, message = error.get("row"), visible(error.get("message") or error.get("code") or "")
    return message if row is None else f"row {row}: {message}"
