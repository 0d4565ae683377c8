"""A CSV that a visitor tries a model with: what was uploaded, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import PurePath
from typing import Any, cast

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from contract.model.manifest import ModelManifest
from gateway.http.forms import length_of
from gateway.pages.trying.answers import MOST_ROWS, ShownAnswer
from gateway.problems import Problem, ProblemCode

_MOST_NAMES = 20
"""Missing inputs that a page names."""


@dataclass
class CsvAttempt:
    """A CSV with its `answer`, or with the `problem`: a sentence, and the `details`, of which `further` are left out.
    `name`: of the file; '' if none was chosen."""

    name: str = ""
    answer: ShownAnswer | None = None
    problem: str = ""
    details: list[str] = field(default_factory=list)
    further: int = 0
    status: int = 200

    @property
    def download(self) -> str:
        """The name of the file with the answers."""
        return f"{PurePath(self.name).stem}-predictions.csv"

    def refuse(self, model: ModelManifest, problem: Problem) -> None:
        """Note why nothing was predicted: the columns that the file lacks, and the values that cannot be used."""
        self.status = problem.status
        errors: Any = problem.members.get("errors") or []
        lacking = [error["field"] for error in errors if _is_about_a_column(error)]
        details = [_detail(error) for error in errors if not _is_plain(error)]
        self.details, self.further = details[:MOST_ROWS], len(details[MOST_ROWS:])
        if lacking:
            names = ", ".join(lacking[:_MOST_NAMES]) + (", …" if len(lacking) > _MOST_NAMES else "")
            self.problem = f"it lacks {len(lacking)} of the {len(model.signature.inputs)} inputs: {names}"
        elif not errors:
            self.problem = problem.detail


def _is_about_a_column(error: Any) -> bool:
    return error["code"] == "missing_field" and error["row"] is None and error["field"] is not None


def _is_plain(error: Any) -> bool:
    """Return whether an error says no more than which column is missing."""
    return _is_about_a_column(error) and error["message"] == f"{error['field']!r} is missing"


def _detail(error: Any) -> str:
    return str(error["message"]) if error["row"] is None else f"row {error['row'] + 1}: {error['message']}"


def uploaded_csv(attempt: CsvAttempt) -> bytes:
    """Return the file in the body, and note its name. Raises `Problem` (422) without one."""
    length, body = length_of(request.environ), cast(Any, request.environ["wsgi.input"])
    _, options = parse_options_header(request.environ.get("CONTENT_TYPE"))
    parser = FormDataParser(stream_factory=cast(Any, lambda **_: BytesIO()), max_form_parts=2, silent=False)
    try:
        _, _, files = parser.parse(body, "multipart/form-data", length, options)
    except (ValueError, RequestEntityTooLarge) as error:
        raise Problem(ProblemCode.MALFORMED_BODY, f"the form cannot be read: {error}") from error
    file = next(iter(files.values()), None)
    if file is None or not file.filename:
        raise Problem(ProblemCode.INVALID_INSTANCES, "no file was chosen; choose a CSV with a header and rows")
    attempt.name = file.filename
    return bytes(file.read())
