"""Two trainers with one Redis, one model repository and one spool: each job runs once, even if a trainer is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import psutil
import pytest
import requests
from redis import Redis
from sklearn.linear_model import LinearRegression

from broker.state.load_status import LoadStatus, LoadStatusPublisher
from contract.model.repository import Repository
from storage.models.repository_writer import STAGING
from tests.stacks.gateways import Gateway
from tests.stacks.redis_process import RedisProcess
from tests.support import DEADLINE, PROJECT, gone, until
from tests.trainer.trainers import GATED

CSV = b"x,y\n" + b"".join(b"%d,%d\n" % (number, 3 * number) for number in range(60))


@dataclass
class TrainerSite:
    """Redis, a gateway, and trainers that share everything."""

    redis: Redis
    gateway: Gateway
    environment: dict[str, str]
    folder: Path
    trainers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def gate(self) -> Path:
        """The file without which no training fits."""
        return self.folder / "gate"

    def start_trainer(self) -> None:
        """Start a trainer and wait until its queues have an owner."""
        log_file = self.folder / f"trainer-{len(self.trainers)}.log"
        with log_file.open("wb") as log:
            before = self.redis.smembers("mg:trainers")
            command = [sys.executable, "-m", "trainer"]
            self.trainers.append(subprocess.Popen(command, cwd=PROJECT, env=self.environment, stdout=log, stderr=log))
            until(lambda: len(self.redis.smembers("mg:trainers") - before) == 2, "both queues of the trainer")
            until(lambda: self.redis.exists("mg:trainer:recipes"), "the recipes")

    def kill_trainer(self) -> None:
        """Kill all processes of the first trainer at once, as when its container is killed."""
        trainer = psutil.Process(self.trainers[0].pid)
        family = [trainer, *trainer.children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):  # it ended with its parent
                process.kill()
        until(lambda: gone(family), "all of it is gone")

    def stop(self) -> None:
        for trainer in self.trainers:
            trainer.terminate()
        for trainer in self.trainers:
            trainer.wait(DEADLINE)

    def send(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = requests.request(method, self.gateway.address + path, timeout=60, **options)
        assert response.ok, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def train(self, model: str) -> str:
        job_id: str = self.send("POST", f"/v1/models/{model}/train", json={"recipe": "gated"})["id"]
        return job_id

    def train_upload(self, model: str) -> str:
        path, form, files = f"/v1/models/{model}/train", {"recipe": "gated"}, {"file": ("some.csv", CSV)}
        job_id: str = self.send("POST", path, data=form, files=files)["id"]
        return job_id

    def status(self, job_id: str) -> str:
        status: str = self.send("GET", f"/v1/jobs/{job_id}")["status"]
        return status

    def ended(self, job_id: str) -> dict[str, Any]:
        """Return the job once it has ended."""

        def look() -> dict[str, Any] | None:
            job = self.send("GET", f"/v1/jobs/{job_id}?wait=10")
            return job if job["completed_at"] else None

        job: dict[str, Any] = until(look, f"the end of {job_id}")
        return job

    def make_due(self) -> str:
        """Make the next run of the only schedule due, wait until a trainer moves it into the queue, and return its
        job."""
        key = "rq:scheduled:training"
        (job_id,) = until(lambda: self.redis.zrange(key, 0, -1), "the next run")
        self.redis.zadd(key, {job_id: time.time() - 1})
        until(lambda: self.redis.zscore(key, job_id) is None, "the run waits in the queue")
        text: str = job_id.decode()
        return text

    def left(self) -> list[Path]:
        """Return the uploads and the staging folders."""
        uploads = [path for path in (self.folder / "spool").iterdir() if path.name[0] != "."]
        return [*uploads, *(path for path in (self.models / STAGING).iterdir() if path.is_dir())]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[TrainerSite]:
    for name in ("models", "recipes"):
        (tmp_path / name).mkdir()
    (tmp_path / "recipes/gated.py").write_text(GATED)
    shared = {
        "SPOOL_DIR": str(tmp_path / "spool"),
        "STATE_DIR": str(tmp_path),
        "RECIPES_DIR": str(tmp_path / "recipes"),
    }
    with RedisProcess(tmp_path) as server, server.connect() as redis:
        gateway = Gateway(server.url, tmp_path / "models", tmp_path / "gateway.log", shared)
        trainer_settings = {"REDIS_URL": server.url, "MODELS_DIR": str(tmp_path / "models"), "PORT": str(gateway.port)}
        trainer_settings |= {"TRAIN_ON_START": "none", "KEEP_VERSIONS": "50", "RECIPE_GATE": str(tmp_path / "gate")}
        site = TrainerSite(redis, gateway.start(), {**os.environ, **shared, **trainer_settings}, tmp_path)
        try:
            yield site
        finally:
            site.stop()
            gateway.stop()


@pytest.mark.slow
def test_a_training_whose_trainer_is_killed_after_it_has_published_ends_with_that_version(site: TrainerSite) -> None:
    redis, repository = site.redis, Repository(site.models)
    worker = LoadStatusPublisher(redis, 600)
    worker.publish("busy", LoadStatus())  # the promotion waits for it to load the version
    site.start_trainer()
    site.gate.touch()
    job_id = site.train("north")
    until(lambda: repository.versions("north") == [1], "it has published")
    site.kill_trainer()
    assert site.status(job_id) == "running" and repository.aliases("north") == {}
    worker.withdraw("busy")
    redis.delete(*(f"mg:lease:{inc.decode()}" for inc in redis.smembers("mg:trainers")))  # as ten seconds later
    site.gate.unlink()  # a second training would wait here
    site.start_trainer()
    job = site.ended(job_id)
    assert (job["status"], job["output"]["version"], job["output"]["promoted"]) == ("succeeded", 1, True)
    assert (repository.versions("north"), repository.aliases("north")) == ([1], {"current": 1})
    assert "version 1 is published already" in site.gateway.get(f"/v1/jobs/{job_id}/log").text


@pytest.mark.slow
def test_each_job_of_two_trainers_ends_once_although_one_is_killed(site: TrainerSite) -> None:
    redis = site.redis
    site.start_trainer()
    until(lambda: redis.exists("rq:scheduler-lock:training"), "the first trainer runs the schedules")
    site.start_trainer()
    site.gate.touch()
    jobs = [site.train(model) for model in ("north", "north", "south")]
    assert all(site.ended(job_id)["status"] == "succeeded" for job_id in jobs)

    # Both trainers are in the middle of a training of one model; more wait, among them the run of a schedule.
    site.gate.unlink()
    held = [site.train_upload("north") for _ in range(2)]
    until(lambda: [site.status(job_id) for job_id in held] == ["running"] * 2, "each trainer runs one")
    jobs += [*held, site.train_upload("south"), site.train("north")]
    site.send("PUT", "/v1/models/south/schedule", json={"cron": "0 3 1 1 *", "request": {"recipe": "gated"}})
    jobs.append(site.make_due())

    # Aliases move meanwhile, and a file is imported.
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), site.models / "inbox/east.joblib")
    before = site.send("PUT", "/v1/models/north/aliases/canary", json={"version": 1})["aliases"]
    after = site.send("POST", "/v1/models/north/rollback")["aliases"]
    assert after == {"current": before["previous"], "canary": 1}
    repository = Repository(site.models)
    until(lambda: repository.aliases("east") == {"current": 1}, "the import")
    assert [site.status(job_id) for job_id in held] == ["running"] * 2

    site.kill_trainer()
    site.gate.touch()
    assert all(site.ended(job_id)["status"] == "succeeded" for job_id in jobs)
    jobs.append(site.make_due())  # the second trainer runs the schedules once the first one's lock has expired
    ended = [site.ended(job_id) for job_id in jobs]

    assert {job["status"] for job in ended} == {"succeeded"}
    assert 'modelgate_trainer_jobs_total{queue="training",status="succeeded"} 9' in site.gateway.get("/metrics").text
    for model, count in (("north", 5), ("south", 4)):
        versions = sorted(job["output"]["version"] for job in ended if job["model"]["name"] == model)
        assert versions == repository.versions(model) == list(range(1, count + 1))
        assert [repository.manifest(model, version).version for version in versions] == versions
        assert set(repository.aliases(model).values()) <= set(versions)
    assert repository.versions("east") == [1]
    site.start_trainer()  # it removes what the killed one has left
    until(lambda: not site.left(), f"nothing is left: {site.left()}")
    assert not redis.keys("mg:held:*") and not redis.zcard("rq:wip:training")
