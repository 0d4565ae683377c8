"""Kills scorers at random moments under load and measures how long it takes until the next job starts."""

from __future__ import annotations

import os
import random
import signal
from bisect import bisect
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from tests.flow.clients import Answer, Clients
from tests.qa.soak.soak_site import linger, redis_micros, start_soak_site
from tests.support import until


def kill_scorers(folder: Path, chance: random.Random, kills: int, scorers: int) -> dict[str, object]:
    """Kill a random one of `scorers` scorers `kills` times. Returns figures for the report."""
    with start_soak_site(folder, result_ttl=3600) as soak:
        site = soak.site
        redis: Any = site.cluster.redis
        worker = site.cluster.start("w1", workers=scorers).ready(scorers)
        moments: list[tuple[int, str]] = []
        with Clients(site.gateway.address, ["fast", "steady"], count=6, pause=0.002) as clients:
            clients.until_more(50, "before", succeeded)
            for _ in range(kills):
                # Each time from when all are up: a scorer that dies young repeatedly is restarted after growing pauses.
                worker.ready(scorers)
                linger(chance.uniform(0.3, 1.3))
                inc, pid = chance.choice(sorted(worker.scorers().items()))
                moments.append((redis_micros(redis), inc))
                os.kill(pid, signal.SIGKILL)
                until(lambda i=inc: i not in worker.scorers(), "it is gone")
            worker.ready(scorers)
            clients.until_more(50, "afterwards", succeeded)
        failed = [answer for answer in clients.answers if not succeeded(answer)]
        ids = [answer.job_id for answer in clients.answers if answer.accepted]
        once = site.cluster.each_has_one_result(ids)
        assert not failed, failed[:5]
        assert once
        starts = sorted((micros(job.started_at), job.id) for job in site.cluster.read(*ids))
        return {"scorers": scorers, "kills": kills, "jobs": len(ids), "lost": len(failed), **pauses(moments, starts)}


def succeeded(answer: Answer) -> bool:
    return answer.succeeded


def micros(stamp: str | None) -> int:
    assert stamp
    return round(datetime.fromisoformat(stamp).timestamp() * 1_000_000)


def pauses(moments: Sequence[tuple[int, str]], starts: Sequence[tuple[int, str]]) -> dict[str, object]:
    """The time from each kill to the next start of a job, in ms."""
    times = [moment for moment, _ in starts]
    waits = []
    for moment, _ in moments:
        following = bisect(times, moment)
        if following < len(times):
            waits.append((times[following] - moment) / 1000)
    waits.sort()
    return {
        "next start, median ms": round(median(waits), 1),
        "p95 ms": round(waits[int(0.95 * (len(waits) - 1))], 1),
        "longest ms": round(waits[-1], 1),
    }
