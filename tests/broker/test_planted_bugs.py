"""The state machine finds a bug planted in any of the scripts."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis
from redis.exceptions import RedisError

from broker import scripts
from broker.job_kinds import lua_table
from broker.scripts import FencedError
from tests.broker.machine import ProtocolMachine
from tests.broker.test_invariants import SOAK, walks

BUGS = [
    ("submit", "if call('EXISTS', key) == 1 then", "if false then"),
    ("take", "pass_on()\nclose()", "close()"),
    ("finish", "if call('SISMEMBER', ARGV[1], inc) == 0 then", "if false then"),
    ("give_back", "scored[ARGV[i]] = true", ""),
    ("register", "call('SADD', members, inc)", ""),
    ("renew", "== 0 then", "== 2 then"),
    ("cancel", "settle(job.q, -job.rows)", ""),
    ("delete", "if job.status == 'queued' or job.status == 'started' then", "if job.status == 'queued' then"),
    ("wait", "call('HSET', key, 'reply', reply .. channel)", "call('HSET', key, 'reply', reply)"),
    ("expire", "settle(job.q, -job.rows)", ""),
    ("reap", "if lease then", "if false then"),
    ("reconcile", "if f[3] then revive(id, q) end", ""),
    ("prelude", "call('HINCRBY', 'mg:rows', q, rows)", ""),
    ("endings", "call('EXPIRE', job.key, job.ttl)", ""),
]
RARER = [
    ("endings", "call('EXPIRE', results, job.ttl)", ""),
    ("prelude", "call('HDEL', 'mg:rows', q)", ""),
    ("endings", "call('PERSIST', key)", ""),
    ("endings", "local counts = not scored or scored[id]", "local counts = true"),
    ("submit", "settle(q, added)", "settle(q, added + 1)"),
    ("take", "call('ZADD', held, unpack(owned))", ""),
    ("take", "(deaths > 0 or f[3] ~= version", "(f[3] ~= version"),
    ("take", "call('ZADD', 'mg:ready', call('INCR', 'mg:turn'), q)", ""),
    ("take", "answer = take_again()", "answer = {}"),
    ("finish", "if mine and job.status == 'started' then", "if job and job.status ~= 'finished' then"),
    ("finish", "call('ZREM', 'rq:wip:' .. q, unpack(entries_of_q))", ""),
    ("give_back", "close()", ""),
    ("cancel", "call('ZREM', 'mg:held:' .. job.holder, id)", ""),
    ("expire", "call('LREM', 'rq:queue:' .. job.q, 1, id)", ""),
    ("reconcile", "call('HSET', 'mg:rows', q, rows)", ""),
    ("reconcile", "cancel(job, {})", ""),
    ("reconcile", "call('LREM', list, 1, id)", "kept = kept + 1"),
]
"""Bugs that are found too, but not within a second; planted with SOAK."""
FOUND = (AssertionError, pytest.fail.Exception, FencedError, RedisError, KeyError, ValueError)
OF_TRAINERS = {"begin", "enqueue", "progress", "request_load", "report_load"}
"""The machine has scorers only; test_training.py tests these scripts."""
EACH_SCRIPT_HAS_ONE = {path.stem for path in scripts._FOLDER.glob("*.lua")} - {"page", "read"} - OF_TRAINERS


def with_bug(script: str, right: str, wrong: str) -> Callable[[str], tuple[str, str]]:
    """Return `broker.scripts.source` with a piece of one file replaced."""
    planted = (scripts._FOLDER / f"{script}.lua").read_text()
    assert planted.count(right) == 1, f"{script}.lua has no single {right!r}"

    @functools.cache
    def source(name: str) -> tuple[str, str]:
        parts = scripts.parts(name)
        if script in parts:
            parts[script] = planted.replace(right, wrong)
        text = "\n".join((lua_table(), *parts.values()))
        return text, hashlib.sha1(text.encode()).hexdigest()

    return source


@pytest.mark.slow
@pytest.mark.parametrize(("script", "right", "wrong"), BUGS + (RARER if SOAK > 1 else []))
def test_a_planted_bug_is_found(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, script: str, right: str, wrong: str
) -> None:
    monkeypatch.setattr(scripts, "source", with_bug(script, right, wrong))
    with pytest.raises(FOUND):
        run_state_machine_as_test(lambda: ProtocolMachine(redis), settings=settings(walks, max_examples=1000))


def test_every_script_that_writes_has_a_planted_bug() -> None:
    assert {script for script, _, _ in BUGS} == EACH_SCRIPT_HAS_ONE
