"""Group commit: no delay when quiet, one round trip for many jobs when busy, and an answer for each."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError

from broker.sides.gateway.job_client import ACCEPTED, Limit, Submission
from contract.work.jobs import PredictionJob
from gateway.serving import group_commit
from gateway.serving.group_commit import GroupCommit, Overloaded
from tests.support import DEADLINE, PROJECT, until


def job(name: str) -> PredictionJob:
    return PredictionJob(name, "2026-01-02T03:04:05.000006Z", "m", 1, [[1.0]])


class Redis:
    """Accepts jobs, and can be held up."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.errors: list[Exception] = []
        self.unwritable: set[str] = set()
        self.refused: set[str] = set()

    def submit(self, jobs: Sequence[PredictionJob]) -> list[Submission]:
        self.groups.append([job.id for job in jobs])
        assert self.go_on.wait(30)
        if self.errors:
            raise self.errors.pop(0)
        if self.unwritable & {job.id for job in jobs}:
            raise TypeError("a bug")
        return [Submission(Limit.QUEUE) if job.id in self.refused else ACCEPTED for job in jobs]


def hold(redis: Redis, commit: GroupCommit, pool: ThreadPoolExecutor, names: Sequence[str], size: int = 1) -> list:
    """Submit the first job and, while it is in flight, the others in their order."""
    redis.go_on.clear()
    futures = [pool.submit(commit.submit, job(names[0]), size)]
    until(lambda: redis.groups, "the first is in flight")
    for number, name in enumerate(names[1:], 1):
        futures.append(pool.submit(commit.submit, job(name), size))
        until(lambda n=number: len(commit._pending) == n, f"{name} waits")
    return futures


def test_a_single_job_leaves_at_once() -> None:
    redis = Redis()
    commit = GroupCommit(redis.submit, 1)
    assert [commit.submit(job("a"), 1), commit.submit(job("b"), 1)] == [ACCEPTED] * 2
    assert redis.groups == [["a"], ["b"]]


def test_jobs_that_arrive_turn_by_turn_of_the_event_loop_leave_together() -> None:
    script = """
from gevent import monkey; monkey.patch_all()
import gevent
from gateway.serving.group_commit import GroupCommit
from tests.gateway.serving.test_group_commit import Redis, job
redis = Redis()
commit = GroupCommit(redis.submit, 1)
def arrive(name, turns):
    for _ in range(turns):
        gevent.sleep(0)
    assert commit.submit(job(name), 1).accepted
arrivals = [("late", 6), ("d", 3), ("c", 2), ("b", 1), ("a", 0)]
gevent.joinall([gevent.spawn(arrive, *arrival) for arrival in arrivals], raise_error=True)
assert redis.groups == [["a", "b", "c", "d"], ["late"]], redis.groups
"""
    subprocess.run([sys.executable, "-c", script], cwd=PROJECT, check=True, timeout=DEADLINE)


def test_jobs_that_arrive_during_a_commit_leave_together_and_each_gets_its_own_answer() -> None:
    redis = Redis()
    redis.refused = {"c"}
    commit = GroupCommit(redis.submit, 1)
    with ThreadPoolExecutor(8) as pool:
        futures = hold(redis, commit, pool, "abcde")
        redis.go_on.set()
        assert [future.result(30).accepted for future in futures] == [True, True, False, True, True]
    assert redis.groups == [["a"], ["b", "c", "d", "e"]]


def test_a_group_has_a_limited_number_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_JOBS", 2)
    redis = Redis()
    with ThreadPoolExecutor(8) as pool:
        futures = hold(redis, GroupCommit(redis.submit, 1), pool, "abcdef")
        redis.go_on.set()
        assert all(future.result(30).accepted for future in futures)
    assert redis.groups == [["a"], ["b", "c"], ["d", "e"], ["f"]]


