"""The reply of a script is lost with its connection and redis-py sends it again: nothing happens twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from redis import Redis

from broker.link import scripts
from contract.work.jobs import Status
from tests.flow import estimators
from tests.flow.audit import audit
from tests.flow.clients import Clients
from tests.stacks.gateways import Site, start_site
from tests.stacks.lossy_proxy import NAMES, LossyProxy
from tests.support import SOAK, numbers, until, write_version

OF_SHORTAGE = {"oldest", "make_room"}
"""Scripts that run only while Redis is nearly full."""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[LossyProxy]:
    proxy = LossyProxy(tmp_path, tmp_path / "r.sock")
    yield proxy
    proxy.close()


@pytest.fixture
def site(tmp_path: Path, models: Path, proxy: LossyProxy) -> Iterator[Site]:
    """A site whose gateway and workers reach Redis only through the proxy. Redis knows all scripts."""
    write_version(models, "quick", estimators.Slow(0.001), numbers("a"), by_value=True)
    write_version(models, "slow", estimators.Slow(0.15), numbers("a"), by_value=True)
    with start_site(tmp_path, models, url=proxy.url) as site, site.server.connect() as site.cluster.redis:
        for name in NAMES:
            site.cluster.redis.script_load(scripts.source(name)[0])
        yield site


def test_a_job_that_is_submitted_twice_is_queued_once(site: Site, proxy: LossyProxy) -> None:
    with Clients(site.gateway.address, ["quick"], wait=0) as clients:
        clients.until_more(100 * SOAK, "accepted", lambda answer: answer.status == 202)
    assert clients.statuses().keys() == {202}
    assert proxy.lost["submit"] > 3
    queued = [job_id.decode() for job_id in site.cluster.redis.lrange("rq:queue:predict:quick", 0, -1)]
    assert sorted(queued) == sorted(answer.job_id for answer in clients.answers)
    assert audit(site.cluster.redis) == []


@pytest.mark.slow
def test_every_job_ends_once_whichever_reply_is_lost(site: Site, proxy: LossyProxy) -> None:
    cluster, redis = site.cluster, site.cluster.redis
    workers = [cluster.start(name).ready() for name in ("stays", "goes")]
    with Clients(site.gateway.address, ["quick"]) as clients:
        clients.until_more(100 * SOAK, "scored")
        os.kill(next(iter(workers[0].scorers().values())), signal.SIGKILL)
        workers[1].kill()
        clients.until_more(100 * SOAK, "scored by those that are left")
        others = what_else_there_is(site)
        assert requests.get(f"{site.gateway.address}/health/ready").status_code == 200
        until(lambda: not set(NAMES) - OF_SHORTAGE - set(proxy.lost), "all replies were lost")
        until(lambda: not redis.keys("mg:held:goes-*"), "what the lost worker held was given back")
    assert clients.statuses().keys() == {200}
    assert all(answer.right for answer in clients.answers)
    jobs = cluster.ended(others)
    assert {job.status for job in jobs} == {Status.CANCELED, Status.EXPIRED, Status.SUCCEEDED}
    ids = [answer.job_id for answer in clients.answers]
    assert cluster.each_has_one_result(ids)
    until(lambda: not redis.keys("rq:queue:predict:*"), "nothing waits")
    redis.config_set("maxmemory", int(redis.info("memory")["used_memory"] / 0.8))
    until(lambda: set(proxy.lost) >= OF_SHORTAGE, "the workers make room, and those replies are lost, too")
    assert audit(redis) == []


@pytest.mark.slow
def test_connections_that_fall_silent_are_replaced(site: Site, proxy: LossyProxy) -> None:
    redis = site.cluster.redis
    proxy.stop_losing()
    assert site.gateway.post("quick", {"a": 1}, wait=1).status_code == 202
    before = listeners(redis)
    proxy.fall_silent()
    assert site.gateway.post("quick", {"a": 1}).status_code == 202
    until(lambda: listeners(redis) - before, "the gateway listens anew")


def listeners(redis: Redis) -> set[str]:
    return {client["id"] for client in redis.client_list("pubsub")}


def what_else_there_is(site: Site) -> list[str]:
    """Do all else that there is with jobs; return the ids of those that are not deleted."""
    address, gateway = f"{site.gateway.address}/v1/jobs", site.gateway
    kept: list[str] = []
    for _ in range(2):
        assert gateway.post("slow", {"a": "one"}).status_code == 422
        waited, canceled = (gateway.post("slow", {"a": 1}).json()["id"] for _ in range(2))
        assert requests.delete(f"{address}/{canceled}").json()["status"] == "canceled"
        assert requests.get(f"{address}/{waited}?wait=30").json()["status"] == "succeeded"
        assert requests.delete(f"{address}/{waited}").status_code == 204
        assert requests.get(f"{address}/{waited}").status_code == 404
        assert requests.get(f"{address}?model=slow").json()["items"]
        repeated = {repeat(gateway.address) for _ in range(2)}
        assert len(repeated) == 1
        followed = repeated.pop()
        assert requests.get(f"{address}/{followed}/events", timeout=60).text.count("event: end") == 1
        kept += [canceled, followed]
    return [*kept, *expiring(site)]


def repeat(address: str) -> str:
    """Send the same request as before; return the id of its job."""
    url, headers = f"{address}/v1/models/slow/predict", {"Idempotency-Key": "again"}
    return str(requests.post(url, json={"a": 1}, headers=headers, timeout=30).json()["id"])


def expiring(site: Site) -> list[str]:
    """Submit a job that expires, since many others wait before it; return the ids of all."""
    url = f"{site.gateway.address}/v1/models/slow/predict"
    before = [site.gateway.post("slow", {"a": 1}).json()["id"] for _ in range(12)]
    late = requests.post(url, json={"a": 1}, headers={"Cancel-After": "1"}).json()["id"]
    until(lambda: site.cluster.read(late)[0].status is Status.EXPIRED, "it expires")
    return [*before, late]
