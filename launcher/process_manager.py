"""supervisord, whose own events are lines of the log as those of its processes are."""

from __future__ import annotations

import logging
from typing import Any

from supervisor import loggers, supervisord

from runtime import logs

log = logging.getLogger("launcher")


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
    logs.configure("modelgate")
    loggers.handle_stdout = _handle_stdout
    supervisord.main()
