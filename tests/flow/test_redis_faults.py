"""Redis dies, fills up, loses data or connections: no accepted job is lost, and everything recovers by itself."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from redis import Redis
from rq.job import Job as RQJob
from rq.registry import CanceledJobRegistry
from rq.serializers import JSONSerializer

from broker.sides.supervisor import Leases
from contract.work.jobs import Status
from tests.flow import estimators
from tests.flow.audit import audit
from tests.flow.clients import Answer, Clients
from tests.stacks.gateways import Site, start_site
from tests.stacks.redis_process import RedisProcess
from tests.support import SOAK, numbers, until, write_version

SEED = int(os.environ.get("SEED", "11"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, seconds in (("quick", 0.001), ("other", 0.001), ("slow", 0.3), ("long", 4)):
        write_version(folder, name, estimators.Slow(seconds), numbers("a"), by_value=True)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Site]:
    """Shared by tests that leave it as they found it."""
    with start_site(tmp_path_factory.mktemp("site"), models, result_ttl=60 * 3600) as site:
        site.cluster.start().ready()
        yield site


def unavailable(answer: Answer) -> bool:
    return answer.status == 503 and answer.body["code"] == "redis_unavailable"


# Redis goes away


@pytest.mark.slow
@pytest.mark.replaces_parts
def test_an_outage_of_redis_loses_no_accepted_job_and_no_waiting_request(site: Site) -> None:
    waiting: list[requests.Response] = []
    waits = Thread(target=lambda: waiting.append(site.gateway.post("long", {"a": 1}, wait=3)))
    with Clients(site.gateway.address, ["quick"], wait=2) as clients:
        waits.start()
        until(lambda: site.cluster.redis.keys("rq:wip:predict:long"), "a client waits for a long job")
        for number in range(SOAK):
            clients.until_more(100, "before")
            (site.server.stop if number % 2 else site.server.kill)()
            clients.until_more(4, "meanwhile", unavailable)
            assert site.gateway.get("/health/ready").status_code == 503
            site.server.start()
            clients.until_more(100, "afterwards")
    waits.join(30)
    assert (waiting[0].status_code, waiting[0].json()["status"]) in ((202, "queued"), (202, "running"))
    assert clients.statuses().keys() <= {200, 202, 503}
    assert all(int(answer.retry_after or 0) >= 1 for answer in clients.answers if answer.status == 503)
    accepted = [answer.job_id for answer in clients.answers if answer.accepted]
    assert {job.status for job in site.cluster.ended(accepted)} == {Status.SUCCEEDED}
    assert site.cluster.each_has_one_result(accepted)
    site.cluster.workers[0].ready()


@pytest.mark.slow
@pytest.mark.replaces_parts
def test_an_outage_of_redis_causes_no_storm_of_connections(site: Site) -> None:
    assert site.gateway.post("quick", {"a": 1}, wait=20).status_code == 200
    site.server.kill()
    site.server.socket.unlink()
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(str(site.server.socket))
        nobody.listen(1000)
        for _ in range(55):  # pauses are short at first
            nobody.accept()[0].close()
        began = time.monotonic()
        for _ in range(20 * SOAK):
            nobody.accept()[0].close()
        rate = 20 * SOAK / (time.monotonic() - began)
    # A supervisor, two scorers and a gateway: about 10 a second, and 17 with no pauses but those of redis-py.
    assert rate < 14, f"{rate:.0f} connections a second"
    site.server.socket.unlink()
    site.server.start()
    assert site.gateway.post("quick", {"a": 1}, wait=20).json()["status"] == "succeeded"
    assert site.server.info("stats")["total_connections_received"] < 60
    site.cluster.workers[0].ready()


# Redis is full


def test_a_full_redis_refuses_new_jobs_and_finishes_accepted_ones(site: Site) -> None:
    running = [site.gateway.post("long", {"a": 1}).json()["id"] for _ in range(4)]
    site.cluster.running(running[0])
    site.cluster.redis.config_set("maxmemory", 1)
    with Clients(site.gateway.address, ["quick", "other"], wait=60) as clients:
        clients.until_more(20 * SOAK, "refused", lambda answer: answer.status == 503)
        assert {job.status for job in site.cluster.ended(running)} == {Status.SUCCEEDED}
        assert clients.statuses().keys() == {503}
        site.cluster.redis.config_set("maxmemory", 0)
        clients.until_more(20, "again")
    refused = [answer for answer in clients.answers if answer.status == 503]
    assert {answer.body["code"] for answer in refused} == {"redis_full"}
    assert all(int(answer.retry_after or 0) >= 1 for answer in refused)
    assert clients.statuses().keys() == {200, 503}
    assert site.cluster.each_has_one_result(running)


@pytest.mark.slow
def test_expired_results_free_memory_and_leave_no_keys(tmp_path: Path, models: Path) -> None:
    with start_site(tmp_path, models, result_ttl=1) as site:
        worker = site.cluster.start(lease=120, stuck_after=120).ready()
        redis = site.cluster.redis

        def steady() -> set[bytes]:
            """The keys that stay when no job is there; bells and waiting scorers come and go, processes that count or
            audit are known for a while, and the rings of the traffic and the causes of failures have a size of their
            own."""
            passing = (b"mg:bell", b"mg:idle", b"mg:limits:", b"mg:batch:", b"mg:counted:", b"mg:audited:")
            passing += (b"mg:traffic:", b"mg:failures:")
            return {key for key in redis.scan_iter() if not key.startswith(passing)}

        def size() -> int:
            return sum(redis.memory_usage(key) or 0 for key in steady())

        def at_rest() -> bool:
            Leases(redis).reconcile()  # as the worker does every 10 s
            return not any(redis.keys(pattern) for pattern in ("rq:job:*", "mg:ended:*", "mg:delivered:*"))

        assert site.gateway.post("quick", {"a": 0}, wait=20).status_code == 200
        until(at_rest, "the first result expires")
        before, size_before = steady(), size()
        redis.config_set("maxmemory", int(redis.info("memory")["used_memory"]) + 1_000_000)
        worker.send(signal.SIGSTOP, worker.processes())  # else results may expire faster than jobs come
        with Clients(site.gateway.address, ["quick"], wait=0) as clients:
            clients.until_more(1, "refused", lambda answer: answer.status == 503)
            worker.send(signal.SIGCONT, worker.processes())
            clients.until_more(20, "there is room again", lambda answer: answer.status == 202)
        assert clients.statuses().keys() == {202, 503}
        until(at_rest, "all results expire")
        assert steady() == before
        assert size() < size_before + 5_000  # counters have more digits and fields


# The append-only file ends anywhere


@pytest.mark.slow
def test_a_truncated_append_only_file_holds_whole_transitions(tmp_path: Path, models: Path) -> None:
    with start_site(tmp_path, models, submit_timeout=1) as site:
        something_of_everything(site)
    written, chance = site.server.append_only_file(), random.Random(SEED)
    size = written.stat().st_size
    assert size > 50_000
    for number in range(6 * SOAK):
        folder, cut = tmp_path / f"cut{number}", chance.randrange(size)
        folder.mkdir()
        copy = shutil.copytree(
            site.server.folder, folder / "data", ignore=shutil.ignore_patterns("*.sock", "*.health", "cut*")
        )
        os.truncate(copy / written.relative_to(site.server.folder), cut)
        with RedisProcess(copy) as server, server.connect() as redis:
            assert audit(redis) == [], f"cut at byte {cut} of {size}"


def something_of_everything(site: Site) -> None:
    """Score, cancel, give back and reap jobs, and kill Redis meanwhile."""
    workers = [site.cluster.start(name) for name in ("first", "second")]
    for worker in workers:
        worker.ready()
    with Clients(site.gateway.address, ["quick", "other"], wait=2) as clients:
        clients.until_more(60, "scored")
        site.gateway.post("slow", [{"a": 1}] * 3)
        canceled = [site.gateway.post("slow", {"a": 1}).json()["id"] for _ in range(4)]
        for job_id in canceled:
            requests.delete(f"{site.gateway.address}/v1/jobs/{job_id}")
        workers[0].kill()
        clients.until_more(60, "scored by the other")
        site.server.kill()


# Redis forgets


def test_requests_succeed_though_redis_loses_scripts_and_subscribers(site: Site) -> None:
    """Redis forgets its scripts and its subscribers."""
    redis: Any = site.cluster.redis
    killed = 0
    with Clients(site.gateway.address, ["quick", "other"], count=8, wait=60) as clients:
        for _ in range(10 * SOAK):
            clients.until_more(15, "answered")
            redis.script_flush()
            killed += redis.client_kill_filter(_type="pubsub")
        clients.until_more(15, "answered")
    assert killed >= 5 * SOAK
    assert clients.statuses().keys() == {200}
    assert all(answer.right for answer in clients.answers)


@pytest.mark.slow
@pytest.mark.replaces_parts
def test_stock_rq_can_inspect_cancel_and_requeue_under_load(site: Site) -> None:
    redis = Redis.from_url(site.server.url)
    ids = site.cluster.submit("slow", map(float, range(12)))
    with Clients(site.gateway.address, ["quick"]) as clients:
        for job_id in ids[6:]:
            RQJob.fetch(job_id, connection=redis, serializer=JSONSerializer).cancel()
        registry = CanceledJobRegistry("predict:slow", connection=redis, serializer=JSONSerializer)
        for job_id in ids[9:]:
            registry.requeue(job_id)
        clients.until_more(50, "while it is looked at")
        command = [sys.executable, "-m", "rq.cli", "info", "--url", site.server.url]
        info = subprocess.run(command, capture_output=True, text=True, timeout=60)
        clients.until_more(50, "afterwards")
        jobs = site.cluster.ended(ids)
    assert (info.returncode, info.stderr) == (0, "") and "predict:slow" in info.stdout
    assert [job.status for job in jobs[6:9]] == [Status.CANCELED] * 3
    assert {job.status for job in jobs[:6] + jobs[9:]} == {Status.SUCCEEDED}
    assert all(answer.right for answer in clients.answers)
    until(lambda: audit(redis) == [], "what stock RQ left is mended")
