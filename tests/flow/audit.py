"""Checks invariants 1, 2, 3, 5 and 6 of a job's life on the data in Redis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.records.job_kinds import Seen

OPEN = ("queued", "started")
_QUEUE = "rq:queue:predict:"


@dataclass(frozen=True)
class _Moment:
    """What Redis held at one moment: nothing expires or leaves between two of the fields."""

    jobs: Mapping[str, dict[bytes, bytes]]
    """The fields of each job, by id."""
    ttls: Mapping[str, int]
    """Seconds until a job expires, by id; -1 if it does not."""
    queues: Mapping[str, list[bytes]]
    held: Mapping[str, list[bytes]]
    wip: Mapping[str, list[bytes]]
    """Ids of jobs, by queue, by incarnation, and ids with the incarnation, by queue."""
    indexes: Mapping[str, list[bytes]]
    """Ids of ended jobs, by key."""
    ready: frozenset[str]
    rows: Mapping[str, int]


def audit(redis: Any) -> list[str]:
    """Return the violations. Reads all of Redis; no job may be accepted meanwhile."""
    moment = _read(redis)
    wrong = _queues(moment)
    queued = Counter(job_id.decode() for ids in moment.queues.values() for job_id in ids)
    owned = Counter(job_id.decode() for ids in moment.held.values() for job_id in ids)
    for job_id in moment.jobs:
        wrong += _job(moment, job_id, queued[job_id], owned[job_id])
    indexed = Counter((job_id.decode(), key.split(":")[2]) for key, ids in moment.indexes.items() for job_id in ids)
    ended = Counter(
        (job_id, status) for job_id, fields in moment.jobs.items() if (status := fields[b"status"].decode()) not in OPEN
    )
    wrong += [
        f"2: {job_id} is {status}, and in {indexed[job_id, status]} indexes" for job_id, status in ended - indexed
    ]
    # An entry may stay a little longer than its job.
    doubled = [
        entry for entry, count in indexed.items() if count > 1 or (entry[0] in moment.jobs and entry not in ended)
    ]
    wrong += [f"2: {job_id} is in the wrong index, or in several, as {status}" for job_id, status in doubled]
    return wrong


def _read(redis: Any) -> _Moment:
    jobs, queues, held, wip = (_keys(redis, f"{prefix}*") for prefix in ("rq:job:", _QUEUE, "mg:held:", "rq:wip:"))
    indexes = [key for seen in Seen for key in _keys(redis, f"mg:{seen}:*")]
    with redis.pipeline(transaction=True) as pipeline:
        for key in jobs:
            pipeline.hgetall(key)
            pipeline.ttl(key)
        for key in queues:
            pipeline.lrange(key, 0, -1)
        for key in [*held, *wip, *indexes]:
            pipeline.zrange(key, 0, -1)
        pipeline.zrange("mg:ready", 0, -1)
        pipeline.hgetall("mg:rows")
        replies = iter(pipeline.execute())
    of_jobs = {key.removeprefix("rq:job:"): (next(replies), next(replies)) for key in jobs}
    there = {
        job_id: replies_of_job for job_id, replies_of_job in of_jobs.items() if replies_of_job[0]
    }  # the others expired before the read
    return _Moment(
        {job_id: fields for job_id, (fields, _) in there.items()},
        {job_id: ttl for job_id, (_, ttl) in there.items()},
        {key.removeprefix("rq:queue:"): ids for key in queues if (ids := next(replies))},
        {key.removeprefix("mg:held:"): next(replies) for key in held},
        {key: next(replies) for key in wip},
        {key: next(replies) for key in indexes},
        frozenset(queue.decode() for queue in next(replies)),
        {queue.decode(): int(count) for queue, count in next(replies).items()},
    )


def _keys(redis: Any, pattern: str) -> list[str]:
    return sorted(key.decode() for key in redis.scan_iter(pattern, count=1000))


def _queues(moment: _Moment) -> list[str]:
    wrong = []
    if moment.ready != set(moment.queues):
        wrong.append(f"3: ready is {moment.ready}, not empty are {set(moment.queues)}")
    counted = {
        queue: sum(int(moment.jobs.get(job_id.decode(), {}).get(b"rows", 0)) for job_id in ids)
        for queue, ids in moment.queues.items()
    }
    if moment.rows != counted:
        wrong.append(f"5: rows are {moment.rows}, counted {counted}")
    wip = {entry for entries in moment.wip.values() for entry in entries}
    running = {job_id + b":" + inc.encode() for inc, ids in moment.held.items() for job_id in ids}
    if wip != running:
        wrong.append(f"6: wip and the held sets differ in {wip ^ running}")
    return wrong


def _job(moment: _Moment, job_id: str, queued: int, owned: int) -> list[str]:
    fields, ttl = moment.jobs[job_id], moment.ttls[job_id]
    status, has_end = fields.get(b"status", b"none").decode(), b"1" in fields
    wrong = []
    if (queued, owned) != (status == "queued", status == "started"):
        wrong.append(f"1: {job_id} is {status}, in {queued} queues and {owned} held sets")
    if status in OPEN and (ttl != -1 or has_end):
        wrong.append(f"2: {job_id} is {status}, with a TTL of {ttl}{' and an end' * has_end}")
    if status not in OPEN and (ttl < 0 or (status != "canceled" and not has_end)):
        wrong.append(f"2: {job_id} is {status}, with a TTL of {ttl}{' and no end' * (not has_end)}")
    return wrong
