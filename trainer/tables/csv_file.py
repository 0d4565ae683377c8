"""A CSV file, as spreadsheets and programs write it → a table of text, with what had to be guessed about it."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

from trainer.recipe import DataError, Table

NULLS = frozenset({"", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"})
"""Cells of a CSV file that stand for no value, as they do for pandas."""

_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?")
_QUOTED = re.compile(r'"[^"]*"')
_LINES_A_TELLING = 5000
_CELLS_SHARED = 100_000


def read(path: Path, source: str, told: Callable[[float], None]) -> Table:
    """A header and rows of text, nulls None; columns may be separated by commas, semicolons or tabs.

    `told` hears the fraction that is read. Raises `DataError`, which calls the file `source`.
    """
    try:
        try:
            return _read(path, _encoding(path, source), source, told)
        except UnicodeDecodeError:
            found = _read(path, "latin-1", source, told)
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error.strerror}): {path}") from error
    except (UnicodeError, csv.Error) as error:
        raise DataError(f"{source} is not a CSV file ({error}); save it as CSV in UTF-8") from error
    remark = f"{source} is not in UTF-8 and was read as Latin-1; look at its letters with accents"
    return Table(found.source, found.columns, found.rows, (remark, *found.remarks))


def _encoding(path: Path, source: str) -> str:
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        raise DataError(f"{source} is not a CSV file (it is binary); save it as CSV in UTF-8")
    # A spreadsheet's CSV begins with a byte order mark.
    return "utf-8-sig"


def _read(path: Path, encoding: str, source: str, told: Callable[[float], None]) -> Table:
    with path.open("rb") as raw:
        file = io.TextIOWrapper(raw, encoding, newline="")
        separator = _separator(file.readline())
        file.seek(0)
        lines = (line for line in csv.reader(_clean(file), delimiter=separator, skipinitialspace=True) if line)
        header = [name.strip() for name in next(lines, [])]
        size = path.stat().st_size
        rows: list[list[str | None]] = []
        # One object for equal cells: a column of few words would take fifty bytes a cell.
        shared: dict[str, str | None] = dict.fromkeys(NULLS)
        while batch := list(islice(lines, _LINES_A_TELLING)):
            for number, line in enumerate(batch, len(rows) + 1):
                if len(line) != len(header):
                    raise DataError(
                        f"{source}, row {number} below the header has {len(line)} values instead of {len(header)};"
                        " correct the file and train again"
                    )
            for line in batch:
                if len(shared) < _CELLS_SHARED:
                    rows.append([shared.setdefault(cell, cell) for cell in line])
                else:
                    rows.append([shared.get(cell, cell) for cell in line])
            told(min(raw.tell() / size, 1.0) if size else 1.0)
    remarks = []
    if separator != ",":
        remarks.append(f"the columns of {source} are separated by {_SEPARATORS[separator]}")
        commas = _point_decimals(header, rows)
        if commas:
            remarks.append(f"the numbers in {', '.join(commas)} have a decimal comma")
    return Table(source, header, rows, remarks)


def _clean(file: IO[str]) -> Iterator[str]:
    """Line by line, because csv.reader would take a NUL for the end of what it understands."""
    for line in file:
        if "\0" in line:
            raise csv.Error("it is binary")
        yield line


def _separator(header: str) -> str:
    """What separates the header into the most columns; a comma, if nothing does better."""
    return max(_SEPARATORS, key=_QUOTED.sub("", header).count)


def _point_decimals(header: Sequence[str], rows: list[list[str | None]]) -> list[str]:
    """Writes 12,5 as 12.5 in columns of such numbers alone; returns their names."""
    found = []
    for index, name in enumerate(header):
        cells = {row[index] for row in rows} - {None}
        if not any("," in str(cell) for cell in cells) or not all(_DECIMAL_COMMA.fullmatch(str(c)) for c in cells):
            continue
        found.append(name)
        for row in rows:
            row[index] = (row[index] or "").replace(",", ".") or None
    return found
