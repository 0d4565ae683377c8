"""`python -m gateway.grpc_server` serves the Open Inference Protocol over gRPC until it is stopped."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from dataclasses import replace

from redis.exceptions import RedisError

from contract.errors import SettingsError
from gateway.grpc_server.server import GrpcServer
from gateway.server.wsgi import start_app
from gateway.start import allow_open_files, checked_settings
from runtime import logs
from runtime.program import stop_event

log = logging.getLogger("gateway")

SWITCH_EVERY = 0.02
"""Seconds after which a thread that works has to let another one go on: so often that one with a large message is in
nobody's way, and otherwise threads change where they wait, as greenlets do."""


def main() -> int:
    logs.configure("gateway")
    stop = stop_event()
    try:
        settings = checked_settings()
        if not settings.grpc_port:
            raise SettingsError("GRPC_PORT is not set; set it to the port of this server, such as 8001")
        allow_open_files()
        sys.setswitchinterval(SWITCH_EVERY)
        # With its own port it is another process than the gateway of this machine (`Presence`).
        app = start_app(replace(settings, port=settings.grpc_port))
        server = GrpcServer(app, settings)
    except SettingsError as error:
        log.error("%s", error)
        return 1
    server.serve(stop)
    with suppress(RedisError):  # what is left for Redis is lost if it is away
        app.extensions["close"]()
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
