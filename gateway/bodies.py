"""Whole bodies: one that is cut off on its way is refused, since half a CSV is a CSV too."""

from __future__ import annotations

from io import BytesIO

from flask import Request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from gateway.dialects import MalformedBody
from gateway.problems import Problem
from gateway.slips import check_form, file_in_form


def whole(request: Request) -> bytes:
    """The body; raises `MalformedBody` when not all of it comes, `RequestEntityTooLarge` beyond the limit.

    As the server has it: Werkzeug's stream would copy it in pieces, and end it in silence where the caller hangs up or,
    without a length, at the limit.
    """
    most = request.max_content_length or 0
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
    """The fields of the form in `body`; raises `Problem`: 413 for too many parts, 415 for a file or what is no form."""
    if request.mimetype == "application/x-www-form-urlencoded":
        check_form(body)
    parser = request.make_form_data_parser()
    try:
        _, fields, files = parser.parse(BytesIO(body), request.mimetype, len(body), request.mimetype_params)
    except RequestEntityTooLarge as error:
        detail = f"the form has more than {parser.max_form_parts} parts; send the row as JSON"
        raise Problem(413, "form_too_large", detail) from error
    for name, file in files.items(multi=True):
        if file.filename:  # a page's form has a nameless one for a file that was not chosen
            raise file_in_form(name)
    return fields
