"""Jobs that release 0.2 has ended: RQ's streams and registries."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from broker.gateway.jobs import Jobs
from broker.gateway.receipts import Receipts
from broker.lease_groups import TRAINERS
from broker.scripts import Scripts
from broker.supervisor import Leases

ENDED = json.loads(Path(__file__).with_name("ended-by-0.2.json").read_text())
"""What 0.2 left in Redis, and how it showed these jobs; characters up to U+00FF stand for bytes."""
NAMES = [job["id"] for job in ENDED["jobs"].values()]


def as_bytes(fields: dict[str, str]) -> dict[Any, Any]:
    return {name.encode("latin-1"): value.encode("latin-1") for name, value in fields.items()}


@pytest.fixture
def ended(redis: Redis, jobs: Jobs) -> Jobs:
    """Puts these jobs into Redis; they expire in an hour."""
    for key, fields in ENDED["hashes"].items():
        redis.hset(key, mapping=as_bytes(fields))
        redis.expire(key, 3600)
    for key, fields in ENDED["streams"].items():
        redis.xadd(key, as_bytes(fields))
        redis.expire(key, 3600)
    expires = time.time() + 3600
    for key, ids in ENDED["registries"].items():
        redis.zadd(key, {job_id: expires + number / 1000 for number, job_id in enumerate(ids)})
    redis.sadd("rq:queues", *(f"rq:queue:{queue}" for queue in ("predict:sum", "training")))
    return jobs


TAKEN_BY = {"succeeded": "w", "failed": "w", "training": "t"}
AS_READ = [job | ({"worker": TAKEN_BY[name]} if name in TAKEN_BY else {}) for name, job in ENDED["jobs"].items()]
"""The jobs as their release showed them, and who took them, which it kept and did not show."""


def test_they_are_read_as_before(ended: Jobs) -> None:
    shown = [job and job.to_json() for job in ended.read(NAMES)]
    assert shown == AS_READ
    assert [ended.cancel(name) for name in NAMES] == [(False, job) for job in ended.read(NAMES)]


def test_reconcile_takes_them_over_and_they_are_listed(ended: Jobs, redis: Redis) -> None:
    # Twice: an older worker may still put jobs into RQ's registries, and the reply may be lost.
    for _ in range(2):
        Leases(redis, group=TRAINERS).reconcile()
    assert not [key for key in redis.keys("rq:*") if key.split(b":")[1] in (b"finished", b"failed", b"canceled")]
    page = ended.list()
    assert [job.to_json() for job in sorted(page.items, key=lambda job: job.id)] == sorted(
        AS_READ, key=lambda job: str(job["id"])
    )
    ended_at = redis.zscore("mg:ended:finished:predict:sum", "succeeded")
    assert ended_at is not None and abs(ended_at - time.time()) < 60
    assert [redis.ttl(f"rq:job:{name}") > 3500 for name in NAMES] == [True] * 5


def test_they_can_be_seen_and_deleted(ended: Jobs, redis: Redis) -> None:
    Leases(redis, group=TRAINERS).reconcile()
    receipts = Receipts(60)
    receipts.delivered("succeeded")
    Scripts(redis).send(receipts())
    assert redis.zrange("mg:delivered:finished:predict:sum", 0, -1) == [b"succeeded"]
    assert redis.ttl("rq:job:succeeded") <= 60
    assert all(ended.delete(name) for name in NAMES)
    assert {key.decode() for key in redis.keys("*")} <= {"rq:queues"}


def test_they_can_be_deleted_before_reconcile(ended: Jobs, redis: Redis) -> None:
    assert all(ended.delete(name) for name in NAMES)
    assert {key.decode() for key in redis.keys("*")} <= {"rq:queues"}
