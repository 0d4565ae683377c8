"""Finds the chunks of a Parquet file: ranges of rows, whatever its row groups are."""

from __future__ import annotations

import re
from pathlib import Path

from contract.coercion import check_columns
from contract.errors import FieldError, InvalidInstances
from contract.instances import Grid
from contract.row_plan import plan_of
from contract.signature import Signature
from scoring.files.parquet import columns_of, in_background, sizes_of
from scoring.files.plan import Chunk, Contents, Steps

_CHUNK_ROWS = 65_536
"""Rows of a chunk: each reads its row group up to its own rows, which takes time where row groups are large."""
_CHUNK_BYTES = 32 * 2**20

NUMBERS = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\))$")
TEXTS = re.compile(r'("NULL"|VARCHAR|UUID|ENUM\(.*\)|DATE|TIMESTAMP.*)$', re.DOTALL)


def plan_parquet(path: Path, signature: Signature, target: str | None) -> Steps[Contents]:
    """Plan a Parquet file. Raises `InvalidInstances` and `NotReadable`, as `scoring.files.planning.plan`."""
    types = yield from in_background(lambda: columns_of(path))
    names = list(types)
    warnings = check_columns(Grid(names, []), signature, target)
    places = sorted(plan_of(signature).lay_out(names, range(len(names))).places.values())
    odd = [names[place] for place in places if not is_plain(types[names[place]])]
    if odd:
        raise InvalidInstances([_odd(name, types[name]) for name in odd])
    rows, size = yield from in_background(lambda: sizes_of(path))
    if not rows:
        raise InvalidInstances([FieldError(None, None, "no_rows", "the file has no rows; send at least one")])
    step = max(1, min(_CHUNK_ROWS, _CHUNK_BYTES * rows // max(size, 1)))
    chunks = [
        Chunk(number, start, min(step, rows - start), start, min(start + step, rows))
        for number, start in enumerate(range(0, rows, step))
    ]
    return Contents(chunks, names, warnings)


def is_plain(kind: str) -> bool:
    """Return whether coercion knows the values of a type in SQL: no lists, objects, intervals or bytes."""
    return kind == "BOOLEAN" or (bool(NUMBERS.match(kind) or TEXTS.match(kind)) and not kind.endswith("]"))


def _odd(name: str, kind: str) -> FieldError:
    message = f"{name!r} has the type {kind[:64]}; send numbers, text, booleans, dates or times"
    return FieldError(None, name, "unsupported_type", message, name)
