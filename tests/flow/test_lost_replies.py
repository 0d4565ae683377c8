"""The reply of a script is lost with its connection, and redis-py sends it again: nothing happens twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from redis import Redis

from broker import scripts
from contract.jobs import Status
from tests.flow import estimators
from tests.flow.audit import audit
from tests.flow.clients import Clients
from tests.flow.gateways import Site, site
from tests.flow.lossy_proxy import NAMES, LossyProxy
from tests.support import SOAK, numbers, until, write_version


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[LossyProxy]:
    proxy = LossyProxy(tmp_path, tmp_path / "r.sock")
    yield proxy
    proxy.close()


@pytest.fixture
def place(tmp_path: Path, models: Path, proxy: LossyProxy) -> Iterator[Site]:
    """A site whose gateway and workers know Redis through the proxy only; no script is unknown to Redis."""
    write_version(models, "quick", estimators.Slow(0.001), numbers("a"), by_value=True)
    write_version(models, "slow", estimators.Slow(0.15), numbers("a"), by_value=True)
    with site(tmp_path, models, url=proxy.url) as place:
        place.shop.redis = place.server.connect()
        for name in NAMES:
            place.shop.redis.script_load(scripts.source(name)[0])
        yield place


def test_what_is_submitted_twice_is_queued_once(place: Site, proxy: LossyProxy) -> None:
    with Clients(place.gateway.address, ["quick"], wait=0) as clients:
        clients.until_more(100 * SOAK, "accepted", lambda answer: answer.status == 202)
    assert clients.statuses().keys() == {202}
    assert proxy.lost["submit"] > 3
    queued = [job_id.decode() for job_id in place.shop.redis.lrange("rq:queue:predict:quick", 0, -1)]
    assert sorted(queued) == sorted(answer.job_id for answer in clients.answers)
    assert audit(place.shop.redis) == []


@pytest.mark.slow
def test_whatever_reply_is_lost_every_job_ends_once(place: Site, proxy: LossyProxy) -> None:
    shop, redis = place.shop, place.shop.redis
    workers = [shop.start(name).ready() for name in ("stays", "goes")]
    with Clients(place.gateway.address, ["quick"]) as clients:
        clients.until_more(100 * SOAK, "scored")
        os.kill(next(iter(workers[0].scorers().values())), signal.SIGKILL)
        workers[1].kill()
        clients.until_more(100 * SOAK, "scored by those that are left")
        others = what_else_there_is(place)
        until(lambda: not [name for name in NAMES if not proxy.lost[name]], f"all replies were lost: {proxy.lost}")
        until(lambda: not redis.keys("mg:held:goes-*"), "what the lost worker held was given back")
    assert clients.statuses().keys() == {200}
    assert all(answer.right for answer in clients.answers)
    jobs = shop.ended(others)
    assert {job.status for job in jobs} == {Status.CANCELED, Status.EXPIRED, Status.SUCCEEDED}
    ids = [answer.job_id for answer in clients.answers]
    assert shop.each_has_one_result(ids)
    until(lambda: not redis.keys("rq:queue:predict:*"), "nothing waits")
    assert audit(redis) == []


def test_connections_that_fall_silent_are_replaced(place: Site, proxy: LossyProxy) -> None:
    redis = place.shop.redis
    proxy.stop_losing()
    assert place.gateway.post("quick", {"a": 1}, wait=1).status_code == 202
    before = listeners(redis)
    proxy.fall_silent()
    assert place.gateway.post("quick", {"a": 1}).status_code == 202
    until(lambda: listeners(redis) - before, "the gateway listens anew")


def listeners(redis: Redis) -> set[str]:
    return {client["id"] for client in redis.client_list("pubsub")}


def what_else_there_is(place: Site) -> list[str]:
    """Cancels, deletes, waits for, lists and lets expire; the ids of those jobs that are not deleted."""
    address, gateway = f"{place.gateway.address}/v1/jobs", place.gateway
    kept: list[str] = []
    for _ in range(2):
        waited, canceled = (gateway.post("slow", {"a": 1}).json()["id"] for _ in range(2))
        assert requests.delete(f"{address}/{canceled}").json()["status"] == "canceled"
        assert requests.get(f"{address}/{waited}?wait=30").json()["status"] == "succeeded"
        assert requests.delete(f"{address}/{waited}").status_code == 204
        assert requests.get(f"{address}/{waited}").status_code == 404
        assert requests.get(f"{address}?model=slow").json()["items"]
        kept.append(canceled)
    return [*kept, *expiring(place)]


def expiring(place: Site) -> list[str]:
    """A job that a second later has not started: so many others wait before it."""
    url = f"{place.gateway.address}/v1/models/slow/predict"
    before = [place.gateway.post("slow", {"a": 1}).json()["id"] for _ in range(12)]
    late = requests.post(url, json={"a": 1}, headers={"Cancel-After": "1"}).json()["id"]
    until(lambda: place.shop.read(late)[0].status is Status.EXPIRED, "it expires")
    return [*before, late]
