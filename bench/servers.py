"""The servers that are compared: how each is started, how it is asked, and how its answer is read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import models, v2
from bench.processes import (
    PROJECT,
    START_DEADLINE,
    WORK,
    DidNotStart,
    Process,
    command_line,
    descendants,
    free_port,
    redis_server,
    until,
)
from contract.row import Row

BATCHERS = PROJECT / ".venv-bench" / "bin" / "python"
"""The Python that has the batching servers. Without it they are left out, and the table says so."""


@dataclass(frozen=True)
class Deployment:
    """Where a server is to run: its port, the model repository, the models to serve, its Redis if it has one, and a
    folder for what else it keeps."""

    port: int
    repository: Path
    models: Sequence[str]
    redis_url: str = ""
    state: Path = WORK / "state"

    @property
    def environment(self) -> dict[str, str]:
        models = ",".join(self.models)
        return {"BENCH_MODELS": str(self.repository), "BENCH_NAMES": models, "REDIS_URL": self.redis_url}


@dataclass(frozen=True)
class Command:
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


Commands = Callable[[Deployment], Sequence[Command]]


def plain_body(model: str, names: Sequence[str], rows: Sequence[Row]) -> Any:
    """Return the body for all servers but MLServer: objects by column name, lists of lists for models of numbers, or
    texts."""
    if model == models.TEXT:
        return {"instances": [text for (text,) in rows]}
    if model in ("table", "boston", *models.TABULAR):
        objects = [dict(zip(names, row, strict=True)) for row in rows]
        return objects[0] if len(objects) == 1 else objects
    return {"instances": [list(row) for row in rows]}


@dataclass(frozen=True)
class Server:
    """`commands(deployment)` are the processes to start, `alone(deployment)` those for a single client, if others are
    better.

    A good answer contains `marker`, and its JSON list `output` has the predictions. `one_model`: the server restarts
    for each model.
    """

    name: str
    label: str
    commands: Commands
    path: str = "/predict/{model}"
    headers: Mapping[str, str] = field(default_factory=dict)
    output: str = "predictions"
    marker: str = "predictions"
    body: Callable[[str, Sequence[str], Sequence[Row]], Any] = plain_body
    alone: Commands | None = None
    needs_redis: bool = False
    one_model: bool = False
    batcher: bool = False

    @property
    def left_out(self) -> str | None:
        """Return why this server cannot run here, or None."""
        if self.batcher and not BATCHERS.with_name("mlserver").exists():
            return "left out: its environment (requirements/bench-servers.txt) could not be installed"
        return None

    def for_one_client(self) -> Server:
        return replace(self, commands=self.alone) if self.alone else self


@dataclass(frozen=True)
class Running:
    server: Server
    deployment: Deployment
    processes: Sequence[Process]

    def judged_by(self, repository: Path) -> Running:
        """Return it with the right answers of the same models in another repository: this code may be unable to read
        that of another checkout."""
        return replace(self, deployment=replace(self.deployment, repository=repository))

    def tree(self, part: str = "") -> list[int]:
        """Return the server's processes, or those whose command line has `part`, with their children."""
        pids = [pid for process in self.processes for pid in process.tree()]
        chosen = [pid for pid in pids if part in command_line(pid)]
        return list(dict.fromkeys(pid for chosen_pid in chosen for pid in (chosen_pid, *descendants(chosen_pid))))

    def cpu_seconds(self, *parts: str) -> float:
        """Return the processor time of the processes whose command lines have one of `parts`, with that of their
        children, ended ones, too."""
        total = 0
        for pid in {pid for part in parts for pid in self.tree(part)}:
            with suppress(OSError):
                total += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
        return total / os.sysconf("SC_CLK_TCK")

    @property
    def trouble(self) -> str:
        """Return the end of the log of a process that has ended."""
        return "; ".join(process.last_words() for process in self.processes if process.ended)

    def answer(self, path: str, body: object = None, headers: Mapping[str, str] = {}) -> Mapping[str, object]:
        """Return the JSON at `path`; a `body` is posted."""
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.deployment.port}{path}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            answer: Mapping[str, object] = json.load(response)
            return answer

    def wait_until_ready(self) -> None:
        """Raises `DidNotStart` after 90 seconds."""

        def ready() -> bool:
            with suppress(OSError):
                return bool(self.answer("/health/ready"))
            return False

        if not until(ready, START_DEADLINE):
            raise DidNotStart(self.trouble or "the gateway is not ready")


