"""Keeps the model repository complete: looks what is missing, and has it trained in a process of its own.

That process may be killed at any time, and gives back the memory that training took.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from contract.errors import ModelgateError
from contract.repository import CURRENT, Repository

KILL_AFTER = 2.0


def say(line: str) -> None:
    """A whole line on stdout, at once: other processes write there too."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def lacking(root: Path, names: Sequence[str]) -> dict[str, str | None]:
    """Those of `names` that have no version this environment could serve, with what is wrong with the current one."""
    # Slow to import, and a signal must be heard before.
    from scoring.artifacts import check_versions

    repository = Repository(root)
    reasons: dict[str, str | None] = {}
    for name in names:
        current = repository.aliases(name).get(CURRENT)
        if current is None:
            reasons[name] = None
            continue
        try:
            check_versions(repository.manifest(name, current))
        except ModelgateError as error:
            reasons[name] = str(error)
    return reasons


def serve(root: Path, names: Sequence[str], ready_file: Path | None, every: float = 5, retry: float = 60) -> NoReturn:
    """Looks every `every` seconds, and again for what could not be trained only after `retry` seconds.

    `ready_file` is there from the first look on that left nothing untried. Ends by SystemExit, on a signal.
    """
    if ready_file:
        ready_file.unlink(missing_ok=True)
    not_before: dict[str, float] = {}
    while True:
        reasons = lacking(root, names)
        due = [name for name in reasons if time.monotonic() >= not_before.get(name, 0)]
        for name in due:
            if reasons[name]:
                say(f"trainer: {name}: {reasons[name]}")
        if due:
            _train(due)
            not_before |= dict.fromkeys(lacking(root, due), time.monotonic() + retry)
        if ready_file and not ready_file.exists():
            ready_file.touch()
            say("trainer: ready")
        time.sleep(every)


def _train(names: Sequence[str]) -> None:
    child = subprocess.Popen([sys.executable, "-m", "trainer", "train", *names])  # noqa: S603
    try:
        child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(KILL_AFTER)
            child.kill()


def exit_on_signals(code: int) -> None:
    """SIGTERM and SIGINT become a SystemExit, which cleans up on its way; a second one changes nothing."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        sys.exit(code)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
