"""gunicorn's gevent worker, which on a stop ends in time and cuts nobody off."""

from __future__ import annotations

import time
from typing import Any

import gevent
from gunicorn import util
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


class Idle(gevent.Timeout):
    """The wait for the next request on a connection; ends quietly after `seconds`, or when the worker stops."""

    def __init__(self, waiting: set[Idle], seconds: float) -> None:
        super().__init__(seconds, False)
        self._waiting = waiting
        self._greenlet = gevent.getcurrent()

    def __enter__(self) -> Any:
        self._waiting.add(self)
        return super().__enter__()

    def __exit__(self, *exception: Any) -> Any:
        self._waiting.discard(self)
        return super().__exit__(*exception)

    def end(self) -> None:
        gevent.kill(self._greenlet, self)


class GatewayWorker(GeventWorker):
    """Requests are finished, waiting ones with what is known after half of the grace period, and idle keep-alive
    connections, for which gunicorn's own worker waits until the grace period ends, are closed."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._idle: set[Idle] = set()
        self._stopping_since: float | None = None

    def timeout_ctx(self) -> Idle:
        return Idle(self._idle, self.cfg.keepalive)

    def notify(self) -> None:
        """gunicorn calls this each second, while it serves and while it stops."""
        super().notify()
        if self.alive:
            return
        now = time.monotonic()
        self._stopping_since = self._stopping_since or now
        if now - self._stopping_since >= LINGER:
            for idle in list(self._idle):
                idle.end()
        if now - self._stopping_since >= self.cfg.graceful_timeout / 2:
            self.wsgi.extensions["listener"].release()
