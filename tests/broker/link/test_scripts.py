"""Sending scripts: round trips, lost scripts, a full Redis, times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis
from redis.connection import AbstractConnection
from redis.exceptions import OutOfMemoryError, ResponseError

from broker.link.connection import connect
from broker.link.scripts import Scripts, linked, parts
from broker.sides.gateway.job_client import ACCEPTED, Jobs
from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.supervisor import LEASE, Leases
from contract.errors import Failure
from contract.work.jobs import Status
from tests.broker.samples import CHANNEL, job, outcome, read, scorer, take
from tests.support import redis_server


@contextmanager
def round_trips(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count the round trips of this client meanwhile; the list has the count as its one element."""
    count, send = [0], AbstractConnection.send_packed_command

    def counted(self: Any, *args: Any, **options: Any) -> Any:
        count[0] += self in redis.connection_pool._connections
        return send(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(AbstractConnection, "send_packed_command", counted)
        yield count


def test_a_group_of_jobs_of_several_models_is_one_round_trip(
    redis: Redis, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.submit([job("warm")])
    with round_trips(redis, monkeypatch) as count:
        jobs.submit([job(f"{model}-{number}", model=model) for number in range(8) for model in "abcdefgh"])
    assert count == [1]


def test_a_busy_batch_is_two_round_trips_and_an_idle_one_three(
    redis: Redis, queue: ScorerQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(redis, max_queue_rows=1000, timeout=30, result_ttl=60)
    jobs.submit([job(f"warm{number}", reply_to=CHANNEL) for number in range(64)])
    queue.finish({job_id: outcome(1.0) for job_id in take(queue)})
    jobs.submit([job(f"j{number}", reply_to=CHANNEL) for number in range(64)])
    with round_trips(redis, monkeypatch) as count:
        batch = queue.take(BatchLimits())
        assert batch is not None
        assert len(batch.jobs) == 64
        queue.finish({job.id: outcome(1.0) for job in batch.jobs})
    assert count == [2]
    jobs.submit([job("late", reply_to=CHANNEL)])
    with round_trips(redis, monkeypatch) as count:
        queue.wait_for_work(BatchLimits())
        take(queue)
        queue.finish({"late": outcome(1.0)})
    assert count == [3]


def test_reading_and_waiting_for_many_are_one_round_trip(
    redis: Redis, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"j{number}" for number in range(10)]
    jobs.submit([job(job_id) for job_id in ids])
    jobs.wait(ids, CHANNEL)
    jobs.read(ids)  # Redis has the scripts now
    with round_trips(redis, monkeypatch) as count:
        jobs.read(ids)
        jobs.wait(ids, CHANNEL)
    assert count == [2]


def test_scripts_that_redis_has_lost_are_sent_again(
    jobs: Jobs, queue: ScorerQueue, leases: Leases, redis: Redis
) -> None:
    redis.script_flush()
    assert jobs.submit([job("a"), job("b", model="other")]) == [ACCEPTED] * 2
    redis.script_flush()
    assert take(queue) == ["a"]
    redis.script_flush()
    assert jobs.wait(["a"], CHANNEL) == {}
    redis.script_flush()
    assert queue.finish({"a": outcome(1.0)}) == []
    redis.script_flush()
    leases.reconcile()
    assert jobs.cancel("b") is not None


def test_a_broken_connection_is_replaced(redis_url: str, redis: Redis) -> None:
    with connect(redis_url) as connection:
        jobs = Jobs(connection, max_queue_rows=10, timeout=30, result_ttl=60)
        jobs.submit([job("a")])
        redis.client_kill_filter(_type="normal", skipme=True)
        assert jobs.submit([job("a"), job("b")]) == [ACCEPTED] * 2
    assert redis.llen("rq:queue:predict:sum") == 2


@pytest.mark.parametrize("own", [True, False])
def test_after_a_failover_the_new_primary_is_found(tmp_path: Path, own: bool) -> None:
    name = tmp_path / "primary"  # as a name server would have it
    folders = [tmp_path / "old", tmp_path / "new"]
    for folder in folders:
        folder.mkdir()
    with redis_server(folders[0]) as old, redis_server(folders[1]):
        name.symlink_to(folders[0] / "r.sock")
        jobs = Jobs(connect(f"unix://{name}", own=own), max_queue_rows=10, timeout=30, result_ttl=60)
        jobs.submit([job("a")])
        name.unlink()
        name.symlink_to(folders[1] / "r.sock")
        connect(old).replicaof("127.0.0.1", 1)
        with pytest.raises(ResponseError, match="read only"):
            jobs.submit([job("b")])
        assert jobs.submit([job("b")]) == [ACCEPTED]


@contextmanager
def full(redis: Redis) -> Iterator[None]:
    redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        redis.config_set("maxmemory", 0)


@pytest.mark.parametrize("by_text", [False, True])
def test_a_full_redis_refuses_a_job_as_a_whole(jobs: Jobs, redis: Redis, by_text: bool) -> None:
    if by_text:
        redis.script_flush()
    with full(redis), pytest.raises(OutOfMemoryError):
        jobs.submit([job("a")])
    with full(redis), pytest.raises(OutOfMemoryError):
        jobs.submit([job("a"), job("b", model="other")])
    assert redis.keys("*") == []


def test_a_full_redis_still_finishes_its_jobs(jobs: Jobs, redis: Redis, leases: Leases) -> None:
    jobs.submit([job(name) for name in "abcdef"])
    jobs.submit([job("late", model="other", expires_after=0)])
    clock = [0.0]
    reaper = Leases(redis, clock=lambda: clock[0])
    with full(redis):
        queue = scorer(leases, redis)
        for clock[0] in (0.0, LEASE / 2, LEASE):
            assert reaper.renew(["w-0-x"]) == []
        assert jobs.wait(["a"], CHANNEL) == {}
        assert take(queue, jobs=3, models=["sum"]) == ["a", "b", "c"]
        assert queue.finish({"a": outcome(1.0), "b": Failure("model_error", "no")}) == []
        assert leases.give_back("w-0-x", ["c"]) == {"c": "queued"}
        assert jobs.cancel("d") is not None
        leases.expire()
        leases.reconcile()
        take(scorer(leases, redis, "w-1-x"))
        redis.delete("mg:lease:w-1-x")
        assert reaper.reap() == ["w-1-x"]
        assert jobs.delete("b")
    statuses = [read(jobs, name).status for name in ("a", "c", "d", "e", "late")]
    assert statuses == [Status.SUCCEEDED, Status.QUEUED, Status.CANCELED, Status.QUEUED, Status.EXPIRED]


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_lua_formats_times_as_rq_does(redis_url: str, moment: datetime) -> None:
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    text = linked({**parts("renew"), "renew": "micros = tonumber(ARGV[1]) return stamp()"})
    with connect(redis_url) as connection:
        written: Any = connection.eval(text, 0, micros)
    assert datetime.strptime(written.decode(), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC) == moment


def test_a_script_gets_the_definitions_that_it_needs_and_no_other(redis: Redis) -> None:
    shared = """-- what all share
local one, two = 1, 2 -- not three
local three
local function four() return three() end
local function unused() return one end
function three() return two end
"""
    text = linked({"shared": shared, "script": "-- unused\nreturn four()"})
    assert "unused() return" not in text
    assert redis.eval(text, 0) == 2


def test_times_come_from_redis(jobs: Jobs, queue: ScorerQueue, redis: Redis) -> None:
    before = redis.time()
    jobs.submit([job("a")])
    take(queue)
    queue.finish({"a": outcome(1.0)})
    ended_job, after = read(jobs, "a"), redis.time()
    texts = [datetime.fromtimestamp(s, UTC).replace(microsecond=us).isoformat() for s, us in (before, after)]
    assert ended_job.started_at and ended_job.completed_at
    started, ended = (datetime.fromisoformat(text) for text in (ended_job.started_at, ended_job.completed_at))
    assert datetime.fromisoformat(texts[0]) <= started <= ended <= datetime.fromisoformat(texts[1])


def test_an_error_in_one_of_several_steps_is_raised(redis: Redis) -> None:
    redis.set("text", "x")
    with pytest.raises(Exception, match="WRONGTYPE"):
        Scripts(redis).send([("PING",), ("LLEN", "text")])
