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

from broker.link import scripts
from broker.link.scripts import FencedError
from tests.broker.file_machine import FileMachine
from tests.broker.machine import ProtocolMachine
from tests.broker.test_invariants import SOAK, walks

BUGS = [
    ("submit", "if call('EXISTS', key) == 1 then", "if false then"),
    ("take", "pass_on()\nclose()", "close()"),
    ("finish", "if call('SISMEMBER', ARGV[1], inc) == 0 then", "if false then"),
    ("give_back", "scored[ARGV[i]] = true", ""),
    ("release", "for q, added in pairs(rows) do settle(q, added) end", ""),
    ("register", "call('SADD', members, inc)", ""),
    ("renew", "== 0 then", "== 2 then"),
    ("cancel", "settle(job.q, -job.rows)", ""),
    ("delete", "if job.status == 'queued' or job.status == 'started' then", "if job.status == 'queued' then"),
    ("wait", "call('HSET', key, 'reply', reply .. channel)", "call('HSET', key, 'reply', reply)"),
    ("expire", "settle(job.q, -job.rows)", ""),
    ("reap", "if lease then", "if false then"),
    ("reconcile", "cancel(job)", ""),
    ("receipt", "call('ZREM', 'mg:ended' .. place, unpack(ids))", ""),
    ("make_room", "call('ZREMRANGEBYRANK', index, 0, #ids - 1)", ""),
    ("prelude", "call('HINCRBY', 'mg:rows', q, rows)", ""),
    ("prelude", "if q ~= base then share(base, q, true) end", ""),
    ("submit", "elseif most_in_flight and in_flight + #ids >= most_in_flight", "elseif false"),
    ("take", "one.start = one.start + math.max(size, 1)", ""),
    ("endings", "call('EXPIRE', job.key, job.ttl)", ""),
    ("give_back", "if call('ZSCORE', key, rows) then", "if true then"),
    ("earlier", "return made == id and 1 or 'same ' .. made", "return nil"),
    ("submit", "  elseif no_worker then", "  elseif false then"),
    ("prelude", "    ring(bell)\n", "    ring('mg:bell')\n"),
    ("take", "local ready, common = 'mg:ready' .. turns,", "local ready, common = 'mg:ready',"),
    ("submit", "call('ZREM', 'mg:idle' .. turns, taker)", ""),
    ("take", "redis.pcall('ZREM', 'mg:idle' .. turns, inc)", ""),
    ("take", "call('DEL', 'mg:batch:' .. inc)", ""),
]
FILE_BUGS = [
    ("take_task", "call('ZADD', held, 1, id)", ""),
    ("report_task", "done - (whole(f[4]) or 0)", "done"),
    ("release", "call('ZREM', 'mg:held:' .. inc, ARGV[i])", ""),
    ("endings", "  if kind.staged then\n    drop_tasks(job.id, job.q)", "  if kind.staged then"),
    ("take_task", "pool_of(q) == pool and ", ""),
    ("prelude", "ring('mg:bell:lane' .. pool_of(q))", "ring('mg:bell:lane')"),
    ("enqueue", "for _, pool in ipairs(pools()) do", "for _, pool in ipairs({ pool_of(q) }) do"),
]
RARER_FILE_BUGS = [
    ("take_task", "number = call('HINCRBY', file.key, 'next_task', 1)", "number = number + 1"),
    ("take_task", "    if more then join_lane(id, file.q) end", ""),
    ("take_task", "    return answer(id, read(file_of(task)))", "    break"),
    ("take_task", "call('ZADD', 'rq:wip:' .. q, '+inf', id .. ':' .. inc)", ""),
    ("report_task", "f[2] ~= inc", "false"),
    ("endings", "if done < (whole(f[2]) or 1) then return end", "if done < 1 then return end"),
    ("endings", "result.rows - reported", "result.rows"),
    ("endings", "'rows_done', 0 - reported)", "'rows_done', 0)"),
    ("endings", "call('ZREM', 'mg:held:' .. inc, task)", ""),
    ("endings", "call('HDEL', job.key, 'reported')", ""),
    ("enqueue", "if not pool_lives(pool_of(q)) then", "if false then"),
    ("endings", "join_lane(file, q or '')", "join_lane(file, '')"),
    ("take_task", "then ring('mg:bell:lane' .. pool) end", "then ring('mg:bell:lane') end"),
]
"""Bugs that the machine of files finds."""
RARER = [
    ("endings", "call('DEL', job.key)", ""),
    ("receipt", "    ended_at = place and call('ZSCORE', 'mg:ended' .. place, id)", "    ended_at = '1'"),
    ("receipt", "call('EXPIRE', 'rq:job:' .. id, kept)", ""),
    ("prelude", "call('HDEL', 'mg:rows', q)", ""),
    ("endings", "local counts = not scored or scored[id]", "local counts = true"),
    ("submit", "settle(q, rows_queued)", "settle(q, rows_queued + 1)"),
    ("submit", "elseif timed_out and took_too_long(ARGV[at + 3], ARGV[at + 4]) then", "elseif false then"),
    ("submit", "q ~= base and waiting > math.max(1, per_free * left)", "false"),
    ("submit", "q ~= base and waiting > math", "q ~= base and waiting > rows and waiting > math"),
    ("submit", "math.max(1, per_free * left)", "per_free * left"),
    ("submit", "waiting > most_waiting", "rows > most_waiting"),
    ("submit", "in_flight + #ids >= most_in_flight", "in_flight >= most_in_flight"),
    ("submit", "if one ~= own and one ~= pool_base then", "if false then"),
    ("submit", "if charged then call('SET'", "if rate then call('SET'"),
    ("prelude", "if call('EXISTS', owners, 'rq:queue:' .. base) == 0 then", "if true then"),
    ("prelude", "tonumber(left_off or '0')", "0"),
    ("prelude", "call('DEL', 'mg:bell:' .. base, 'mg:served:' .. base)", "call('DEL', 'mg:bell:' .. base)"),
    ("prelude", "if start then call('ZREM', owners, q) end", ""),
    ("take", "call('ZADD', held, unpack(batch.owned))", ""),
    ("take", "(deaths > 0 or f[3] ~= batch[2])", "(f[3] ~= batch[2])"),
    ("take", "(deaths > 0 or f[3] ~= batch[2])", "deaths > 0"),
    ("take", "if more then call('ZADD', ready, call('INCR', 'mg:turn'), base) end", ""),
    ("take", "line[place + 1].start <= one.start", "false"),
    ("take", "    if one.ids then -- it was the first of the line", "    if one == line[1] then"),
    ("take", "'GT', batch.time, ''", "'GT', 0, ''"),
    ("take", "answer = take_again()", "answer = {}"),
    ("finish", "if mine and job.status == 'started' then", "if job and job.status ~= 'finished' then"),
    ("finish", "call('ZREM', 'rq:wip:' .. q, unpack(entries_of_q))", ""),
    ("give_back", "close()", ""),
    ("release", "for i = #ARGV, 2, -1 do", "for i = 2, #ARGV do"),
    ("cancel", "call('ZREM', 'mg:held:' .. job.holder, id)", ""),
    ("expire", "call('LREM', 'rq:queue:' .. job.q, 1, id)", ""),
    ("reconcile", "call('HSET', 'mg:rows', q, rows)", ""),
    ("reconcile", "call('LREM', list, 1, id)", "kept = kept + 1"),
    ("prelude", "if gone == 1 and seen == 'ended' then uncount(q, { id }) end", ""),
    ("receipt", "uncount(string.match(place, '^:[^:]*:(.*)'), ids)", ""),
    ("endings", "unseen[key] = (unseen[key] or 0) + size", "unseen[key] = size"),
    ("earlier", "of ~= fingerprint and 'other_request'", "false"),
    ("earlier", "then return 'gone' end", "then return nil end"),
    ("endings", "call('EXPIRE', record, job.ttl)", "call('PERSIST', record)"),
    ("submit", "  elseif known then\n    answer = known\n", ""),
    ("submit", "for _, pool in ipairs(pools()) do", "for _, pool in ipairs({ pool_of(q) }) do"),
    ("prelude", "call('SADD', 'mg:pools', pool)", ""),
    ("prelude", "local all, bell = 'mg:ready' .. turns,", "local all, bell = 'mg:ready',"),
    ("take", ", 'mg:bell' .. turns\n", ", 'mg:bell'\n"),
    ("submit", "if call('EXISTS', 'mg:ready' .. turns) == 1 then return end", ""),
    ("submit", "or call('EXISTS', 'mg:lease:' .. inc) == 0 then", "then"),
    ("submit", "and not string.find(homes, mapped, 1, true)", ""),
    ("submit", "not string.find(skip, listed, 1, true)", "true"),
    ("submit", "(only == '' or string.find(only, listed, 1, true))", "true"),
    ("submit", "version ~= batch[2] and 'version' or", ""),
    ("submit", "count == most_jobs and 'jobs'", "false"),
    ("submit", "rows_handed > most_rows and 'rows' or", ""),
    (
        "submit",
        "if not starts then call('ZADD', kind.deadlines, deadline, id) end",
        "call('ZADD', kind.deadlines, deadline, id)",
    ),
    ("submit", "'ZREVRANGE', 'mg:idle'", "'ZRANGE', 'mg:idle'"),
    ("submit", "call('ZADD', 'mg:held:' .. taker, unpack(owned))", ""),
    ("submit", "call('ZADD', 'rq:wip:' .. q, unpack(running))", ""),
    ("take", "if #answer == 0 and wanted ~= 'owned' then", "if #answer == 0 then"),
    ("endings", "call('DEL', 'mg:batch:' .. inc)", ""),
]
"""Bugs that are found too, but not within a second; planted with SOAK."""
FOUND = (AssertionError, pytest.fail.Exception, FencedError, RedisError, KeyError, ValueError)
OF_TRAINERS = {"begin", "delete_schedule", "progress", "publish_recipes", "request_load", "report_load"}
"""The machine has scorers only; test_training.py tests these scripts."""
CHANGES_NOTHING = {"list_ended", "oldest", "page", "read", "read_log", "recall", "survey", "try_write"}
CHANGES_NOTHING |= {"waiting_pools", "watch"}
OF_OTHERS = {"audit", "change_keys", "change_webhooks", "count", "count_upload", "note_key_uses", "record"}
OF_OTHERS |= {"claim_deliveries", "delete_deliveries", "deliveries", "note_delivery", "open_session", "plan_deliveries"}
OF_OTHERS |= {"announce_model", "forget_logged", "report_alive", "report_stuck", "spare"}
OF_OTHERS |= {"count_failures", "count_use", "end_shadow", "failures", "streams", "take_shadow"}
"""They touch no job; test_metrics.py, test_shadow.py, tests/gateway, tests/events and tests/observer test them."""
EACH_SCRIPT_HAS_ONE = {path.stem for path in scripts._FOLDER.glob("*.lua")} - CHANGES_NOTHING - OF_TRAINERS - OF_OTHERS


