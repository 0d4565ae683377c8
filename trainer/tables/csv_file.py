"""A CSV file, as spreadsheets and programs write it → a table of text, with what had to be guessed about it."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO

from contract.kinds import shown
from trainer.recipe import DataError, Table

NULLS = frozenset({"", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"})
"""Cells of a CSV file that stand for no value, as they do for pandas."""

STANDS_FOR_NULL = frozenset({"?", "-", "--", ".", "na", "n/a", "none", "missing", "unknown", "inf", "-inf", "infinity"})
"""Words, in small letters, that stand for no value where all others are numbers or dates."""

_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?([eE][+-]?\d+)?")
_QUOTED = re.compile(r'"[^"]*"')
_END = "\0"
"""A line after the last one, which no file has: where it is not read as such, a quotation mark is still open."""
_LONGEST_CELL = 2**31 - 1
"""A text may be long; where a quotation mark is left open, that is found out."""
_LINES_OF_HEADER = 100
"""At most: names may be of several lines."""
_LINES_A_TELLING = 5000
_CELLS_SHARED = 100_000


def read(path: Path, source: str, told: Callable[[float], None]) -> Table:
    """A header and rows of text, nulls None; columns may be separated by commas, semicolons or tabs.

    `told` hears the fraction that is read. Raises `DataError`, which calls the file `source`.
    """
    limit = csv.field_size_limit(_LONGEST_CELL)  # which is the whole process's
    try:
        try:
            return _read(path, _encoding(path, source), source, told)
        except UnicodeDecodeError:
            found = _read(path, "latin-1", source, told)
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error.strerror}): {path}") from error
    except (UnicodeError, csv.Error) as error:
        raise DataError(f"{source} is not a CSV file ({error}); save it as CSV in UTF-8") from error
    finally:
        csv.field_size_limit(limit)
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
        separator = _separator(file)
        lines = _records(file, separator)
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
    remarks = [f"the columns of {source} are separated by {_SEPARATORS[separator]}"] if separator != "," else []
    decimal, thousands = _without_commas(header, rows, separator)
    if decimal:
        remarks.append(f"the numbers in {', '.join(decimal)} have a decimal comma")
    if thousands:
        remarks.append(f"the numbers in {', '.join(thousands)} have commas between thousands")
    return Table(source, header, rows, remarks)


def _records(file: IO[str], separator: str) -> Iterator[list[str]]:
    """The file from its beginning, but for blank lines. Raises csv.Error."""
    file.seek(0)
    for record in csv.reader(chain(_clean(file), [_END]), delimiter=separator, skipinitialspace=True):
        if record == [_END]:
            return
        if record and record[-1].endswith(_END):
            raise csv.Error(f"the quotation mark before {shown(record[-1][:20])} is not closed")
        if record:
            yield record


def _clean(file: IO[str]) -> Iterator[str]:
    """Line by line, because nothing that people call text has a NUL."""
    for line in file:
        if "\0" in line:
            raise csv.Error("it is binary")
        yield line


def _separator(file: IO[str]) -> str:
    """What separates the header into the most columns; a comma, if nothing does better."""
    header = ""
    for line in islice(_clean(file), _LINES_OF_HEADER):
        header += line
        if header.strip() and header.count('"') % 2 == 0:
            break
    return max(_SEPARATORS, key=_QUOTED.sub("", header).count)


def _without_commas(
    header: Sequence[str], rows: list[list[str | None]], separator: str
) -> tuple[Sequence[str], Sequence[str]]:
    """Writes 1.212,5 and 1,212.5 as 1212.5 in columns of such numbers alone; returns the names of both.

    Where commas separate the columns they stand between thousands alone: "1,2" is rather a list. Elsewhere 1,212 is a
    little more than one.
    """
    decimal: list[str] = []
    thousands: list[str] = []
    ways = [
        (_DECIMAL_COMMA, str.maketrans(",", ".", "."), decimal),
        (_THOUSANDS, str.maketrans("", "", ","), thousands),
    ]
    for index, name in enumerate(header):
        column = [row[index] or "" for row in rows]
        if "," not in "".join(column):
            continue
        cells = {cell for cell in set(column) if cell and cell.lower() not in STANDS_FOR_NULL}
        for pattern, change, found in ways[1:] if separator == "," else ways:
            if all(map(pattern.fullmatch, cells)):
                found.append(name)
                for row in rows:
                    cell = row[index]
                    row[index] = cell.translate(change) if cell in cells else cell
                break
    return decimal, thousands