@contextmanager
def running(server: Server, repository: Path, models: Sequence[str], cwd: Path = PROJECT) -> Iterator[Running]:
    """Start the server's processes in `cwd`. The caller waits until they answer. SIGTERM stops them, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with ExitStack() as stack:
        url = stack.enter_context(redis_server()) if server.needs_redis else ""
        deployment = Deployment(free_port(), repository, models, url, WORK / "state" / server.name)
        processes = []
        for number, command in enumerate(server.commands(deployment)):
            log = WORK / "logs" / f"{server.name}-{number}.log"
            process = Process(command.arguments, {**deployment.environment, **command.environment}, log, cwd)
            stack.callback(process.stop)
            processes.append(process)
        yield Running(server, deployment, processes)


def gunicorn(app: str, deployment: Deployment, *options: str) -> Command:
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{deployment.port}", "--log-level", "warning"]
    return Command([*command, "--timeout", "120", *options, f"bench.alternatives.{app}"])


def sync(app: str, *options: str) -> Commands:
    return lambda deployment: [gunicorn(app, deployment, "--workers", "2", *options)]


def waiting(app: str, deployment: Deployment) -> Command:
    """Return the command of a gunicorn with a thread for each waiting request: 64 for 64 clients."""
    return gunicorn(app, deployment, "--workers", "2", "--worker-class", "gthread", "--threads", "32")


def modelgate(**settings: str) -> Commands:
    """Return Modelgate as `make up` starts it, with its defaults for everything but `settings`."""

    def commands(deployment: Deployment) -> list[Command]:
        shutil.rmtree(deployment.state, ignore_errors=True)
        environment = {
            "PORT": str(deployment.port),
            "MODELS_DIR": str(deployment.repository),
            "STATE_DIR": str(deployment.state),
            "TRAIN_ON_START": "boston",  # it is in the repository, so that the trainer has nothing to do
            **dict.fromkeys(("REDIS_URL", "WORKERS", "REDIS_FSYNC", "REDIS_MAXMEMORY", "ADMIN_KEY"), ""),
            **settings,
        }
        return [Command([sys.executable, "-m", "launcher"], environment)]

    return commands


def simple_worker() -> Command:
    return Command([sys.executable, "-m", "bench.alternatives.rq_waited"])


def rq(workers: int) -> Commands:
    return lambda deployment: [waiting("rq_waited:app", deployment), *[simple_worker()] * workers]


def celery_worker() -> Command:
    tasks = "bench.alternatives.celery_waited.tasks"
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")
    command = [sys.executable, "-m", "celery", "-A", tasks, "worker", "--concurrency", "1"]
    return Command([*command, *quiet], {"C_FORCE_ROOT": "1"})


def celery(deployment: Deployment) -> list[Command]:
    return [waiting("celery_waited:app", deployment), celery_worker()]


def fastapi(deployment: Deployment) -> list[Command]:
    command = [sys.executable, "-m", "uvicorn", "bench.alternatives.fastapi_inline:app", "--host", "127.0.0.1"]
    options = ["--port", str(deployment.port), "--workers", "2", "--log-level", "warning", "--no-access-log"]
    return [Command([*command, *options])]


def litserve(batch: int, timeout: float) -> Commands:
    module = "bench.alternatives.litserve_batch"
    return lambda deployment: [Command([str(BATCHERS), "-m", module, str(deployment.port), str(batch), str(timeout)])]


def mlserver(batch: int, batch_time: float) -> Commands:
    def commands(deployment: Deployment) -> list[Command]:
        folder = WORK / "mlserver"
        v2.write_settings(folder, deployment.port)
        v2.write_models(folder, deployment.repository, deployment.models, batch, batch_time)
        return [Command([str(BATCHERS.with_name("mlserver")), "start", str(folder)])]

    return commands


HELLO = Server("hello", "hello world, gunicorn, 2 sync workers", sync("hello:app"))
MODELGATE = Server(
    "modelgate",
    "Modelgate",
    modelgate(),
    path="/v1/models/{model}/predict",
    headers={"Prefer": "wait=30"},
    marker='"status":"succeeded"',
)
FLASK = Server("flask", "Flask inline, gunicorn, 2 sync workers", sync("flask_inline:app"))
PRELOAD = replace(
    FLASK, name="flask-preload", label=f"{FLASK.label}, preload", commands=sync("flask_inline:app", "--preload")
)
RQ = Server("rq", "RQ, 2 SimpleWorkers, waited for", rq(2), needs_redis=True)
CELERY = Server("celery", "Celery, 1 process, waited for", celery, needs_redis=True)
MLSERVER = Server(
    "mlserver",
    "MLServer, batches of 64 or 20 ms, no extra process",
    mlserver(64, 0.02),
    path="/v2/models/{model}/infer",
    output="data",
    marker="data",
    body=v2.body,
    alone=mlserver(0, 0),
    batcher=True,
)
LITSERVE = Server(
    "litserve",
    "LitServe, batches of 64 or 5 ms, 1 worker",
    litserve(64, 0.005),
    alone=litserve(1, 0),
    one_model=True,
    batcher=True,
)

COMPARED = (
    MODELGATE,
    replace(
        MODELGATE,
        name="modelgate-always",
        label="Modelgate (REDIS_FSYNC=always)",
        commands=modelgate(REDIS_FSYNC="always"),
    ),
    FLASK,
    Server("flask-pickle", "Flask that loads the pickle in each request", sync("flask_pickle:app")),
    Server("fastapi", "FastAPI inline, uvicorn, 2 workers", fastapi),
    RQ,
    CELERY,
    MLSERVER,
    LITSERVE,
)