def test_a_large_job_goes_alone() -> None:
    redis = Redis()
    commit = GroupCommit(redis.submit, 1)
    with ThreadPoolExecutor(8) as pool:
        futures = hold(redis, commit, pool, "ab", size=10)
        futures.append(pool.submit(commit.submit, job("large"), group_commit.MAX_BYTES + 1))
        until(lambda: len(commit._pending) == 2, "the large one waits")
        redis.go_on.set()
        assert all(future.result(30).accepted for future in futures)
    assert redis.groups == [["a"], ["b"], ["large"]]


def test_too_many_waiting_bytes_are_refused_until_others_have_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "PENDING_BYTES", 25)
    redis = Redis()
    commit = GroupCommit(redis.submit, 1)
    with ThreadPoolExecutor(8) as pool:
        futures = hold(redis, commit, pool, "ab", size=10)
        with pytest.raises(Overloaded):
            commit.submit(job("c"), 10)
        redis.go_on.set()
        assert all(future.result(30).accepted for future in futures)
    assert commit.submit(job("d"), 20).accepted
    assert commit.submit(job("larger than all that may wait"), 30).accepted


def test_a_submit_is_repeated_with_the_same_jobs_after_an_error() -> None:
    redis = Redis()
    redis.errors = [RedisConnectionError("gone"), RedisConnectionError("still gone")]
    assert GroupCommit(redis.submit, 5).submit(job("a"), 1).accepted
    assert redis.groups == [["a"], ["a"], ["a"]]


def test_a_job_that_cannot_be_written_fails_alone() -> None:
    redis = Redis()
    commit = GroupCommit(redis.submit, 5)
    redis.unwritable = {"c", "d"}
    with ThreadPoolExecutor(8) as pool:
        futures = hold(redis, commit, pool, "abcde")
        redis.go_on.set()
        for bad in futures[2:4]:
            with pytest.raises(TypeError):
                bad.result(30)
        assert [futures[number].result(30) for number in (0, 1, 4)] == [ACCEPTED] * 3
    assert redis.groups == [["a"], ["b", "c", "d", "e"], ["b"], ["c"], ["d"], ["e"]]
    assert not commit._pending_bytes


def test_a_full_redis_fails_one_group_only() -> None:
    redis = Redis()
    commit = GroupCommit(redis.submit, 5)
    redis.errors = [OutOfMemoryError("full")]
    with ThreadPoolExecutor(8) as pool:
        futures = hold(redis, commit, pool, "abc")
        redis.go_on.set()
        with pytest.raises(OutOfMemoryError):
            futures[0].result(30)
        assert [future.result(30) for future in futures[1:]] == [ACCEPTED] * 2
    assert commit.submit(job("d"), 1).accepted


def test_a_request_fails_after_the_timeout_if_redis_stays_away() -> None:
    redis = Redis()
    redis.errors = [RedisConnectionError("gone")] * 1000
    with pytest.raises(RedisConnectionError):
        GroupCommit(redis.submit, 1).submit(job("a"), 1)
    assert 2 <= len(redis.groups) <= 1 / 0.05


def test_no_request_waits_for_the_timeouts_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_JOBS", 1)
    redis = Redis()
    redis.errors = [RedisConnectionError("gone")] * 1000
    commit = GroupCommit(redis.submit, 1)
    with ThreadPoolExecutor(8) as pool:
        futures = hold(redis, commit, pool, "abcdefgh")
        redis.go_on.set()
        for future in futures:
            with pytest.raises(RedisConnectionError):
                future.result(30)
    # All requests share one second, in which each group is sent, and sent again after pauses. If each group had its own
    # second, there would be 40 submits.
    assert len(redis.groups) <= 8 + 1 / 0.05
    assert not commit._pending_bytes
    redis.errors.clear()
    assert commit.submit(job("i"), 1).accepted


def test_many_threads_are_all_answered() -> None:
    redis = Redis()
    commit = GroupCommit(redis.submit, 1)
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda number: commit.submit(job(str(number)), 1), range(2000)))
    assert answers == [ACCEPTED] * 2000
    assert sorted(name for group in redis.groups for name in group) == sorted(map(str, range(2000)))
