"""Redis behind Sentinels: the primary dies under load, and accepted jobs are done."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from broker.link.connection import connect
from broker.metrics.reading import MetricsReader
from broker.metrics.table import ALIVE
from contract.work.jobs import Status
from tests.flow import estimators
from tests.flow.clients import Answer, Clients
from tests.stacks.gateways import Gateway, gateway_and_cluster
from tests.stacks.sentinels import Sentinels, sentinels
from tests.stacks.workers import WorkerCluster
from tests.support import SOAK, numbers, until, write_version


@dataclass
class SafeSite:
    """Gateway and worker on a Redis with Sentinels."""

    redis: Sentinels
    gateway: Gateway
    cluster: WorkerCluster


@contextmanager
def safe_site(folder: Path, **settings: object) -> Iterator[SafeSite]:
    models = folder / "models"
    models.mkdir()
    for name, seconds in (("quick", 0.001), ("other", 0.001)):
        write_version(models, name, estimators.Slow(seconds), numbers("a"), by_value=True)
    with (
        sentinels(folder) as redis,
        gateway_and_cluster(redis.url, folder, models, **settings) as (gateway, cluster),
    ):
        cluster.start().ready()
        yield SafeSite(redis, gateway, cluster)


@pytest.mark.slow
def test_a_sentinel_that_is_gone_is_seen(tmp_path: Path) -> None:
    with sentinels(tmp_path) as redis:
        reader = MetricsReader(connect(redis.url))

        def alive() -> float:
            return reader.read([]).values[ALIVE]["sentinels",]

        until(lambda: alive() == 3, "each Sentinel has subscribed to the primary")
        redis.sentinels[2].kill()
        until(lambda: alive() == 2, "one is missing")
        redis.nodes[0].connect().wait(2, 5000)
        redis.fail_over()
        until(lambda: alive() == 2, "the others follow the new primary")


@pytest.mark.slow
def test_a_client_follows_the_primary(tmp_path: Path) -> None:
    with sentinels(tmp_path) as redis:
        pooled, unpooled = connect(redis.url), connect(redis.url, own=True)
        assert pooled.set("a", "1") and unpooled.get("a") == b"1"
        redis.nodes[0].connect().wait(2, 5000)
        lost = redis.fail_over()
        assert pooled.get("a") == unpooled.get("a") == b"1"
        assert pooled.set("a", "2") and unpooled.set("a", "3")
        lost.start()  # as a primary, until a Sentinel makes it a replica
        with lost.connect() as former:  # a replica answers with its old data until it has read the new
            until(lambda: _answer(former, "a") == b"3", "the former primary has what the new one has")


def _answer(redis: Redis, key: str) -> bytes | None:
    try:
        return redis.get(key)
    except RedisError:
        return None  # it starts, or it reads what its primary has sent


def _loses_its_primary(site: SafeSite, *, with_its_disk: bool) -> tuple[list[Answer], float]:
    """Kill the primary under load. Returns all answers, and the longest time without an accepted job in seconds."""
    waiting = Clients(site.gateway.address, ["quick", "other"], 4, wait=20)
    submitting = Clients(site.gateway.address, ["quick"], 2, wait=0, pause=0.005)
    with waiting, submitting:
        for _ in range(SOAK):
            waiting.until_more(200, "before")
            lost = site.redis.fail_over(with_its_disk=with_its_disk)
            waiting.until_more(200, "afterwards")
            lost.start("--replicaof", "127.0.0.1", str(site.redis.primary.port))
            until(lambda: site.redis.primary.is_primary_of(2), "both replicas are in step")
    answers = sorted((*waiting.answers, *submitting.answers), key=lambda answer: answer.at)
    accepted = [answer.at for answer in answers if answer.accepted]
    return answers, max(b - a for a, b in itertools.pairwise(accepted))


def _lost(site: SafeSite, answers: list[Answer]) -> list[Answer]:
    """Return the answers of accepted jobs that have not succeeded."""
    waiting = [answer for answer in answers if answer.status == 202]
    site.cluster.redis.ping()
    until(lambda: not site.cluster.redis.exists("mg:ready"), "all jobs are taken")
    jobs = site.cluster.jobs.read([answer.job_id for answer in waiting])
    ended = site.cluster.ended([job.id for job in jobs if job])
    done = {job.id for job in ended if job.status is Status.SUCCEEDED}
    return [answer for answer in answers if answer.accepted and not answer.right and answer.job_id not in done]


@pytest.mark.slow
def test_a_failover_under_load_delays_requests_and_everything_recovers(tmp_path: Path) -> None:
    with safe_site(tmp_path) as site:
        answers, gap = _loses_its_primary(site, with_its_disk=False)
        report("Redis fails over", site, answers, gap)


@pytest.mark.slow
def test_a_job_that_a_replica_has_survives_the_loss_of_the_primary_and_its_disk(tmp_path: Path) -> None:
    with safe_site(tmp_path, redis_replicas=1) as site:
        answers, gap = _loses_its_primary(site, with_its_disk=True)
        report("Redis fails over, its disk is lost, REDIS_REPLICAS=1", site, answers, gap)
        assert _lost(site, answers) == []


def report(what: str, site: SafeSite, answers: list[Answer], gap: float) -> None:
    accepted, lost = sum(answer.accepted for answer in answers), len(_lost(site, answers))
    refused = Counter(answer.body.get("code", "no answer") for answer in answers if not answer.accepted)
    print(f"{what}: accepted {accepted}, lost {lost}, refused {dict(refused)}, longest gap {gap:.1f} s")  # noqa: T201


@pytest.mark.slow
def test_without_enough_replicas_nothing_is_accepted(tmp_path: Path) -> None:
    with safe_site(tmp_path, redis_replicas=2, submit_timeout=2) as site:
        assert site.gateway.post("quick", {"a": 1}).status_code == 202
        assert site.gateway.get("/health/ready").status_code == 200
        site.redis.nodes[2].kill()
        refused = site.gateway.post("quick", {"a": 2})
        assert (refused.status_code, refused.json()["code"]) == (503, "too_few_replicas")
        until(lambda: site.gateway.get("/health/ready").status_code == 503, "the gateway is not ready")
        site.redis.nodes[2].start("--replicaof", "127.0.0.1", str(site.redis.nodes[0].port))
        until(lambda: site.gateway.post("quick", {"a": 3}).status_code == 202, "jobs are accepted again")
