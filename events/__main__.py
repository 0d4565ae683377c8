"""`python -m events` reports ended jobs and changed models to webhooks, until it is stopped."""

from __future__ import annotations

import logging
import sys
import time

from broker.link.connection import connect
from contract.errors import SettingsError
from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.webhooks import AllowedTargets, secrets_in
from events.sender import Sender
from events.service import Service
from runtime import logs
from runtime.health import serve_health
from runtime.liveness import Watchdog
from runtime.program import parser_of, stop_event

log = logging.getLogger("events")

TICK = 0.25
"""Seconds between two rounds."""

LOOP_TIMEOUT = 120.0
"""Seconds that one round may take: more than Redis can delay it."""


def main() -> int:
    arguments = parser_of("events", __doc__).parse_args()
    logs.configure("events")
    try:
        settings = Settings.from_environ()
        if not settings.redis_url:
            raise SettingsError("REDIS_URL is not set; set it to the URL of the gateway's Redis")
        secrets = secrets_in(settings.webhook_secret)
        allowed = AllowedTargets(settings.webhook_allow)
    except (SettingsError, ValueError) as error:
        log.error("%s", error)
        return 1
    stop = stop_event()
    watchdog = Watchdog(LOOP_TIMEOUT)
    if arguments.health_socket:
        serve_health(arguments.health_socket, watchdog.problems)
    if not secrets:
        log.info("WEBHOOK_SECRET is not set, so there are no webhooks")
    service = Service(
        connect(settings.redis_url, check=False), Repository(settings.models_dir), Sender(secrets, allowed)
    )
    more = False
    while not stop.wait(0 if more else TICK):
        watchdog.beat()
        more = bool(secrets) and service.step()
    end = time.monotonic() + settings.stop_grace / 2
    service.close(lambda: end - time.monotonic())
    return 0


if __name__ == "__main__":
    sys.exit(main())
