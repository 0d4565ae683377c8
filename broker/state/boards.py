"""What the observer says, for all services. A board is one hash, with a field for each thing about which there is
something to say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import ClassVar, Generic, Protocol, Self, TypeVar

from broker.link.scripts import Connected
from broker.records.job_records import dumps
from contract.model.experiments import ExperimentFindings
from contract.model.model_health import ModelHealth

HEALTH, EXPERIMENTS = "mg:health", "mg:experiments"


class _Said(Protocol):
    def to_json(self) -> Mapping[str, object]: ...

    @classmethod
    def from_json(cls, data: Mapping[str, object], /) -> Self: ...


Said = TypeVar("Said", bound=_Said)


class _Board(Connected, Generic[Said]):
    """Methods take one round trip and raise `redis.exceptions.RedisError`."""

    key: ClassVar[str]
    kind: type[Said]

    def read(self) -> dict[str, Said]:
        """Return what is said, by field."""
        return self.parsed(self._redis.hgetall(self.key))

    def of(self, field: str) -> Said | None:
        """Return what is said in a field; None: nothing."""
        text = self._redis.hget(self.key, field)
        return self.parsed({field.encode(): text}).get(field) if text else None

    def of_each(self, fields: Sequence[str]) -> dict[str, Said]:
        """Return what is said in these fields, by field."""
        texts = self._redis.hmget(self.key, fields) if fields else []
        return self.parsed({field.encode(): text for field, text in zip(fields, texts, strict=True) if text})

    def say(self, field: str, said: Said | None) -> None:
        """Say this in a field from now on; None: nothing."""
        if said is None:
            self._redis.hdel(self.key, field)
        else:
            self._redis.hset(self.key, field, dumps(said.to_json()))

    @classmethod
    def parsed(cls, fields: Mapping[bytes, bytes]) -> dict[str, Said]:
        """Return what the fields of the hash say. One that another release has written otherwise says nothing."""
        read = {}
        for field, text in fields.items():
            with suppress(ValueError, TypeError, KeyError):
                read[field.decode()] = cls.kind.from_json(json.loads(text))
        return read


class HealthBoard(_Board[ModelHealth]):
    """What is said about versions, by version, such as `loan@3`."""

    key, kind = HEALTH, ModelHealth


class ExperimentBoard(_Board[ExperimentFindings]):
    """What is found in running experiments, by model."""

    key, kind = EXPERIMENTS, ExperimentFindings
