"""gunicorn's gevent worker, which disconnects slow clients, and stops in time without cutting requests off."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterable
from typing import Any

import gevent
from gunicorn import util
from gunicorn.http import message, parser, wsgi
from gunicorn.workers.ggevent import GeventWorker

from contract.settings import MB
from gateway.door.connections import ClientConnection, ClientTimeouts, NextRequest, Phase, TooSlow, slowest
from gateway.http.exchange import Exchange, current
from gateway.server import heads
from gateway.server.heartbeat import Heartbeat
from gateway.server.responses import NOSNIFF, Chunks, OneWrite, drop_body

log = logging.getLogger(__name__)

SPARE = 8
"""Room is made while fewer than one connection in `SPARE` is free."""

MOST_UNREAD = 128 * MB
"""Bytes of answers that slow clients have not read. Beyond, the slower half is disconnected, once a second."""

LINGER = 1.0
"""Seconds in which a stopping worker still answers requests on idle connections, and asks the clients to close them.
Then it closes them itself, which may hit a request that arrives just then."""


def write_problem(sock: Any, status: int, code: str, detail: str, request_id: str) -> None:
    """Answer a request that did not reach the application, or interrupted it."""
    # Not at the top: gunicorn's parent process loads this module before gevent has patched the standard library.
    from gateway.http.problem_answers import problem_response
    from gateway.problems.problem import Problem

    headers = {"Connection": "close", "X-Request-ID": request_id}
    response = problem_response(Problem(code, detail, status=status, headers=headers))
    head = [f"HTTP/1.1 {response.status}\r\n", NOSNIFF, *(f"{name}: {value}\r\n" for name, value in response.headers)]
    util.write_nonblock(sock, "".join([*head, "\r\n"]).encode("latin-1") + response.get_data())


def _log_greenlet(context: Any, kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Log an exception that nothing in a greenlet has caught. Those of a thread are raised where it is waited for."""
    if not isinstance(context, tuple):
        log.error("%s ends with %s", context, kind.__name__, exc_info=(kind, error, trace))


def install() -> None:
    """Replace the parts of gunicorn for which it has no hook. Repeat-safe."""
    parser.RequestParser.mesg_class = heads.Request
    parser.RequestParser.finish_body = drop_body  # type: ignore[method-assign,assignment]
    wsgi.create = heads.create
    wsgi.Response = OneWrite  # type: ignore[misc]
    message.ChunkedReader = Chunks  # type: ignore[attr-defined]


class GatewayWorker(GeventWorker):
    """Disconnects slow clients, at once if connections run out.

    On a stop it first serves on for STOP_DELAY, for a load balancer that has to notice. Then it accepts no more
    connections and finishes running requests. After half of the grace period, requests that wait for a job are answered
    with the job's state. Idle connections are closed; gunicorn's own worker would wait for them until the period ends.
    """

    timeouts = ClientTimeouts()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.tmp.close()
        self.tmp = Heartbeat(self.cfg)
        self.wsgi: Any = None  # a stop may come before gunicorn has loaded the application
        self._connections: dict[Any, ClientConnection] = {}
        self._stopping_since: float | None = None

    def init_process(self) -> None:
        install()
        util.write_error = self._write_error
        gevent.get_hub().print_exception = _log_greenlet
        # gunicorn asks for five settings in each request, and calls two functions for each of them.
        vars(self.cfg).update({name: setting.get() for name, setting in self.cfg.settings.items()})
        super().init_process()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop: gunicorn calls this on SIGTERM."""
        self._stopping_since = self._stopping_since or time.monotonic()
        if self.wsgi and self.wsgi.extensions["stop_delay"]:
            self.wsgi.extensions["stopping"].set()
            vars(self.cfg)["keepalive"] = 0  # each answer closes its connection
        else:
            super().handle_exit(sig, frame)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        greenlet = gevent.getcurrent()
        connection = self._connections[greenlet] = ClientConnection(client, self.timeouts, self.cfg.keepalive)
        try:
            super().handle(listener, connection, addr)
        finally:
            del self._connections[greenlet]

    def timeout_ctx(self) -> NextRequest:
        return self._connections[gevent.getcurrent()].next_request

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        if not isinstance(exc, TooSlow):
            super().handle_error(req, client, addr, exc)
        elif exc.phase is not Phase.ANSWER:
            what = "body" if exc.phase is Phase.BODY else "head"
            # The door has seen a request whose body was being read.
            exchange = current() if exc.phase is Phase.BODY else self._refused(addr[0], 408, exc.code)
            detail = f"the {what} of the request arrived too slowly; send it again, faster"
            write_problem(client, 408, exc.code, detail, exchange.request_id)

    def _write_error(self, sock: Any, status: int, _reason: str, detail: str) -> None:
        """Answer invalid HTTP, and requests beyond gunicorn's limits, with a problem instead of HTML."""
        code = "malformed_request"
        exchange = self._refused(sock.getpeername()[0], status, code)
        write_problem(sock, status, code, detail or "the request cannot be read", exchange.request_id)

    def _refused(self, address: str, status: int, code: str) -> Exchange:
        """Let the door's observers know of a request that it has not seen."""
        exchange: Exchange = self.wsgi.extensions["door"].refused(address, status, code)
        return exchange

    def notify(self) -> None:
        """gunicorn calls this each second, while it serves and while it stops."""
        if self.ppid != os.getppid():  # its parent was killed: gunicorn would cut off all requests
            self.ppid = os.getppid()
            self.handle_exit(signal.SIGTERM, None)
        super().notify()
        self.wsgi.extensions["access_log"].report_left_out()
        now = time.monotonic()
        self._end(connection for connection in self._connections.values() if connection.late(now))
        unread = [connection for connection in self._connections.values() if connection.unread]
        if sum(connection.unread for connection in unread) > MOST_UNREAD:
            self._end(slowest(unread, -(-len(unread) // 2)))
        if self.alive:
            self._make_room(self.worker_connections // SPARE - (self.worker_connections - len(self._connections)))
        if self._stopping_since is not None:
            self._stop(now - self._stopping_since)

    def _make_room(self, lacking: int) -> None:
        """Close the slowest connections, if so many are lacking. If too few are slow, requests that wait for a job are
        answered with its state; then their connections are idle."""
        closed = slowest(self._connections.values(), lacking)
        self._end(closed)
        self.wsgi.extensions["listener"].make_room(lacking - len(closed))

    def _stop(self, seconds: float) -> None:
        """Take the steps that are due `seconds` after the signal to stop."""
        delay = self.wsgi.extensions["stop_delay"]
        if seconds >= delay:
            self.alive = False
            self.wsgi.extensions["watcher"].release()
        if seconds >= delay + LINGER:
            self._end(connection for connection in self._connections.values() if connection.phase is Phase.IDLE)
        if seconds >= self.cfg.graceful_timeout / 2:
            self.wsgi.extensions["listener"].release()

    def _end(self, connections: Iterable[ClientConnection]) -> None:
        for connection in list(connections):
            connection.end()
