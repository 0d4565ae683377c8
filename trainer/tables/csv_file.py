"""Reads a CSV file as a table of text, with remarks on what was guessed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from contract.rows import csv_table
from trainer.recipe import DataError, Table


def read(path: Path, source: str, on_progress: Callable[[float], None]) -> Table:
    """Read a header and rows of text, as serving does (`contract.rows.csv_table`). Blank cells are None.

    `on_progress` is called with the fraction that has been read. Raises `DataError`, which calls the file `source`.
    """
    try:
        with path.open("rb") as file:
            table = csv_table.read(file, on_progress=on_progress)
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error.strerror}): {path}") from error
    except csv_table.NotCsv as error:
        raise DataError(f"{source} is not a CSV file ({error}); save it as CSV in UTF-8") from error
    return as_table(table, source)


def as_table(table: csv_table.CsvTable, source: str) -> Table:
    """Return the rows of `source` with remarks on the file. Raises `DataError` for a row that is too short or long."""
    width = len(table.columns)
    for number, row in enumerate(table.rows, 1):
        if len(row) != width:
            raise DataError(
                f"{source}, row {number} below the header has {len(row)} values instead of {width};"
                " correct the file and train again"
            )
    remarks = []
    if table.guessed:
        remarks.append(f"{source} is not in UTF-8 and was read as {table.guessed}; check its accented letters")
    if table.separator != ",":
        remarks.append(f"the columns of {source} are separated by {csv_table.SEPARATORS[table.separator]}")
    return Table(source, table.columns, table.rows, remarks, table.separator)
