"""The faults: each begins on entry and is repaired on exit, unless it has ended on its own."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from broker.state.presence import TIMEOUTS
from tests.flow.estimators import HANGS, POISON
from tests.qa.faults.stage import Stage
from tests.support import until

Cause = Callable[[Stage], AbstractContextManager[None]]


# Processes: which


def gateway_process(stage: Stage) -> list[int]:
    return [stage.gateway.processes()[0].pid]


def gateway_master(stage: Stage) -> list[int]:
    assert stage.gateway.process
    return [stage.gateway.process.pid]


def scorer(stage: Stage) -> list[int]:
    return sorted(stage.worker.scorers().values())[:1]


def template(stage: Stage) -> list[int]:
    process = stage.worker.template()
    assert process
    return [process.pid]


def supervisor(stage: Stage) -> list[int]:
    return [stage.worker.process.pid]


def whole_worker(stage: Stage) -> list[int]:
    return stage.worker.processes()


def trainer(stage: Stage) -> list[int]:
    return [process.pid for process in stage.trainer.processes()]


def redis(stage: Stage) -> list[int]:
    return [stage.server.pid]


Which = Callable[[Stage], Sequence[int]]


# Processes: what happens to them


def killed(which: Which) -> Cause:
    """Kill with SIGKILL; the parents start the processes again."""

    @contextmanager
    def cause(stage: Stage) -> Iterator[None]:
        _send(which(stage), signal.SIGKILL)
        yield

    return cause


def frozen(which: Which) -> Cause:
    @contextmanager
    def cause(stage: Stage) -> Iterator[None]:
        pids = which(stage)
        _send(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            _send(pids, signal.SIGCONT)

    return cause


def _send(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def trainer_frozen(stage: Stage) -> Iterator[None]:
    """What needs the trainer is refused in time, and says so."""
    with frozen(trainer)(stage):
        response = requests.put(
            f"{stage.gateway.address}/v1/models/fast/aliases/canary", json={"version": 1}, timeout=30
        )
        assert response.status_code == 503, response.text
        yield


@contextmanager
def no_worker(stage: Stage) -> Iterator[None]:
    """The only worker is stopped, and nothing starts it again."""
    stage.absent.add("worker")
    stage.worker.process.terminate()
    try:
        yield
    finally:
        stage.absent.remove("worker")


@contextmanager
def no_trainer(stage: Stage) -> Iterator[None]:
    """The only trainer is stopped, and nothing starts it again."""
    stage.absent.add("trainer")
    stage.trainer.stop()
    try:
        yield
    finally:
        stage.absent.remove("trainer")


@contextmanager
def no_second_gateway(stage: Stage) -> Iterator[None]:
    stage.second.stop()
    try:
        yield
    finally:
        stage.second.start()


# Redis


@contextmanager
def redis_killed(stage: Stage) -> Iterator[None]:
    stage.server.kill()
    try:
        yield
    finally:
        stage.server.start()


@contextmanager
def redis_restarted(stage: Stage) -> Iterator[None]:
    stage.server.stop()
    stage.server.start()
    yield


@contextmanager
def redis_full(stage: Stage) -> Iterator[None]:
    stage.redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        stage.redis.config_set("maxmemory", 0)


@contextmanager
def disk_full(stage: Stage) -> Iterator[None]:
    """No file of Redis may grow: the append-only file cannot be written."""
    with stage.server.disk_full():
        yield


@contextmanager
def scripts_lost(stage: Stage) -> Iterator[None]:
    stage.redis.script_flush()
    yield


@contextmanager
def connections_lost(stage: Stage) -> Iterator[None]:
    connection: Any = stage.redis
    for kind in ("pubsub", "normal"):
        connection.client_kill_filter(_type=kind, skipme=True)
    yield


def partitioned(*services: str) -> Cause:
    """Nothing reaches Redis from these services; no connection is closed."""

    @contextmanager
    def cause(stage: Stage) -> Iterator[None]:
        links = [getattr(stage, f"{service}_link") for service in services]
        for link in links:
            link.cut()
        try:
            yield
        finally:
            for link in links:
                link.mend()

    return cause


@contextmanager
def restored(stage: Stage) -> Iterator[None]:
    """Redis and its folder are lost; it starts on a copy. It is frozen meanwhile, so that the copy has all jobs."""
    server, backup = stage.server, stage.folder / "backup"
    _send([server.pid], signal.SIGSTOP)
    files = list(server.folder.glob("appendonly*"))
    for path in files:
        _copy(path, backup / path.name)
    server.kill()
    for path in files:
        _delete(path)
    for path in backup.iterdir():
        _copy(path, server.folder / path.name)
    server.start()
    yield
    _delete(backup)


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(exist_ok=True)
    shutil.copytree(path, to) if path.is_dir() else shutil.copy(path, to)


def _delete(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


# The clock


def clock_set(seconds: int) -> Cause:
    @contextmanager
    def cause(stage: Stage) -> Iterator[None]:
        assert stage.clock
        stage.clock.set(seconds)
        try:
            yield
        finally:
            stage.clock.set(0)

    return cause


# Models


@contextmanager
def poison_row(stage: Stage) -> Iterator[None]:
    """A row ends each process that scores it."""
    response = stage.gateway.post("fast", {"a": POISON})
    assert response.status_code == 202, response.text
    job_id = response.json()["id"]
    yield
    job = until(lambda: _ended(stage, job_id), "the job with the bad row has ended")
    assert (job["status"], job["error"]["code"]) == ("failed", "worker_crashed"), job


def _ended(stage: Stage, job_id: str) -> dict[str, Any] | None:
    job: dict[str, Any] = stage.gateway.get(f"/v1/jobs/{job_id}").json()
    return job if job["status"] in ("succeeded", "failed") else None


@contextmanager
def hanging_model(stage: Stage) -> Iterator[None]:
    """The model never returns for a row."""
    response = stage.gateway.post("fast", {"a": HANGS})
    assert response.status_code == 202, response.text
    job_id = response.json()["id"]
    yield
    job = until(lambda: _ended(stage, job_id), "the job with the bad row has ended")
    assert (job["status"], job["error"]["code"]) == ("failed", "timeout"), job
    stage.redis.delete(TIMEOUTS)  # else readiness names the model for ten minutes


@contextmanager
def broken_model(stage: Stage) -> Iterator[None]:
    """A version that cannot be loaded becomes current; a job for it fails and says why."""
    stage.publish("broken")
    (artifact,) = (stage.models / "broken" / "versions" / "1").glob("model.*")
    artifact.write_bytes(b"\x80\x04not a model")
    job_id = stage.gateway.post("broken", {"a": 1.0}).json()["id"]
    try:
        yield
        job = until(lambda: _ended(stage, job_id), "the job for a broken model has ended")
        assert job["status"] == "failed" and job["error"]["message"], job
    finally:
        shutil.rmtree(stage.models / "broken")


@contextmanager
def no_repository(stage: Stage) -> Iterator[None]:
    """The folder with the models is gone, as when its disk is not mounted."""
    elsewhere = stage.models.with_name("unmounted")
    stage.models.rename(elsewhere)
    stage.models.mkdir()  # where it was mounted
    try:
        yield
    finally:
        stage.absent.add("trainer")  # it would make the inbox while this folder is deleted
        stage.trainer.stop()
        shutil.rmtree(stage.models)
        elsewhere.rename(stage.models)
        stage.absent.remove("trainer")
