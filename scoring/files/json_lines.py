"""Reads lines of NDJSON as the gateway reads the rows of a request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NoReturn

import orjson

from contract.model.signature import RowFormat, Signature
from contract.rows.instances import Grid, Records
from runtime.exact_json import is_exact, with_repeats_marked
from scoring.files.rows import NotJson, Run


def rows_in(text: bytes) -> list[bytes]:
    """Return the lines that are not blank."""
    return [line for line in text.split(b"\n") if line and not line.isspace()]


def read_lines(lines: Sequence[bytes]) -> list[Any]:
    """Return the value of each line; `NotJson` for one that is none. Objects that repeat a key are `RepeatedKeys`."""
    try:
        values = list(map(orjson.loads, lines))
    except orjson.JSONDecodeError:
        return list(map(_read, lines))
    return values if is_exact(values, b"\n".join(lines)) else list(map(_read, lines))


def _read(line: bytes) -> Any:
    try:
        value = orjson.loads(line)
        if is_exact(value, line):
            return value
    except orjson.JSONDecodeError:
        pass
    try:
        return _DECODER.decode(line.decode())
    except json.JSONDecodeError as error:
        return NotJson(f"{error.msg} at column {error.colno}")
    except UnicodeDecodeError as error:
        return NotJson(f"byte {error.start} is not UTF-8")
    except RecursionError:
        return NotJson("it is nested too deeply")
    except ValueError as error:
        return NotJson(str(error) if str(error) in _CONSTANTS else "a number has thousands of digits")


_CONSTANTS = [f"{constant} is not JSON" for constant in ("NaN", "Infinity", "-Infinity")]


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=with_repeats_marked, parse_constant=_refuse_constant)


def names_of(rows: Iterable[Any], signature: Signature) -> dict[str, None]:
    """Return the names of the values in rows, in the order in which they come."""
    names: dict[str, None] = {}
    for row in rows:
        if isinstance(row, dict):
            if not row.keys() <= names.keys():
                names.update(dict.fromkeys(row))
        elif isinstance(row, list | str):
            names.update(dict.fromkeys(signature.names))
    return names


def named(row: Any, signature: Signature) -> dict[str, Any]:
    """Return the values of a row by name; none if it has none."""
    if isinstance(row, dict):
        return row
    values = row if isinstance(row, list) else [row] if isinstance(row, str) else []
    return dict(zip(signature.names, values, strict=False))


def runs_of(rows: Sequence[Any], signature: Signature) -> Iterator[Run]:
    """Yield the rows in runs of the same form."""
    texts = signature.format is RowFormat.TEXTS
    for kind, some in groupby(rows, type):
        if kind is NotJson:
            yield from some
        elif kind is list:
            yield Grid(None, list(some))
        elif kind is str and texts:
            yield Grid(None, [[text] for text in some])
        else:
            yield Records(list(some))
