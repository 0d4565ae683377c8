"""The log of a service: one line an event, after the name of the service."""

from __future__ import annotations

import logging
import sys
from typing import TextIO


def configure(service: str, stream: TextIO | None = None) -> None:
    """Log to `stream` (default: standard error): `service` from INFO on, libraries from WARNING on."""
    logging.basicConfig(format=f"{service}: %(message)s", level=logging.WARNING, stream=stream or sys.stderr)
    logging.getLogger(service).setLevel(logging.INFO)
