"""The servers that are compared: how each is started, how it is asked, and how its answer is read."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import mlserver
from bench.processes import WORK, DidNotStart, Process, command_line, free_port, redis_server
from contract.jobs import Row

PREDICTIONS = re.compile(rb'"predictions": ?\[[^\]]*\]')
BATCHERS = WORK.parent / ".venv-bench" / "bin" / "python"
"""The Python that has the batching servers; where it is missing they are left out, and the table says so."""


@dataclass(frozen=True)
class Place:
    """Where a server is to run: its port, the model repository, the models to serve, its Redis if it has one."""

    port: int
    repository: Path
    models: Sequence[str]
    redis_url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        names = ",".join(self.models)
        return {"BENCH_MODELS": str(self.repository), "BENCH_NAMES": names, "REDIS_URL": self.redis_url}


@dataclass(frozen=True)
class Command:
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Server:
    """`commands(place)` are the processes to start. `answer` finds the predictions in an answer, a JSON list after
    a colon; `marker` has to be in every good answer, too. `fresh`: started anew for each model."""

    name: str
    label: str
    commands: Callable[[Place], Sequence[Command]]
    path: str = "/predict/{model}"
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: re.Pattern[bytes] = PREDICTIONS
    marker: str = "predictions"
    body: Callable[[str, Sequence[str], Sequence[Row]], Any] | None = None
    needs_redis: bool = False
    fresh: bool = False
    batcher: bool = False

    @property
    def left_out(self) -> str | None:
        """Why this server cannot run here."""
        if self.batcher and not BATCHERS.exists():
            return "its environment could not be installed (requirements/bench-servers.txt)"
        return None


@dataclass(frozen=True)
class Running:
    server: Server
    place: Place
    processes: Sequence[Process]

    def tree(self, part: str = "") -> list[int]:
        """The processes of the server, or those whose command line has `part` and what they started."""
        pids = [pid for process in self.processes for pid in process.tree()]
        if not part:
            return pids
        first = [process for process in pids if part in command_line(process)]
        from bench.processes import descendants

        return list(dict.fromkeys(pid for each in first for pid in (each, *descendants(each))))


@contextmanager
def running(server: Server, repository: Path, models: Sequence[str]) -> Iterator[Running]:
    """The server's processes, started; whether they answer is for the caller to find out."""
    with ExitStack() as stack:
        url = stack.enter_context(redis_server()) if server.needs_redis else ""
        place = Place(free_port(), repository, models, url)
        processes = []
        for number, command in enumerate(server.commands(place)):
            log = WORK / "logs" / f"{server.name}-{number}.log"
            log.unlink(missing_ok=True)
            process = Process(command.arguments, {**place.environment, **command.environment}, log)
            stack.callback(process.stop)
            processes.append(process)
        yield Running(server, place, processes)


def gunicorn(app: str, place: Place, *options: str) -> Command:
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{place.port}", "--log-level", "warning"]
    return Command([*command, "--timeout", "120", *options, f"bench.alternatives.{app}"])


def modelgate(workers: int | None = None, fsync: str = "everysec") -> Callable[[Place], list[Command]]:
    """As `make up` starts it, with the number of workers of its settings unless told otherwise."""

    def commands(place: Place) -> list[Command]:
        state = WORK / "state"
        shutil.rmtree(state, ignore_errors=True)
        environment = {
            "PORT": str(place.port),
            "MODELS_DIR": str(place.repository),
            "STATE_DIR": str(state),
            "TRAIN_ON_START": "boston",  # it is there already, so the trainer has nothing to do
            "REDIS_URL": "",
            "REDIS_FSYNC": fsync,
        }
        if workers:
            environment["WORKERS"] = str(workers)
        return [Command([sys.executable, "-m", "launcher"], environment)]

    return commands


def rq(workers: int) -> Callable[[Place], list[Command]]:
    worker = Command([sys.executable, "-m", "bench.alternatives.rq_waited"])
    threads = ("--workers", "2", "--worker-class", "gthread", "--threads", "32")
    return lambda place: [gunicorn("rq_waited:app", place, *threads), *[worker] * workers]


def celery_worker(workers: int) -> Command:
    tasks = "bench.alternatives.celery_waited.tasks"
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")
    command = [sys.executable, "-m", "celery", "-A", tasks, "worker", "--concurrency", str(workers)]
    return Command([*command, *quiet], {"C_FORCE_ROOT": "1"})


def celery(workers: int) -> Callable[[Place], list[Command]]:
    threads = ("--workers", "2", "--worker-class", "gthread", "--threads", "32")
    return lambda place: [gunicorn("celery_waited:app", place, *threads), celery_worker(workers)]


def fastapi(place: Place) -> list[Command]:
    command = [sys.executable, "-m", "uvicorn", "bench.alternatives.fastapi_inline:app", "--host", "127.0.0.1"]
    return [Command([*command, "--port", str(place.port), "--workers", "2", "--log-level", "warning", "--no-access-log"])]


def litserve(api_servers: int, workers: int, batch: int, timeout: float) -> Callable[[Place], list[Command]]:
    settings = [str(value) for value in (api_servers, workers, batch, timeout)]
    module = "bench.alternatives.litserve_batch"
    return lambda place: [Command([str(BATCHERS), "-m", module, str(place.port), *settings])]


def ml_server(workers: int, batch: int, batch_time: float) -> Callable[[Place], list[Command]]:
    def commands(place: Place) -> list[Command]:
        folder = mlserver.write_settings(WORK / "mlserver", place, workers, batch, batch_time)
        return [Command([str(BATCHERS.with_name("mlserver")), "start", str(folder)])]

    return commands


MODELGATE = Server(
    "modelgate",
    "Modelgate",
    modelgate(),
    path="/v1/models/{model}/predict",
    headers={"Prefer": "wait=30"},
    marker='"status":"succeeded"',
)
