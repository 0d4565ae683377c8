"""gunicorn's gevent worker, which disconnects slow clients, and stops in time without cutting requests off."""

from __future__ import annotations

import time
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import gevent
from gunicorn import util
from gunicorn.http import message, wsgi
from gunicorn.http.body import ChunkedReader
from gunicorn.workers.ggevent import GeventWorker

from gateway.door.connections import ClientTimeouts, Connection, NextRequest, Phase, TooSlow, slowest

NOSNIFF = "X-Content-Type-Options: nosniff\r\n"
"""Sent with every answer, so that browsers do not guess its media type."""

MAX_UNREAD = 8 * 1024 * 1024
"""Bytes of a refused body that are read and dropped at most, so that the client reads the answer before the connection
is closed."""

FREE_CHUNKS, MIN_CHUNK = 10_000, 32
"""Chunks of a body that may have any size, and the bytes that each further one must have on average."""

SPARE = 8
"""The slowest connections are closed while fewer than one in `SPARE` is free."""

LINGER = 1.0
"""Seconds in which a stopping worker still answers requests on idle connections, and asks the clients to close them.
Then it closes them itself, which may hit a request that arrives just then."""


def write_problem(sock: Any, status: int, code: str, detail: str) -> None:
    """Answer a request that did not reach the application, or interrupted it."""
    # Not at the top: gunicorn's parent process loads this module before gevent has patched the standard library.
    from gateway.problems import Problem

    response = Problem(status, code, detail, headers={"Connection": "close"}).response()
    head = [f"HTTP/1.1 {response.status}\r\n", NOSNIFF, *(f"{name}: {value}\r\n" for name, value in response.headers)]
    util.write_nonblock(sock, "".join([*head, "\r\n"]).encode("latin-1") + response.get_data())


def write_error(sock: Any, status: int, _reason: str, detail: str) -> None:
    """Answer invalid HTTP, and requests beyond gunicorn's limits, with a problem instead of HTML."""
    write_problem(sock, status, "malformed_request", detail or "the request cannot be read")


class OneWrite(wsgi.Response):
    """Sends headers and body together: a write to a socket costs as much as parsing the request."""

    _head = b""

    def send_headers(self) -> None:
        if not self.headers_sent:
            if _has_long_unread_body(self.req.body.reader):
                self.force_close()
            lines = [
                *self.default_headers(),
                NOSNIFF,
                *(f"{name}: {value}\r\n" for name, value in self.headers),
                "\r\n",
            ]
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
        if isinstance(reader := self.req.body.reader, Chunks):
            reader.release()

    def _send_head(self) -> None:
        if self._head:
            util.write(self.sock, self._head)
            self._head = b""


class Chunks(ChunkedReader):
    """Refuses bodies in many small chunks, which cost more to parse than to read."""

    _count = _size = 0

    def parse_chunk_size(self, unreader: Any, data: bytes | None = None) -> tuple[int, bytes | None]:
        size, rest = super().parse_chunk_size(unreader, data)
        self._count += 1
        self._size += size
        if self._count > FREE_CHUNKS + self._size // MIN_CHUNK:
            raise ValueError(f"its chunks are too small; send at least {MIN_CHUNK} bytes in each")
        return size, rest

    def release(self) -> None:
        """Free what has been read of an unfinished body: parser and reader refer to each other, so the megabytes would
        stay until the garbage collector runs, hundreds of requests later."""
        if self.parser is not None:
            self.parser.close()
            self.parser, self.buf = None, BytesIO()


def install() -> None:
    """Replace the parts of gunicorn for which it has no hook. Repeat-safe."""
    util.write_error = write_error
    wsgi.Response = OneWrite  # type: ignore[misc]
    message.ChunkedReader = Chunks  # type: ignore[attr-defined]


def _has_long_unread_body(reader: Any) -> bool:
    if isinstance(reader, ChunkedReader):
        return reader.parser is not None
    return bool(reader.length > MAX_UNREAD)


class GatewayWorker(GeventWorker):
    """Disconnects slow clients, at once if connections run out.

    On a stop it finishes running requests. After half of the grace period, requests that wait for a job are answered
    with the job's state. Idle connections are closed; gunicorn's own worker would wait for them until the period ends.
    """

    timeouts = ClientTimeouts()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._connections: dict[Any, Connection] = {}
        self._stopping_since: float | None = None

    def init_process(self) -> None:
        install()
        super().init_process()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        greenlet = gevent.getcurrent()
        connection = self._connections[greenlet] = Connection(client, self.timeouts, self.cfg.keepalive)
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
            code, what = ("body_too_slow", "body") if exc.phase is Phase.BODY else ("head_too_slow", "head")
            write_problem(client, 408, code, f"the {what} of the request arrived too slowly; send it again, faster")

    def notify(self) -> None:
        """gunicorn calls this each second, while it serves and while it stops."""
        super().notify()
        now = time.monotonic()
        self._end(connection for connection in self._connections.values() if connection.late(now))
        if self.alive:
            free = self.worker_connections - len(self._connections)
            self._end(slowest(self._connections.values(), self.worker_connections // SPARE - free))
            return
        self._stopping_since = self._stopping_since or now
        if now - self._stopping_since >= LINGER:
            self._end(connection for connection in self._connections.values() if connection.phase is Phase.IDLE)
        if now - self._stopping_since >= self.cfg.graceful_timeout / 2:
            self.wsgi.extensions["listener"].release()

    def _end(self, connections: Iterable[Connection]) -> None:
        for connection in list(connections):
            connection.end()
