"""Real trainer processes whose trainings do what a test asks for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from redis import Redis

from broker.sides.gateway.job_client import Jobs
from broker.sides.gateway.trainer_client import TrainerClient
from contract.work.jobs import Job
from contract.work.training import TrainingRequest
from storage.models.done_jobs import DONE
from tests.support import PROJECT, SIGNER, state_dir, until

RUNNER = """
import os, sys
from runtime import logs
from contract.settings import Settings
from trainer.jobs import commands, runner
from tests.trainer.recipes import recipes_of_tests

commands.HANDLERS.update(recipes_of_tests.ACTIONS)
runner.TRAININGS = "tests.trainer.recipes.recipes_of_tests"
runner.KEEP_TEMPLATE = float(os.environ.get("KEEP_TEMPLATE", 60))
logs.configure("trainer", sys.stdout)
runner.RUNNERS[sys.argv[1]](Settings.from_environ(), lease=float(os.environ.get("LEASE", 10))).run()
"""

GATED = """
import os, time
from pathlib import Path
from typing import Any

from sklearn.linear_model import LinearRegression

from contract.model.signature import Field, Kind
from trainer.recipe import Table, recipe

def data() -> Table:
    return Table("made up", ("x", "y"), [[float(number), 2.0 * number] for number in range(60)])

@recipe(inputs=(Field("x", Kind.NUMBER),), target=Field("y", Kind.NUMBER), data=data)
def fit(X: Any, y: Any) -> Any:
    print("at the gate")
    while not Path(os.environ["RECIPE_GATE"]).exists():
        time.sleep(0.05)
    return LinearRegression().fit(X, y)
"""
"""A recipe of one's own that fits once the file RECIPE_GATE exists."""


@dataclass
class TrainerProcess:
    """`python -m trainer.jobs.runner`."""

    queue: str
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> TrainerProcess:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUNNER, self.queue],
                cwd=PROJECT,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
            )
        return self

    def family(self) -> list[psutil.Process]:
        """Return all processes of trainings, at any depth."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@dataclass
class Training:
    """One training job."""

    id: str
    jobs: Jobs
    trainings: TrainerClient

    def read(self) -> Job:
        (job,) = self.jobs.read([self.id])
        assert job is not None
        return job

    def log(self) -> str:
        return self.trainings.log(self.id, 0)[1].decode()

    def says(self, text: str) -> Any:
        return until(lambda: text in self.log(), f"the log says {text}: {self.log()}")

    def ended(self) -> Job:
        until(lambda: self.read().status.final, f"the training ends: {self.read()}")
        return self.read()


@dataclass
class TrainerHost:
    """Starts trainers and submits trainings to them."""

    redis: Redis
    environment: dict[str, str]
    folder: Path
    trainers: list[TrainerProcess] = field(default_factory=list)

    @property
    def log(self) -> str:
        return (self.folder / "trainer.log").read_text()

    @property
    def done(self) -> Path:
        """The folder in which trainers record the jobs that have run."""
        return self.folder / "models" / DONE

    def trainer(self, queue: str = "training", **settings: object) -> TrainerProcess:
        environment = {**self.environment, **{name: str(value) for name, value in settings.items()}}
        self.trainers.append(TrainerProcess(queue, environment, self.folder / "trainer.log").start())
        return self.trainers[-1]

    def train(self, behaviour: str, **parameters: object) -> Training:
        """Submit a training that behaves like the function `behaviour` of `tests.trainer.recipes.recipes_of_tests`."""
        trainings = TrainerClient(self.redis, SIGNER, timeout=60, result_ttl=60)
        upload = parameters.pop("upload", None)
        request = TrainingRequest("m", behaviour, parameters=parameters, upload=upload)  # type: ignore[arg-type]
        job_id = trainings.submit(request).id
        return Training(job_id, Jobs(self.redis, max_queue_rows=1, timeout=1, result_ttl=60), trainings)


@contextmanager
def trainer_host(redis: Redis, url: str, folder: Path) -> Iterator[TrainerHost]:
    spool = folder / "spool"
    spool.mkdir()
    environment = {
        "REDIS_URL": url,
        "MODELS_DIR": str(folder / "models"),
        "SPOOL_DIR": str(spool),
        "STOP_GRACE": "5",
        "STATE_DIR": str(state_dir(folder)),
    }
    here = TrainerHost(redis, environment, folder)
    try:
        yield here
    finally:
        for trainer in here.trainers:
            with suppress(psutil.NoSuchProcess):
                family = trainer.family()
                trainer.kill()
                for process in family:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()


def marked(mark: object) -> list[psutil.Process]:
    """Return the processes that have `mark` among their arguments."""
    return [process for process in psutil.process_iter(["cmdline"]) if str(mark) in (process.info["cmdline"] or ())]
