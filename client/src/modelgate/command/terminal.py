"""What the command writes: lines, tables, JSON. Text of a server is shown without its control characters."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from modelgate.text import CONTROL, visible

_WIDE = 10_000
"""Columns of an output that is no terminal: nothing is cut or wrapped there."""


def one_line(value: object) -> str:
    return " ".join(visible(value).split())


def console(*, stderr: bool = False) -> Console:
    """Return the console of an output, which is as wide as it takes unless it is a terminal."""
    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=_WIDE)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[str] = ()) -> Table:
    """Return a table. The columns with a head in `numbers` are set flush right."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False, header_style="bold")
    for head in heads:
        made.add_column(head, justify="right" if head in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(visible("" if cell is None else cell)) for cell in row))
    return made


def print_json(data: Any) -> None:
    """Print JSON: indented for people, a line for programs."""
    indent = 2 if sys.stdout.isatty() else None
    text = json.dumps(data, indent=indent, ensure_ascii=not _speaks_unicode())
    print(CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text), flush=True)


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def moment(text: str | None) -> str:
    """Return a time as `2026-01-02 03:04:05Z`, or `-`."""
    return f"{text[:10]} {text[11:19]}Z" if text else "-"


def figure(value: float) -> str:
    """Return a number with four digits, or all before its point: `0.8123`, `12,345`."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def count(number: int, what: str) -> str:
    """Return `1 row`, `1,204 rows`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