def with_bug(script: str, right: str, wrong: str) -> Callable[[str], tuple[str, str]]:
    """Return `broker.link.scripts.source` with a piece of one file replaced."""
    planted = (scripts._FOLDER / f"{script}.lua").read_text()
    assert planted.count(right) == 1, f"{script}.lua has no single {right!r}"

    @functools.cache
    def source(name: str) -> tuple[str, str]:
        parts = scripts.parts(name)
        if script in parts:
            parts[script] = planted.replace(right, wrong)
        text = scripts.linked(parts)
        return text, hashlib.sha1(text.encode()).hexdigest()

    return source


def test_what_a_bug_replaces_is_in_its_script() -> None:
    for bug in (*BUGS, *RARER, *FILE_BUGS, *RARER_FILE_BUGS):
        with_bug(*bug)


@pytest.mark.slow
@pytest.mark.parametrize(("script", "right", "wrong"), BUGS + (RARER if SOAK > 1 else []))
def test_a_planted_bug_is_found(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, script: str, right: str, wrong: str
) -> None:
    monkeypatch.setattr(scripts, "source", with_bug(script, right, wrong))
    with pytest.raises(FOUND):
        run_state_machine_as_test(lambda: ProtocolMachine(redis), settings=settings(walks, max_examples=5000))


@pytest.mark.slow
@pytest.mark.parametrize(("script", "right", "wrong"), FILE_BUGS + (RARER_FILE_BUGS if SOAK > 1 else []))
def test_a_planted_bug_of_files_is_found(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, script: str, right: str, wrong: str
) -> None:
    monkeypatch.setattr(scripts, "source", with_bug(script, right, wrong))
    with pytest.raises(FOUND):
        run_state_machine_as_test(lambda: FileMachine(redis), settings=settings(walks, max_examples=5000))


def test_every_script_that_writes_has_a_planted_bug() -> None:
    assert {script for script, _, _ in BUGS + FILE_BUGS} == EACH_SCRIPT_HAS_ONE
