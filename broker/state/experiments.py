"""What the observer says of running experiments, for all services: one hash, with a field for each model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

from broker.link.scripts import Connected
from broker.records.job_records import dumps
from contract.model.experiments import ExperimentFindings

EXPERIMENTS = "mg:experiments"


class ExperimentBoard(Connected):
    """What is found in experiments. Methods take one round trip and raise `redis.exceptions.RedisError`."""

    def read(self) -> dict[str, ExperimentFindings]:
        """Return what is said, by model."""
        return _parsed(self._redis.hgetall(EXPERIMENTS))

    def of(self, model: str) -> ExperimentFindings | None:
        """Return what is said of the experiment of a model; None: nothing yet."""
        text = self._redis.hget(EXPERIMENTS, model)
        return _parsed({model.encode(): text}).get(model) if text else None

    def say(self, model: str, findings: ExperimentFindings | None) -> None:
        """Say this of the experiment of a model from now on; None: nothing."""
        if findings is None:
            self._redis.hdel(EXPERIMENTS, model)
        else:
            self._redis.hset(EXPERIMENTS, model, dumps(findings.to_json()))


def _parsed(fields: Mapping[bytes, bytes]) -> dict[str, ExperimentFindings]:
    """Return what the fields of the hash say. One that another release has written otherwise says nothing."""
    read = {}
    for model, text in fields.items():
        with suppress(ValueError, TypeError, KeyError):
            read[model.decode()] = ExperimentFindings.from_json(json.loads(text))
    return read
