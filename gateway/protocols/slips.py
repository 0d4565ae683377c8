"""Detects bodies that do not match their media type, a common slip with curl, and names the right option."""

from __future__ import annotations

import re

from contract.errors import FieldError, InvalidInstances
from gateway.problems import Problem

JSON = "application/json (curl --json)"
AS_CSV = "curl --data-binary @FILE -H 'Content-Type: text/csv'"

_STARTS_AS_JSON = re.compile(rb"\s*[\[{]")
_STARTS_AS_CSV = re.compile(rb"[^=\r\n]*[,;\t\r\n]")


def check_form(body: bytes) -> None:
    """Raise `Problem` (415) for JSON or CSV: `curl -d` sends everything as a form."""
    if _STARTS_AS_JSON.match(body):
        detail = "the body is JSON, and its media type says that it is a form"
        raise _misnamed(f"{detail}; send it with curl --json, or with -H 'Content-Type: application/json'")
    if _STARTS_AS_CSV.match(body):
        raise _misnamed(f"the body is CSV, and its media type says that it is a form; send it with {AS_CSV}")


def file_in_form(name: str) -> Problem:
    """Return the 415 for a file sent as the part `name` of a form instead of as the body."""
    return _misnamed(f"the form has a file, {name[:64]!r}; send the file as the body, with {AS_CSV}")


def check_csv(body: bytes) -> None:
    """Raise `InvalidInstances` for a single line: `curl -d @FILE` removes line ends."""
    if body.strip() and b"\n" not in body and b"\r" not in body:
        message = f"the CSV has no rows, as all of it is one line; curl -d removes the ends of lines: use {AS_CSV}"
        raise InvalidInstances([FieldError(None, None, "no_rows", message)])


def _misnamed(detail: str) -> Problem:
    return Problem(415, "unsupported_media_type", detail, headers={"Accept-Post": "application/json, text/csv"})
