"""What each route declares: who may use it, what documents it, and how large its body may be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from wsgiref.types import WSGIEnvironment

from werkzeug.routing import Rule

from contract.settings import MB
from contract.work.api_keys import Scope
from gateway.http.operations import IDEMPOTENCY_KEY, Operation

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""


class Level(StrEnum):
    """Who may use a route that asks for no scope."""

    OPEN = "open"
    """Everybody, under any `Host`: health checks know the address of the gateway, not its name."""
    OWN = "own"
    """Any key, for what belongs to its owner."""


RouteLevel = Level | Scope
"""Who may use a route: keys with this scope, or those of a `Level`. In an installation without keys, any program on an
allowed host may use every route."""


@dataclass(frozen=True)
class BodyLimit:
    """The most bytes of a body that is held in memory; `words` end the sentence "the body is larger than …"."""

    bytes: int
    words: str

    @classmethod
    def of_request(cls, kilobytes: int) -> BodyLimit:
        """The limit of a JSON body without rows, such as a move of an alias."""
        return cls(kilobytes * 1024, f"{kilobytes} KB, which is the most that this address takes; shorten it")

    @classmethod
    def of_rows(cls, megabytes: int) -> BodyLimit:
        words = f"{megabytes} MB (MAX_BODY_MB); send the rows as a file, to POST /v1/models/{{model}}/predict-file"
        return cls(megabytes * MB, words)


SMALL_BODY = BodyLimit.of_request(256)


Action = str | Callable[[WSGIEnvironment], str]
"""The action of a route in the audit log, or a function that returns it for a request."""


ErrorShape = Callable[[int, str, str], tuple[object, Mapping[str, str]]]
"""What a foreign protocol answers to a failed request, by status, code and sentence: a JSON value, and headers."""


OUR_STATUSES: Mapping[str, int] = MappingProxyType({})
_PAGE = Operation("page", "A page for browsers", {})


class Route(Rule):
    """A rule of Flask's that declares its level and its documentation: `@routes.get("/jobs", level=Scope.READ,
    docs=Operation(…))`. A route of an audited scope that changes something also declares its action:
    `audit="move_alias"`. One of the web pages needs no documentation: `page=True`."""

    def __init__(
        self,
        path: str,
        *,
        level: RouteLevel | None = None,
        docs: Operation | None = None,
        audit: Action | None = None,
        body: BodyLimit = SMALL_BODY,
        streams: bool = False,
        any_host: bool = False,
        without_redis: bool = False,
        errors: ErrorShape | None = None,
        errors_below: str | None = None,
        statuses: Mapping[str, int] = OUR_STATUSES,
        key: str | None = None,
        row_in_path: bool = False,
        any_query: bool = False,
        page: bool = False,
        **options: Any,
    ) -> None:
        """`streams`: what it reads in pieces goes to the spool, which has limits of its own. `any_host`: while there
        are no keys, it answers under any `Host`, as `open` routes do. `without_redis`: while Redis is away, it takes
        the keys that the process has seen valid. `errors`: the shape of its errors if they are not problems.
        `errors_below`: errors at this path and below it have that shape, too, where no route fits. `statuses`: those of
        problems by code, where they are not ours. `key`: the name of the key whose rights callers without a key have.
        `row_in_path`: the variables of its path are values of a row, which are not audited. `any_query`: names in its
        query that it does not declare are no error, as on routes of foreign protocols. `page`: it is for browsers, so
        it takes the key of a session, its errors are pages, and it is no part of the HTTP interface. Raises
        `TypeError` if the level is missing, or the documentation, or the action of a route that has to be audited; then
        the gateway does not start."""
        if level is None:
            levels = ", ".join(f"{type(level).__name__}.{level.name}" for level in (*Level, *Scope))
            raise TypeError(f"the route {path} declares no level; add level=, one of {levels}")
        if docs is None and page:
            docs = _PAGE
        if docs is None:
            raise TypeError(f"the route {path} is not documented; add docs=Operation(…), see gateway.http.operations")
        self.audited = isinstance(level, Scope) and level.audited
        if audit is None and self.audited and set(options.get("methods") or ()) - READING:
            raise TypeError(f"the route {path} of level {level} declares no action; add audit=, such as 'move_alias'")
        super().__init__(path, **options)
        self.level = level
        self.docs = docs
        self.idempotent = IDEMPOTENCY_KEY in docs.parameters
        self.audit = audit
        self.body = body
        self.streams = streams
        self.any_host = any_host
        self.without_redis = without_redis
        self.errors = errors
        self.errors_below = errors_below
        self.statuses = statuses
        self.key = key
        self.row_in_path = row_in_path
        self.page = page
        strict = path.startswith("/v1/") and not (any_query or page or errors)
        # The names that its query may have; None: any.
        self.query = frozenset(p.name for p in docs.parameters if p.location == "query") if strict else None


def listed(rules: Iterable[Rule]) -> list[str]:
    """Return the routes with their levels, a line for each: `read     GET     /v1/jobs`."""
    lines = []
    for rule in rules:
        level = rule.level if isinstance(rule, Route) else "none"
        methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        lines += [(rule.rule, method, f"{level:<8} {method:<7} {rule.rule}") for method in methods]
    return [line for _, _, line in sorted(lines)]
