"""A CSV file, as spreadsheets and programs write it → a table of text: the same for training and for serving."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, takewhile
from typing import IO, TypeVar

from contract.wording import counted, shown

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}

_T = TypeVar("_T")

_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?\s*', re.IGNORECASE)
"""What a spreadsheet may write before the header."""
_QUOTED = re.compile(r'"[^"]*"')
_END = "\0"
"""A sentinel after the last line. If the reader does not return it as a row of its own, a quotation mark is open."""
LONGEST_CELL = 2**31 - 1
"""Longest cell. Open quotation marks are detected in another way."""
_LINES_OF_HEADER = 100
"""Most lines of the header: a name may have several."""
LONGEST_HEADER = 500_000
"""Most characters of a header that is read without the rows."""
_MOST_CELLS = 1_000_000
"""Most cells of a line."""
_LINES_AT_ONCE = 5000
_CELLS_SHARED = 100_000
GUESSES = {"cp1252": "Windows-1252", "latin-1": "Latin-1"}
"""Encodings of text that is not UTF-8. Latin-1 reads any bytes."""


class NotCsv(ValueError):
    """The file cannot be read as CSV; the message completes "it is not CSV: …"."""


@dataclass(frozen=True)
class CsvTable:
    """A header and rows of text, blank cells None; rows may be shorter or longer than the header.

    `guessed` is the encoding if the file is not in Unicode. `blank` lines at its end, of blank cells, are no rows.
    """

    columns: list[str]
    rows: list[list[str | None]]
    separator: str
    guessed: str | None = None
    blank: int = 0


def read(file: IO[bytes], most: int | None = None, on_progress: Callable[[float], None] = lambda _: None) -> CsvTable:
    """Read the table in `file`, which can seek: all of it, or its first `most` rows.

    `on_progress` is called with the fraction that has been read. Raises `NotCsv`.
    """
    return _decoded(file, lambda text, encoding: _read(text, file, most, on_progress, GUESSES.get(encoding)))


def blank_rows(rows: Sequence[Sequence[str | None]], header: Sequence[str]) -> int:
    """Return how many rows at the end have only blank cells, as spreadsheets write them: they are no rows. The only
    column of a table may be blank."""
    rows = rows if len(header) > 1 else ()
    return sum(1 for _ in takewhile(lambda row: not any(cell and not cell.isspace() for cell in row), reversed(rows)))


def remarks(guessed: str | None, blank: int) -> list[str]:
    """Return what callers should check: how the text was decoded, and `blank` lines that were left out."""
    decoded = [f"the CSV is not in UTF-8 and was read as {guessed}; check its accented letters"] if guessed else []
    left_out = [f"the CSV ends with {counted(blank, 'line')} of blank cells, which are not rows"] if blank else []
    return decoded + left_out


def read_header(file: IO[bytes]) -> tuple[list[str], bool]:
    """Return the names in the header, with the blanks around them, and whether a row follows.

    Reads at most `_LINES_OF_HEADER` lines and `LONGEST_HEADER` characters of `file`. Raises `NotCsv`, also if the file
    goes on and no row has begun there."""
    return _decoded(file, lambda text, _: _read_header(text))


def _decoded(file: IO[bytes], read_text: Callable[[io.TextIOWrapper, str], _T]) -> _T:
    """Return what `read_text` makes of the text in `file` and its encoding, tried until one fits. Raises `NotCsv`."""
    csv.field_size_limit(LONGEST_CELL)  # of the whole process, whose other threads may read, too
    try:
        for encoding in encodings_of(file):
            file.seek(0)
            text = io.TextIOWrapper(file, encoding, newline="")
            try:
                return read_text(text, encoding)
            except UnicodeDecodeError:
                continue
            finally:
                text.detach()  # which leaves the file open
        raise NotCsv("its encoding is unknown; save it in UTF-8")
    except (UnicodeError, csv.Error) as error:
        raise NotCsv(str(error)) from error


def encodings_of(file: IO[bytes]) -> list[str]:
    """Return the encodings that the text may have: the first that reads all of it is the right one. Raises `NotCsv`."""
    head = file.read(4096)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ["utf-16"]
    if b"\0" in head:
        raise NotCsv("it is binary")
    # A spreadsheet's CSV begins with a byte order mark.
    return ["utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8", *GUESSES]


def _read(
    file: IO[str], raw: IO[bytes], most: int | None, on_progress: Callable[[float], None], guessed: str | None
) -> CsvTable:
    size = raw.seek(0, io.SEEK_END)
    file.seek(0)
    first_line, separator = find_separator(file)
    file.seek(0)
    lines = records(islice(_clean(file), first_line, None), separator)
    header = [name.strip() for name in next(lines, [])]
    rows: list[list[str | None]] = []
    # One object for equal cells: a column of few words would take fifty bytes a cell.
    shared: dict[str, str | None] = {"": None}
    while batch := list(islice(lines, _LINES_AT_ONCE if most is None else min(_LINES_AT_ONCE, most - len(rows)))):
        for line in batch:
            if len(shared) < _CELLS_SHARED:
                rows.append([shared.setdefault(cell, None if cell.isspace() else cell) for cell in line])
            else:
                rows.append([None if not cell or cell.isspace() else shared.get(cell, cell) for cell in line])
        on_progress(min(raw.tell() / size, 1.0))
    blank = blank_rows(rows, header) if len(rows) != most else 0
    return CsvTable(header, rows[: len(rows) - blank], separator, guessed, blank)


def _read_header(file: io.TextIOWrapper) -> tuple[list[str], bool]:
    read = io.StringIO(newline="")
    for _ in range(_LINES_OF_HEADER):
        read.write(file.readline(LONGEST_HEADER - read.tell()))
    read.seek(0)
    first_line, separator = find_separator(read)
    read.seek(0)
    lines = islice(_clean(read), first_line, None)
    header = next(records(lines, separator), [])
    if any(line.strip() for line in lines):
        return header, True
    if file.read(1):
        raise NotCsv(f"its first {_LINES_OF_HEADER} lines and {LONGEST_HEADER:,} characters have no header and row")
    return header, False


def records(lines: Iterator[str], separator: str) -> Iterator[list[str]]:
    """Yield the cells of each line that is not blank. Raises csv.Error."""
    for record in csv.reader(chain(lines, [_END]), delimiter=separator, skipinitialspace=True):
        if record == [_END]:
            return
        if record and record[-1].endswith(_END):
            raise csv.Error(f"the quotation mark before {shown(record[-1][:20].rstrip(_END))} is not closed")
        if record:
            yield record


def _clean(file: IO[str]) -> Iterator[str]:
    """Yield line by line. Raises csv.Error for a NUL, which text does not have, and for a line of more cells than any
    table, which take long to tell apart."""
    for line in file:
        if len(line) > _MOST_CELLS and (cells := max(map(line.count, SEPARATORS))) > _MOST_CELLS:
            raise csv.Error(f"a line has {cells:,} cells, and at most {_MOST_CELLS:,} are read")
        if "\0" in line:
            raise csv.Error("it is binary")
        yield line


def find_separator(file: IO[str]) -> tuple[int, str]:
    """Return the line in which the header begins, and the separator: the one that the line before it names, else the
    one that splits the header into the most columns, else a comma."""
    header = ""
    for line in islice(_clean(file), _LINES_OF_HEADER):
        if not header and (named := _SEPARATOR_LINE.fullmatch(line)):
            return 1, named[1]
        header += line
        if header.strip() and header.count('"') % 2 == 0:
            break
    return 0, max(SEPARATORS, key=_QUOTED.sub("", header).count)
