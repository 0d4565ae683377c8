"""The trainer's lines on stdout."""

from __future__ import annotations

import sys

_CONTROLS = {number: f"\\x{number:02x}" for number in (*range(0x20), *range(0x7F, 0xA0)) if chr(number) not in "\t\n"}


def print_line(line: str) -> None:
    """Write a whole line to stdout and flush it: other processes write there too.

    Control characters are escaped: lines hold names of columns, and a terminal would obey what these say.
    """
    sys.stdout.write(f"{line.translate(_CONTROLS)}\n")
    sys.stdout.flush()
