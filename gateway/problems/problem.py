"""The exception that refuses a request, from a use case, a protocol or a route: a code, a sentence, no HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from contract.errors import Failure
from contract.json_objects import Errors, Object
from contract.model.environments import no_worker
from contract.wording import Suggestions
from contract.work.api_keys import Key, Quota, Scope
from gateway.problems.codes import STATUSES, ProblemCode

_SENTENCES = 5
"""Most errors of rows in one sentence."""


class Problem(Exception):
    """A refused request. `detail` says what is wrong and what to do; `members` are further members of the answer."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        retry_after: int | None = None,
        quota: Quota | None = None,
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> None:
        """`code`: one of `ProblemCode`, or another one with its `status`. `status`: another one than the code has.
        `retry_after`: seconds after which the same request may succeed. `quota`: the state of a limit that the request
        counts for. `headers`: those that the answer must have."""
        super().__init__(detail)
        self.code = code
        self.status = STATUSES[code] if status is None else status
        self.detail = detail
        self.retry_after = retry_after
        self.quota = quota
        self.headers = headers or {}
        self.members = members

    def sentence(self) -> str:
        """Return everything that can be said without members: the first errors with their rows, or `detail`."""
        errors: Any = self.members.get("errors")
        if not errors:
            return self.detail
        shown = [_with_row(error) for error in errors[:_SENTENCES]]
        more = [f"and {len(errors) - _SENTENCES} more"] if len(errors) > _SENTENCES else []
        return "; ".join(shown + more)


def _with_row(error: Mapping[str, object]) -> str:
    return str(error["message"]) if error.get("row") is None else f"row {error['row']}: {error['message']}"


class EnvironmentNotServed(Problem):
    """No worker serves the environment of a version."""

    def __init__(self, model: str, version: int, environment: str) -> None:
        detail = f"version {version} of the model {model!r} cannot be used now: {no_worker(environment)}"
        super().__init__(ProblemCode.ENVIRONMENT_NOT_SERVED, detail, environment=environment)


class MalformedBody(Problem):
    """A body that cannot be read at all; the message says where and what to send."""

    def __init__(self, detail: str) -> None:
        super().__init__(ProblemCode.MALFORMED_BODY, detail)


def status_of(failure: Failure) -> int:
    """Return the status of a failure of another process, which may be of another release."""
    return STATUSES.get(failure.code, 503)


def missing_scope(key: Key, scope: Scope) -> Problem:
    holder, what = ("person", "it") if key.user else ("key", "a key that has it")
    detail = f"the {holder} {key.name!r} lacks the scope {scope}; ask an admin for {what}"
    return Problem(ProblemCode.MISSING_SCOPE, detail, scope=str(scope))


def read_body(body: object, members: Object, code: ProblemCode) -> tuple[dict[str, Any], Errors]:
    """Return the valid members of a body, and the errors in it. Raises `Problem` with this code if it is no object."""
    errors = Errors()
    values = errors.read("", body, members)
    if values is None:
        raise invalid(code, errors)
    return values, errors


def read_valid(body: object, members: Object, code: ProblemCode) -> dict[str, Any]:
    """Return the members of a body. Raises `Problem` with this code and every error."""
    values, errors = read_body(body, members, code)
    if errors.total:
        raise invalid(code, errors)
    return values


def invalid(code: ProblemCode, errors: Errors) -> Problem:
    return Problem(code, errors.summary, errors=[error.to_json() for error in errors.first])


def similar(name: str, names: Iterable[str], suggestions: Suggestions | None = None) -> str | None:
    """Return the most similar of `names`; None if none is similar. `suggestions` is shared by all names of a
    request."""
    return (suggestions or Suggestions()).closest(name, names, 0.6)


def did_you_mean(name: str, names: Iterable[str], suggestions: Suggestions | None = None) -> str:
    """Return ` (did you mean 'iris'?)`, or nothing if no name is similar."""
    suggestion = similar(name, names, suggestions)
    return f" (did you mean {suggestion!r}?)" if suggestion else ""
