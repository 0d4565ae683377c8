"""How gunicorn serves the gateway."""

import logging
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from contract.settings import Settings
from runtime import logs

logs.configure("gateway")
settings = Settings.from_environ()

bind = f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"
workers = settings.gateway_processes
# A request that waits for its result costs a greenlet, not a thread: 1.7 times the rate of threads.
worker_class = "gateway.server.gunicorn_worker.GatewayWorker"
worker_connections = 4000
graceful_timeout = settings.stop_grace
# Longer than the connection pools of common clients, so that the client closes a connection and not the gateway.
keepalive = 75
# The query of a GET has to hold one row of a model with many inputs.
limit_request_line = 8190
# The heartbeat file of a worker is in memory: the root file system may be read-only.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
# `heads.py` relies on it: a line of a head means the same from every client. The door knows TRUSTED_PROXIES.
forwarded_allow_ips = ""
control_socket_disable = True
logger_class = "gateway.server.gunicorn_logger.GatewayLogger"


def worker_exit(_: Any, worker: Any) -> None:
    """Send what a stopping process has left for Redis."""
    # Not at the top: gunicorn's parent process loads this file before gevent has patched the standard library.
    from redis.exceptions import RedisError

    with suppress(RedisError, AttributeError):  # a process that could not start has no application
        worker.wsgi.extensions["close"]()


def on_exit(_: Any) -> None:
    logging.getLogger("gateway").info("stopped")


def when_ready(server: Any) -> None:
    """Set keepalive probes, which connections inherit: they end two minutes after a client has lost its network, which
    could otherwise hold one for ever."""
    for listener in server.LISTENERS:
        for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
            if hasattr(socket, option):  # macOS lacks some
                listener.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    logging.getLogger("gateway").info("listening on %s", bind)
