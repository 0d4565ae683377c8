"""Where the processes of a worker say what an operator should know: standard error, a line each."""

from __future__ import annotations

import logging
import sys


def to_stderr() -> None:
    logging.basicConfig(format="worker: %(message)s", level=logging.INFO, stream=sys.stderr)
