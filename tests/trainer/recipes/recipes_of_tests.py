"""Trainings that behave as a test needs, run by a template like real ones."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from contract.errors import Code, ModelgateError
from contract.settings import Settings
from contract.work.training import Progress, RepositoryAction, TrainingRequest
from trainer.forks import Forks, ForkTask
from trainer.jobs import training_main
from trainer.publishing.promotion import Promote
from trainer.recipe import DataError, Log
from trainer.template import process
from trainer.training.phases import ReportProgress

OUTPUT = {"model": "m", "version": 1, "metrics": {}, "promoted": True, "reason": None}


def steps(request: TrainingRequest, settings: Settings, report_progress: ReportProgress, log: Log) -> None:
    """Take three steps, each until a file with its number appears in the spool."""
    for number in range(3):
        report_progress(Progress(f"step {number}", number / 3, done=number, total=3, best=0.5, seconds_left=1.0))
        log(f"at step {number}")
        while not (settings.spool_dir / str(number)).exists():
            time.sleep(0.01)


def sleep(request: TrainingRequest, settings: Settings, report_progress: ReportProgress, log: Log) -> None:
    """Sleep for ever, and so does a child process."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    log(f"sleeps beside {child.pid}")
    time.sleep(1000)


def hang(request: TrainingRequest, settings: Settings, report_progress: ReportProgress, log: Log) -> None:
    """Hang in C code that holds the interpreter lock, and ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    log("hangs")
    ctypes.PyDLL(None).sleep(1000)


def eat(request: TrainingRequest, settings: Settings, report_progress: ReportProgress, log: Log) -> None:
    eaten = []
    while True:
        eaten.append(bytearray(16_000_000))


def die(request: TrainingRequest, settings: Settings, report_progress: ReportProgress, log: Log) -> None:
    sys.stdout.write("the last word")
    sys.stdout.flush()
    os.kill(os.getpid(), request.parameters["signal"])


def leave(request: TrainingRequest, settings: Settings, report_progress: ReportProgress, log: Log) -> None:
    os._exit(3)


def fail(request: TrainingRequest, settings: Settings, report_progress: ReportProgress, log: Log) -> None:
    errors = {
        "data": DataError("no rows"),
        "code": ModelgateError(Code.NOT_TRUSTED, "no key", key="k"),
        "half": DataError("half a \udc80 character"),
    }
    raise errors.get(request.parameters["how"], ValueError("it hurts"))


def _is_pipe(descriptor: int) -> bool:
    with suppress(OSError):
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    return False


def scribble(request: TrainingRequest, settings: Settings, report_progress: ReportProgress, log: Log) -> None:
    """Write to the pipe of the reports, as a recipe can, and sleep for ever."""
    text = request.parameters["text"].encode("latin-1")
    (reports,) = [number for number in range(3, 20) if _is_pipe(number)]
    os.write(reports, text * request.parameters["times"])
    time.sleep(1000)


def talk(request: TrainingRequest, settings: Settings, report_progress: ReportProgress, log: Log) -> None:
    for number in range(30_000):
        print(f"line {number:05} {'x' * 40}")  # noqa: T201


def count(request: TrainingRequest, settings: Settings, report_progress: ReportProgress, log: Log) -> None:
    """Record each start; sleep for ever the first `deaths` times."""
    with (settings.spool_dir / "begun").open("a") as file:
        file.write(".")
    log("began")
    if (settings.spool_dir / "begun").stat().st_size <= request.parameters["deaths"]:
        time.sleep(1000)


def linger(request: TrainingRequest, settings: Settings, report_progress: ReportProgress, log: Log) -> None:
    """Return, and leave a running thread."""
    threading.Thread(target=time.sleep, args=(1000,)).start()


def scatter(request: TrainingRequest, settings: Settings, report_progress: ReportProgress, log: Log) -> None:
    """Leave an orphaned process in its own session, and print the environment."""
    if os.fork() == 0:
        os.setsid()
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)", request.parameters["mark"]])
        os._exit(0)
    os.wait()
    log(json.dumps(dict(os.environ)))


BEHAVIOURS: dict[str, Callable[[TrainingRequest, Settings, ReportProgress, Log], None]] = {
    behaviour.__name__: behaviour
    for behaviour in (steps, sleep, hang, eat, die, leave, fail, scribble, talk, count, linger, scatter)
}


def train(
    payload: Mapping[str, Any],
    settings: Settings,
    report_progress: ReportProgress,
    log: Log,
    promote: Promote,
    job: str,
    forks: Forks,
    ask: object,
    try_out: object,
) -> dict[str, Any]:
    request = TrainingRequest.from_json(payload)
    BEHAVIOURS[request.recipe](request, settings, report_progress, log)
    return OUTPUT


def answer(parts: object, command: object) -> Mapping[str, Any]:
    return {"done": True}


def gated(parts: Any, command: object) -> Mapping[str, Any]:
    """Answer once the file `go` appears in the spool."""
    while not (parts.settings.spool_dir / "go").exists():
        time.sleep(0.01)
    return {"slow": True}


def refuse(parts: object, command: object) -> Mapping[str, Any]:
    raise ModelgateError(Code.NOT_PUBLISHED, "never", why="because")


ACTIONS = {
    RepositoryAction.ROLL_BACK: answer,
    RepositoryAction.MOVE_ALIAS: gated,
    RepositoryAction.DELETE_ALIAS: refuse,
}

if __name__ == "__main__":
    training_main.train = train  # type: ignore[assignment]
    process.main({ForkTask.TRAIN: lambda answer, job: training_main.main(answer, job, Forks)})
