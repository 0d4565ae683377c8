"""What the observer has found about versions, for all services: one hash, with a field such as `loan@3` for each
version about which there is something to say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

from broker.link.scripts import Connected
from broker.records.job_records import dumps
from contract.model.model_health import ModelHealth

HEALTH = "mg:health"


class HealthBoard(Connected):
    """What is said about the versions. Methods take one round trip and raise `redis.exceptions.RedisError`."""

    def read(self) -> dict[str, ModelHealth]:
        """Return what is said, by version such as `loan@3`."""
        return parse_health(self._redis.hgetall(HEALTH))

    def of(self, version: str) -> ModelHealth | None:
        """Return what is said about a version, such as `loan@3`; None: nothing."""
        text = self._redis.hget(HEALTH, version)
        return parse_health({version.encode(): text}).get(version) if text else None

    def say(self, version: str, health: ModelHealth | None) -> None:
        """Say this about a version from now on; None: nothing."""
        if health is None:
            self._redis.hdel(HEALTH, version)
        else:
            self._redis.hset(HEALTH, version, dumps(health.to_json()))


def parse_health(fields: Mapping[bytes, bytes]) -> dict[str, ModelHealth]:
    """Return what the fields of the hash say. One that another release has written otherwise says nothing."""
    read = {}
    for version, text in fields.items():
        with suppress(ValueError, TypeError, KeyError):
            read[version.decode()] = ModelHealth.from_json(json.loads(text))
    return read
