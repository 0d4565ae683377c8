"""This release reads what the next one writes: records with further fields."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from broker.sides.gateway.job_client import Jobs
from broker.sides.scorer import ScorerQueue
from broker.state.load_status import LoadStatus
from broker.state.schedules import Schedule
from contract.errors import Failure
from contract.model.parameters import RecipeParameter
from contract.work.api_keys import Key, Limits, Scope
from contract.work.training import (
    ColumnPreview,
    ColumnUse,
    Gate,
    RepositoryAction,
    RepositoryCommand,
    Task,
    TrainingPreview,
    TrainingRequest,
)
from contract.work.webhooks import Subscription
from tests.broker.samples import job, outcome, read, take

REQUEST = TrainingRequest("loan", "tabular", gate=Gate(floor=0.7))
COLUMN = ColumnPreview("age", ColumnUse.FEATURE, "number", False, None, ["1"], 2, 0, [])
PREVIEW = TrainingPreview("loan.csv", 10, True, [COLUMN], "paid", Task.CLASSIFICATION, [], [])
AT = "2026-11-24T12:00:00Z"


@pytest.mark.parametrize(
    ("record", "loads"),
    [
        (RecipeParameter("depth", ["int"], [], 3), RecipeParameter.from_json),
        (PREVIEW, TrainingPreview.from_json),
        (
            LoadStatus(["a@1"], {"b@1": "no room"}, ["a", "b"], environment="old"),
            lambda data: LoadStatus.loads(json.dumps(data).encode()),
        ),
        (Key("key_1", "ci", "ci", frozenset({Scope.READ}), limits=Limits(rows_waiting=5)), Key.from_json),
        (Subscription("n", "https://a", ("training.failed",), AT, "o", ("loan",)), Subscription.from_json),
        (Schedule("loan", "0 3 * * *", REQUEST, AT, "j", "s"), lambda data: Schedule.from_json("loan", data)),
        (Failure("invalid_row", "a"), Failure.from_json),
    ],
    ids=lambda value: type(value).__name__ if dataclasses.is_dataclass(value) else "",
)
def test_a_record_with_further_fields_is_read(record: Any, loads: Callable[[Any], Any]) -> None:
    text = record.dumps() if isinstance(record, LoadStatus) else json.dumps(record.to_json())
    assert loads(_added(json.loads(text))) == record


def test_a_status_without_an_environment_is_of_todays() -> None:
    """As this release reads the one before."""
    text = b'{"loaded": ["a@1"], "refused": {}, "models": null}'
    assert LoadStatus.loads(text) == LoadStatus(["a@1"])


def test_a_waiting_and_an_ended_job_with_further_fields_are_read(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    jobs.submit([job("a")])
    redis.hset("rq:job:a", "added", "later")
    assert take(queue) == ["a"]
    queue.finish({"a": outcome(1.0)})
    redis.hset("rq:job:a", "added", "later")
    assert (read(jobs, "a").output or {})["predictions"] == [1.0]


@pytest.mark.parametrize("message", [REQUEST, RepositoryCommand(RepositoryAction.ROLL_BACK, "loan")])
def test_the_trainer_is_asked_for_nothing_that_it_does_not_know(message: TrainingRequest | RepositoryCommand) -> None:
    assert type(message).from_json(message.to_json()) == message
    with pytest.raises(TypeError):
        type(message).from_json({**message.to_json(), "added": "later"})


def _added(data: Any) -> Any:
    """Add a field to a record, and to those in its lists."""
    if isinstance(data, list):
        return [_added(item) for item in data]
    if not isinstance(data, dict):
        return data
    return {**{name: _added(value) if isinstance(value, list) else value for name, value in data.items()}, "added": 1}
