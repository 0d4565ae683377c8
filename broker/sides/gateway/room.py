"""Room for work: while Redis is nearly full, results that clients have seen are deleted early (ADR 26)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from redis import Redis

from broker.link.scripts import Call, Connected
from broker.records.job_kinds import Seen, kind_of, queue_names

SHARE = 0.7
"""The share of `maxmemory` beyond which results make room."""

JOBS_PER_CALL, QUEUES_PER_CALL = 200, 300
"""Most jobs that one script deletes, and queues that it looks at: Redis does nothing else meanwhile."""

_SLICES = 16
"""Slices of time, so that results of all queues go in order of age; within a slice, the first queues go first."""

_REST = 1.0
"""Seconds until the next look, after one that found nothing to delete."""


class RoomMaker(Connected):
    """Makes room among finished predictions. Every method is harmless to repeat and raises `RedisError`."""

    def __init__(self, connection: Redis, *, share: float = SHARE, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        super().__init__(connection)
        self._share = share
        self._clock = clock
        self._not_before = float("-inf")

    def make(self, most: float = float("inf")) -> int:
        """Delete about `most` results, or as many as bring Redis below the share. Returns how many were deleted.

        Delivered results go first, then fetched ones, the oldest first over all models. Results that nobody has seen,
        trainings, and jobs that have not ended stay. One round trip if Redis is below the share.
        """
        if self._clock() < self._not_before or not self._nearly_full():
            return 0
        deleted, queues = 0, self._queues()
        for seen in (Seen.DELIVERED, Seen.FETCHED):
            for latest in self._slices(seen, queues):
                while gone := self._delete(seen, latest, queues):
                    deleted += gone
                    if deleted >= most or not self._nearly_full():
                        return deleted
        if not deleted:
            self._not_before = self._clock() + _REST
        return deleted

    def seconds_to_expiry(self, ttl: int) -> float | None:
        """Return the seconds until the first of the results that cannot make room expires, `ttl` seconds after its end;
        None without such a result."""
        oldest = self._oldest([Seen.BY_NOBODY, Seen.FETCHED], self._queues())
        return None if oldest is None else max(0.0, oldest + ttl - self._now())

    def _nearly_full(self) -> bool:
        memory = self._redis.info("memory")
        return bool(memory["maxmemory"]) and memory["used_memory"] > self._share * memory["maxmemory"]

    def _queues(self) -> list[Sequence[str]]:
        """Return the queues of predictions and explanations, in groups for one call each."""
        names = queue_names(self._redis.smembers("rq:queues"))
        owned = sorted(name for name in names if (kind := kind_of(name)) and kind.batched)
        return [owned[i : i + QUEUES_PER_CALL] for i in range(0, len(owned), QUEUES_PER_CALL)]

    def _slices(self, seen: Seen, queues: Sequence[Sequence[str]]) -> Iterator[float]:
        """Yield times from the oldest result to now."""
        now, oldest = self._now(), self._oldest([seen], queues)
        if oldest is not None:
            yield from (oldest + (now - oldest) * number / _SLICES for number in range(1, _SLICES + 1))

    def _oldest(self, seen: Sequence[Seen], queues: Sequence[Sequence[str]]) -> float | None:
        ends = self._scripts.send([Call("oldest", [" ".join(seen), *group]) for group in queues]) if queues else []
        return min((float(ended_at) for ended_at in ends if ended_at), default=None)

    def _delete(self, seen: Seen, latest: float, queues: Sequence[Sequence[str]]) -> int:
        calls = [Call("make_room", [seen, repr(latest), JOBS_PER_CALL, *group]) for group in queues]
        return sum(self._scripts.send(calls)) if calls else 0

    def _now(self) -> float:
        seconds, micros = self._redis.time()
        return float(seconds + micros / 1_000_000)
