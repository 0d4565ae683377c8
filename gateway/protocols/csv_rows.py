"""Rows as CSV with a header, read as a training file is read. The answer is the job as JSON."""

from __future__ import annotations

import io

from contract.errors import FieldError, InvalidInstances
from contract.rows import csv_table
from contract.rows.instances import Grid, Instances
from gateway.problems import MalformedBody
from gateway.protocols.native import EMPTY

_MOST_BLANKS = 1_000_000
"""Cells that all rows together may have fewer than the header asks for. An answer in CSV has each, as a blank one."""

AS_CSV = "curl --data-binary @FILE -H 'Content-Type: text/csv'"


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
    letters = "check its accented letters"
    remarks = [f"the CSV is not in UTF-8 and was read as {table.guessed}; {letters}"] if table.guessed else []
    return Grid(table.columns, table.rows, table.separator, remarks)
