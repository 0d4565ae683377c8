"""Models of old releases of scikit-learn, workers that have their environments, and callers who know the answers."""

from __future__ import annotations

import itertools
import os
import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests
import sklearn

from contract.model.environments import TODAY
from scoring.artifacts import library_versions
from tests.flow import estimators
from tests.stacks.environments import MADE, environment_for_tests
from tests.stacks.workers import Worker
from tests.support import InThreads, command_line, numbers, until, write_version

OLD = "sklearn-1.2"


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
