"""Prints the progress of a benchmark."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
