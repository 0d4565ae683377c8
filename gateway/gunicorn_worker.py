"""gunicorn's gevent worker, which on a stop ends in time and cuts nobody off."""

from __future__ import annotations

import time
from typing import Any

import gevent
from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.workers.ggevent import GeventWorker

LINGER = 1.0
"""Seconds in which a stopping worker still answers on its idle connections, telling the client to close them. After
that they are closed: a client that sends just then is one that has sent nothing for so long."""


def write_problem(sock: Any, status: int, _reason: str, message: str) -> None:
    """Answers what is no HTTP, or more than gunicorn reads, in place of gunicorn's page of HTML."""
    # Not at the top: gunicorn's parent process loads this module before gevent has patched the standard library.
    from gateway.problems import Problem

    problem = Problem(
        status, "malformed_request", message or "the request cannot be read", headers={"Connection": "close"}
    )
    response = problem.response()
    head = [f"HTTP/1.1 {response.status}", *(f"{name}: {value}" for name, value in response.headers), "", ""]
    util.write_nonblock(sock, "\r\n".join(head).encode("latin-1") + response.get_data())


util.write_error = write_problem  # gunicorn has no other hook for the answers that it gives itself


class OneWrite(wsgi.Response):
    """Sends headers and body together: a write to a socket costs as much as parsing the request."""

    _head = b""

    def send_headers(self) -> None:
        if not self.headers_sent:
            lines = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers), "\r\n"]
            self._head = "".join(lines).encode("latin-1")
            self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            self._send_head()
            super()._emit_body(data)
        else:
            whole, self._head = self._head + data, b""
            # gevent's sendall asks the kernel for the size of its buffer first; most answers fit.
            sent = self.sock.send(whole)
            if sent < len(whole):
                self.sock.sendall(memoryview(whole)[sent:])

    def close(self) -> None:
        self.send_headers()
        self._send_head()
        super().close()

    def _send_head(self) -> None:
        if self._head:
            util.write(self.sock, self._head)
            self._head = b""


wsgi.Response = OneWrite  # type: ignore[misc]  # as above: what makes responses takes no other class from outside


class Idle(gevent.Timeout):
    """The wait for the next request on a connection. Has no timer of its own: the worker looks at all once a second."""

    def __init__(self, waiting: dict[Idle, float]) -> None:
        super().__init__(None, False)
        self._waiting = waiting
        self._greenlet = gevent.getcurrent()

    def __enter__(self) -> Any:
        self._waiting[self] = time.monotonic()
        return self

    def __exit__(self, kind: Any, value: Any, _: Any) -> bool:
        del self._waiting[self]
        return value is self

    def end(self) -> None:
        """Ends the wait, unless the next request comes in the same turn of the loop: that one must not be struck."""
        gevent.get_hub().loop.run_callback(self._throw)

    def _throw(self) -> None:
        if self in self._waiting:
            self._greenlet.throw(self)


class GatewayWorker(GeventWorker):
    """Requests are finished, waiting ones with what is known after half of the grace period, and idle keep-alive
    connections, for which gunicorn's own worker waits until the grace period ends, are closed."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._idle: dict[Idle, float] = {}
        self._stopping_since: float | None = None

    def timeout_ctx(self) -> Idle:
        return Idle(self._idle)

    def notify(self) -> None:
        """gunicorn calls this each second, while it serves and while it stops."""
        super().notify()
        now = time.monotonic()
        if self.alive:
            self._close_idle(now - self.cfg.keepalive)
            return
        self._stopping_since = self._stopping_since or now
        if now - self._stopping_since >= LINGER:
            self._close_idle(now)
        if now - self._stopping_since >= self.cfg.graceful_timeout / 2:
            self.wsgi.extensions["listener"].release()

    def _close_idle(self, since: float) -> None:
        for idle, began in list(self._idle.items()):
            if began <= since:
                idle.end()
