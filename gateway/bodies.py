"""Whole bodies: one that is cut off on its way is refused, since half a CSV is a CSV too."""

from __future__ import annotations

from io import BytesIO

from flask import Request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from contract.coercion import MAX_NAMES
from gateway.dialects import MalformedBody
from gateway.problems import Problem
from gateway.slips import check_form, file_in_form

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


def form_in(request: Request, body: bytes) -> MultiDict[str, str]:
    """Return the fields of the form in `body`. Raises `MalformedBody` if it is not a form, and `Problem`: 413 for too
    many fields, 415 for a file or for JSON or CSV sent as a form."""
    if request.mimetype == "application/x-www-form-urlencoded":
        check_form(body)
        if body.count(b"&") >= MAX_NAMES:
            raise Problem(413, "form_too_large", f"the form has more than {MAX_NAMES} fields; send those of the model")
    parser = request.make_form_data_parser()
    parser.silent = False
    try:
        _, fields, files = parser.parse(BytesIO(body), request.mimetype, len(body), request.mimetype_params)
    except RequestEntityTooLarge as error:
        detail = f"the form has more than {parser.max_form_parts} parts; send the row as JSON"
        raise Problem(413, "form_too_large", detail) from error
    except ValueError as error:
        raise MalformedBody(f"the body is not {request.mimetype}: {error}") from error
    if request.mimetype == "multipart/form-data" and not all([*fields, *files]):
        raise MalformedBody("a part of the form has no name; give each its name")
    for name, file in files.items(multi=True):
        if file.filename:  # a page's form has a nameless one for a file that was not chosen
            raise file_in_form(name)
    return fields
