"""Under load: full queues, replaced processes, clients that disconnect, bodies that are too large, fair turns."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import requests

from broker.sides.gateway.listing import LARGEST_PAGE, JobFilter
from contract.work.jobs import Job, Status
from tests.flow import estimators
from tests.flow.clients import Clients
from tests.stacks.gateways import Site, start_site
from tests.support import SOAK, numbers, until, write_version

GONE = 20
MOST_ROWS = 400


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, seconds in (("quick", 0.001), ("flood", 0.001), ("slow", 0.02), ("sluggish", 0.1), ("long", 5)):
        write_version(folder, name, estimators.Slow(seconds), numbers("a"), by_value=True)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Site]:
    settings = {"gateway_processes": 2, "max_queue_rows": MOST_ROWS, "max_body_mb": 4, "result_ttl": 600}
    with start_site(tmp_path_factory.mktemp("site"), models, **settings) as site:
        site.cluster.start("first").ready()
        yield site


# Too much


def test_a_full_queue_says_when_to_retry_and_affects_no_other_model(site: Site) -> None:
    jobs = site.cluster.jobs
    site.cluster.ended(site.cluster.submit("sluggish", [1.0] * 12, "measured"))
    waiting = site.cluster.submit("sluggish", [1.0] * (MOST_ROWS + 300), "waiting")
    before = jobs.backlog("sluggish").seconds
    refused = [site.gateway.post("sluggish", {"a": 1}) for _ in range(10 * SOAK)]
    after = jobs.backlog("sluggish").seconds
    others = [site.gateway.post("quick", {"a": 1}, wait=20).json() for _ in range(10 * SOAK)]
    for job_id in waiting:
        jobs.cancel(job_id)
    assert {answer.status_code for answer in refused} == {503}
    assert {answer.json()["code"] for answer in refused} == {"queue_full"}
    assert {job["status"] for job in others} == {"succeeded"}
    assert before and after
    for answer in refused:  # half of what waits will be scored by then
        assert min(before, after) / 4 <= int(answer.headers["Retry-After"]) <= max(before, after)


@pytest.mark.slow
def test_a_body_of_a_million_rows_is_413_and_leaves_no_memory_behind(site: Site) -> None:
    large = json.dumps([[1.5]] * 1_000_000).encode()  # 7 MB
    url = f"{site.gateway.address}/v1/models/quick/predict"

    def post(body: object) -> int:
        return requests.post(url, data=body, headers={"Content-Type": "application/json"}, timeout=60).status_code

    def post_whole_and_in_parts(times: int) -> None:
        for _ in range(times):
            assert post(large) == post(iter([large[: len(large) // 2], large[len(large) // 2 :]])) == 413

    post_whole_and_in_parts(5)  # the allocator keeps some of what the first ones took
    before = site.gateway.memory()
    post_whole_and_in_parts(25 * SOAK)
    assert site.gateway.memory() < before + 20


def test_more_rows_than_the_queue_can_hold_are_413(site: Site) -> None:
    """Asking again would not help, so this is not a 503."""
    answer = site.gateway.post("quick", [[1]] * (MOST_ROWS + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_rows")
    assert site.gateway.post("quick", [[1]] * MOST_ROWS, wait=20).status_code == 200


# Clients that go away


def test_a_client_that_disconnects_while_it_waits_holds_no_resources(site: Site) -> None:
    body = b'{"a": 1}'
    request = (
        b"POST /v1/models/long/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Prefer: wait=60\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    before = site.gateway.connections()
    clients = [socket.create_connection(("127.0.0.1", site.gateway.port)) for _ in range(GONE * SOAK)]
    for client in clients:
        client.sendall(request)

    def ids() -> list[str]:
        return [job.id for job in site.cluster.jobs.list(JobFilter(model="long"), LARGEST_PAGE).items]

    until(lambda: len(ids()) >= GONE * SOAK, "all are accepted")
    assert site.gateway.connections() >= GONE * SOAK
    for client in clients:
        client.close()
    until(lambda: site.gateway.connections() <= before, "their connections are closed")
    assert {job.status for job in site.cluster.read(*ids())} <= {Status.QUEUED, Status.RUNNING, Status.SUCCEEDED}
    for job_id in ids():
        requests.delete(f"{site.gateway.address}/v1/jobs/{job_id}")


# Turns


@pytest.mark.slow
def test_a_flooded_model_does_not_delay_others_by_more_than_two_batches(site: Site) -> None:
    flood = site.cluster.submit("flood", map(float, range(4000 * SOAK)), "flood")
    others = [site.gateway.post("quick", {"a": 1}, wait=30).json() for _ in range(20)]
    assert {job["status"] for job in others} == {"succeeded"}
    assert site.cluster.read(flood[-1])[0].status is Status.QUEUED, "the flood was over too soon to tell"
    jobs = site.cluster.ended(flood, 60 * SOAK)
    assert {job.status for job in jobs} == {Status.SUCCEEDED}
    ends = [str(job.completed_at) for job in jobs]
    assert all(before <= after for before, after in pairwise(sorted(ends)))
    for other in others:
        meanwhile = sum(str(other["created_at"]) < end < str(other["completed_at"]) for end in ends)
        # Each of two scorers may have one batch in hand and one that is next.
        assert meanwhile <= 2 * 2 * largest_batch(jobs)


def largest_batch(jobs: list[Job]) -> int:
    return max(int(str((job.metrics or {})["batch_rows"])) for job in jobs)


# Replacements


@pytest.mark.slow
@pytest.mark.replaces_parts
def test_no_request_fails_while_everything_is_replaced(site: Site) -> None:
    """The gateway's processes with HUP, the workers one after the other with SIGTERM."""
    cluster, gateway = site.cluster, site.gateway
    with Clients(gateway.address, ["quick", "slow"], count=6) as clients:
        cluster.start("second").ready()
        for _ in range(SOAK):
            reload(site, clients)
            for number in range(len(cluster.workers) - 2, len(cluster.workers)):
                clients.until_more(30, "before")
                old = cluster.workers[number]
                old.process.send_signal(signal.SIGTERM)
                assert old.process.wait(30) == 0
                cluster.start(old.name).ready()
        clients.until_more(30, "afterwards")
    assert clients.statuses().keys() == {200}
    assert all(answer.right for answer in clients.answers)


def reload(site: Site, clients: Clients) -> None:
    before = {process.pid for process in site.gateway.processes()}
    assert site.gateway.process
    site.gateway.process.send_signal(signal.SIGHUP)
    until(lambda: not before & {process.pid for process in site.gateway.processes()}, "other processes serve")
    clients.until_more(10, "answered by them")
