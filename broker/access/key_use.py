"""What callers have asked of models in the last days: requests, errors and rows by key and model, in a hash a day."""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from broker.link.scripts import Call, Connected
from contract.retention import DAY, Retention

USE = "mg-gateway:use:"
"""The prefix of the hash of a day: `<key>|<model>` to requests, errors, rows and the last request (s)."""
DAYS = Retention.key_use // DAY

MOST = 2000
"""Most pairs of key and model that a day counts. Of the others, each key has one sum, of the model `OTHER_MODELS`."""
OTHER_MODELS = ""

_PER_CALL = 200
"""Most pairs of one call of the script: Redis does nothing else meanwhile."""


@dataclass(frozen=True, slots=True)
class Use:
    """Requests, how many of them were refused or failed, accepted rows, and the last request (s since 1970)."""

    requests: int = 0
    errors: int = 0
    rows: int = 0
    last: int = 0

    def __add__(self, other: Use) -> Use:
        rows = self.rows + other.rows
        return Use(self.requests + other.requests, self.errors + other.errors, rows, max(self.last, other.last))


class UseCounts:
    """Counts the requests of this process, a source of its outbox. A request costs less than a microsecond. While Redis
    is away, it holds `MOST` pairs and one a key."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock` returns the time in seconds."""
        # The script takes each number of a process once, so a batch that is sent again counts once.
        self._process = secrets.token_hex(8)
        self._number = 0
        self._clock = clock
        self._counted: dict[tuple[str, str], list[int]] = {}

    def add(self, key: str, model: str, rows: int, *, failed: bool) -> None:
        """Count a request of the key with this id."""
        counted = self._counted.get((key, model)) or self._new(key, model)
        counted[0] += 1
        counted[1] += failed
        counted[2] += rows
        counted[3] = int(self._clock())

    def _new(self, key: str, model: str) -> list[int]:
        pair = (key, model if len(self._counted) < MOST else OTHER_MODELS)
        return self._counted.setdefault(pair, [0, 0, 0, 0])

    def steps(self) -> Sequence[Call]:
        """Return the calls that report what was counted since the last call."""
        pairs, self._counted = list(self._counted.items()), {}
        return [self._call(pairs[start : start + _PER_CALL]) for start in range(0, len(pairs), _PER_CALL)]

    def _call(self, pairs: Sequence[tuple[tuple[str, str], list[int]]]) -> Call:
        self._number += 1
        arguments: list[str | int] = [self._process, self._number, MOST]
        for pair, counted in pairs:
            arguments += ["|".join(pair), *counted]
        return Call("count_use", arguments)


class UseReader(Connected):
    """Reads what was counted. Raises `RedisError`."""

    def read(self) -> Mapping[str, Mapping[str, Use]]:
        """Return the use of the last `DAYS` days by the id of the key and the model. Two round trips."""
        ((now, _),) = self._scripts.send([("TIME",)])
        today = now // DAY
        days = self._scripts.send([("HGETALL", f"{USE}{day}") for day in range(today - DAYS + 1, today + 1)])
        used: defaultdict[str, dict[str, Use]] = defaultdict(dict)
        for counted in days:
            for field, numbers in counted.items():
                key, _, model = field.decode().partition("|")
                use, models = Use(*map(int, numbers.split())), used[key]
                models[model] = models[model] + use if model in models else use
        return used
