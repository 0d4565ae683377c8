"""The logs of the processes: whatever happens in a worker is a line of JSON that names the job."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from broker.sides.gateway.job_client import ACCEPTED
from contract.work.jobs import PredictionJob, Status
from tests.flow import estimators
from tests.stacks.gateways import Gateway, start_site
from tests.stacks.workers import Worker, WorkerCluster, worker_cluster
from tests.support import numbers, redis_server, until, write_version

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerCluster]:
    folder = tmp_path_factory.mktemp("logs")
    models = folder / "models"
    for name, estimator in (("faulty", estimators.Faulty()), ("talks", estimators.Talks())):
        write_version(models, name, estimator, numbers("a"), by_value=True)
    with redis_server(folder) as url, worker_cluster(url, models, folder) as cluster:
        cluster.start(log_format="json", predict_timeout=4).ready()
        yield cluster


@pytest.fixture
def worker(cluster: WorkerCluster) -> Worker:
    return cluster.workers[0]


def events(worker: Worker, text: str) -> list[dict[str, Any]]:
    """The events with this text in their message; every line is one."""
    entries = [json.loads(line) for line in worker.log.splitlines()]
    assert {event["service"] for event in entries} == {"worker"}
    return [event for event in entries if text in event["message"]]


def submit(cluster: WorkerCluster, job_id: str, value: float, request: str = "", model: str = "faulty") -> None:
    job = PredictionJob(job_id, "2026-01-02T03:04:05.000006Z", model, 1, [[value]], request=request)
    assert cluster.jobs.submit([job]) == [ACCEPTED]


@pytest.mark.slow
def test_a_loaded_model_has_a_line_with_its_size_and_time(worker: Worker) -> None:
    lines = until(lambda: [event for event in events(worker, "loaded") if event.get("model") == "faulty"], "the line")
    assert lines[0]["version"] == 1 and lines[0]["bytes"] > 0 and lines[0]["duration_ms"] > 0


def test_what_a_model_prints_becomes_events(cluster: WorkerCluster, worker: Worker) -> None:
    submit(cluster, "talks", 1.0, model="talks")
    (job,) = cluster.ended(["talks"])
    assert job.status is Status.SUCCEEDED
    said = ["from Python", "in two lines", "to stderr", '{"level": "info"}', "from C \x1b[2J", "from a child"]
    for line in said:
        until(lambda line=line: events(worker, f"printed: {line}"), line)
    (warned,) = events(worker, "it is old")
    assert warned["level"] == "warning"


def test_a_job_that_fails_has_a_line_with_its_request_and_its_trace(cluster: WorkerCluster, worker: Worker) -> None:
    submit(cluster, "bad", estimators.RAISES, f"order-17 {PARENT}")
    cluster.ended(["bad"])
    (event,) = until(lambda: events(worker, "a job failed: model_error"), "the line")
    assert (event["job_id"], event["request_id"], event["trace_id"]) == ("bad", "order-17", TRACE)
    assert (event["model"], event["version"]) == ("faulty", 1)
    assert "ValueError: it hurts" in event["message"]


def test_a_job_that_kills_its_scorers_has_a_line_for_each_death_and_its_end(
    cluster: WorkerCluster, worker: Worker
) -> None:
    submit(cluster, "kills", estimators.ABORTS, "order-18")
    cluster.ended(["kills"])
    (event,) = until(lambda: events(worker, "a job failed: worker_crashed"), "the line")
    assert (event["job_id"], event["request_id"]) == ("kills", "order-18")
    assert (event["model"], event["version"]) == ("faulty", "1")
    assert [event["job_id"] for event in events(worker, "died while it scored 1 job")] == ["kills"] * 3


def test_a_job_that_takes_too_long_has_a_line(cluster: WorkerCluster, worker: Worker) -> None:
    submit(cluster, "endless", estimators.NEVER_RETURNS, "order-19")
    cluster.ended(["endless"])
    (event,) = until(lambda: events(worker, "a job failed: timeout"), "the line")
    assert (event["job_id"], event["request_id"], event["model"]) == ("endless", "order-19", "faulty")


def test_a_scorer_that_is_killed_leaves_a_line(cluster: WorkerCluster, worker: Worker) -> None:
    inc, pid = next(iter(worker.scorers().items()))
    worker.send(signal.SIGKILL, [pid])
    until(lambda: events(worker, f"scorer {inc} died while it was idle"), "the line")


def test_one_request_has_its_id_in_the_logs_of_gateway_and_worker(
    cluster: WorkerCluster, worker: Worker, tmp_path: Path
) -> None:
    gateway = Gateway(cluster.url, cluster.models, tmp_path / "gateway.log", {"LOG_FORMAT": "json"}).start()
    try:
        answer = requests.post(
            f"{gateway.address}/v1/models/faulty/predict",
            json={"a": estimators.RAISES},
            headers={"Prefer": "wait=20", "X-Request-ID": "shop/4711"},
            timeout=60,
        )
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as connection:
            connection.sendall(b"GARBAGE \x1b[2J\r\n\r\n")
            connection.recv(1000)
    finally:
        gateway.stop()
    assert (answer.json()["status"], answer.headers["X-Request-ID"]) == ("failed", "shop/4711")
    (event,) = until(
        lambda: [e for e in events(worker, "a job failed") if e.get("request_id") == "shop/4711"], "the line"
    )
    assert event["job_id"] == answer.json()["id"]
    said = [json.loads(line) for line in gateway.log.splitlines()]
    (line,) = (event for event in said if event.get("request_id") == "shop/4711")
    assert (line["job_id"], line["model"], line["version"]) == (answer.json()["id"], "faulty", 1)
    assert [event["status"] for event in said if event["message"] == "- - 400"] == [400]
    assert [event for event in said if event["logger"] == "gunicorn.error"]


def test_a_change_is_logged_once_though_nobody_asks_and_refusals_are_counted(tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_version(models, "quick", estimators.Slow(0), numbers("a"), by_value=True)
    with start_site(tmp_path, models, gateway_processes=2, submit_timeout=1) as site:

        def lines(text: str) -> list[str]:
            return [line for line in site.gateway.log.splitlines() if text in line]

        worker = site.cluster.start().ready()
        until(lambda: lines("INFO gateway: ready: "), "it says that it is ready")
        assert site.gateway.post("quick", {"a": 1}, wait=20).status_code == 200
        with ThreadPoolExecutor(8) as clients, site.server.disk_full():  # the listener is on
            until(lambda: lines("not_ready: Redis cannot write"), "it says why it is not ready")
            answers = clients.map(lambda _: site.gateway.post("quick", {"a": 1}), range(24))
            assert {answer.status_code for answer in answers} == {503}
            until(lambda: not site.cluster.redis.keys("mg:lease:*"), "it lasts for some tries of the listener")
        until(lambda: lines("INFO gateway: the listener has Redis again"), "good news is no warning")
        worker.kill()
        until(lambda: lines("degraded: no worker is alive"), "it says that the worker is dead")
        assert len(lines("degraded: no worker is alive")) == 1
        assert 1 <= len(lines("redis_disk_full: ")) <= 2, "one of each process"
        assert 1 <= len(lines("the listener lost Redis")) <= 2
