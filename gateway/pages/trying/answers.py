"""What the page to try a model shows of an answer."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from contract.model.manifest import ModelManifest
from contract.model.signature import PREDICT
from contract.rows.answer_columns import answer_names
from contract.rows.instances import Instances
from contract.wording import six_digits
from contract.work.jobs import Job, Status
from gateway.protocols import csv_answers, csv_rows

MOST_ROWS, MOST_CLASSES = 50, 20
"""Rows and classes that a page shows."""
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


def answer_to_row(job: Job) -> ShownAnswer:
    if job.status is not Status.SUCCEEDED or job.output is None:
        return ShownAnswer(job)
    output: Mapping[str, Any] = job.output
    probabilities = (output.get("probabilities") or [None])[0]
    shares: list[ClassProbability] = []
    if isinstance(probabilities, dict) and all(isinstance(value, (int, float)) for value in probabilities.values()):
        shares = sorted((ClassProbability(*item) for item in probabilities.items()), key=lambda share: -share.value)
    return ShownAnswer(job, _shown(output["predictions"][0]), shares[:MOST_CLASSES])


def answer_to_csv(job: Job, rows: Instances, model: ModelManifest) -> ShownAnswer:
    if job.status is not Status.SUCCEEDED:
        return ShownAnswer(job)
    written = csv_answers.write(job, rows, model.signature, PREDICT.name, escape=True)
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
        return six_digits(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return "–" if value is None else str(value)
