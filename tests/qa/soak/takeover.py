"""Measures how soon the jobs of a worker start again after all its processes were killed."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from broker.sides.supervisor import LEASE
from contract.work.jobs import Status
from tests.qa.soak.kills import micros
from tests.qa.soak.soak_site import redis_micros, start_soak_site
from tests.stacks.workers import Worker, WorkerCluster

JOBS = 20
"""Jobs of 20 ms each: enough for both scorers to hold some."""


def kill_workers(folder: Path, rounds: int, *, another: bool) -> dict[str, object]:
    """Return figures for the report. With `another`, a second worker takes over; else the killed one is restarted."""
    waits = []
    with start_soak_site(folder, result_ttl=3600) as soak:
        cluster = soak.site.cluster
        worker = start(cluster, "w0")
        for number in range(rounds):
            rest = start(cluster, f"w{number + 1}") if another else None
            ids = cluster.submit("slow", map(float, range(JOBS)), f"round{number}-")
            cluster.running(ids[0])
            worker.kill()
            moment = redis_micros(cluster.redis)
            worker = rest or start(cluster, worker.name)
            jobs = cluster.ended(ids)
            assert {job.status for job in jobs} == {Status.SUCCEEDED}
            assert cluster.each_has_one_result(ids)
            waits.append((max(micros(job.started_at) for job in jobs) - moment) / 1_000_000)
    return {"kills": rounds, "all taken again after, s": round(median(waits), 1), "longest s": round(max(waits), 1)}


def start(cluster: WorkerCluster, name: str) -> Worker:
    return cluster.start(name, lease=LEASE).ready()
