"""Saves a scored file, and what is wrong with its rows in a second one."""

from __future__ import annotations

import csv
import json
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import IO

from modelgate.command.session import Session
from modelgate.command.terminal import count
from modelgate.file_formats import RowsFormat, format_of_name
from modelgate.files import replacing
from modelgate.jobs import FileJob

_FIELDS = ("row", "field", "code", "message")


def deliver(session: Session, job: FileJob, output: Path | None) -> None:
    """Save the answers of a job that has succeeded, or write them to standard output, and print a line such as
    `100,000 rows, 3 errors → out.csv, out.errors.csv`."""
    counts = count(job.rows, "row") + (f", {count(job.errors, 'error')}" if job.errors else "")
    if output is None:
        job.download(sys.stdout.buffer)
        sys.stdout.flush()
        session.note(counts)
        return
    files = [str(path) for path in save(job, output)]
    session.show({**job.json, "files": files}, lambda: [f"{counts} → {', '.join(files)}"])


def save(job: FileJob, output: Path) -> list[Path]:
    """Save the answers of a job that has succeeded, and return the files. Raises `ModelgateError` and OSError."""
    errors = errors_file(output)
    job.download(output)
    if not job.errors:
        errors.unlink(missing_ok=True)  # those of an earlier run are not true any more
        return [output]
    with replacing(errors) as binary, TextIOWrapper(binary, encoding="utf-8", newline="") as file:
        write_errors(job, file, as_json=errors.suffix == ".ndjson")
    return [output, errors]


def errors_file(output: Path) -> Path:
    """Return `out.errors.csv` for `out.csv` and `out.parquet`, `out.errors.ndjson` for `out.ndjson`."""
    return output.with_suffix(".errors.ndjson" if format_of_name(output) is RowsFormat.NDJSON else ".errors.csv")


def write_errors(job: FileJob, file: IO[str], *, as_json: bool) -> None:
    """Write a line for each error."""
    if as_json:
        file.writelines(json.dumps(error, ensure_ascii=False) + "\n" for error in job.row_errors())
        return
    table = csv.writer(file, lineterminator="\n")
    table.writerow(_FIELDS)
    table.writerows([error.get(field) for field in _FIELDS] for error in job.row_errors())
