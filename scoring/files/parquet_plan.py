"""Finds the chunks of a Parquet file: ranges of rows, whatever its row groups are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from contract.errors import FieldError, InvalidInstances
from contract.model.signature import Signature
from contract.rows.coercion import check_columns
from contract.rows.instances import Grid
from contract.rows.row_plan import plan_of
from scoring.files.parquet import columns_of, in_background, quoted, rows_in, text_sizes
from scoring.files.plan import MAX_ROW_BYTES, MOST_CHUNKS, Chunk, Contents, NotReadable, RowBounds, Steps

_CHUNK_ROWS = 65_536
"""Rows of a chunk: each reads its row group up to its own rows, which takes time where row groups are large."""
_CHUNK_BYTES = 32 * 2**20
"""Bytes in memory of the rows of a chunk, where each byte of a text counts `_COPIES` times."""
_COPIES = 4
_PIECE_ROWS, _MOST_PIECES = 1024, 2**16
"""The texts of so many rows are counted together; of more, if the file would have more pieces."""
_FREE_ROWS, _ROWS_PER_BYTE = 1_000_000, 64
"""Rows of a file, and how many for each of its bytes, if that is more."""

NUMBERS = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\))$")
TEXTS = re.compile(r'("NULL"|VARCHAR|UUID|ENUM\(.*\)|DATE|TIMESTAMP.*)$', re.DOTALL)


def plan_parquet(path: Path, signature: Signature, target: str | None, bounds: RowBounds) -> Steps[Contents]:
    """Plan a Parquet file. Raises `InvalidInstances` and `NotReadable`, as `scoring.files.planning.plan`."""
    types = yield from in_background(lambda: columns_of(path))
    names = list(types)
    warnings = check_columns(Grid(names, []), signature, target)
    places = sorted(plan_of(signature).lay_out(names, range(len(names))).places.values())
    odd = [names[column] for column in places if not is_plain(types[names[column]])]
    if odd:
        raise InvalidInstances([_odd(name, types[name]) for name in odd])
    rows = yield from in_background(lambda: rows_in(path))
    if not rows:
        raise InvalidInstances([FieldError(None, None, "no_rows", "the file has no rows; send at least one")])
    if rows > (most := max(_FREE_ROWS, _ROWS_PER_BYTE * bounds.size)):
        raise NotReadable(f"it has {rows} rows, and a file of its size may have {most}; send them in several files")
    piece = max(_PIECE_ROWS, rows // _MOST_PIECES + 1)
    texts = [_text(name, kind) for name, kind in types.items() if not is_short(kind)]
    sizes = (yield from in_background(lambda: text_sizes(path, texts, piece))) if texts else []
    bounds.check(rows, names, sum(size for size, _ in sizes))
    if any(longest > MAX_ROW_BYTES for _, longest in sizes):
        raise NotReadable(f"a row is longer than {MAX_ROW_BYTES >> 20} MB")
    ends = _ends(rows, piece, [size for size, _ in sizes], bounds.row_bytes(names))
    chunks = [Chunk(number, start, end - start, start, end) for number, (start, end) in enumerate(pairwise([0, *ends]))]
    return Contents(chunks, names, warnings)


def _ends(rows: int, piece: int, texts: Sequence[int], row_bytes: int) -> Iterator[int]:
    """Yield the row before which each chunk ends. `texts`: bytes of texts in each `piece` of rows, if there are any."""
    most_rows = max(_CHUNK_ROWS, rows // MOST_CHUNKS)
    start = used = 0
    for number, begin in enumerate(range(0, rows, piece)):
        end = min(begin + piece, rows)
        size = row_bytes * (end - begin) + (_COPIES * texts[number] if texts else 0)
        if start < begin and (used + size > _CHUNK_BYTES or end - start > most_rows):
            yield begin
            start, used = begin, 0
        used += size
        if used > _CHUNK_BYTES or end - start > most_rows:  # the piece alone is too large
            step = max(1, min(most_rows, (end - begin) * _CHUNK_BYTES // size))
            yield from range(begin + step, end, step)
            if end < rows:
                yield end
            start, used = end, 0
    yield rows


def _text(name: str, kind: str) -> str:
    """Return the SQL of a column as the text that it takes most memory as."""
    return f"CAST({quoted(name)} AS VARCHAR)" if is_plain(kind) or kind == "BLOB" else f"to_json({quoted(name)})"


def is_short(kind: str) -> bool:
    """Return whether a value of a type in SQL is a number of 8 bytes or a boolean: all others are written as text."""
    return kind == "BOOLEAN" or (bool(NUMBERS.match(kind)) and "HUGE" not in kind and not kind.startswith("DECIMAL"))


def is_plain(kind: str) -> bool:
    """Return whether coercion knows the values of a type in SQL: no lists, objects, intervals or bytes."""
    return kind == "BOOLEAN" or (bool(NUMBERS.match(kind) or TEXTS.match(kind)) and not kind.endswith("]"))


def _odd(name: str, kind: str) -> FieldError:
    message = f"{name!r} has the type {kind[:64]}; send numbers, text, booleans or dates, with or without a time"
    return FieldError(None, name, "unsupported_type", message, name)
