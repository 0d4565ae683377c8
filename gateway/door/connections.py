"""Client connections that know what they wait for, so that the server can close those of slow clients."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import gevent
from gevent.socket import socket  # type: ignore[attr-defined]

SETTLED = 1.0
"""Seconds that a connection has to wait before it may be closed to make room: a fast client is done by then."""

TURN = 256 * 1024
"""Bytes after which a connection lets others run."""

_REQUEST = 8 * 1024
"""Bytes as which each request counts for that, however small: a client may send thousands without waiting."""


@dataclass(frozen=True)
class ClientTimeouts:
    """The time limits for slow clients.

    `head`: seconds until the first byte on a new connection, and from a request's first byte to the end of its headers.
    `lag`: seconds that a body, or the reading of an answer, may be behind `rate`, in bytes a second.
    """

    head: float = 20.0
    lag: float = 20.0
    rate: float = 1024.0


class Phase(Enum):
    """What a connection waits for: a request, the rest of its head, its body, or the client to read the answer. A
    `SERVED` one waits for nothing."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    ANSWER = "answer"
    SERVED = "served"


class TooSlow(BaseException):
    """Ends the request of a slow client. Not an `Exception`, so that only the server catches it."""

    def __init__(self, phase: Phase) -> None:
        super().__init__(f"the client is too slow ({phase.value})")
        self.phase = phase

    @property
    def code(self) -> str:
        """The code of its answer."""
        return "body_too_slow" if self.phase is Phase.BODY else "head_too_slow"


class ClientConnection(socket):  # type: ignore[misc]
    """A client's socket. It has no timer: the worker checks all connections once a second."""

    def __init__(self, client: socket, timeouts: ClientTimeouts, keepalive: float) -> None:
        """Wrap `client`, in the greenlet that serves it. `keepalive`: seconds that it may be idle."""
        super().__init__(client.family, client.type, client.proto, fileno=client.detach())
        self.timeouts = timeouts
        self.next_request = NextRequest(self, keepalive)
        self._greenlet = gevent.getcurrent()
        self._turn = 0
        self.blocked = False
        """Whether the greenlet waits to read or to write."""
        self.unread = 0
        """Bytes of the answer that is held for a client that does not read it at once."""
        self.phase = Phase.IDLE
        self.enter(Phase.IDLE, timeouts.head)

    def recv(self, *arguments: Any) -> bytes:
        if self.phase is not Phase.IDLE:
            self._go_on_reading()
        self.blocked = True
        try:
            data: bytes = socket.recv(self, *arguments)
        finally:
            self.blocked = False
        if self.phase is Phase.IDLE:
            self.phase = Phase.HEAD
        else:
            self._moved_on(len(data))
        return data

    def send(self, data: Any, flags: int = 0, **timeout: Any) -> int:
        try:
            sent: int = socket.send(self, data, flags, 0.0)
        except BlockingIOError:
            sent = self._send_slowly(data, flags, **timeout)
        if self.phase is Phase.ANSWER:
            self._moved_on(sent)
        return sent

    def enter(self, phase: Phase, seconds: float) -> None:
        """Begin a phase with a deadline in `seconds`."""
        self.phase, self.moved, self.since = phase, 0, time.monotonic()
        self.deadline = self.since + seconds

    def late(self, now: float) -> bool:
        return self.blocked and now > self.deadline

    def speed(self, now: float) -> tuple[float, float]:
        """Return the sort key, slowest first: bytes a second in this phase, then its start."""
        return self.moved / (now - self.since), self.since

    def end(self) -> None:
        """End the wait, unless bytes arrive in this turn of the event loop: they may begin a request."""
        gevent.get_hub().loop.run_callback(self._throw, self.since)

    def _throw(self, since: float) -> None:
        if self.blocked and self.since == since:
            self._greenlet.throw(TooSlow(self.phase))

    def _go_on_reading(self) -> None:
        if self.phase is Phase.HEAD:
            if not self.moved:  # only the first piece of the head has arrived
                self.enter(Phase.HEAD, self.timeouts.head)
        elif self.phase is not Phase.BODY:
            self.enter(Phase.BODY, self.timeouts.lag)

    def _send_slowly(self, data: Any, flags: int, **timeout: Any) -> int:
        """Wait until the client has read some bytes, and the kernel accepts more."""
        if self.phase is not Phase.ANSWER:
            self.enter(Phase.ANSWER, self.timeouts.lag)
        self.blocked = True
        try:
            return int(socket.send(self, data, flags, **timeout))
        finally:
            self.blocked = False

    def _moved_on(self, size: int) -> None:
        """Extend the deadline by bytes, to at most `lag` from now: a fast start does not allow a long silence."""
        self.moved += size
        if self.phase is not Phase.HEAD:
            self.deadline = min(time.monotonic() + self.timeouts.lag, self.deadline + size / self.timeouts.rate)
        self.count(size)

    def count(self, size: int) -> None:
        """Let others run once in `TURN` bytes."""
        self._turn += size
        if self._turn > TURN:
            self._turn = 0
            gevent.sleep(1e-6)  # a timer: without one, gevent may look only after 50 turns whether others have sent


class NextRequest:
    """The wait for the next request of a connection and its headers. gunicorn enters it once a request."""

    def __init__(self, connection: ClientConnection, keepalive: float) -> None:
        self._connection = connection
        self._keepalive = keepalive
        self._first_byte_within = connection.timeouts.head

    def __enter__(self) -> None:
        self._connection.count(_REQUEST)
        self._connection.enter(Phase.IDLE, self._first_byte_within)
        self._first_byte_within = self._keepalive

    def __exit__(self, kind: object, value: BaseException | None, _: object) -> bool:
        """Close an idle connection without an answer."""
        self._connection.phase = Phase.SERVED
        return isinstance(value, TooSlow) and value.phase is Phase.IDLE


def slowest(connections: Iterable[ClientConnection], count: int) -> list[ClientConnection]:
    """Return up to `count` connections that wait for their clients: idle ones first, then the slowest."""
    if count <= 0:
        return []
    now = time.monotonic()
    settled = [connection for connection in connections if connection.blocked and now - connection.since >= SETTLED]
    return sorted(settled, key=lambda connection: connection.speed(now))[:count]
