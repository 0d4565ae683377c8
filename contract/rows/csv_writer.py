"""Writes columns of values as CSV. Numbers read back equal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from contract.rows.csv_cells import is_number

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet runs as a formula."""


def csv_lines(columns: Sequence[Sequence[Any]], separator: str, *, escape: bool) -> list[str]:
    """Return the rows of columns of values as lines without line ends. `escape`: no cell is a formula."""
    texts = [cells(column) for column in columns]
    return joined([quoted(list(map(escaped, column)) if escape else column, separator) for column in texts], separator)


def joined(columns: Sequence[Sequence[str]], separator: str) -> list[str]:
    """Return the rows of columns of cells that need no more quotation marks."""
    if len(columns) == 1:  # readers skip blank lines
        return [cell or '""' for cell in columns[0]]
    return list(map(separator.join, zip(*columns, strict=True)))


def cells(column: Sequence[Any]) -> list[str]:
    """Return values as the text of cells. Null is blank; booleans, lists and objects are as in JSON."""
    types = set(map(type, column))
    if types == {str}:
        return list(column)
    return list(map(repr, column)) if types in ({float}, {int}) else list(map(_cell, column))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def quoted(column: list[str], separator: str) -> list[str]:
    """Return cells in quotation marks where they need them."""
    marks = ('"', separator, "\n", "\r")

    def quote(cell: str) -> str:
        needed = cell[:1] == " " or any(mark in cell for mark in marks)
        return '"' + cell.replace('"', '""') + '"' if needed else cell

    text = "".join(column)
    return list(map(quote, column)) if any(mark in text for mark in (*marks, " ")) else column


def escaped(cell: str) -> str:
    """Return a cell that no spreadsheet runs: an apostrophe comes before a formula. Numbers stay."""
    return "'" + cell if cell.lstrip(" ").startswith(_FORMULA) and not is_number(cell) else cell
