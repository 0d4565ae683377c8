"""One request and its answer, as the door knows them: client, route, ids, job, status and time."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from wsgiref.types import StartResponse, WSGIEnvironment

from contract.json_objects import is_encodable
from contract.model.repository import alias_in
from contract.work.api_keys import EVERYBODY, Key, Quota
from contract.work.request_ids import RequestIds

if TYPE_CHECKING:
    from contract.errors import InvalidInstances
    from contract.model.manifest import ModelManifest
    from contract.model.signature import Signature
    from contract.rows.instances import Instances
    from gateway.http.rules import ErrorShape, Route

MISSPELT = "misspelt_field"
"""The code, among the reasons of a refusal, of a missing field that the row has under a name much like it."""
_MOST_REASONS = 10


class Exchange:
    """A request on its way to its answer. The door makes one for each request; routes fill in the job that they make.

    `request_id` is the client's, or a made one. A made one has the form of a job's id, and is the id of the job if the
    request makes one.
    """

    caller: Key = EVERYBODY
    """The key of the request, or `EVERYBODY` while there are no keys."""
    ids: RequestIds | None = None
    """The ids from the client or from our trace; None: there is only `request_id`, made here."""
    span: Any = None
    """The span of the request, if it is traced (`gateway.door.observers`)."""
    ignored_key: str | None = None
    """Why the key of a request to an open route does not count: the code with which other routes refuse it."""
    route: Route | None = None
    """None: no route has this path and method, or the request was refused before its route was known."""
    foreign_errors: ErrorShape | None = None
    """The shape of errors at an address that no route has, if a foreign protocol or an old service would have it."""
    arguments: Mapping[str, str] = MappingProxyType({})
    """The named parts of the path."""
    idempotency = ""
    """Key and fingerprint of a request that may be repeated (`gateway.http.idempotency`)."""
    replayed = False
    """Whether the answer is what an earlier request has made."""
    job_id: str | None = None
    on_key: str | None = None
    """The id of the key that the request makes or changes."""
    model: str | None = None
    """The model of a prediction, once its version is known."""
    asked: str | None = None
    """The model of a prediction, explanation or file, for the use of the key."""
    rows = 0
    """The rows of a prediction or explanation that were accepted."""
    job_failed = False
    """Whether the answer is a job that has failed or expired."""
    further_action: str | None = None
    """What the request has done beside the action of its route, for the audit log."""
    version: int | None = None
    alias: str | None = None
    """The alias in the request; None: it named a version."""
    plain = False
    """Whether a prediction is one of a model, and of no alias or version."""
    signature: Signature | None = None
    """That of the version of a prediction."""
    example: Mapping[str, Any] = MappingProxyType({})
    """A row of that version."""
    refused: Mapping[tuple[str | None, str], int | None] = MappingProxyType({})
    """Why a prediction was refused: fields of the signature ('' stands for all that it does not have, None for the
    whole row) with the code of their error, and the first row of each."""
    refused_rows: Instances | None = None
    """The rows of such a prediction, if they could be read."""
    accepted_after: float | None = None
    """Seconds from the head of the request until its job was in Redis; None without a job."""
    quota: Quota | None = None
    """The state of the key's `rows_per_second`, once the job has been counted."""
    status = 0
    """The status of the answer; 0: there is none, because the connection broke."""
    code: str | None = None
    """The `code` of a problem."""
    seconds = 0.0
    """From the end of the request's head to the answer, without the time to send it."""
    own_headers: Sequence[tuple[str, str]] = ()
    """Headers that the door adds to the answer, besides the request id."""
    _headers: Sequence[tuple[str, str]] = ()

    def __init__(self, environ: WSGIEnvironment, start_response: StartResponse) -> None:
        self._began = time.perf_counter()
        self._start_response = start_response
        self.environ = environ
        request_id, traceparent = environ.get("HTTP_X_REQUEST_ID"), environ.get("HTTP_TRACEPARENT")
        if request_id is not None or traceparent is not None:
            self.ids = RequestIds.of_headers(request_id, traceparent)
        self._made = self.ids is None
        self.request_id = os.urandom(16).hex() if self.ids is None else self.ids.request_id
        _CURRENT.set(self)

    def start_response(self, status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        """Note the answer, and add the door's own headers."""
        self.status = int(status[:3])
        headers += (*self.own_headers, ("X-Request-ID", self.request_id))
        if self.replayed:
            headers.append(("Idempotent-Replayed", "true"))
        self._headers = headers
        return self._start_response(status, headers, *exc_info)

    def elapsed(self) -> float:
        """Return the seconds since the end of the request's head."""
        return time.perf_counter() - self._began

    def job_accepted(self, rows: int, quota: Quota | None) -> None:
        """Note that the job of this prediction is in Redis."""
        self.accepted_after = self.elapsed()
        self.rows += rows
        self.quota = quota

    @property
    def size(self) -> int | None:
        """Bytes of the answer's body; None if they are not known before it is sent."""
        return next((int(value) for name, value in self._headers if name == "Content-Length"), None)

    def new_job_id(self) -> str:
        """Return the id for the job of this request."""
        return self.request_id if self._made else os.urandom(16).hex()

    def travelling_ids(self) -> str:
        """Return the ids that travel with a job of this request (`contract.work.request_ids`); '' if there is only the
        request id, made here."""
        if self.ids is not None and self.span is not None:
            return str(replace(self.ids, handed_over=time.time_ns()))
        return str(self.ids or "")

    def context(self) -> dict[str, object]:
        """Return the context of a log line about this request."""
        return {
            "request_id": self.request_id,
            "trace_id": self.ids.trace_id if self.ids else None,
            "job_id": self.job_id,
            "model": self.model,
            "version": self.version,
        }


_CURRENT: ContextVar[Exchange] = ContextVar("exchange")


def current() -> Exchange:
    """Return the exchange that this greenlet or thread serves. Raises LookupError outside of requests."""
    return _CURRENT.get()


def caller() -> Key:
    """Return who makes the current request."""
    return _CURRENT.get().caller


def noted(model: ModelManifest, reference: str) -> ModelManifest:
    """Note that the current request is one to this version, for which it has asked with `reference`, and return it."""
    exchange = _CURRENT.get()
    exchange.model = exchange.asked = model.name
    exchange.version = model.version
    exchange.alias, exchange.signature, exchange.example = alias_in(reference), model.signature, model.example
    exchange.plain = reference == model.name
    return model


def note_explained(model: ModelManifest) -> None:
    """Note that the current request is for explanations of this version."""
    exchange = _CURRENT.get()
    exchange.asked, exchange.version = model.name, model.version
    exchange.signature, exchange.example = model.signature, model.example


def note_problem(code: str) -> None:
    """Note that the answer is a problem with this code."""
    if exchange := _CURRENT.get(None):
        exchange.code = code


def note_refusal(error: InvalidInstances) -> None:
    """Note why the current prediction is refused: at most `_MOST_REASONS`."""
    exchange = _CURRENT.get(None)
    if exchange and (signature := exchange.signature):
        names = {*signature.names, signature.id_field}
        reasons: dict[tuple[str | None, str], int | None] = {}
        for entry in error.errors:
            field = entry.field if entry.field is None or (entry.field in names and is_encodable(entry.field)) else ""
            reasons.setdefault((field, MISSPELT if entry.misspelt else entry.code), entry.row)
            if len(reasons) == _MOST_REASONS:
                break
        exchange.refused, exchange.refused_rows = reasons, error.instances


def current_idempotency() -> str:
    """Return key and fingerprint of the current request; '' if it must not be repeated."""
    exchange = _CURRENT.get(None)
    return exchange.idempotency if exchange else ""


def note_replay() -> None:
    """Note that what an earlier request has made answers the current one."""
    _CURRENT.get().replayed = True


def current_route() -> Route | None:
    """Return the route of the current request, if it is known."""
    exchange = _CURRENT.get(None)
    return exchange.route if exchange else None


def error_shape() -> ErrorShape | None:
    """Return the shape of errors of the current request; None for that of our own, and outside of requests."""
    exchange = _CURRENT.get(None)
    if exchange is None:
        return None
    return exchange.foreign_errors if exchange.route is None else exchange.route.errors


def travelling_ids() -> str:
    """Return the ids that travel with a job of the current request; '' outside of requests."""
    exchange = _CURRENT.get(None)
    return (exchange.travelling_ids() or exchange.request_id) if exchange else ""


def log_context() -> dict[str, object]:
    """Return the context of a log line of this greenlet or thread."""
    exchange = _CURRENT.get(None)
    return exchange.context() if exchange else {}
