"""The parts of a request that have to be the same when it is repeated with the same `Idempotency-Key`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING

from werkzeug.http import parse_options_header

from gateway.exchange import Exchange
from gateway.media_types import MULTIPART
from gateway.protocols.idempotency import idempotency

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_OPTIONS = ("HTTP_CANCEL_AFTER", "HTTP_WEBHOOK_URL")
"""The headers that change a job; `Prefer` has one more."""


def note_idempotency(exchange: Exchange, handling: str | None = None) -> str:
    """Return key and fingerprint of a request whose body fits into memory, '' without a key; note them in `exchange`.
    The body is read here, and can be read again.

    `handling`: that of `Prefer`. Raises `Problem` for an invalid key.
    """
    environ = exchange.environ
    if "HTTP_IDEMPOTENCY_KEY" not in environ:
        return ""
    body: bytes = environ["wsgi.input"].read()
    environ["wsgi.input"] = BytesIO(body)
    return note_idempotency_of(exchange, [handling or "", *_content(environ, body)])


def note_idempotency_of(exchange: Exchange, content: Iterable[str | bytes]) -> str:
    """Do the same for a request whose body was received already; `content` is all of it, or stands for it."""
    key = exchange.environ.get("HTTP_IDEMPOTENCY_KEY")
    return "" if key is None else _note(exchange, key, content)


def note_idempotency_of_form(exchange: Exchange, content: Iterable[str]) -> str:
    """Do the same for a form of a page. One of its fields is a random text that was made with the page, so only a form
    that is sent twice has the same content."""
    content = list(content)
    return _note(exchange, hashlib.sha256(json.dumps(content).encode()).hexdigest(), content)


def _note(exchange: Exchange, key: str, content: Iterable[str | bytes]) -> str:
    environ = exchange.environ
    asked = [environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", "")]
    parts = [*asked, *(environ.get(name, "") for name in _OPTIONS), *content]
    exchange.idempotency = idempotency(key, exchange.caller.owner, parts)
    return exchange.idempotency


def _content(environ: WSGIEnvironment, body: bytes) -> tuple[str, bytes]:
    """Return the media type and the body. Clients choose another boundary when they send the same form again."""
    given: str = environ.get("CONTENT_TYPE", "")
    kind, options = parse_options_header(given)
    if kind.lower() == MULTIPART and (boundary := options.get("boundary")):
        return kind, body.replace(boundary.encode(), b"")
    return given, body
