"""A cache with a time to live, for what a process reads again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from redis.exceptions import RedisError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Ttl = float | Callable[[V, float], float]
"""Seconds for which a value is fresh; or a function of the value and the seconds that reading it took."""


@dataclass(slots=True, eq=False)
class _Entry(Generic[V]):
    value: V
    expires: float


class TtlCache(Generic[K, V]):
    """At most `size` values by key; beyond, the oldest leaves. Threads and greenlets may share it."""

    def __init__(self, size: int, *, keep_stale: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """`keep_stale`: seconds for which a value stays after it was fresh, for `get` and `refresh`."""
        self._size = size
        self._keep_stale = keep_stale
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[K, _Entry[V]] = {}
        self._reading: dict[K, Future[Mapping[K, V]]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K, stale: float = 0.0) -> V | None:
        """Return the value, or None if there is none or it was fresh longer than `stale` seconds ago."""
        entry = self._entries.get(key)
        return None if entry is None or entry.expires + stale <= self._clock() else entry.value

    def put(self, key: K, value: V, ttl: float) -> None:
        with self._lock:
            now = self._clock()
            self._entries.pop(key, None)
            self._entries[key] = _Entry(value, now + ttl)
            while oldest := next(iter(self._entries.items()), None):
                if len(self._entries) <= self._size and oldest[1].expires + self._keep_stale > now:
                    return
                del self._entries[oldest[0]]

    def forget(self, key: K) -> None:
        with self._lock:
            self._entries.pop(key, None)

    def fetch(self, key: K, read: Callable[[], V], ttl: Ttl[V]) -> V:
        """Return the fresh value, else what `read` returns; see `fetch_many`."""
        entry = self._entries.get(key)
        if entry is not None and entry.expires > self._clock():  # a lock and a future would take ten times as long
            return entry.value
        return self.fetch_many([key], lambda _: [read()], ttl)[0]

    def fetch_many(self, keys: Sequence[K], read: Callable[[Sequence[K]], Sequence[V]], ttl: Ttl[V]) -> list[V]:
        """Return the fresh values, and for the other keys what one call of `read` returns. Callers who need such a
        value meanwhile wait for that call. An exception reaches all of them; the next caller reads again."""
        mine: Future[Mapping[K, V]] = Future()
        values: dict[K, V] = {}
        awaited: dict[K, Future[Mapping[K, V]]] = {}
        with self._lock:
            now = self._clock()
            for key in keys:
                entry = self._entries.get(key)
                if entry is not None and entry.expires > now:
                    values[key] = entry.value
                else:
                    awaited[key] = self._reading.setdefault(key, mine)
        missing = [key for key, reading in awaited.items() if reading is mine]
        if missing:
            self._read(mine, missing, read, ttl)
        values |= {key: reading.result()[key] for key, reading in awaited.items()}
        return [values[key] for key in keys]

    def _read(
        self, mine: Future[Mapping[K, V]], keys: Sequence[K], read: Callable[[Sequence[K]], Sequence[V]], ttl: Ttl[V]
    ) -> None:
        began = self._clock()
        try:
            values = dict(zip(keys, read(keys), strict=True))
            seconds = self._clock() - began
            for key, value in values.items():
                self.put(key, value, ttl(value, seconds) if callable(ttl) else ttl)
            mine.set_result(values)
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                for key in keys:
                    del self._reading[key]

    def refresh(self, key: K, read: Callable[[], V], ttl: float) -> V:
        """Return the fresh value, else what `read` returns. Other callers get the stale value meanwhile, if there is
        one. After a `RedisError` it is stale again; any other exception removes it."""
        entry = self._entries.get(key)
        now = self._clock()
        if entry is not None:
            if entry.expires > now:
                return entry.value
            entry.expires = now + ttl
        try:
            value = read()
        except RedisError:
            if entry is not None:
                entry.expires = now
            raise
        except BaseException:
            self.forget(key)
            raise
        self.put(key, value, ttl)
        return value
