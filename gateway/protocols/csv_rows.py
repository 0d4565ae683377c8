"""Rows as CSV with a header, read as a training file is read, and a finished prediction as CSV.

The CSV of a prediction has the columns of the request, if that was CSV, and those of the answers.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from contract.errors import FieldError, InvalidInstances
from contract.model.signature import Signature
from contract.rows import csv_table
from contract.rows.answer_columns import answer_columns, answer_names
from contract.rows.csv_cells import csv_lines
from contract.rows.instances import Grid, Instances
from contract.work.jobs import Job
from gateway.problems import MalformedBody, Problem, ProblemCode
from gateway.protocols.native import EMPTY
from gateway.protocols.offload import offload_large

CONTENT_TYPE = "text/csv; charset=utf-8"

_MOST_BLANKS = 1_000_000
"""Cells that all rows together may have fewer than the header asks for. An answer in CSV has each, as a blank one."""

AS_CSV = "curl --data-binary @FILE -H 'Content-Type: text/csv'"


@offload_large
def read(body: bytes, most_rows: int | None = None) -> Instances:
    """Return the rows in `body`, at most the first `most_rows`; a blank cell is null.

    Raises `MalformedBody`, or `InvalidInstances` for a header alone, or one that is far longer than the rows.
    """
    if not body.strip():
        raise MalformedBody(EMPTY)
    if b"\n" not in body and b"\r" not in body:
        # `curl -d @FILE` removes line ends.
        message = f"the CSV is a single line, so it has no rows; curl -d removes line ends, so use {AS_CSV}"
        raise InvalidInstances([FieldError(None, None, "no_rows", message)])
    try:
        table = csv_table.read(io.BytesIO(body), most_rows)
    except csv_table.NotCsv as error:
        raise MalformedBody(f"the body is not CSV: {error}") from None
    if len(table.columns) * len(table.rows) > len(body) + _MOST_BLANKS:
        message = f"the header has {len(table.columns)} names, and most rows have fewer cells; send one for each name"
        raise InvalidInstances([FieldError(None, None, "wrong_length", message)])
    return Grid(table.columns, table.rows, table.separator, csv_table.remarks(table.guessed, table.blank))


FORMULAS = "formulas"
"""The value of `escape`."""


def is_escaped(query: str) -> bool:
    """Return whether the query asks for cells that no spreadsheet runs. Raises `Problem` for any other `escape`."""
    values = parse_qs(query, keep_blank_values=True).get("escape", [])
    if values and values != [FORMULAS]:
        raise Problem(ProblemCode.INVALID_PARAMETER, f"escape={values[-1][:64]!r} is not escape={FORMULAS}")
    return bool(values)


def write(job: Job, instances: Instances, signature: Signature, method: str, *, escape: bool) -> bytes:
    """Return the answers to the `instances` of a request, a row each; that of an invalid one is blank."""
    output: Mapping[str, Any] = job.output or {}
    names, columns, separator = _kept(instances, signature, output.get("ids"))
    answers = answer_columns(
        output["predictions"], output.get("probabilities"), output.get("scores"), signature, method
    )
    header = csv_lines([[name] for name in [*names, *answer_names(signature, method, names)]], separator, escape=escape)
    lines = csv_lines([*columns, *answers], separator, escape=escape)
    return "\n".join([*header, *lines, ""]).encode(errors="replace")


def _kept(
    instances: Instances, signature: Signature, ids: Sequence[object] | None
) -> tuple[Sequence[str], list[list[object]], str]:
    """Return the columns that are not answers, by name and values, and the separator."""
    if isinstance(instances, Grid) and instances.separator and instances.columns is not None:
        names, blank = instances.columns, [None] * len(instances.columns)
        rows = [[*row, *blank][: len(names)] for row in instances.rows]
        return names, [list(column) for column in zip(*rows, strict=True)], instances.separator
    return ([signature.id_field or "id"], [list(ids)], ",") if ids else ([], [], ",")
