"""Connections of clients: each knows what it waits for, and ends when its client is too slow."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import gevent
from gevent.socket import socket  # type: ignore[attr-defined]

SETTLED = 1.0
"""Seconds that a connection has waited before it can be closed for another: by then a quick client is done."""

TURN = 256 * 1024
"""Bytes of a body after which other connections get their turn, however fast it comes."""


@dataclass(frozen=True)
class Patience:
    """How slow a client may be.

    `head`: seconds until the first byte on a new connection, and from a request's first byte to the end of its headers.
    `lag`: seconds that a body, or the reading of an answer, may be behind `rate`, in bytes a second.
    """

    head: float = 20.0
    lag: float = 20.0
    rate: float = 1024.0


class Phase(Enum):
    """What a connection waits for: a request, the rest of its headers, its body, or that its answer is read."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    ANSWER = "answer"


class TooSlow(BaseException):
    """Ends the request of a slow client. Not an `Exception`, so that only the server answers it."""

    def __init__(self, phase: Phase) -> None:
        super().__init__(f"the client is too slow ({phase.value})")
        self.phase = phase


class Connection(socket):  # type: ignore[misc]
    """A client's socket. Has no timer of its own: the worker looks at all connections once a second."""

    def __init__(self, client: socket, patience: Patience, keepalive: float) -> None:
        """Takes over `client`, in the greenlet that serves it. `keepalive`: seconds it may be idle."""
        super().__init__(client.family, client.type, client.proto, fileno=client.detach())
        self.patience = patience
        self.next_request = NextRequest(self, keepalive)
        self._greenlet = gevent.getcurrent()
        self._turn = 0
        self.blocked = False
        """Whether the greenlet reads or writes at the moment, and does nothing else."""
        self.enter(Phase.IDLE, patience.head)

    def recv(self, *arguments: Any) -> bytes:
        if self.phase is Phase.ANSWER:
            self.enter(Phase.BODY, self.patience.lag)
        self.blocked = True
        try:
            data: bytes = super().recv(*arguments)
        finally:
            self.blocked = False
        if self.phase is Phase.IDLE:
            self.enter(Phase.HEAD, self.patience.head)
        else:
            self._moved_on(len(data))
        return data

    def send(self, *arguments: Any, **options: Any) -> int:
        if self.phase is not Phase.ANSWER:
            self.enter(Phase.ANSWER, self.patience.lag)
        self.blocked = True
        try:
            sent: int = super().send(*arguments, **options)
        finally:
            self.blocked = False
        self._moved_on(sent)
        return sent

    def enter(self, phase: Phase, seconds: float) -> None:
        """Begins to wait for something else, at first for up to `seconds`."""
        self.phase, self.moved, self.since = phase, 0, time.monotonic()
        self.deadline = self.since + seconds

    def late(self, now: float) -> bool:
        return self.blocked and now > self.deadline

    def speed(self, now: float) -> tuple[float, float]:
        """What sorts the slowest first: bytes a second in this phase, and among the equals who began first."""
        return self.moved / (now - self.since), self.since

    def end(self) -> None:
        """Ends the wait, unless something comes in the same turn of the loop: the next request must not be struck."""
        gevent.get_hub().loop.run_callback(self._throw)

    def _throw(self) -> None:
        if self.blocked:
            self._greenlet.throw(TooSlow(self.phase))

    def _moved_on(self, size: int) -> None:
        """Bytes put the deadline off, up to `lag` from now: what came quickly buys no long silence."""
        self.moved += size
        if self.phase is not Phase.HEAD:
            self.deadline = min(time.monotonic() + self.patience.lag, self.deadline + size / self.patience.rate)
        self._turn += size
        if self._turn > TURN:
            self._turn = 0
            gevent.sleep(0)


class NextRequest:
    """The wait for a connection's next request and for its headers: gunicorn enters it once a request."""

    def __init__(self, connection: Connection, keepalive: float) -> None:
        self._connection = connection
        self._keepalive = keepalive
        self._first_byte_within = connection.patience.head

    def __enter__(self) -> None:
        self._connection.enter(Phase.IDLE, self._first_byte_within)
        self._first_byte_within = self._keepalive

    def __exit__(self, kind: object, value: BaseException | None, _: object) -> bool:
        """An idle connection ends in silence."""
        self._connection.enter(Phase.BODY, self._connection.patience.lag)
        return isinstance(value, TooSlow) and value.phase is Phase.IDLE


def slowest(connections: Iterable[Connection], count: int) -> list[Connection]:
    """Up to `count` that wait for their client, the slowest first: idle ones, then those that trickle."""
    if count <= 0:
        return []
    now = time.monotonic()
    settled = [connection for connection in connections if connection.blocked and now - connection.since >= SETTLED]
    return sorted(settled, key=lambda connection: connection.speed(now))[:count]
