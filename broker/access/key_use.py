"""What callers have asked of models in the last days: requests, errors and rows by key and model, in a hash a day."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from broker.link.scripts import Call, Connected, NumberedCalls
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
        self._calls = NumberedCalls("count_use")
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
        counted: list[tuple[str | int, ...]] = [("|".join(pair), *numbers) for pair, numbers in self._counted.items()]
        self._counted = {}
        parts = (counted[start : start + _PER_CALL] for start in range(0, len(counted), _PER_CALL))
        return [self._calls.next([MOST, *chain.from_iterable(part)]) for part in parts]


class UseReader(Connected):
    """Reads what was counted. Raises `RedisError`."""

    def read(self) -> Mapping[str, Mapping[str, Use]]:
        """Return the use of the last `DAYS` days by the id of the key and the model. Two round trips."""
        ((now, _),) = self._scripts.send([("TIME",)])
        today = now // DAY
        days = self._scripts.send([("HGETALL", f"{USE}{day}") for day in range(today - DAYS + 1, today + 1)])
        used: defaultdict[str, defaultdict[str, Use]] = defaultdict(lambda: defaultdict(Use))
        for counted in days:
            for field, numbers in counted.items():
                key, _, model = field.decode().partition("|")
                used[key][model] += Use(*map(int, numbers.split()))
        return used
