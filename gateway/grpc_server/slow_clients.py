"""The calls that wait for their clients. gRPC itself lets a client take any time to send a message and to read an
answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import grpc

from gateway.door.connections import SETTLED, Phase, TooSlow
from gateway.problems import MalformedBody

MOST_SLOW = 64
"""Calls that may wait for their clients for longer than `SETTLED`: what has arrived of their messages is in memory."""

M = TypeVar("M")


class SlowClients:
    """Cancels calls that wait too long for their clients, at once if room is needed. gRPC does not tell how much of a
    message has arrived, so the slowest call is the one that has waited longest."""

    def __init__(self, most: int, seconds: float) -> None:
        """`most`: calls that may wait; one more ends the longest wait. `seconds`: how long a call may wait."""
        self._most = most
        self._seconds = seconds
        self._lock = threading.Lock()
        self._since: dict[grpc.ServicerContext, float] = {}  # the longest wait first

    @contextmanager
    def waiting(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Let a call wait for its client. Raises `TooSlow` if that ended it, `MalformedBody` if the client left."""
        self._begin(context)
        try:
            yield
        except (grpc.RpcError, StopIteration):
            if context not in self._since:
                raise TooSlow(Phase.BODY) from None
            raise MalformedBody("the call ended before its message had arrived") from None
        finally:
            self._since.pop(context, None)

    def receive(self, messages: Iterator[M], context: grpc.ServicerContext) -> M:
        """Return the message of a call once it has arrived. Raises as `waiting`."""
        with self.waiting(context):
            return next(messages)

    def when_read(self, context: grpc.ServicerContext, then: Callable[[], object] = int) -> None:
        """Call `then` once the client of an answered call has read its answer or left."""

        def ended() -> None:
            self._since.pop(context, None)
            then()

        self._begin(context)
        if not context.add_callback(ended):
            ended()

    def end(self, lacking: int = 0) -> int:
        """Cancel the calls that have waited too long, and up to `lacking` other slow ones. Return how many were
        cancelled. To be called each second."""
        now = time.monotonic()
        with self._lock:
            waits = [(context, now - since) for context, since in self._since.items() if now - since >= SETTLED]
        lacking = max(lacking, len(waits) - MOST_SLOW)
        slow = [context for at, (context, waited) in enumerate(waits) if at < lacking or waited > self._seconds]
        for context in slow:
            self._cancel(context)
        return len(slow)

    def _begin(self, context: grpc.ServicerContext) -> None:
        with self._lock:
            self._since[context] = time.monotonic()
            longest = next(iter(self._since)) if len(self._since) > self._most else None
        if longest is not None:
            self._cancel(longest)

    def _cancel(self, context: grpc.ServicerContext) -> None:
        if self._since.pop(context, None) is not None:
            context.cancel()
