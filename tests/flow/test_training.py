"""Training over HTTP with a real gateway, trainer and Redis, and with the command `modelgate train`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.stacks.gateways import Gateway
from tests.stacks.redis_process import RedisProcess
from tests.stacks.trainer_process import wait_for_trainer
from tests.support import PROJECT, command_line, gone, until


@dataclass
class TrainingSite:
    """Redis, a gateway and `python -m trainer`."""

    server: RedisProcess
    gateway: Gateway
    environment: dict[str, str]
    folder: Path
    trainer: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.folder / "trainer.log").read_text()

    def start_trainer(self) -> None:
        with (self.folder / "trainer.log").open("ab") as log:
            command = [sys.executable, "-m", "trainer"]
            self.trainer = subprocess.Popen(command, cwd=PROJECT, env=self.environment, stdout=log, stderr=log)
        wait_for_trainer(self.server)

    def queue_process(self, queue: str) -> psutil.Process | None:
        assert self.trainer
        for process in psutil.Process(self.trainer.pid).children():
            if queue in command_line(process):
                return process
        return None

    def train(self, name: str = "blobs", **options: Any) -> dict[str, Any]:
        response = requests.post(f"{self.gateway.address}/v1/models/{name}/train", timeout=180, **options)
        assert response.status_code == 202, response.text
        job: dict[str, Any] = response.json()
        return job

    def ended(self, job_id: str) -> dict[str, Any]:
        def look() -> Any:
            job = self.gateway.get(f"/v1/jobs/{job_id}?wait=10").json()
            return job if job.get("completed_at") else None

        job: dict[str, Any] = until(look, f"the end of {job_id}")
        return job


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingSite]:
    folder = tmp_path_factory.mktemp("site")
    (models := folder / "models").mkdir()
    with RedisProcess(folder) as server:
        settings = {"SPOOL_DIR": str(folder / "spool"), "SPOOL_MB": "400", "STATE_DIR": str(folder)}
        gateway = Gateway(server.url, models, folder / "gateway.log", settings)
        trainer_settings = {
            "REDIS_URL": server.url,
            "MODELS_DIR": str(models),
            "PORT": str(gateway.port),
            "TRAIN_ON_START": "none",
        }
        site = TrainingSite(server, gateway.start(), {**os.environ, **settings, **trainer_settings}, folder)
        try:
            site.start_trainer()
            yield site
        finally:
            if site.trainer:
                site.trainer.terminate()
                site.trainer.wait(60)
            gateway.stop()


def test_the_command_trains_over_http_and_what_it_trained_is_served(site: TrainingSite) -> None:
    client = os.pathsep.join([str(PROJECT), str(PROJECT / "client/src")])
    ended = subprocess.run(
        [sys.executable, "-m", "modelgate.command", "train", "blobs"],
        cwd=PROJECT,
        env={**site.environment, "PYTHONPATH": client, "MODELGATE_URL": site.gateway.address},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), site.log
    (job,) = site.gateway.get("/v1/jobs?model=blobs").json()["items"]
    assert job["output"]["promoted"] and job["model"] == {"name": "blobs", "version": 1}
    assert site.gateway.get("/v1/models/blobs").json()["version"] == 1
    assert ended.stdout.startswith("blobs@1 promoted: ")
    assert "100 rows" in site.gateway.get(f"/v1/jobs/{job['id']}/log").text


@pytest.mark.slow
def test_a_preview_is_answered_while_a_training_runs_and_its_file_is_gone(site: TrainingSite) -> None:
    running = site.train()
    with (PROJECT / "docs" / "tutorial" / "churn.csv").open("rb") as file:
        url = f"{site.gateway.address}/v1/models/churn/train?preview=1"
        answer = requests.post(url, files={"file": ("churn.csv", file)}, timeout=180)
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert (shown["rows"], shown["target"], shown["task"], shown["problems"]) == (2000, "stays", "classification", [])
    assert not list((site.folder / "spool").glob("*.upload"))
    assert site.ended(running["id"])["status"] == "succeeded"
    assert site.gateway.get("/v1/jobs?model=churn").json()["items"] == []


@pytest.mark.slow
def test_an_upload_of_30_mb_does_not_grow_the_gateway_and_is_gone_afterwards(
    site: TrainingSite, tmp_path: Path
) -> None:
    large = tmp_path / "large.csv"
    large.write_text("x,y\n1," + "2" * 30_000_000)
    site.ended(site.train(files={"file": ("small.csv", b"x,y\n1,2\n")})["id"])
    before = site.gateway.memory()
    job = site.train(**form(large))
    assert site.gateway.memory() - before < 10
    assert site.ended(job["id"])["error"]["code"] == "no_data"
    until(lambda: not list((site.folder / "spool").glob("*.upload")), "the uploads are gone")


def form(path: Path) -> dict[str, Any]:
    """Yield a form with one large file in pieces; requests would hold all of it in memory."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    tail = b"\r\n--x--\r\n"

    class Body:
        def __len__(self) -> int:
            return len(head) + path.stat().st_size + len(tail)

        def __iter__(self) -> Iterator[bytes]:
            yield head
            with path.open("rb") as file:
                while piece := file.read(1 << 16):
                    yield piece
            yield tail

    return {"data": Body(), "headers": {"Content-Type": "multipart/form-data; boundary=x"}}


@pytest.mark.slow
def test_a_schedule_is_run_when_its_time_has_come(site: TrainingSite) -> None:
    url = f"{site.gateway.address}/v1/models/blobs/schedule"
    made = requests.put(url, json={"cron": "0 3 1 1 *", "request": {"notes": "yearly"}}, timeout=60).json()
    redis = site.server.connect()
    (waiting,) = redis.zrange("rq:scheduled:training", 0, -1)
    redis.zadd("rq:scheduled:training", {waiting: time.time() - 1})
    assert site.ended(waiting.decode())["status"] == "succeeded"
    following = until(lambda: redis.zrange("rq:scheduled:training", 0, -1), "the next run waits")
    assert following != [waiting]
    assert requests.get(url, timeout=60).json()["next_run"] == made["next_run"]
    assert requests.delete(url, timeout=60).status_code == 204


def test_a_queues_process_that_dies_is_started_again(site: TrainingSite) -> None:
    for queue in ("training", "publishing"):
        before = until(lambda q=queue: site.queue_process(q), f"the process of {queue}")
        before.kill()
        until(lambda q=queue, b=before: (p := site.queue_process(q)) and p.pid != b.pid, f"{queue} is back")


@pytest.mark.slow
@pytest.mark.replaces_parts
def test_kill_9_of_the_whole_trainer_leaves_no_process_and_loses_no_training(site: TrainingSite) -> None:
    job = site.train()
    assert site.trainer
    until(lambda: site.gateway.get(f"/v1/jobs/{job['id']}").json()["status"] == "running", "it runs")
    family = psutil.Process(site.trainer.pid).children(recursive=True)
    assert len(family) >= 3
    site.trainer.kill()
    site.trainer.wait()
    until(lambda: gone(family), "all of it is gone")
    site.start_trainer()
    assert site.ended(job["id"])["status"] == "succeeded"
