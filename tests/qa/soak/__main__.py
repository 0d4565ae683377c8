"""`python -m tests.qa.soak` kills processes under load and accounts for every job; long runs add 100,000 jobs."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import requests

from broker.records.job_kinds import Seen
from runtime.environments import Environments
from tests.flow.audit import audit
from tests.flow.clients import Clients
from tests.qa.soak.events import Events
from tests.qa.soak.kills import kill_scorers
from tests.qa.soak.ledger import Ledger
from tests.qa.soak.soak_site import MODELS, RESULT_TTL, SoakSite, linger, start_soak_site
from tests.qa.soak.takeover import kill_workers
from tests.stacks.environments import MADE
from tests.support import until


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.qa.soak", description=__doc__)
    parser.add_argument("--seconds", type=int, default=120, help="of chaos; kills are in proportion")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    say(f"seed {arguments.seed}: make soak SECONDS={arguments.seconds} SEED={arguments.seed}")
    kills = max(4, arguments.seconds * 50 // 120)
    report("scorers killed", in_folder(lambda folder: kill_scorers(folder, chance, kills // 2, 2)))
    report("the only scorer killed", in_folder(lambda folder: kill_scorers(folder, chance, kills - kills // 2, 1)))
    losses = max(1, arguments.seconds // 60)
    report("a worker killed, another takes over", in_folder(lambda folder: kill_workers(folder, losses, another=True)))
    report("a worker killed, comes back", in_folder(lambda folder: kill_workers(folder, losses, another=False)))
    report("chaos", in_folder(lambda folder: chaos(folder, chance, arguments.seconds)))
    if arguments.seconds >= 120:
        report("many jobs", in_folder(lambda folder: many_jobs(folder, 100_000)))
    return 0


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def report(name: str, figures: dict[str, Any]) -> None:
    say(f"{name}:")
    for key, value in figures.items():
        say(f"  {key:24} {value}")


def in_folder(stage: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return stage(Path(folder))


def chaos(folder: Path, chance: random.Random, seconds: int) -> dict[str, Any]:
    """Run random events under a steady load; fails unless every accepted job ends once and with the right result."""
    with start_soak_site(folder) as soak, ExitStack() as stack:
        site = soak.site
        for name in ("w1", "w2"):
            soak.start_worker(name)
        soak.ready()
        parts = ("", ":memory", *(f"~{name}" for name in Environments(MADE).names()))
        reports = {f"mg:loaded:{name}{part}" for name in ("w1", "w2") for part in parts}
        until(lambda: reports <= set(soak.keys()), "the workers say what they have loaded and what it takes")
        until_at_rest(soak)
        before = soak.footprint()
        groups = [
            Clients(site.gateway.address, list(MODELS), 5, wait=5, pause=0.01),
            Clients(site.gateway.address, list(MODELS), 2, wait=0, pause=0.02),
            Clients(site.gateway.address, ["slow"], 1, wait=0, pause=0.1),
        ]
        ledger = stack.enter_context(Ledger(site.cluster.jobs, site.cluster.redis, groups))
        events = Events(soak, chance)
        with ExitStack() as load:
            for group in groups:
                load.enter_context(group)
            load.enter_context(canceling(site.gateway.address, groups[2], ledger))
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                linger(chance.uniform(0.1, 0.8))
                events.one()
            keep_until_ready(soak)
            for group in groups[:2]:
                group.until_more(20, "afterwards", lambda answer: answer.accepted)
        until(lambda: ledger.settled or ledger.wrong, "every accepted job has ended", 120)
        assert not ledger.wrong, ledger.wrong[:5]
        until(lambda: audit(site.cluster.redis) == [], f"the invariants hold: {audit(site.cluster.redis)[:5]}")
        assert ledger.accepted == sum(ledger.outcomes.values())
        return {
            **figures(groups, ledger, events),
            **flat(soak, before),
        }


def figures(groups: list[Clients], ledger: Ledger, events: Events) -> dict[str, Any]:
    answers = [answer for group in groups for answer in group.answers]
    return {
        "events": sum(events.counts.values()),
        **{f"  {name}": count for name, count in sorted(events.counts.items())},
        "requests": len(answers),
        "accepted": ledger.accepted,
        **{f"  {name}": count for name, count in sorted(ledger.outcomes.items())},
        "lost or twice": len(ledger.wrong),
        "refused with 503": sum(answer.status == 503 for answer in answers),
        "no answer": sum(answer.status == 0 for answer in answers),
    }


@contextmanager
def canceling(address: str, clients: Clients, ledger: Ledger) -> Iterator[None]:
    """Cancel every other job of these clients meanwhile."""
    stop = Event()

    def run() -> None:
        at = 0
        while not stop.wait(0.05):
            for answer in clients.answers[at:]:
                at += 1
                if answer.accepted and at % 2:
                    ledger.canceled.add(answer.job_id)
                    try:
                        requests.delete(f"{address}/v1/jobs/{answer.job_id}", timeout=30)
                    except requests.RequestException:
                        continue

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def keep_until_ready(soak: SoakSite) -> None:
    """Return to the workers of the beginning, and wait until they are ready."""
    for name in list(soak.workers):
        if name not in ("w1", "w2"):
            gone = soak.workers.pop(name)
            gone.process.terminate()
            gone.process.wait(30)
    for name in ("w1", "w2"):
        if name not in soak.workers:
            soak.start_worker(name)
    soak.keep()
    soak.ready()


def until_at_rest(soak: SoakSite) -> None:
    redis = soak.site.cluster.redis
    patterns = ("rq:job:*", *(f"mg:{seen}:*" for seen in Seen))
    until(lambda: not any(redis.keys(pattern) for pattern in patterns), "results expire", RESULT_TTL + 60)


def flat(soak: SoakSite, before: dict[str, Any]) -> dict[str, Any]:
    """Return the footprint before and after; fails if it has grown."""
    until_at_rest(soak)
    most = before["keys"] + len(MODELS) + 3
    until(lambda: soak.footprint()["keys"] <= most, f"{most} keys at most: {soak.footprint()}, {soak.keys()}")
    after = soak.footprint()
    assert after["redis_mb"] < before["redis_mb"] + 2, (before, after)
    assert after["gateway_mb"] < before["gateway_mb"] + 30, (before, after)
    assert after["redis_clients"] < before["redis_clients"] + 30, (before, after)  # pools fill under load
    return {name: f"{before[name]} → {after[name]}" for name in before}


def many_jobs(folder: Path, jobs: int) -> dict[str, Any]:
    """Run so many jobs and check that they leave nothing behind."""
    with start_soak_site(folder) as soak:
        soak.start_worker("w1")
        soak.ready()
        cluster = soak.site.cluster
        cluster.jobs = type(cluster.jobs)(cluster.redis, max_queue_rows=100_000, timeout=30, result_ttl=RESULT_TTL)
        cluster.ended(cluster.submit("fast", [1.0] * 100, "first"))
        until_at_rest(soak)
        before, began = soak.footprint(), time.monotonic()
        for start in range(0, jobs, 5000):
            some = range(start, min(jobs, start + 5000))
            cluster.submit("fast", map(float, some), f"job{start}-")
        until(lambda: not cluster.redis.exists("rq:queue:predict:fast", "mg:ready"), "all are taken", 300)
        seconds = time.monotonic() - began
        return {"jobs": jobs, "jobs a second": round(jobs / seconds), **flat(soak, before)}


if __name__ == "__main__":
    sys.exit(main())
