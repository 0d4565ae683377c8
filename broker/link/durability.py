"""When a job counts as accepted: once Redis has written it and its replicas have it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from redis import Redis

from broker.link.faults import SlowDiskError, TooFewReplicas
from broker.link.scripts import Arguments, Call, Connected, Step

_CHANNEL = "mg:reply:"
"""A channel without subscribers."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
"""Seconds between two tries while the disk of Redis is busy."""


class Durability:
    """Waits at most `timeout` seconds until Redis has written the commands to its append-only file, and as long until
    `replicas` of its replicas have them. Takes no further round trip unless it has to wait."""

    def __init__(self, replicas: int = 0, timeout: float = 5.0) -> None:
        self._replicas = replicas
        self._timeout = timeout

    def send(self, send: Callable[[Sequence[Step]], list[Any]], steps: Sequence[Step]) -> list[Any]:
        """Send `steps` with `send` in one round trip, and repeat that until they are written. Returns their answers.

        Each script among them returns `syncing()` (broker/lua/prelude.lua) and its answer. Raises `SlowDiskError` if
        Redis has not written them in time, and `TooFewReplicas` if not enough replicas have confirmed them. The steps
        may have taken effect even then; send them again to find out.
        """
        deadline, pause = time.monotonic() + self._timeout, _FIRST_PAUSE
        while True:
            answers = self._replicated(send, steps)
            scripts = [position for position, step in enumerate(steps) if isinstance(step, Call)]
            # It is not enough to ask whether the sync has ended: a Redis that was killed has lost the jobs.
            if not any(answers[position][0] for position in scripts):
                for position in scripts:
                    answers[position] = answers[position][1]
                return answers
            if time.monotonic() >= deadline:
                raise SlowDiskError("its disk has not finished a sync in time")
            time.sleep(pause)
            pause = min(1.25 * pause, _LONGEST_PAUSE)  # most syncs take a few ms, and the client waits for the next try

    def _replicated(self, send: Callable[[Sequence[Step]], list[Any]], steps: Sequence[Step]) -> list[Any]:
        if not self._replicas:
            return send(steps)
        # WAIT waits for the last write of its connection. A repeated script writes nothing, and the connection may be
        # new, so a message goes first: Redis replicates it as it does a write.
        milliseconds = max(1, round(self._timeout * 1000))
        *answers, _, confirmed = send([*steps, ("PUBLISH", _CHANNEL, ""), ("WAIT", self._replicas, milliseconds)])
        if confirmed < self._replicas:
            raise TooFewReplicas(f"{confirmed} of {self._replicas} replicas have confirmed in time")
        return answers


class Durable(Connected):
    """Sends scripts that count once they are written."""

    def __init__(self, connection: Redis, durability: Durability | None = None) -> None:
        """`durability` says when something counts as written."""
        super().__init__(connection)
        self._durability = durability or Durability()

    def _write(self, name: str, args: Arguments) -> Any:
        """Run a script and return its answer, once what it has written counts."""
        (answer,) = self._durability.send(self._scripts.send, [Call(name, args)])
        return answer
