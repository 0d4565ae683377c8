"""Models of old releases of scikit-learn, workers that have their environments, and callers who know the answers."""

from __future__ import annotations

import itertools
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests
import sklearn

from contract.model.environments import TODAY
from contract.settings import Settings
from contract.work.jobs import Job, PredictionJob
from scoring.artifacts import library_versions
from tests.flow import estimators
from tests.stacks.environments import MADE, environment_for_tests
from tests.stacks.gateways import Site, start_site
from tests.stacks.workers import Worker, WorkerCluster
from tests.support import InThreads, alive, command_line, numbers, until, write_version
from trainer.publishing.promotion import promote

OLD = "sklearn-1.2"
HOMES = {1: TODAY, 2: OLD}
"""The environments of the versions of `quick`."""


def write(models: Path, version: int = 1, environment: str = OLD, *, model: str = "quick", **changes: Any) -> None:
    """Write a version that lives in an environment; the first one is current."""
    write_version(
        models,
        model,
        estimators.TellsRelease(version, changes.pop("seconds", 0.0)),
        numbers("a"),
        version=version,
        by_value=True,
        current=not (models / model).exists(),
        **lives_in(environment),
        **changes,
    )


def lives_in(environment: str) -> dict[str, Any]:
    """Return what the manifest of a version says that lives there."""
    libraries = library_versions()
    if environment != TODAY:
        there = environment_for_tests(environment).libraries
        libraries = {name: there.get(name, version) for name, version in libraries.items()}
    return {"environment": environment, "libraries": libraries}


def answer_of(value: float, version: int, environment: str = OLD) -> float:
    """Return what a version answers in its environment."""
    release = environment.removeprefix("sklearn-") if environment != TODAY else sklearn.__version__
    return 2 * value + version + int(release.split(".")[1]) / 100


def with_environments(state: Path) -> Path:
    """Give a server the environments of the tests; return its STATE_DIR."""
    environment_for_tests(OLD)
    state.mkdir(exist_ok=True)
    (state / "environments").symlink_to(MADE)
    return state


def copy_environment(state: Path, suffix: str = "copied", name: str = OLD) -> None:
    """Put a copy of an environment into STATE_DIR, in place of one that is there, as the operator's `make` does."""
    folder = state / "environments"
    folder.mkdir(parents=True, exist_ok=True)
    target, new = folder / f".{name}.{suffix}", folder / f"{name}.new"
    shutil.copytree(environment_for_tests(name).folder, target, symlinks=True, copy_function=_link_or_copy)
    new.symlink_to(target.name)
    new.replace(folder / name)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system
        shutil.copy2(source, target, follow_symlinks=False)


def pool_processes(worker: Worker, name: str = OLD) -> list[psutil.Process]:
    """Return the processes of a worker's pool: its template, and what that has forked."""
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(worker.process.pid).children(recursive=True)
        return [child for child in children if f".{name}." in "".join(command_line(child)[:1])]
    return []


def asleep(worker: Worker) -> None:
    until(lambda: not pool_processes(worker), f"the pool sleeps: {worker.log[-2000:]}")


@dataclass(frozen=True)
class Told:
    """The answer to a request: its status, the version and the number that it told; 0 without."""

    value: float
    status: int
    version: int = 0
    answer: float = 0.0
    text: str = ""

    def right(self, homes: dict[int, str]) -> bool:
        """Return whether it succeeded with the number of its version; `homes` has the environment of each."""
        return self.version in homes and self.answer == answer_of(self.value, self.version, homes[self.version])


def say(figures: str) -> None:
    """Print figures of a test, for `pytest -s`."""
    print(figures)  # noqa: T201


class Callers(InThreads):
    """`count` callers; each posts one row after the other to `model`."""

    def __init__(self, address: str, model: str = "quick", count: int = 4, pause: float = 0.005) -> None:
        self.told: list[Told] = []
        self._url, self._pause = f"{address}/v1/models/{model}/predict", pause
        self._values = itertools.count(100)  # beyond those for which models misbehave
        super().__init__(*[self._call] * count)

    def _call(self) -> None:
        session = requests.Session()
        while not self._stop.wait(self._pause):
            self.told.append(_told(session, self._url, float(next(self._values))))

    def more(self, count: int) -> None:
        """Wait for so many further answers."""
        before = len(self.told)
        until(lambda: len(self.told) >= before + count, f"{count} more answers: {self.counts}")

    @property
    def counts(self) -> Counter[tuple[int, int]]:
        """The answers by status and version."""
        return Counter((told.status, told.version) for told in list(self.told))


