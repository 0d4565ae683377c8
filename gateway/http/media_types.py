"""Media types of request bodies, and what to send instead of one that does not fit."""

from __future__ import annotations

import re
from wsgiref.types import WSGIEnvironment

from werkzeug.http import parse_options_header

from gateway.problems import Problem, ProblemCode
from gateway.protocols.csv_rows import AS_CSV

URLENCODED, MULTIPART, CSV, TEXT = "application/x-www-form-urlencoded", "multipart/form-data", "text/csv", "text/plain"

AS_JSON = "application/json (curl --json)"

_STARTS_AS_JSON = re.compile(rb"\s*[\[{]")
_STARTS_AS_CSV = re.compile(rb"[^=\r\n]*[,;\t\r\n]")


def media_type(environ: WSGIEnvironment) -> str:
    """Return the media type in lower case, without parameters; empty if there is none."""
    content_type: str = environ.get("CONTENT_TYPE", "")
    return content_type if content_type == "application/json" else parse_options_header(content_type)[0].lower()


def is_json(kind: str) -> bool:
    """Return whether a body of this media type is read as JSON. A body without a media type is, too."""
    return kind in ("application/json", "") or (kind.startswith("application/") and kind.endswith("+json"))


def unsupported(kind: str, instead: str, accepted: str) -> Problem:
    """Return the 415. `accepted` is the value of `Accept-Post`."""
    what = f"the media type {kind[:80]!r} is not supported" if kind else "the body has no media type"
    return _unsupported(f"{what}; send {instead}", accepted)


def check_not_rows(body: bytes, declared: str = "a form") -> None:
    """Raise `Problem` (415) for JSON or CSV: `curl -d` sends everything as a form, and `fetch` as text."""
    if _STARTS_AS_JSON.match(body):
        detail = f"the body is JSON, but its media type says that it is {declared}"
        raise _unsupported(f"{detail}; send it with curl --json, or with -H 'Content-Type: application/json'")
    if _STARTS_AS_CSV.match(body):
        raise _unsupported(f"the body is CSV, but its media type says that it is {declared}; send it with {AS_CSV}")


def file_in_form(name: str) -> Problem:
    """Return the 415 for a file sent as the part `name` of a form instead of as the body."""
    return _unsupported(f"the form has a file, {name[:64]!r}; send the file as the body, with {AS_CSV}")


def _unsupported(detail: str, accepted: str = "application/json, text/csv") -> Problem:
    return Problem(ProblemCode.UNSUPPORTED_MEDIA_TYPE, detail, headers={"Accept-Post": accepted})
