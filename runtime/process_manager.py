"""`python -m runtime.process_manager SERVICE -c FILE`: supervisord, whose own events are lines of the log, too."""

from __future__ import annotations

import logging
import sys
from typing import Any

from supervisor import loggers, supervisord

from runtime import logs

log = logging.getLogger("runtime")


class _ToLog(loggers.Handler):
    """Hands supervisord's records, whose levels are numbered as Python's, to the log."""

    def emit(self, record: Any) -> None:
        log.log(record.level, "%s", record.asdict()["message"].strip())

    def close(self) -> None:
        """It has no stream of its own."""


def _handle_stdout(logger: Any, _format: str) -> None:
    handler: Any = _ToLog()  # type: ignore[no-untyped-call]
    handler.setLevel(logger.level)
    logger.addHandler(handler)


if __name__ == "__main__":
    logs.configure(sys.argv.pop(1))
    loggers.handle_stdout = _handle_stdout
    supervisord.main()
