"""Whole bodies: one that is cut off on its way is refused, since half a CSV is a CSV too."""

from __future__ import annotations

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from gateway.problems import Problem
from gateway.protocols.dialects import MalformedBody

LARGEST_REQUEST = 256 * 1024
"""Most bytes of a JSON body without data, such as a move of an alias."""


def small(request: Request, most: int = LARGEST_REQUEST) -> bytes:
    """Return a body without data, of at most `most` bytes. Raises as `whole`, and `Problem` (413) beyond the limit."""
    try:
        return whole(request, most)
    except RequestEntityTooLarge as error:
        detail = f"the body is larger than {most // 1024} KB, which is the most that this address takes; shorten it"
        raise Problem(413, "body_too_large", detail, headers={"Connection": "close"}) from error


def whole(request: Request, most: int | None = None) -> bytes:
    """The body; raises `MalformedBody` when not all of it comes, `RequestEntityTooLarge` beyond the limit.

    As the server has it: Werkzeug's stream would copy it in pieces, and end it in silence where the caller hangs up or,
    without a length, at the limit.
    """
    most = request.max_content_length or 0 if most is None else most
    coding = request.environ.get("HTTP_TRANSFER_ENCODING", "chunked").strip(" \t").lower()
    if coding != "chunked":
        detail = (
            f"the Transfer-Encoding {coding[:40]!r} is not understood; send the body as it is, in chunks if need be"
        )
        raise Problem(501, "unsupported_transfer_encoding", detail, headers={"Connection": "close"})
    length = request.content_length
    if length is not None and length > most:
        raise RequestEntityTooLarge
    try:
        body: bytes = request.environ["wsgi.input"].read(most + 1 if length is None else length)
    except Exception as error:  # each server has its own, for chunks that are none and for callers who are gone
        raise MalformedBody(f"the body cannot be read to its end: {error}") from error
    if length is None and len(body) > most:
        raise RequestEntityTooLarge
    if length is not None and len(body) < length:
        raise MalformedBody(f"the body ends after {len(body)} of {length} bytes")
    return body
