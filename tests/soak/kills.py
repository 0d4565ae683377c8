"""Scorers killed at random moments under load: how long until the next job starts, and is everything answered?"""

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
from tests.soak.world import linger, redis_micros, world
from tests.support import until


def kill_scorers(folder: Path, chance: random.Random, kills: int, scorers: int) -> dict[str, object]:
    """A worker with `scorers` scorers loses one of them `kills` times. Figures for the report."""
    with world(folder, result_ttl=3600) as found:
        place = found.place
        redis: Any = place.shop.redis
        worker = place.shop.start("w1", workers=scorers).ready(scorers)
        moments: list[tuple[int, str]] = []
        with Clients(place.gateway.address, ["fast", "steady"], count=6, pause=0.002) as clients:
            clients.until_more(50, "before", succeeded)
            for _ in range(kills):
                # Counted from when all are up: else the moment would be the one at which a scorer begins, and what dies
                # young again and again is started again later and later.
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
        once = place.shop.each_has_one_result(ids)
        assert not failed, failed[:5]
        assert once
        starts = sorted((micros(job.started_at), job.id) for job in place.shop.read(*ids))
        return {"scorers": scorers, "kills": kills, "jobs": len(ids), "lost": len(failed), **pauses(moments, starts)}


def succeeded(answer: Answer) -> bool:
    return answer.succeeded


def micros(stamp: str | None) -> int:
    assert stamp
    return round(datetime.fromisoformat(stamp).timestamp() * 1_000_000)


def pauses(moments: Sequence[tuple[int, str]], starts: Sequence[tuple[int, str]]) -> dict[str, object]:
    """From each death to the next start of a job, in ms."""
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
