"""What gateways announce: models whose requests fail much more often than usual, and keys that expire soon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from redis import Redis

from broker.access.key_store import Keys
from broker.link.outbox import Outbox
from broker.metrics.table import TRAFFIC
from broker.metrics.traffic import Period, TrafficReader
from broker.sides.deliveries import Deliveries
from broker.state.announced import Announced
from broker.state.webhook_store import Webhooks
from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from contract.work.jobs import timestamp
from contract.work.webhooks import Format, Subscription
from gateway.app import create_app
from gateway.serving.announcements import Announcements
from tests.support import until

OPS = Subscription("ops", "https://hooks.example.org/", ("model.failing", "model.failing_ended", "key.expiring"), "")
MINUTE, QUARTER = Period.HOURS.step, Period.DAY.step
Count = Callable[..., None]


@pytest.fixture
def announcements(settings: Settings, redis: Redis) -> Announcements:
    Webhooks(redis).replace("ops", None, OPS)
    return another(settings, redis)


def another(settings: Settings, redis: Redis) -> Announcements:
    """Those of another process."""
    return Announcements(
        Repository(settings.models_dir),
        TrafficReader(redis),
        Keys(redis),
        Announced(redis),
        Webhooks(redis).all,
        Deliveries(redis, Outbox(redis)),
    )


@pytest.fixture
def count(redis: Redis) -> Count:
    """Writes a point of the traffic of `sum`, so many minutes or quarters of an hour before the test."""
    now = redis.time()[0]

    def count(ago: int, answered: int, refused: int, failed: int = 0, step: int = MINUTE) -> None:
        slot = now // step - ago
        size = 120 if step == MINUTE else 96
        redis.hset(f"{TRAFFIC}{step}:sum", str(slot % size), f"{slot} 0 0 {answered} {refused} {failed}")

    return count


def sent(redis: Redis) -> list[dict[str, Any]]:
    """Return what waits to be sent, in the order of its events."""
    bodies = [redis.hget(name, "body") for name in redis.scan_iter("mg-events:delivery:*")]
    return sorted((orjson.loads(body) for body in bodies), key=lambda body: str(body.get("timestamp")))


def test_a_model_that_fails_is_announced_once_and_so_is_its_end(
    announcements: Announcements, settings: Settings, redis: Redis, count: Count
) -> None:
    count(20, 1000, 10, step=QUARTER)
    count(2, 30, 15, 5)
    announcements.look()
    another(settings, redis).look()
    (message,) = sent(redis)
    finding = "20 of 45 requests (44%) were refused or failed within 5 minutes; in the 24 hours before it was 1.0%"
    assert (message["type"], message["data"]) == ("model.failing", {"name": "sum", "version": 1, "findings": [finding]})
    count(2, 0, 0)
    count(14, 30, 20)
    announcements.look()
    assert len(sent(redis)) == 1, "a quarter of an hour has not passed"
    count(14, 30, 1)
    announcements.look()
    announcements.look()
    assert [message["type"] for message in sent(redis)] == ["model.failing", "model.failing_ended"]
    assert Announced(redis).read() == {}


@pytest.mark.parametrize(
    ("now", "usual"),
    [
        ((0, 19), (1000, 0)),
        ((190, 20), (1000, 0)),
        ((30, 20), (800, 200)),
        ((0, 0), (0, 0)),
    ],
)
def test_a_few_errors_or_the_usual_ones_announce_nothing(
    announcements: Announcements, redis: Redis, count: Count, now: tuple[int, int], usual: tuple[int, int]
) -> None:
    count(20, *usual, step=QUARTER)
    count(1, *now)
    announcements.look()
    assert sent(redis) == []


def test_errors_of_another_hour_announce_nothing(announcements: Announcements, redis: Redis, count: Count) -> None:
    count(7, 0, 500)
    announcements.look()
    assert sent(redis) == []


def test_a_subscription_of_other_models_hears_nothing(announcements: Announcements, redis: Redis, count: Count) -> None:
    Webhooks(redis).replace("ops", OPS, replace(OPS, models=("loan",)))
    count(1, 0, 100)
    announcements.look()
    assert sent(redis) == [] and "model:sum" in Announced(redis).read()


def expiring(redis: Redis, name: str, left: timedelta, life: timedelta = timedelta(days=90)) -> Key:
    end = datetime.now(UTC) + left
    key = Key(
        f"key_{name}",
        name,
        name,
        frozenset({Scope.READ}),
        created_at=timestamp(end - life),
        expires_at=timestamp(end),
    )
    Keys(redis).add(name, key)
    return key


def test_a_key_is_announced_two_weeks_and_a_day_before_its_end(
    announcements: Announcements, settings: Settings, redis: Redis
) -> None:
    day = timedelta(days=1)
    expiring(redis, "later", 15 * day)
    expiring(redis, "gone", -day)
    expiring(redis, "night", day / 2, life=day / 2)
    expiring(redis, "week", 5 * day, life=7 * day)
    key = expiring(redis, "ci", 10 * day)
    announcements.look()
    another(settings, redis).look()
    (message,) = sent(redis)
    assert message["type"] == "key.expiring"
    assert message["data"] == {
        "name": "ci",
        "id": "key_ci",
        "owner": "ci",
        "user": None,
        "expires_at": key.expires_at,
    }
    assert Keys(redis).rotate(key.id, "ci2", expires_at=timestamp(datetime.now(UTC) + day / 2))
    announcements.look()
    assert [message["data"]["name"] for message in sent(redis)] == ["ci", "ci"]
    Keys(redis).revoke("key_ci")
    announcements.look()
    assert Announced(redis).read() == {}


def test_only_admins_hear_of_keys(announcements: Announcements, redis: Redis) -> None:
    Webhooks(redis).replace("ops", OPS, replace(OPS, owner="team"))
    expiring(redis, "ci", timedelta(days=3))
    announcements.look()
    assert sent(redis) == []


def test_chats_get_a_sentence_that_mentions_nobody(announcements: Announcements, redis: Redis) -> None:
    Webhooks(redis).replace("ops", OPS, replace(OPS, format=Format.CHAT))
    key = expiring(redis, "ci", timedelta(days=3))
    announcements.look()
    assert sent(redis) == [{"text": f"ci: a key expires within 14 days, and within a day. {key.expires_at}"}]


@pytest.mark.waits
def test_a_gateway_announces_by_itself(settings: Settings, redis: Redis, count: Count) -> None:
    Webhooks(redis).replace("ops", None, OPS)
    count(1, 0, 100)
    app = create_app(replace(settings, webhook_secret="set"))
    app.extensions["traffic_recorder"].start()
    until(lambda: [message["type"] for message in sent(redis)] == ["model.failing"], "it is announced")
