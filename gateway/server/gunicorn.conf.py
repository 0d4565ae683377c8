"""How gunicorn serves the gateway."""

import socket
from pathlib import Path
from typing import Any

from contract.settings import Settings

settings = Settings.from_environ()

bind = f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"
workers = settings.gateway_processes
# A request that waits for its result costs a greenlet, not a thread: 1.7 times the rate of threads.
worker_class = "gateway.server.gunicorn_worker.GatewayWorker"
worker_connections = 4000
graceful_timeout = settings.stop_grace
# Longer than the pools of the usual clients keep a connection, so that the client is the one to close it.
keepalive = 75
# One instance of a model with many inputs has to fit into the query of a GET.
limit_request_line = 8190
# The heartbeat file of a worker: in memory, since the root file system may be read-only.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
# Nothing here looks at X-Forwarded-*: there is no proxy to be trusted, or to be looked for with each request.
forwarded_allow_ips = ""
control_socket_disable = True
loglevel = "warning"


def when_ready(server: Any) -> None:
    """Connections, which inherit it, end when their other side has been gone for two minutes: a client that lost its
    network in the middle of a body would hold one for ever."""
    for listener in server.LISTENERS:
        for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
            if hasattr(socket, option):  # not everywhere by that name
                listener.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
