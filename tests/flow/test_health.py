"""`/health/ready` names what is broken, and stuck processes end and restart without help."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from contract.work.jobs import Status
from runtime.health import ask
from tests.flow import estimators
from tests.stacks.gateways import Site, start_site
from tests.stacks.ports import free_port
from tests.stacks.workers import Worker
from tests.support import PROJECT, numbers, until, write_version


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, seconds in (("quick", 0.001), ("slow", 3)):
        write_version(folder, name, estimators.Slow(seconds), numbers("a"), by_value=True)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Site]:
    """Shared by tests that leave it as they found it."""
    with start_site(tmp_path_factory.mktemp("site"), models) as site:
        site.cluster.start().ready()
        yield site


def health(site: Site) -> dict[str, Any]:
    answer: dict[str, Any] = site.gateway.get("/health/ready").json()
    return answer


def stuck(site: Site) -> list[str]:
    return [reason["process"] for reason in health(site).get("reasons", []) if reason["code"] == "process_stuck"]


def only_reason(answer: dict[str, Any], code: str) -> bool:
    """Return whether nothing else is wrong: the disk of a busy machine may be slow for a moment."""
    return [reason["code"] for reason in answer.get("reasons", [])] == [code]


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_named_until_it_is_repaired(site: Site, models: Path, tmp_path: Path) -> None:
    until(lambda: health(site)["status"] == "ok", "all is well")
    write_version(tmp_path, "broken", estimators.Slow(0.001), numbers("a"), by_value=True)
    artifact = tmp_path / "broken" / "versions" / "1" / "model.cloudpickle"
    whole = artifact.rename(tmp_path / "whole")
    artifact.write_bytes(b"x" * whole.stat().st_size)
    broken = (tmp_path / "broken").rename(models / "broken")  # at once, so that nobody sees it before
    try:
        answer = until(
            lambda: only_reason(readiness := health(site), "model_not_loaded") and readiness, "it is noticed"
        )
        (reason,) = answer["reasons"]
        assert (answer["status"], reason["model"], reason["version"]) == ("degraded", "broken", 1)
        assert reason["since"].startswith("20") and reason["since"].endswith("Z")
        assert "broken@1" in answer["detail"] and "sha256" in reason["reason"]
        assert site.gateway.post("quick", {"a": 1}, wait=20).status_code == 200
    finally:
        whole.rename(broken / "versions" / "1" / artifact.name)
    until(lambda: health(site)["status"] == "ok", "it is loaded")


def test_scorers_finish_what_they_have_once_the_disk_of_redis_has_room_again(site: Site) -> None:
    ids = [site.gateway.post("slow", {"a": 1}).json()["id"] for _ in range(3)]
    site.cluster.running(ids[0])
    with site.server.disk_full():
        until(lambda: site.gateway.get("/health/ready").status_code == 503, "it is noticed")
        assert site.gateway.post("quick", {"a": 1}).json()["code"] == "redis_disk_full"
        # Longer than a lease: a Redis that refuses writes is not taken for dead workers.
        until(lambda: not site.cluster.redis.keys("mg:lease:*"), "every lease has ended")
        until(lambda: site.cluster.workers[0].log.count("tries again"), "the worker says that it waits")
    assert {job.status for job in site.cluster.ended(ids)} == {Status.SUCCEEDED}
    assert site.cluster.each_has_one_result(ids)
    assert not any(site.cluster.redis.hget(f"rq:job:{job_id}", "deaths") for job_id in ids)
    until(lambda: health(site)["status"] == "ok", "all is well")


# Worker


def well(worker: Worker) -> bool:
    return ask(worker.health_socket) == ""


@pytest.mark.slow
def test_a_worker_is_well_while_its_processes_are_whatever_redis_does(site: Site) -> None:
    (worker,) = site.cluster.workers
    until(lambda: well(worker), "it is well")
    with site.server.frozen():
        until(lambda: "lost Redis" in worker.log.rpartition("has Redis again")[2], "the supervisor waits for Redis")
        assert well(worker)
    worker.send(signal.SIGSTOP, [worker.process.pid])
    until(lambda: "has not answered" in ask(worker.health_socket), "a stopped worker does not answer")
    worker.send(signal.SIGCONT, [worker.process.pid])
    until(lambda: well(worker), "it is well again")
    command = [sys.executable, "-m", "runtime.health"]
    assert subprocess.run([*command, str(worker.health_socket)], cwd=PROJECT).returncode == 0
    nobody = subprocess.run([*command, str(site.server.folder / "none")], cwd=PROJECT, capture_output=True, text=True)
    assert (nobody.returncode, nobody.stderr) == (1, "none: it does not run: No such file or directory\n")


@pytest.mark.slow
def test_a_scorer_that_is_stuck_while_it_scores_nothing_is_replaced(site: Site) -> None:
    worker = site.cluster.start("stuck", stuck_after=4).ready()
    before = worker.scorers()
    for pid in before.values():
        os.kill(pid, signal.SIGSTOP)
    until(lambda: {*before} <= {name.split()[2] for name in stuck(site)}, "both are named")
    until(lambda: len(worker.scorers()) == 2 and not worker.scorers().keys() & before.keys(), "both are replaced")
    assert "has made no progress" in worker.log
    until(lambda: well(worker), "it is well")
    worker.kill()


@pytest.mark.slow
def test_a_stuck_template_is_replaced_and_loads_the_next_version(site: Site, models: Path) -> None:
    worker = site.cluster.start("stuck-template", stuck_after=4).ready()
    template = worker.template()
    assert template
    template.suspend()
    until(lambda: stuck(site) == ["the template of the worker 'stuck-template'"], "it is named")
    until(lambda: (now := worker.template()) and now.pid != template.pid, "the template is replaced")
    write_version(models, "late", estimators.Slow(0.001), numbers("a"), by_value=True)
    until(lambda: b"late@1" in (site.cluster.redis.get("mg:loaded:stuck-template") or b""), "it loads the new model")
    worker.kill()


@pytest.mark.slow
def test_a_worker_is_well_once_its_first_scorers_run(site: Site) -> None:
    worker = site.cluster.start("fresh")
    until(lambda: well(worker), "it is well")
    template = worker.template()
    assert template and len(template.children()) == 2, "those that Redis knows a moment later"
    worker.ready().kill()


# Gateway

STUCK_APP = """
from gateway.http.operations import Operation
from gateway.server.wsgi import application

app = application()

@app.get("/busy", level="open", docs=Operation("busy", "Never answer", {}))
def busy():
    while True:
        pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("stuck", ["busy", "stopped"])
def test_a_gateway_process_that_is_stuck_is_replaced(site: Site, tmp_path: Path, stuck: str) -> None:
    (tmp_path / "stuck_app.py").write_text(STUCK_APP)
    port, config = free_port(), PROJECT / "gateway" / "server" / "gunicorn.conf.py"
    settings = {"PORT": str(port), "REDIS_URL": site.server.url, "GATEWAY_PROCESSES": "1"}
    path = {"PYTHONPATH": f"{tmp_path}:{PROJECT}"}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--config", str(config), "--timeout", "3", "stuck_app:app"],
            env={**os.environ, **settings, **path},
            stderr=log,
        )

    def serves(path: str = "/health/live") -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"http://127.0.0.1:{port}{path}", timeout=1).ok
        return False

    try:
        until(serves, "it serves")
        (process,) = psutil.Process(server.pid).children()
        if stuck == "stopped":
            process.suspend()
        else:
            assert not serves("/busy")
        assert not serves(), "it is stuck"
        until(serves, "another process serves")
        assert not process.is_running()
    finally:
        server.terminate()
        server.wait(30)
