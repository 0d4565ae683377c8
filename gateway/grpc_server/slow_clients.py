"""The calls that wait for their clients: gRPC lets a client take any time to send a message, and to read an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import grpc

from gateway.door.connections import SETTLED, Phase, TooSlow

MOST_SLOW = 64
"""Calls that may wait for longer than `SETTLED`: what has arrived of their messages is in memory."""


class SlowClients:
    """Cancels calls that wait too long, or at once if room is needed. gRPC does not tell how much of a message has
    arrived, so the slowest is the one that has waited longest."""

    def __init__(self, most: int, seconds: float) -> None:
        """`most`: calls that may wait; one more ends the longest wait. `seconds`: how long a call may wait."""
        self._most = most
        self._seconds = seconds
        self._since: dict[grpc.ServicerContext, float] = {}  # the longest wait first

    @contextmanager
    def waiting(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Wait for the client of a call. Raises `TooSlow` if it is cancelled, here or by its client."""
        self._begin(context)
        try:
            yield
        except (grpc.RpcError, StopIteration):
            raise TooSlow(Phase.BODY) from None
        finally:
            self._since.pop(context, None)

    def when_read(self, context: grpc.ServicerContext, then: Callable[[], object] = int) -> None:
        """Call `then` once the client of an answered call has read the answer, or the call is cancelled."""

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
        waits = [(context, now - since) for context, since in self._since.copy().items() if now - since >= SETTLED]
        lacking = max(lacking, len(waits) - MOST_SLOW)
        slow = [context for at, (context, waited) in enumerate(waits) if at < lacking or waited > self._seconds]
        self._cancel(slow)
        return len(slow)

    def _begin(self, context: grpc.ServicerContext) -> None:
        self._since[context] = time.monotonic()
        self._cancel(list(self._since)[: -self._most])

    def _cancel(self, contexts: Iterable[grpc.ServicerContext]) -> None:
        for context in contexts:
            self._since.pop(context, None)
            context.cancel()
