"""HTML forms and multipart forms: fields by name."""

from __future__ import annotations

from io import BytesIO

from flask import Request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from contract.coercion import MAX_NAMES
from gateway.problems import Problem
from gateway.protocols.dialects import MalformedBody
from gateway.protocols.slips import check_form, file_in_form


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
