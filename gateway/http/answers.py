"""Jobs and other JSON as responses."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from types import MappingProxyType
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Response

from contract.work.api_keys import Quota
from contract.work.jobs import Job
from gateway.http.codings import LEAST, encoded
from gateway.protocols import native
from gateway.protocols.offload import offload

FRESH = {"Cache-Control": "no-store"}
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


_STATUS_LINES = {200: "200 OK", 202: "202 ACCEPTED"}


class PredictionAnswer:
    """What a protocol answers to a prediction. It is a WSGI application, which takes a fifth of the time of Flask's
    response; routes of Flask may return it, too."""

    __slots__ = ("_body", "_gone", "_headers", "_note", "_status")

    def __init__(
        self,
        body: bytes,
        headers: Mapping[str, str],
        note: Callable[[], object],
        gone: Callable[[], bool],
        status: int = 200,
    ) -> None:
        """`headers` name the type of the body. Once it has been written to the socket, `note` is called, unless the
        client was `gone` before."""
        self._status = _STATUS_LINES.get(status) or f"{status} {HTTPStatus(status).phrase.upper()}"
        self._body = body
        self._headers = [*headers.items(), ("Content-Length", str(len(body)))]
        self._note: Callable[[], object] | None = note
        self._gone = gone

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if len(self._body) >= LEAST:
            self._encode(environ.get("HTTP_ACCEPT_ENCODING", ""))
        start_response(self._status, self._headers)
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        # A client may close the connection as soon as it has read the answer.
        if self._note is None or self._gone():
            return [self._body]
        return _reporting(self._body, self._note)

    def _encode(self, accept: str) -> None:
        """Compress the body for a client that asks for it."""
        self._body, coding = encoded(self._body, accept)
        headers = dict(self._headers)
        headers["Vary"] = f"{headers['Vary']}, Accept-Encoding" if "Vary" in headers else "Accept-Encoding"
        if coding:
            headers |= {"Content-Encoding": coding, "Content-Length": str(len(self._body))}
        self._headers = [*headers.items()]


class JobAnswer(PredictionAnswer):
    """A job as JSON."""

    __slots__ = ()

    def __init__(
        self,
        job: Job,
        status: int = 200,
        headers: Mapping[str, str] = NO_HEADERS,
        note: Callable[[str], object] | None = None,
        gone: Callable[[], bool] = lambda: False,
    ) -> None:
        """`headers`: those beside `Retry-After`, which a job has until it is final. Once a final one has been written
        to the socket, `note` gets its id, unless the client was `gone` before."""
        final = job.status.final
        self._status = _STATUS_LINES[status]
        self._body = native.write(job)
        self._headers = [] if final else [("Retry-After", "1")]
        length = str(len(self._body))
        self._headers += (*headers.items(), ("Content-Type", "application/json"), ("Content-Length", length))
        self._note = functools.partial(note, job.id) if note and final else None
        self._gone = gone


def _reporting(body: bytes, on_written: Callable[[], object]) -> Iterator[bytes]:
    yield body
    on_written()  # a server asks for more once it has written this; after an error it does not


def quota_headers(quota: Quota) -> dict[str, str]:
    """Return a quota as a client reads it (draft-ietf-httpapi-ratelimit-headers-10)."""
    return {
        "RateLimit-Policy": f'"{quota.name}";q={quota.limit};w={quota.window}',
        "RateLimit": f'"{quota.name}";r={quota.remaining};t={math.ceil(quota.reset)}',
    }


def json_response(
    body: object,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
    size: int = 0,
) -> Response:
    """`size`: bytes that the body has, about, if it may be large."""
    return Response(offload(size, native.to_json, body), status, headers, content_type=content_type)
