"""Checks invariants 1, 2, 3, 5 and 6 of a job's life on the data in Redis."""

from __future__ import annotations

from collections import Counter
from typing import Any

OPEN = ("queued", "started")


def audit(redis: Any) -> list[str]:
    """Return the violations. Reads all of Redis, so nothing may change it meanwhile."""
    jobs = {key[7:]: redis.hgetall(key) for key in _keys(redis, "rq:job:*")}
    lists = {key[9:]: redis.lrange(key, 0, -1) for key in _keys(redis, "rq:queue:predict:*")}
    held = {key[8:]: set(redis.zrange(key, 0, -1)) for key in _keys(redis, "mg:held:*")}
    wrong = _queues(redis, jobs, lists, held)
    queued = Counter(job_id.decode() for ids in lists.values() for job_id in ids)
    owned = Counter(job_id.decode() for ids in held.values() for job_id in ids)
    for job_id, fields in jobs.items():
        wrong += _job(redis, job_id, fields, queued[job_id], owned[job_id])
    wrong += [f"a result without a job: {key}" for key in _keys(redis, "rq:results:*") if key[11:] not in jobs]
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
    ttl, results = redis.ttl(f"rq:job:{job_id}"), redis.xlen(f"rq:results:{job_id}")
    wrong = []
    if (queued, owned) != (status == "queued", status == "started"):
        wrong.append(f"1: {job_id} is {status}, in {queued} queues and {owned} held sets")
    if status in OPEN and (ttl != -1 or results):
        wrong.append(f"2: {job_id} is {status}, with {results} results and a TTL of {ttl}")
    if status not in OPEN and (ttl < 0 or results != (status != "canceled")):
        wrong.append(f"2: {job_id} is {status}, with {results} results and a TTL of {ttl}")
    return wrong
