"""What the jobs of the trainer's queues call: `train` in a process of its own, `order` in the one that publishes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from redis import Redis

from contract.errors import Code, ModelgateError
from contract.settings import Settings
from contract.training import Action, Order, Progress, TrainingRequest

Tell = Callable[[Progress], None]
Say = Callable[[str], None]
Promote = Callable[[str, int, str], str | None]
"""(model, version, alias) → None when the alias points at the version, else why it does not."""

Handler = Callable[[Settings, Redis, Order], Mapping[str, Any]]

ACTIONS: dict[Action, Handler] = {}
"""Who carries out an order. A handler answers with what the caller is shown, and raises `ModelgateError`."""


def train(payload: Mapping[str, Any], settings: Settings, tell: Tell, say: Say, promote: Promote) -> dict[str, Any]:
    """The output of a training job. Raises what training raises."""
    from trainer.train import train  # scikit-learn takes seconds, and orders do not need it

    return train(TrainingRequest.from_json(payload), settings, tell, say, promote).to_json()


def order(payload: Mapping[str, Any], settings: Settings, connection: Redis) -> Mapping[str, Any]:
    """What the caller of an order is shown. Raises `ModelgateError`, and what its handler raises."""
    asked = Order.from_json(payload)
    handler = ACTIONS.get(asked.action)
    if handler is None:
        raise ModelgateError(Code.JOB_REFUSED, f"this trainer does not carry out {asked.action!r}")
    return handler(settings, connection, asked)
