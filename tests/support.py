"""Shared by tests: a Redis of their own, a model repository made by hand, polling with a deadline."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cloudpickle
import joblib
import psutil
from redis import Redis
from redis.exceptions import RedisError

from broker.access.signatures import Signer
from contract.model.manifest import Artifact, ArtifactFormat, Golden, InputFormat, ModelManifest, TrainingData
from contract.model.signature import Field, Kind, Output, OutputKind, Signature
from contract.settings import Settings
from launcher.redis_server import executable
from scoring.artifacts import library_versions

PROJECT = Path(__file__).parent.parent
DEADLINE = 300.0
"""Seconds after which a condition counts as never met, on a machine of a tenth of the usual speed, too."""
SECRET = "5" * 64
"""The secret that gateways and trainers of tests share."""
SIGNER = Signer([SECRET.encode()])
SOAK = int(os.environ.get("SOAK", "1"))
"""The factor by which tests multiply their numbers of requests and rounds."""


def until(condition: Callable[[], Any], what: str, deadline: float = DEADLINE) -> Any:
    """Return the first true value of `condition`; fail after `deadline` seconds without one."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {deadline} s: {what}")


@dataclass
class Clock:
    """Shows the time that a test sets."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class InThreads:
    """A context in which functions run in threads; each returns soon after `_stop` is set, which the end of it does."""

    def __init__(self, *functions: Callable[[], object]) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=function) for function in functions]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[str]:
    """Run a real Redis with its append-only file in `folder`; yields its URL."""
    socket = folder / "r.sock"
    command = [executable(), "--port", "0", "--unixsocket", str(socket), "--dir", str(folder)]
    process = subprocess.Popen(
        [*command, "--save", "", "--appendonly", "yes", "--appendfsync", "no", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"unix://{socket}"
    try:
        until(lambda: answers(url), "Redis answers")
        yield url
    finally:
        process.terminate()
        process.wait(DEADLINE)


def alive(pid: int) -> bool:
    """Return whether a process has not ended, at whatever moment it does."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def gone(processes: Iterable[psutil.Process]) -> bool:
    """Return whether all processes have ended."""
    return not any(process.is_running() and alive(process.pid) for process in processes)


def command_line(process: psutil.Process) -> list[str]:
    """Return the arguments of a process; none if it has ended."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def state_dir(folder: Path) -> Path:
    """Write the file of gateway and trainer with the secret of `SIGNER`; returns the STATE_DIR."""
    path = Settings(state_dir=folder).trainer_secret_path
    path.parent.mkdir(exist_ok=True)
    path.write_text(SECRET)
    return folder


def answers(url: str) -> bool:
    try:
        with Redis.from_url(url) as connection:
            return bool(connection.ping())
    except RedisError:
        return False


def numbers(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.NUMBER) for name in names)


def write_version(
    root: Path,
    name: str,
    estimator: Any,
    inputs: Sequence[Field],
    output: Output | None = None,
    *,
    version: int = 1,
    by_value: bool = False,
    current: bool = True,
    skops: bool = False,
    id_field: str | None = None,
    example: Mapping[str, Any] | None = None,
    input_format: InputFormat = InputFormat.ARRAY,
    alone: bool = False,
    **changes: Any,
) -> ModelManifest:
    """Write a version as the trainer does, by default as `current`; `changes` go into the manifest."""
    folder = root / name / "versions" / str(version)
    folder.mkdir(parents=True)
    buffer = io.BytesIO()
    artifact_format = ArtifactFormat.JOBLIB
    if by_value:
        artifact_format = ArtifactFormat.CLOUDPICKLE
        _dump_by_value(estimator, buffer)
    elif skops:
        import skops.io  # imports all of scikit-learn

        artifact_format = ArtifactFormat.SKOPS
        skops.io.dump(estimator, buffer)
    else:
        joblib.dump(estimator, buffer)
    data = buffer.getvalue()
    file = f"model.{artifact_format}"
    (folder / file).write_bytes(data)
    manifest = ModelManifest(
        **{
            "name": name,
            "version": version,
            "created_at": "2026-01-02T03:04:05Z",
            "recipe": "by hand",
            "artifact": Artifact(
                file,
                artifact_format,
                input_format,
                len(data),
                hashlib.sha256(data).hexdigest(),
                alone=alone,
            ),
            "libraries": library_versions(),
            "signature": Signature(tuple(inputs), (output or Output(OutputKind.NUMBER),), id_field),
            "training_data": TrainingData("by hand", 0, ""),
            "example": example or {field.name: 1.0 for field in inputs},
            "golden": Golden((), ()),
            **changes,
        }
    )
    (folder / "manifest.json").write_text(manifest.dumps())
    if current:
        new = root / name / "aliases.new"
        new.write_text(json.dumps({"current": version}))
        new.rename(root / name / "aliases.json")  # at once: others may read it
    return manifest


def _dump_by_value(estimator: Any, buffer: io.BytesIO) -> None:
    """Pickle the estimator with its class, since another process cannot import the tests."""
    module = sys.modules[type(estimator).__module__]
    ours = module.__name__.startswith("tests")
    if ours:
        cloudpickle.register_pickle_by_value(module)
    try:
        cloudpickle.dump(estimator, buffer)
    finally:
        if ours:
            cloudpickle.unregister_pickle_by_value(module)


class Sum:
    """A minimal model: the sum of a row."""

    def predict(self, matrix: Any) -> Any:
        return matrix.sum(axis=1)


class Raises:
    """A model that cannot predict."""

    def predict(self, matrix: Any) -> Any:
        raise ValueError("it hurts")


class Bomb:
    """Creates the folder `trace` when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def outside_of_make() -> dict[str, str]:
    """The environment without the variables of `make test`, for a make inside of it."""
    return {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
