"""Records the lines of a log, as JSON has them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gateway.http.exchange import log_context
from runtime.logs import JsonLines


class LogLines(logging.Handler):
    """Keeps each line as an object, with the fields of its request."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines("gateway"))
        self.events: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        context = {name: value for name, value in log_context().items() if value is not None}
        self.events.append({**json.loads(self.format(record)), **context})


@contextmanager
def recorded(logger: str) -> Iterator[LogLines]:
    """Record the lines of a logger at level `info` and above."""
    handler, log = LogLines(), logging.getLogger(logger)
    log.addHandler(handler)
    before, disabled = log.level, logging.root.manager.disable
    log.setLevel(logging.INFO)
    logging.disable(logging.NOTSET)
    yield handler
    log.removeHandler(handler)
    log.setLevel(before)
    logging.disable(disabled)
