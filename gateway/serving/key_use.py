"""What keys have asked of models, and the callers of a model, in the last days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import add
from typing import Any

from broker.access.key_store import IssuedKey, Keys
from broker.access.key_use import DAYS, OTHER_MODELS, Use, UseReader
from contract.work.api_keys import ADMIN, EVERYBODY, Key, Scope
from contract.work.jobs import timestamp
from gateway.serving.metrics import ttl_of_cost
from runtime.ttl_cache import TtlCache

KEEP = 1.0
"""Fewest seconds that a reading is kept for all callers."""

NAMES = {EVERYBODY.id: "without a key", ADMIN.id: ADMIN.name}
"""The callers that are in no list of keys."""
REVOKED = "a revoked key"

MOST_CALLERS = 10
"""The most callers of a model that are named."""


@dataclass(frozen=True)
class KeyUse:
    """The use of a key: by model, the most requests first."""

    models: Mapping[str, Use]
    total: Use

    @classmethod
    def of(cls, models: Mapping[str, Use]) -> KeyUse:
        by_requests = sorted(models.items(), key=lambda item: (-item[1].requests, item[0]))
        return cls(dict(by_requests), reduce(add, models.values(), Use()))

    def to_json(self) -> dict[str, Any]:
        models = [
            {
                "model": None if model == OTHER_MODELS else model,
                **_numbers(use),
                "share": round(use.requests / self.total.requests, 4),
            }
            for model, use in self.models.items()
        ]
        return {"days": DAYS, **_numbers(self.total), "models": models}


@dataclass(frozen=True)
class Caller:
    """A caller of a model, or all others together, with the share of its requests. `key_id`: of a key that the reader
    may look at, else ''."""

    name: str
    key_id: str
    requests: int
    share: float


class Callers:
    """Reads the use for all readers together. Raises `RedisError`."""

    def __init__(self, reader: UseReader, keys: Keys) -> None:
        self._reader = reader
        self._keys = keys
        self._used: TtlCache[str, Mapping[str, Mapping[str, Use]]] = TtlCache(1)

    def of_key(self, key_id: str) -> KeyUse:
        return KeyUse.of(self._read().get(key_id, {}))

    def others(self, issued: Sequence[IssuedKey]) -> list[tuple[str, KeyUse]]:
        """Return the use, by name, of callers that are none of these keys."""
        used, known = self._read(), {key.key.id for key in issued}
        named = [(name, self.of_key(caller)) for caller, name in NAMES.items() if caller in used]
        gone = [models for caller, models in used.items() if caller not in known | NAMES.keys()]
        revoked: dict[str, Use] = {}
        for models in gone:
            for model, use in models.items():
                revoked[model] = revoked.get(model, Use()) + use
        return [*named, *([(REVOKED, KeyUse.of(revoked))] if gone else [])]

    def of_model(self, model: str, reader: Key) -> list[Caller]:
        """Return the callers of a model, the most requests first, and beyond `MOST_CALLERS` one entry for all others.
        Who is no admin learns which requests are their own, and nothing else of other keys."""
        requests = {caller: models[model].requests for caller, models in self._read().items() if model in models}
        if reader.allows(Scope.ADMIN):
            keys = {issued.key.id: issued.key.name for issued in self._keys.all()}
            named = sorted(requests, key=lambda caller: -requests[caller])[:MOST_CALLERS]
        else:
            keys, named = {}, [caller for caller in requests if caller == reader.id]
        names = {**NAMES, **keys, **({} if reader.allows(Scope.ADMIN) else {reader.id: "your key"})}
        total, others = sum(requests.values()), sum(requests[caller] for caller in requests.keys() - named)
        callers = [
            Caller(names.get(caller, REVOKED), caller if caller in keys else "", requests[caller], share)
            for caller in named
            if (share := requests[caller] / total)
        ]
        if count := len(requests) - len(named):
            callers.append(Caller(f"{count} other key{'s' if count > 1 else ''}", "", others, others / total))
        return callers

    def _read(self) -> Mapping[str, Mapping[str, Use]]:
        return self._used.fetch("use", self._reader.read, lambda _, seconds: ttl_of_cost(seconds, KEEP))


def _numbers(use: Use) -> dict[str, Any]:
    last = timestamp(datetime.fromtimestamp(use.last, UTC)) if use.last else None
    return {"requests": use.requests, "errors": use.errors, "rows": use.rows, "last_request_at": last}
