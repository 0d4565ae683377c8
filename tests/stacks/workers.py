"""Real workers on a Redis and a model repository of the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from redis import Redis

from broker.link.connection import connect
from broker.records.job_kinds import PREDICTION, indexes_of
from broker.sides.gateway.job_client import Jobs
from contract.work.jobs import Job, PredictionJob, Status
from tests.support import DEADLINE, PROJECT, alive, command_line, until
from worker.process_pool import STUCK_AFTER

START = """
import sys
from pathlib import Path
from contract.settings import Settings
from runtime import logs
from worker.supervisor import Supervisor

logs.configure("worker")
name, lease, stuck_after, socket = sys.argv[1:]
Supervisor(Settings.from_environ(), name, Path(socket), lease=float(lease), stuck_after=float(stuck_after)).run()
"""
"""`python -m worker` with times that are short enough for a test."""


@dataclass
class Worker:
    process: subprocess.Popen[bytes]
    redis: Redis
    name: str
    log_file: Path
    health_socket: Path
    seen: set[int] = field(default_factory=set)

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def template(self) -> psutil.Process | None:
        children = _children(self.process.pid)
        return next((child for child in children if "worker.template" in command_line(child)), None)

    def scorers(self) -> dict[str, int]:
        """The processes of the scorers that are registered, by incarnation."""
        incs = [inc.decode() for inc in self.redis.smembers("mg:incs") if inc.startswith(f"{self.name}-".encode())]
        pids = {inc: int(self.redis.hget(f"rq:worker:{inc}", "pid") or 0) for inc in incs}
        self.seen.update(pids.values())
        return {inc: pid for inc, pid in pids.items() if pid and alive(pid)}

    def ready(self, scorers: int = 2) -> Worker:
        until(lambda: len(self.scorers()) == scorers, f"{scorers} scorers of {self.name}: {self.log}")
        return self

    def processes(self) -> list[int]:
        """Supervisor, template and scorers."""
        template = self.template()
        return [self.process.pid, *([template.pid] if template else []), *self.scorers().values()]

    def send(self, number: signal.Signals, pids: Iterable[int]) -> None:
        for pid in pids:
            os.kill(pid, number)

    def kill(self) -> None:
        """Kill all its processes at once, as when its container dies."""
        for pid in self.processes():
            with suppress(ProcessLookupError):  # it ended with its parent
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []


@dataclass
class WorkerCluster:
    """Workers on one Redis and one model repository; all are killed at the end."""

    url: str
    models: Path
    folder: Path
    redis: Redis
    lease: float = 10.0
    workers: list[Worker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.redis, max_queue_rows=100_000, timeout=30, result_ttl=600)

    def start(
        self, name: str = "w", *, lease: float | None = None, stuck_after: float = STUCK_AFTER, **settings: object
    ) -> Worker:
        environment = {"WORKERS": "2", **{key.upper(): str(value) for key, value in settings.items()}}
        log_file = self.folder / f"worker-{len(self.workers)}.log"
        health_socket = log_file.with_suffix(".health")
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", START, name, str(lease or self.lease), str(stuck_after), str(health_socket)],
                cwd=PROJECT,
                env={
                    **os.environ,
                    "REDIS_URL": self.url,
                    "MODELS_DIR": str(self.models),
                    **environment,
                },
                stdout=log,
                stderr=log,
            )
        worker = Worker(process, self.redis, name, log_file, health_socket)
        self.workers.append(worker)
        return worker

    def orphans(self) -> list[psutil.Process]:
        """The processes of the workers that these do not know: their parents have ended."""
        known, left = {pid for worker in self.workers for pid in worker.processes()}, []
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # it has ended
                if known.isdisjoint((process.pid, process.ppid())) and process.environ().get("REDIS_URL") == self.url:
                    left.append(process)
        return left

    def submit(self, model: str, values: Iterable[float], prefix: str = "job", **changes: Any) -> list[str]:
        """Submit one job with one row of one number for each of `values`; return the ids."""
        jobs = [
            PredictionJob(f"{prefix}{i}", "2026-01-02T03:04:05.000006Z", model, changes.get("version", 1), [[value]])
            for i, value in enumerate(values)
        ]
        assert all(submission.accepted for submission in self.jobs.submit(jobs))
        return [job.id for job in jobs]

    def read(self, *ids: str) -> list[Job]:
        jobs = self.jobs.read(ids)
        assert None not in jobs
        return [job for job in jobs if job]

    def ended(self, ids: Iterable[str], deadline: float = DEADLINE) -> list[Job]:
        """The jobs, once they have all ended."""
        ids = list(ids)
        until(lambda: all(job.status.final for job in self.read(*ids)), "all jobs have ended", deadline)
        return self.read(*ids)

    def running(self, job_id: str) -> None:
        until(lambda: self.read(job_id)[0].status is Status.RUNNING, f"{job_id} is being scored")

    def each_has_one_result(self, ids: Iterable[str]) -> bool:
        return all(self.redis.hexists(f"rq:job:{job_id}", "1") for job_id in ids)

    def holder(self, job_id: str) -> str:
        """Return the incarnation that owns a job, or has ended it."""
        return str(self.redis.hget(f"rq:job:{job_id}", "worker_name").decode())

    def finished(self, model: str) -> int:
        """Return the number of jobs of the model that have succeeded and still exist."""
        return sum(self.redis.zcard(index) for index in indexes_of(PREDICTION.queue_of(model), "finished"))


@contextmanager
def worker_cluster(url: str, models: Path, folder: Path, lease: float = 10.0) -> Iterator[WorkerCluster]:
    with connect(url) as redis:
        cluster = WorkerCluster(url, models, folder, redis, lease)
        try:
            yield cluster
        finally:
            for worker in cluster.workers:
                if worker.process.poll() is None:
                    worker.process.send_signal(signal.SIGCONT)
                    worker.process.kill()
                    worker.process.wait()
