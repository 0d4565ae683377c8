"""What the observer has found about current versions is in the metrics, and on top of the pages of the model."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.state.boards import HEALTH, HealthBoard
from contract.model.model_health import HealthState, ModelHealth
from tests.gateway.observed import client, models, settings
from tests.support import Sum, numbers, write_version

__all__ = ["client", "models", "settings"]


@pytest.fixture
def board(redis: Redis, models: Path) -> HealthBoard:
    write_version(models, "sum", Sum(), numbers("a", "b"), version=2)
    board = HealthBoard(redis)
    board.say("sum@1", ModelHealth(HealthState.DEGRADED, ("old",), "2026-11-27T09:00:00+00:00"))
    return board


def test_findings_of_the_current_version_are_measured(client: FlaskClient, board: HealthBoard) -> None:
    board.say("sum@2", ModelHealth(HealthState.DRIFTED, ("a", "b"), "2026-11-27T09:00:00+00:00"))
    samples = [line for line in client.get("/metrics").text.splitlines() if line.startswith("modelgate_model_findings")]
    assert samples == ['modelgate_model_findings{model="sum",state="drifted",version="2"} 2.0']


@pytest.mark.parametrize(
    ("health", "line"),
    [
        (ModelHealth(HealthState.OK, (), "2026-11-27T09:00:00+00:00"), None),
        (ModelHealth(HealthState.DRIFTED, ("a<b>: moved",), ""), "The rows have changed:</b> a&lt;b&gt;: moved."),
        (
            ModelHealth(HealthState.DEGRADED, ("bad", "a", "b"), ""),
            "Worse than promised:</b> bad, and 2 more findings.",
        ),
    ],
)
def test_the_worst_finding_is_on_top_of_each_page(
    client: FlaskClient, board: HealthBoard, health: ModelHealth, line: str | None
) -> None:
    board.say("sum@2", health)
    for page in ("/try", "/versions", "/traffic"):
        text = client.get(f"/ui/models/sum{page}").text
        assert line in text if line else "See more" not in text


def test_pages_are_there_while_nothing_is_known(client: FlaskClient, board: HealthBoard, redis: Redis) -> None:
    redis.hset(HEALTH, "sum@2", "{")
    assert client.get("/ui/models/sum/versions").status_code == 200
    redis.delete(HEALTH)
    redis.set(HEALTH, "no hash")
    assert client.get("/ui/models/sum/versions").status_code == 200
