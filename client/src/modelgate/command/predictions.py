"""The verb `predict`: scores a file of rows, or those on standard input."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from modelgate.command.exits import ExitCode, Failed
from modelgate.command.jobs import wait_for
from modelgate.command.lake import score_lake
from modelgate.command.models import Reference
from modelgate.command.repository import StoreOptions
from modelgate.command.saving import deliver
from modelgate.command.session import Session
from modelgate.command.terminal import one_line
from modelgate.command.verbs import flag, option
from modelgate.file_formats import RowsFormat, format_of_name, format_of_start
from modelgate.jobs import FileJob
from modelgate.lake import is_lake

FormatOption = Annotated[
    RowsFormat | None, option("The format of the rows, unless the file's name says it.", "--format")
]
_HEAD = 1 << 16
_SHOWN = 10
"""Errors of rows that are shown where there is no file for them."""


def predict(
    session: Session,
    reference: Reference,
    rows: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            show_default=False,
            help="CSV, NDJSON or Parquet; by default standard input. Or objects: 's3://lake/2026/*.parquet'.",
        ),
    ] = "-",
    output: Annotated[
        str | None,
        option(
            "Where the answers go; by default standard output. Those of objects go to a folder: s3://lake/scored/.",
            *("--output", "-o"),
            metavar="FILE",
        ),
    ] = None,
    format_: FormatOption = None,
    method: Annotated[str, option("Another method, such as decision_function or transform.")] = "predict",
    strict: Annotated[bool, flag("Fail at the first rows that cannot be used.", "--strict")] = False,
    escape: Annotated[bool, flag("Keep a spreadsheet from running cells of the CSV.", "--escape-formulas")] = False,
    store_options: StoreOptions = None,
) -> None:
    """Score a file of any size, or the objects of a data lake. Ctrl-C cancels the job.

    The answers have the columns of the file, then the prediction. Rows that cannot be used stay without one; what is
    wrong with each is in a second file: out.errors.csv beside out.csv.

    Each object becomes one of the same name in the folder of the answers, which is written once: the same command again
    scores, with the same version, what is not there yet.
    """
    if is_lake(rows) or is_lake(output or ""):
        if format_ or escape:
            raise Failed("objects keep their own format: --format and --escape-formulas are for files", ExitCode.USAGE)
        score_lake(session, reference, rows, output or "", store_options, method=method, strict=strict)
        return
    score_file(session, reference, rows, output, format_, method=method, strict=strict, escape_formulas=escape)


def score_file(
    session: Session, reference: str, rows: str, output: str | None, format_: RowsFormat | None, **options: Any
) -> None:
    """Submit a file, wait for its job, and deliver the answers. `options`: of `Model.submit`."""
    source, target = Path(rows), None if output in (None, "-") else Path(str(output))
    if target and not target.parent.is_dir():
        raise Failed(f"{target.parent} is no folder; name a file in one that exists", ExitCode.USAGE)
    with _opened(source) as file:
        input_format = format_ or format_of_name(source) or _format_of(file)
        kind = (format_of_name(target) if target else None) or input_format
        if target is None and kind is RowsFormat.PARQUET and sys.stdout.isatty():
            raise Failed("Parquet is not for a terminal; name a file: -o out.parquet", ExitCode.USAGE)
        job = session.client.model(reference).submit(file, format=input_format, output=kind, **options)
    wait_for(job)
    session.notes(job.json["warnings"])
    deliver(session, job, target)
    if target is None:
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
