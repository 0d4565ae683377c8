"""Cross-origin requests: pages of the listed origins may call the gateway from a browser (CORS)."""

from __future__ import annotations

from collections.abc import Collection
from wsgiref.types import WSGIEnvironment

from flask import Response

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_SENT = (
    "Accept, Authorization, Cancel-After, Content-Encoding, Content-Type, Experiment-Key, Idempotency-Key,"
    " If-None-Match, If-Range, Inference-Header-Content-Length, Last-Event-ID, Prefer, Range, traceparent, Webhook-Url,"
    " X-Amzn-SageMaker-Accept, X-Amzn-SageMaker-Target-Model, X-Amzn-SageMaker-Target-Variant, X-API-Key, X-Request-ID"
)
"""Headers that a page may send."""
_EXPOSED = (
    "Accept-Post, Allow, Content-Range, ETag, Idempotent-Replayed, Inference-Header-Content-Length, Location, Log-From,"
    " Log-Next, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate,"
    " x-Amzn-Invoked-Production-Variant, x-amzn-RequestId, X-Amzn-SageMaker-Content-Type, X-Request-ID"
)
"""Headers that a page may read, besides the ones that browsers always allow."""
_MAX_AGE = "600"
"""Seconds for which a browser remembers a preflight."""

Headers = list[tuple[str, str]]


class Cors:
    """Answers for the listed origins. They send keys, never cookies, so no answer allows credentials."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origins)

    def headers(self, environ: WSGIEnvironment) -> Headers:
        """Return the headers that the answer to a request needs."""
        vary = ("Vary", "Origin")  # also without an origin: a cache may hold the answer
        origin = environ.get("HTTP_ORIGIN")
        if origin not in self._origins:
            return [vary]
        return [vary, ("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", _EXPOSED)]

    def preflight(self, environ: WSGIEnvironment) -> Response | None:
        """Return the answer to a preflight of a listed origin, or None for another request. A browser sends no key with
        it."""
        if (
            environ["REQUEST_METHOD"] != "OPTIONS"
            or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in environ
            or environ.get("HTTP_ORIGIN") not in self._origins
        ):
            return None
        headers = {
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": _SENT,
            "Access-Control-Max-Age": _MAX_AGE,
        }
        return Response(status=204, headers=headers)
