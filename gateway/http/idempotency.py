"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): which requests count as the same one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from io import BytesIO
from wsgiref.types import WSGIEnvironment

from werkzeug.http import parse_options_header

from gateway.http.exchange import Exchange
from gateway.http.media_types import MULTIPART, is_json, media_type
from gateway.http.rules import Route
from gateway.problems import Problem, ProblemCode
from gateway.protocols.parameters import BARE_KEY, preferences

_OPTIONS = (
    *("HTTP_CANCEL_AFTER", "HTTP_EXPERIMENT_KEY", "HTTP_WEBHOOK_URL"),
    *("HTTP_X_AMZN_SAGEMAKER_TARGET_MODEL", "HTTP_X_AMZN_SAGEMAKER_TARGET_VARIANT"),
)
"""The headers that change a job; `Prefer` has one more."""

_QUOTED = re.compile(r'"((?:[!#-\[\]-~]|\\["\\]){1,255})"', re.ASCII)
_ESCAPED = re.compile(r'\\(["\\])')


def note_request(exchange: Exchange, route: Route) -> None:
    """Note key and fingerprint of a request to a route that declares `IDEMPOTENCY_KEY`. The body is read here, and can
    be read again; whoever receives one for the spool notes it (`note_content`). Raises `Problem` for an invalid key."""
    environ = exchange.environ
    if route.docs.streamed or (route.streams and not is_json(media_type(environ))):
        return
    body: bytes = environ["wsgi.input"].read()
    environ["wsgi.input"] = BytesIO(body)
    note_content(exchange, _content(environ, body))


def note_content(exchange: Exchange, content: Iterable[str | bytes]) -> str:
    """Return key and fingerprint of a request whose body was received already, '' without a key; note them in
    `exchange`. `content` is all of the body, or stands for it."""
    key = exchange.environ.get("HTTP_IDEMPOTENCY_KEY")
    return "" if key is None else _note(exchange, key, content)


def note_form_of_page(exchange: Exchange, content: Iterable[str]) -> str:
    """Do the same for a form of a page. One of its fields is a random text that was made with the page, so only a form
    that is sent twice has the same content."""
    content = list(content)
    return _note(exchange, hashlib.sha256(json.dumps(content).encode()).hexdigest(), content)


def _note(exchange: Exchange, key: str, content: Iterable[str | bytes]) -> str:
    """Note key and fingerprint as the scripts take them: `<owner>:<SHA-256 of the key> <SHA-256 of the parts>`. The
    parts are all of the request that changes what it makes. The same key quoted or bare is the same."""
    environ = exchange.environ
    target = [environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", "")]
    options = (environ.get(name, "") for name in _OPTIONS)
    parts = [*target, *options, preferences(environ.get("HTTP_PREFER"), 0).handling or "", *content]
    exchange.idempotency = f"{record(key, exchange.caller.owner)} {_digest(parts)}"
    return exchange.idempotency


def _content(environ: WSGIEnvironment, body: bytes) -> tuple[str, bytes]:
    """Return the media type and the body. Clients choose another boundary when they send the same form again."""
    content_type: str = environ.get("CONTENT_TYPE", "")
    kind, options = parse_options_header(content_type)
    if kind.lower() == MULTIPART and (boundary := options.get("boundary")):
        return kind, body.replace(boundary.encode(), b"")
    return content_type, body


def record(header: str, owner: str) -> str:
    """Return where what a request of `owner` has made is noted: `<owner>:<SHA-256 of the key>`. Raises `Problem` for an
    invalid key."""
    return f"{owner}:{hashlib.sha256(_key_in(header).encode()).hexdigest()}"


def _key_in(header: str) -> str:
    text = header.strip(" \t")
    if quoted := _QUOTED.fullmatch(text):
        return _ESCAPED.sub(r"\1", quoted[1])
    if BARE_KEY.fullmatch(text):
        return text
    detail = "Idempotency-Key must be 1 to 255 visible ASCII characters, bare or in double quotes; send a new UUID"
    raise Problem(ProblemCode.INVALID_PARAMETER, f"{detail} for each request, and the same one when you repeat it")


def _digest(parts: Iterable[str | bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        digest.update(b"%d:" % len(data))  # so that no two lists of parts are the same bytes
        digest.update(data)
    return digest.hexdigest()
