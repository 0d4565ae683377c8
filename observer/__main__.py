"""`python -m observer` keeps the prediction log and answers questions about it, until it is stopped."""

from __future__ import annotations

import logging
import os
import sys

from contract.errors import SettingsError
from contract.settings import Settings
from observer.log.store import InUse
from observer.service import Observer
from runtime import logs
from runtime.health import serve_health
from runtime.liveness import Watchdog
from runtime.program import parser_of

log = logging.getLogger("observer")

STUCK_AFTER = 120.0
"""Seconds without a turn of the main loop after which the process ends: more than Redis can delay one."""

_NICENESS = 10
"""Predictions go first."""


def main() -> int:
    arguments = parser_of("observer", __doc__).parse_args()
    logs.configure("observer")
    os.nice(_NICENESS)
    watchdog: Watchdog | None = None  # to fetch a log may take long
    if arguments.health_socket:
        serve_health(arguments.health_socket, lambda: watchdog.problems() if watchdog else [])
    try:
        settings = Settings.from_environ()
        if not settings.redis_url:
            raise SettingsError("REDIS_URL is not set; set it to the URL of the gateway's Redis")
        observer = Observer(settings)
    except (SettingsError, InUse) as error:
        log.error("%s", error)
        return 1
    except OSError as error:
        log.error("PREDICTION_LOG_DIR=%s cannot be written: %s", settings.prediction_log_dir, error.strerror)
        return 1
    watchdog = Watchdog(STUCK_AFTER)
    observer.run(watchdog.beat)
    return 0


if __name__ == "__main__":
    sys.exit(main())
