"""Why requests to models fail: how many failed alike, by the hour."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, NamedTuple

from broker.link.scripts import Call, Connected, NumberedCalls
from contract.retention import HOUR, Retention

MOST_PENDING = 500
"""Most entries that a process holds until it reports them; beyond, it holds one a model and hour for all others."""
_PER_CALL = 50
_HASH, _EXAMPLES = "mg:failures:", "mg-gateway:failures:"

Cause = tuple[str, str, str]
"""The code of a problem or of a job's failure; of invalid rows also the field and the code of its error. The field is
'' for one that the model does not have, and for whole rows."""


class FailureEntry(NamedTuple):
    """What failed requests have in common. `version` and `caller`, the id of a key, are '' if they are
    unknown."""

    code: str
    field: str = ""
    field_code: str = ""
    version: str = ""
    caller: str = ""

    @property
    def cause(self) -> Cause:
        return self[:3]


OTHERS = FailureEntry("others")
"""Stands for all entries beyond the most of an hour (broker/lua/failures.lua)."""


@dataclass(slots=True)
class FailureCount:
    """How many requests failed, and when the first and the last one did (Unix time)."""

    number: int
    first: int
    last: int
    example: str = ""

    def add(self, other: FailureCount) -> None:
        self.number += other.number
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)


class FailureCounts:
    """Counts the failed requests of this process, a source of its outbox."""

    def __init__(self) -> None:
        self._calls = NumberedCalls("count_failures")
        self._counts: dict[tuple[str, int, FailureEntry], FailureCount] = {}

    def add(self, model: str, entry: FailureEntry, example: Callable[[], str]) -> None:
        """Count a request to a model of the repository. `example` returns JSON, or '', and is called once a report."""
        now = int(time.time())
        key = (model, now // HOUR, entry)
        count = self._counts.get(key)
        if count is None and len(self._counts) >= MOST_PENDING:
            key, example = (model, now // HOUR, OTHERS), str
            count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = FailureCount(0, now, now, example())
        count.number += 1
        count.last = now

    def steps(self) -> Sequence[Call]:
        """Return the calls that report what was counted since the last call."""
        counts, self._counts = iter(self._counts.items()), {}
        return [self._call(part) for part in iter(lambda: list(islice(counts, _PER_CALL)), [])]

    def _call(self, counts: Sequence[tuple[tuple[str, int, FailureEntry], FailureCount]]) -> Call:
        args: list[str | int] = []
        for (model, hour, entry), count in counts:
            args += (model, hour, entry.caller, json.dumps(entry), count.number, count.first, count.last)
            args += (json.dumps(entry.cause), count.example)
        return self._calls.next(args)


class FailureBoard(Connected):
    """What all processes have counted. Raises `RedisError`."""

    def read(self, model: str, since: int) -> tuple[Mapping[FailureEntry, FailureCount], Mapping[Cause, Any]]:
        """Return the counts from the hour of `since` (Unix time) on, and an example of each cause that has one. One
        round trip."""
        hours = range(since // HOUR, int(time.time()) // HOUR + 2)  # clocks differ
        keys = [*(f"{_HASH}{model}:{hour}" for hour in hours), _EXAMPLES + model]
        *answers, examples = self._scripts.attempt([("HGETALL", key) for key in keys])
        self._scripts.checked([examples])
        counts: dict[FailureEntry, FailureCount] = {}
        hashes = [answer for answer in answers if isinstance(answer, dict)]  # a worker may have made one something else
        for entry, count in chain.from_iterable(map(_readable, hashes)):
            counts.setdefault(entry, FailureCount(0, count.first, count.last)).add(count)
        return counts, {tuple(json.loads(cause)): json.loads(text) for cause, text in examples.items()}

    def forget(self, model: str) -> None:
        """Forget the failed requests of a model."""
        hour = int(time.time()) // HOUR
        hours = range(hour - Retention.failures // HOUR - 1, hour + 2)
        self._redis.delete(*(f"{_HASH}{model}:{at}" for at in hours), _EXAMPLES + model)


def _readable(answer: Mapping[bytes, bytes]) -> Iterator[tuple[FailureEntry, FailureCount]]:
    """Yield the entries of an hour, without those that a worker has made unreadable."""
    for field, text in answer.items():
        if field.startswith(b"["):
            with suppress(ValueError, TypeError):
                number, first, last = map(int, text.split())
                yield FailureEntry(*map(str, json.loads(field))), FailureCount(number, first, last)
