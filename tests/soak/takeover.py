"""A whole worker is killed, as when its container is gone: how long until all that it held is being scored again?"""

from __future__ import annotations

from pathlib import Path
from statistics import median

from broker.supervisor import LEASE
from contract.jobs import Status
from tests.flow.workers import Worker, Workshop
from tests.soak.kills import micros
from tests.soak.world import redis_micros, world

JOBS = 20
"""Of 20 ms: both scorers have some when the first is being scored."""


def kill_workers(folder: Path, rounds: int, *, another: bool) -> dict[str, object]:
    """`another` worker is there to take over; else the one that was killed comes back. Figures for the report."""
    waits = []
    with world(folder, result_ttl=3600) as found:
        shop = found.place.shop
        worker = start(shop, "w0")
        for number in range(rounds):
            rest = start(shop, f"w{number + 1}") if another else None
            ids = shop.submit("slow", map(float, range(JOBS)), f"round{number}-")
            shop.running(ids[0])
            worker.kill()
            moment = redis_micros(shop.redis)
            worker = rest or start(shop, worker.name)
            jobs = shop.ended(ids)
            assert {job.status for job in jobs} == {Status.SUCCEEDED}
            assert shop.each_has_one_result(ids)
            waits.append((max(micros(job.started_at) for job in jobs) - moment) / 1_000_000)
    return {"kills": rounds, "all taken again after, s": round(median(waits), 1), "longest s": round(max(waits), 1)}


def start(shop: Workshop, name: str) -> Worker:
    return shop.start(name, lease=LEASE).ready()
