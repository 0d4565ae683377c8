"""What the programs of the services begin with: their options, and the event that ends them."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path


def parser_of(service: str, description: str | None) -> argparse.ArgumentParser:
    """Return the parser of the options that all services have."""
    parser = argparse.ArgumentParser(prog=f"python -m {service}", description=description)
    health = "where `python -m runtime.health PATH` asks for its health"
    parser.add_argument("--health-socket", type=Path, metavar="PATH", help=health)
    return parser


def stop_event() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
