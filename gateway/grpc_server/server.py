"""The server: its limits, its port and its stop."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import grpc
from flask import Flask

from contract.errors import SettingsError
from contract.settings import MB, Settings
from gateway.door.connections import ClientTimeouts
from gateway.door.entrance import Door, Observer
from gateway.grpc_server.health import Health
from gateway.grpc_server.service import NAME, InferenceService
from gateway.http.exchange import Exchange

log = logging.getLogger("gateway")

MOST_CALLS = 512
"""Calls that are answered at once. Each holds a thread, which takes 80 KB."""

SPARE = 8
"""Room is made while fewer than one call in `SPARE` is free."""

_FOR_REFUSALS = 8
"""Threads for calls beyond `MOST_CALLS`, which are refused."""

SLOWEST = MB / 5
"""Bytes a second of the largest message, beyond the time that any slow client has."""

_MOST_CONNECTIONS = 4000
"""Connections at once. They leave files for Redis."""


class GrpcServer:
    """Serves the calls of the protocol and of the health service. Raises `SettingsError` if it cannot listen."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._settings = settings
        self._extensions = app.extensions
        timeouts = ClientTimeouts()
        seconds = timeouts.lag + settings.max_body_mb * MB / SLOWEST
        self._service, self._health = InferenceService(_for_threads(app), MOST_CALLS, seconds), Health(seconds, NAME)
        self._server = grpc.server(
            ThreadPoolExecutor(MOST_CALLS + _FOR_REFUSALS, thread_name_prefix="call"),
            handlers=[self._service, self._health.handler()],
            options=[
                ("grpc.max_receive_message_length", settings.max_body_mb * MB),
                ("grpc.max_concurrent_streams", 2 * MOST_CALLS),  # so that health finds room on each connection
                ("grpc.max_allowed_incoming_connections", _MOST_CONNECTIONS),
                ("grpc.server_handshake_timeout_ms", int(1000 * timeouts.head)),
                ("grpc.max_connection_idle_ms", 75_000),  # as over HTTP
                ("grpc.so_reuseport", 0),  # or a second server would take half of the calls
                # A call ends two minutes after its client has lost the network.
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_timeout_ms", 60_000),
            ],
        )
        host, port = settings.host, settings.grpc_port
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise SettingsError(f"cannot listen on {self._address}; set another GRPC_PORT, or HOST") from error

    def serve(self, stop: threading.Event) -> None:
        """Serve until `stop` is set, then for STOP_DELAY more, and finish the calls that were accepted. Those that wait
        for a job after half of STOP_GRACE get its state."""
        self._server.start()
        log.info("listening on %s", self._address)
        while not stop.wait(1.0):
            self._each_second()
        began = time.monotonic()
        self._extensions["stopping"].set()
        self._health.stop()
        while time.monotonic() < began + self._settings.stop_delay:
            self._each_second()
            time.sleep(0.1)
        ended = self._server.stop(self._settings.stop_grace - self._settings.stop_delay)
        if not ended.wait(began + self._settings.stop_grace / 2 - time.monotonic()):
            self._extensions["listener"].release()
            self._service.clients.end(MOST_CALLS)
        ended.wait()

    def _each_second(self) -> None:
        self._extensions["access_log"].report_left_out()
        lacking = MOST_CALLS // SPARE - self._service.free
        self._extensions["listener"].make_room(lacking - self._service.clients.end(lacking))
        self._health.clients.end()


def _for_threads(app: Flask) -> Door:
    """Return the door of `app` for requests in threads. What counts requests has no lock, because greenlets switch only
    where they wait."""
    lock = threading.Lock()
    app.extensions["outbox"].collect_under(lock)

    def alone(observe: Observer) -> Observer:
        def observe_alone(exchange: Exchange) -> None:
            with lock:
                observe(exchange)

        return observe_alone

    door: Door = app.extensions["door"]
    return replace(door, observers=list(map(alone, door.observers)), audit=door.audit and alone(door.audit))
