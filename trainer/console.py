"""The trainer's lines on stdout."""

from __future__ import annotations

import sys


def print_line(line: str) -> None:
    """Write a whole line to stdout and flush it: other processes write there too."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
