"""What the page to try a model shows of an answer, to a row or to a CSV, or what is wrong with that CSV."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, cast

from flask import request

from contract.model.manifest import ModelManifest
from contract.model.signature import PREDICT, Signature
from contract.rows.answer_columns import answer_names, unnamed
from contract.rows.instances import Instances
from contract.wording import significant
from contract.work.jobs import Job, Status
from gateway.http.forms import form_in_memory
from gateway.problems import Problem, ProblemCode
from gateway.protocols import csv_rows, native
from gateway.protocols.offload import offload

MOST_ROWS, MOST_CLASSES = 50, 20
"""Rows and classes that a page shows."""
_MOST_NAMES = 20
"""Missing inputs that a page names."""
_MOST_BYTES = 4 * 1024 * 1024
"""The largest CSV of answers, in bytes, that a page carries for the download."""
_FRACTION = re.compile(r"-?\d+\.\d+(e-?\d+)?")


@dataclass(frozen=True)
class ClassProbability:
    """The probability of a class."""

    label: str
    value: float


@dataclass(frozen=True)
class ShownAnswer:
    """What the page shows of a job. `rows`: some of the rows of a CSV, with the names of their `columns`. `csv`: the
    whole CSV of answers as base64, unless it is too large."""

    job: Job
    text: str = ""
    probabilities: Sequence[ClassProbability] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    csv: str = ""


def answer_to_row(job: Job, signature: Signature) -> ShownAnswer:
    if job.status is not Status.SUCCEEDED or job.output is None:
        return ShownAnswer(job)
    output: Mapping[str, Any] = job.output
    answer, probabilities = (
        (unnamed(output.get(name), signature) or [None])[0] for name in ("predictions", "probabilities")
    )
    shares: list[ClassProbability] = []
    if isinstance(probabilities, dict) and all(isinstance(value, (int, float)) for value in probabilities.values()):
        shares = sorted((ClassProbability(*item) for item in probabilities.items()), key=lambda share: -share.value)
    return ShownAnswer(job, _shown(answer), shares[:MOST_CLASSES])


def answer_to_csv(job: Job, rows: Instances, model: ModelManifest) -> ShownAnswer:
    if job.status is not Status.SUCCEEDED:
        return ShownAnswer(job)
    signature, method = model.signature, PREDICT.name
    written = offload(native.size_of(job), csv_rows.write, job, rows, signature, method, escape=True)
    lines = csv_rows.read(written, MOST_ROWS)
    columns = list(getattr(lines, "columns", None) or ())
    added = len(answer_names(model.signature, PREDICT.name, ()))
    order = [*range(len(columns) - added, len(columns)), *range(len(columns) - added)]  # the answers come first
    return ShownAnswer(
        job,
        columns=[columns[at] for at in order],
        rows=[
            [_shortened(row[at]) if at >= len(columns) - added else _shown(row[at]) for at in order]
            for row in cast(Any, lines.rows)
        ],
        csv=base64.b64encode(written).decode() if len(written) <= _MOST_BYTES else "",
    )


def _shortened(cell: str | None) -> str:
    """Return a cell with an answer: a fraction with as many digits as the answer to a single row has."""
    return _shown(float(cell) if cell and _FRACTION.fullmatch(cell) else cell)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return significant(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return "–" if value is None else str(value)


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
    _, files = form_in_memory(request.environ)
    file = next(iter(files.values()), None)
    if file is None or not file.filename:
        raise Problem(ProblemCode.INVALID_INSTANCES, "no file was chosen; choose a CSV with a header and rows")
    attempt.name = file.filename
    return bytes(file.read())
