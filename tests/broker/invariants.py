"""The protocol's invariants, checked on Redis alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from broker.job_kinds import PREDICTION
from tests.broker.reference import OPEN


def check_invariants(redis: Any, models: Sequence[str], ids: Sequence[str], ttl: int) -> None:
    """Raise `AssertionError` unless invariants 1 to 6 hold for the jobs `ids` of `models`.

    `ttl` of a result is in seconds. The state machine checks the seventh, which needs the history: only the owner of a
    job finishes it.
    """
    queued: Counter[str] = Counter()
    held: Counter[str] = Counter()
    running, wip = set(), set()
    for inc in redis.smembers("mg:incs"):
        mine = redis.zrange(b"mg:held:" + inc, 0, -1)
        held.update(job_id.decode() for job_id in mine)
        running |= {job_id + b":" + inc for job_id in mine}
    for model in models:
        queue = PREDICTION.queue_of(model)
        waiting = [job_id.decode() for job_id in redis.lrange(f"rq:queue:{queue}", 0, -1)]
        queued.update(waiting)
        wip |= set(redis.zrange(f"rq:wip:{queue}", 0, -1))
        assert (redis.zscore("mg:ready", queue) is not None) == bool(waiting), "3: ready"
        rows = sum(int(redis.hget(f"rq:job:{job_id}", "rows")) for job_id in waiting)
        assert int(redis.hget("mg:rows", queue) or 0) == rows, "5: rows"
        assert redis.llen(f"mg:bell:{queue}") == bool(waiting), "4: the bell of a queue"
    assert redis.llen("mg:bell") == redis.exists("mg:ready"), "4: the bell"
    assert wip == running, "6: wip"
    with redis.pipeline() as pipeline:
        for job_id in ids:
            pipeline.hmget(f"rq:job:{job_id}", "status", "outcome", "deadline")
            pipeline.ttl(f"rq:job:{job_id}").xlen(f"rq:results:{job_id}").ttl(f"rq:results:{job_id}")
            pipeline.zscore("mg:deadlines", job_id)
        answers = pipeline.execute()
    for number, job_id in enumerate(ids):
        (status, outcome, deadline), left, results, results_left, due = answers[5 * number : 5 * number + 5]
        status = (status or b"").decode()
        assert (queued[job_id], held[job_id]) == (status == "queued", status == "started"), f"1: {job_id} {status}"
        if not status:
            continue
        final = status not in OPEN
        assert results == (final and status != "canceled"), f"2: results of {job_id}"
        assert (0 < left <= ttl) if final else left == -1, f"2: TTL of {job_id}"
        assert abs(left - results_left) <= 1 if results else results_left == -2, f"2: TTL of the results of {job_id}"
        assert outcome in ((None, b"expired") if status == "canceled" else (None,)), job_id
        assert (due is not None) == (status == "queued" and deadline is not None), f"deadline of {job_id}"
    for registry in ("finished", "failed", "canceled"):
        members = {i for model in models for i in redis.zrange(f"rq:{registry}:predict:{model}", 0, -1)}
        assert members == {
            job_id.encode() for n, job_id in enumerate(ids) if (answers[5 * n][0] or b"").decode() == registry
        }, registry
