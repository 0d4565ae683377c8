"""Checks invariants 1, 2, 3, 5 and 6 of a job's life on the data in Redis."""

from __future__ import annotations

from collections import Counter
from typing import Any

from broker.indexes import Seen

OPEN = ("queued", "started")


def audit(redis: Any) -> list[str]:
    """Return the violations. Reads all of Redis, so nothing may change it meanwhile."""
    records = {key[7:]: redis.hgetall(key) for key in _keys(redis, "rq:job:*")}
    jobs = {job_id: fields for job_id, fields in records.items() if fields}  # the others have expired meanwhile
    lists = {key[9:]: redis.lrange(key, 0, -1) for key in _keys(redis, "rq:queue:predict:*")}
    held = {key[8:]: set(redis.zrange(key, 0, -1)) for key in _keys(redis, "mg:held:*")}
    wrong = _queues(redis, jobs, lists, held)
    queued = Counter(job_id.decode() for ids in lists.values() for job_id in ids)
    owned = Counter(job_id.decode() for ids in held.values() for job_id in ids)
    for job_id, fields in jobs.items():
        wrong += _job(redis, job_id, fields, queued[job_id], owned[job_id])
    indexed = Counter(
        (job_id.decode(), key.split(":")[2])
        for seen in Seen
        for key in _keys(redis, f"mg:{seen}:*")
        for job_id in redis.zrange(key, 0, -1)
    )
    ended = Counter(
        (job_id, status) for job_id, fields in jobs.items() if (status := fields[b"status"].decode()) not in OPEN
    )
    wrong += [
        f"2: {job_id} is {status}, and in {indexed[job_id, status]} indexes" for job_id, status in ended - indexed
    ]
    # An entry may stay a little longer than its job.
    doubled = [entry for entry, count in indexed.items() if count > 1 or (entry[0] in jobs and entry not in ended)]
    wrong += [f"2: {job_id} is in the wrong index, or in several, as {status}" for job_id, status in doubled]
    return wrong


def _keys(redis: Any, pattern: str) -> list[str]:
    return sorted(key.decode() for key in redis.scan_iter(pattern, count=1000))


def _queues(redis: Any, jobs: dict[str, Any], lists: dict[str, list[bytes]], held: dict[str, set[bytes]]) -> list[str]:
    wrong = []
    ready = {queue.decode() for queue in redis.zrange("mg:ready", 0, -1)}
    if ready != set(lists):
        wrong.append(f"3: ready is {ready}, not empty are {set(lists)}")
    rows = {queue.decode(): int(count) for queue, count in redis.hgetall("mg:rows").items()}
    counted = {
        queue: sum(int(jobs.get(job_id.decode(), {}).get(b"rows", 0)) for job_id in ids) for queue, ids in lists.items()
    }
    if rows != counted:
        wrong.append(f"5: rows are {rows}, counted {counted}")
    wip = {entry for key in _keys(redis, "rq:wip:*") for entry in redis.zrange(key, 0, -1)}
    running = {job_id + b":" + inc.encode() for inc, ids in held.items() for job_id in ids}
    if wip != running:
        wrong.append(f"6: wip and the held sets differ in {wip ^ running}")
    return wrong


def _job(redis: Any, job_id: str, fields: dict[bytes, bytes], queued: int, owned: int) -> list[str]:
    status = fields.get(b"status", b"none").decode()
    ttl, has_end = redis.ttl(f"rq:job:{job_id}"), b"1" in fields
    wrong = []
    if (queued, owned) != (status == "queued", status == "started"):
        wrong.append(f"1: {job_id} is {status}, in {queued} queues and {owned} held sets")
    if status in OPEN and (ttl != -1 or has_end):
        wrong.append(f"2: {job_id} is {status}, with a TTL of {ttl}{' and an end' * has_end}")
    if status not in OPEN and (ttl < 0 or (status != "canceled" and not has_end)):
        wrong.append(f"2: {job_id} is {status}, with a TTL of {ttl}{' and no end' * (not has_end)}")
    return wrong
