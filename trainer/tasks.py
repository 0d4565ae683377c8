"""What the jobs of the trainer's queues call: `train` in a process of its own, `order` in the one that publishes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from redis import Redis

from contract.settings import Settings
from contract.training import Order, Progress, TrainingRequest
from trainer.orders import ORDERS

Tell = Callable[[Progress], None]
Say = Callable[[str], None]
Promote = Callable[[str, int, str], str | None]
"""(model, version, alias) → None when the alias points at the version, else why it does not."""


def train(payload: Mapping[str, Any], settings: Settings, tell: Tell, say: Say, promote: Promote) -> dict[str, Any]:
    """The output of a training job. Raises what training raises."""
    from trainer.train import train  # scikit-learn takes seconds, and orders do not need it

    return train(TrainingRequest.from_json(payload), settings, tell, say, promote).to_json()


def order(payload: Mapping[str, Any], settings: Settings, connection: Redis) -> Mapping[str, Any]:
    """What the caller of an order is shown. Raises `ModelgateError`, and what its handler raises."""
    asked = Order.from_json(payload)
    return ORDERS[asked.action](settings, connection, asked)