def _told(session: requests.Session, url: str, value: float) -> Told:
    try:
        response = session.post(url, json={"a": value}, headers={"Prefer": "wait=60"}, timeout=90)
        body = response.json()
        if response.status_code == 200 and body["status"] == "succeeded":
            return Told(value, 200, int(body["model"]["version"]), body["output"]["predictions"][0])
        return Told(value, response.status_code, text=response.text)
    except (requests.RequestException, ValueError, KeyError) as error:
        return Told(value, 0, text=repr(error))


@dataclass
class Old:
    """A site with a model whose versions live in two environments, and a worker `w` with one scorer in each."""

    site: Site
    folder: Path
    options: Mapping[str, Any]
    worker: Worker
    submitted: int = 0

    @property
    def cluster(self) -> WorkerCluster:
        return self.site.cluster

    @property
    def settings(self) -> Settings:
        return Settings(redis_url=self.cluster.url, models_dir=self.cluster.models, warmup_timeout=60)

    def served(self, name: str = OLD) -> bool:
        return bool(self.cluster.redis.exists(f"mg:pool~{name}"))

    def submit(self, *values: float, version: int = 2, model: str = "quick", environment: str = OLD) -> list[str]:
        """Submit one job for each value; return the ids."""
        ids = [f"{model}-{self.submitted + number}" for number in range(len(values))]
        self.submitted += len(values)
        jobs = [
            PredictionJob(job_id, "2026-01-02T03:04:05.000006Z", model, version, [[value]], environment=environment)
            for job_id, value in zip(ids, values, strict=True)
        ]
        assert all(submission.accepted for submission in self.cluster.jobs.submit(jobs))
        return ids

    def ask(self, *values: float, version: int = 2) -> list[float]:
        """Return the answers of a version to these values."""
        return answers(self.cluster.ended(self.submit(*values, version=version, environment=HOMES[version])))

    def awake(self) -> psutil.Process:
        """Wake the pool; return the process of its scorer."""
        self.ask(1.0)
        return until(self.scorer, "the pool has a scorer")

    def scorer(self, worker: Worker | None = None) -> psutil.Process | None:
        """The process of the scorer of the old pool, once it has its lease."""
        name = f"{(worker or self.worker).name}~{OLD}"
        redis, found = self.cluster.redis, []
        for inc in redis.smembers("mg:incs"):
            if inc.startswith(f"{name}-".encode()) and (pid := redis.hget(b"rq:worker:" + inc, "pid")):
                with suppress(psutil.NoSuchProcess):
                    found.append(psutil.Process(int(pid)))
        return next((process for process in found if alive(process.pid)), None)

    def move(self, version: int) -> str | None:
        return promote(self.settings, self.cluster.redis, "quick", version)


def post_file(old: Old, rows: int) -> requests.Response:
    return requests.post(
        f"{old.site.gateway.address}/v1/models/quick@2/predict-file",
        data="a\n" + "".join(f"{value}\n" for value in range(rows)),
        headers={"Content-Type": "text/csv"},
        timeout=90,
    )


def file_answers(old: Old, posted: requests.Response) -> list[float]:
    """Return the answers to a file, once all its rows are scored."""
    path = f"/v1/jobs/{posted.json()['id']}"
    until(lambda: old.site.gateway.get(path).json()["status"] == "succeeded", "the file is scored")
    return [float(line.split(",")[-1]) for line in old.site.gateway.get(f"{path}/output").text.split()[1:]]


def answers(jobs: list[Job]) -> list[float]:
    failed = [job.error for job in jobs if job.error]
    assert not failed, failed
    return [job.output["predictions"][0] for job in jobs if job.output]


@contextmanager
def old_site(folder: Path, **settings: Any) -> Iterator[Old]:
    models, state, spool = folder / "models", folder / "state", folder / "spool"
    models.mkdir()
    spool.mkdir()
    environment_for_tests(OLD)
    for version, home in HOMES.items():
        write(models, version, home)
    if not state.exists():
        with_environments(state)
    with start_site(folder, models, lease=10, spool_dir=spool, predict_timeout=2) as site:
        options: dict[str, Any] = {
            "workers": 1,
            "state_dir": state,
            "spool_dir": spool,
            "predict_timeout": 2,
            **settings,
        }
        old = Old(site, folder, options, site.cluster.start(**options))
        until(old.served, f"the worker serves {OLD}: {old.worker.log}")
        old.worker.ready(1)
        yield old
