"""The protocol's invariants, checked on Redis alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from broker.records.job_kinds import ENDS, PREDICTION, indexes_of, pool_of
from tests.broker.reference import OPEN, base_of, environment_of

IN_FLIGHT = {b"rows", b"reply", b"deadline", b"deaths", b"echo", b"timeout", b"description"}
IN_FLIGHT |= {b"failure_ttl", b"idempotency"}
"""Fields that only a job in flight has."""


def check_invariants(redis: Any, queues: Sequence[str], ids: Sequence[str], ttl: int) -> None:
    """Raise `AssertionError` unless invariants 1 to 6 and 8 hold for the jobs `ids` of `queues`.

    `ttl` of a result is in seconds. The state machine checks the seventh, which needs the history: only the owner of a
    job finishes it.
    """
    incs = redis.smembers("mg:incs")
    keys = {key.decode() for key in redis.keys("*")}
    with redis.pipeline() as pipeline:
        for job_id in ids:
            pipeline.hgetall(f"rq:job:{job_id}").ttl(f"rq:job:{job_id}")
        for inc in incs:
            pipeline.zrange(b"mg:held:" + inc, 0, -1)
        for queue in queues:
            pipeline.lrange(f"rq:queue:{queue}", 0, -1)
        for queue in queues:
            pipeline.zrange(f"rq:wip:{queue}", 0, -1)
        pipeline.zrange("mg:deadlines", 0, -1).hgetall("mg:rows")
        *answers, deadlines, rows_of = pipeline.execute()
    jobs, ttls, answers = answers[: 2 * len(ids) : 2], answers[1 : 2 * len(ids) : 2], answers[2 * len(ids) :]
    held_by = dict(zip(incs, answers, strict=False))
    waiting_in = dict(zip(queues, answers[len(incs) :], strict=False))
    wip = {entry for entries in answers[len(incs) + len(queues) :] for entry in entries}
    queued = Counter(job_id.decode() for waiting in waiting_in.values() for job_id in waiting)
    held = Counter(job_id.decode() for mine in held_by.values() for job_id in mine)
    assert wip == {job_id + b":" + inc for inc, mine in held_by.items() for job_id in mine}, "6: wip"
    check_queues(redis, keys, waiting_in)
    fields_of = dict(zip(ids, jobs, strict=True))
    for queue, waiting in waiting_in.items():
        rows = sum(int(fields_of[job_id.decode()][b"rows"]) for job_id in waiting)
        assert int(rows_of.get(queue.encode(), 0)) == rows, "5: rows"
    left_by_rq = [key for key in keys if re.match("rq:(results|finished|failed|canceled):", key)]
    assert left_by_rq == [], "2: RQ's results and registries"
    expected: dict[str, Counter[str]] = {status: Counter() for status in ENDS}
    for job_id, fields, left in zip(ids, jobs, ttls, strict=True):
        status = fields.get(b"status", b"").decode()
        assert (queued[job_id], held[job_id]) == (status == "queued", status == "started"), f"1: {job_id} {status}"
        if not status:
            continue
        final = status not in OPEN
        assert (0 < left <= ttl) if final else left == -1, f"2: TTL of {job_id}"
        assert (b"1" in fields) >= (status in ("finished", "failed")), f"2: the end of {job_id}"
        due = job_id.encode() in deadlines
        assert due == (status == "queued" and b"deadline" in fields), f"deadline of {job_id}"
        if final:
            expected[status][job_id] += 1
            assert not fields.keys() & IN_FLIGHT, f"2: leftovers of {job_id}"
            assert max(map(len, fields.values())) < 64, f"2: a long value in {job_id}"
        else:
            assert b"1" not in fields, f"2: an end of {job_id}, which has not ended"
    assert indexed(redis, keys, queues) == expected, "2: each ended job is in one index"
    check_unseen(redis, keys, queues)


def check_queues(redis: Any, keys: set[str], waiting_in: Mapping[str, Sequence[bytes]]) -> None:
    """Check which queues have a turn in their pool, and which bells ring. `keys`: all keys that exist."""
    by_base: dict[str, list[str]] = {}
    for queue in waiting_in:
        by_base.setdefault(base_of(queue), []).append(queue)
    busy = {base for base, queues in by_base.items() if any(waiting_in[queue] for queue in queues)}
    with redis.pipeline() as pipeline:
        for base in by_base:
            pipeline.zrange(f"mg:owners:{base}", 0, -1).llen(f"mg:bell:{base}")
        answers = pipeline.execute()
    for (base, of_base), owners, rung in zip(by_base.items(), answers[::2], answers[1::2], strict=True):
        for queue in filter(PREDICTION.owner_of, of_base):
            assert (queue.encode() in owners) == bool(waiting_in[queue]), "3: the queues of owners"
        assert rung == (base in busy), "4: the bell of a queue"
    pools = {pool_of(environment_of(base)) for base in by_base}
    with redis.pipeline() as pipeline:
        for pool in pools:
            pipeline.zrange(f"mg:ready{pool}", 0, -1).llen(f"mg:bell{pool}")
        answers = pipeline.execute()
    for pool, ready, bell in zip(pools, answers[::2], answers[1::2], strict=True):
        of_pool = {base for base in busy if pool_of(environment_of(base)) == pool}
        assert {base.decode() for base in ready} == of_pool, "3: ready"
        homes = f"mg:bell:scorer:w{pool}-"
        assert bell == bool(ready) or (ready and any(key.startswith(homes) for key in keys)), "4: the bell"


def check_unseen(redis: Any, keys: set[str], queues: Sequence[str]) -> None:
    """Check the bytes that the unseen results of each owner take, all of which are small."""
    bytes_by_owner = Counter[str]()
    for queue in queues:
        for index in (f"mg:ended:{status}:{queue}" for status in ENDS):
            bytes_by_owner[PREDICTION.owner_of(queue)] += 650 * redis.zcard(index) if index in keys else 0
    del bytes_by_owner[""]
    counted = {owner: int(redis.hget(f"mg:results:{owner}", "") or 0) for owner in bytes_by_owner}
    assert counted == bytes_by_owner, "8: unseen results"


def indexed(redis: Any, keys: set[str], queues: Sequence[str]) -> dict[str, Counter[str]]:
    """Return how often each ended job is in an index, by its status."""
    by_status: dict[str, Counter[str]] = {status: Counter() for status in ENDS}
    indexes = [(status, index) for queue in queues for status in ENDS for index in indexes_of(queue, status)]
    indexes = [(status, index) for status, index in indexes if index in keys]
    with redis.pipeline() as pipeline:
        for _, index in indexes:
            pipeline.zrange(index, 0, -1)
        for (status, _), entries in zip(indexes, pipeline.execute(), strict=True):
            by_status[status].update(entry.decode() for entry in entries)
    return by_status
