"""The verb `predict`: scores a file of rows, or those on standard input."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Annotated

import typer

from modelgate.command.exits import ExitCode, Failed
from modelgate.command.jobs import wait_for
from modelgate.command.models import Reference
from modelgate.command.saving import deliver
from modelgate.command.session import Session
from modelgate.command.terminal import one_line
from modelgate.command.verbs import flag, option
from modelgate.file_formats import RowsFormat, format_of_name, format_of_start
from modelgate.jobs import FileJob

_HEAD = 1 << 16
_SHOWN = 10
"""Errors of rows that are shown where there is no file for them."""


def predict(
    session: Session,
    reference: Reference,
    rows: Annotated[
        Path,
        typer.Argument(metavar="FILE", show_default=False, help="CSV, NDJSON or Parquet; by default standard input."),
    ] = Path("-"),
    output: Annotated[
        Path | None, option("Where the answers go; by default standard output.", "--output", "-o", metavar="FILE")
    ] = None,
    format_: Annotated[
        RowsFormat | None, option("The format of the rows, unless the file's name says it.", "--format")
    ] = None,
    method: Annotated[str, option("Another method, such as decision_function or transform.")] = "predict",
    strict: Annotated[bool, flag("Fail at the first rows that cannot be used.", "--strict")] = False,
    escape: Annotated[bool, flag("Keep a spreadsheet from running cells of the CSV.", "--escape-formulas")] = False,
) -> None:
    """Score a file of any size. Ctrl-C cancels the job.

    The answers have the columns of the file, then the prediction. Rows that cannot be used stay without one; what is
    wrong with each is in a second file: out.errors.csv beside out.csv.
    """
    output = None if str(output) == "-" else output
    if output and not output.parent.is_dir():
        raise Failed(f"{output.parent} is no folder; name a file in one that exists", ExitCode.USAGE)
    with _opened(rows) as file:
        input_format = format_ or format_of_name(rows) or _format_of(file)
        kind = (format_of_name(output) if output else None) or input_format
        if output is None and kind is RowsFormat.PARQUET and sys.stdout.isatty():
            raise Failed("Parquet is not for a terminal; name a file: -o out.parquet", ExitCode.USAGE)
        job = session.client.model(reference).submit(
            file,
            format=input_format,
            output=kind,
            method=method,
            strict=strict,
            escape_formulas=escape,
        )
    wait_for(job)
    session.notes(job.json["warnings"])
    deliver(session, job, output)
    if output is None:
        _show_errors(session, job)


@contextmanager
def _opened(rows: Path) -> Iterator[IO[bytes]]:
    """Open a file of rows. Standard input and pipes are copied, because a lost connection makes them be sent again."""
    if str(rows) == "-":
        if sys.stdin.isatty():
            raise Failed("name a file of rows, or send them to standard input", ExitCode.USAGE)
        with _copied(sys.stdin.buffer) as copy:
            yield copy
        return
    with rows.open("rb") as file:
        if file.seekable():
            yield file
            return
        with _copied(file) as copy:
            yield copy


@contextmanager
def _copied(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(stream, copy)
        copy.seek(0)
        yield copy


def _format_of(file: IO[bytes]) -> RowsFormat:
    start = file.read(_HEAD)
    file.seek(0)
    return format_of_start(start)


def _show_errors(session: Session, job: FileJob) -> None:
    for error in islice(job.row_errors(), _SHOWN if job.errors else 0):
        session.note(f"row {error['row']}: {one_line(error.get('message') or error['code'])}")
