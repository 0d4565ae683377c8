"""The trainer's child processes: one for each queue and one for the inbox, restarted when they die."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from broker.job_kinds import REPOSITORY_COMMAND, TRAINING
from runtime.backoff import Backoff
from trainer.stop_signal import StopSignal

log = logging.getLogger("trainer")

QUEUES: dict[str, tuple[str, ...]] = {
    f"queue {kind.queue}": ("trainer.jobs.runner", kind.queue) for kind in (TRAINING, REPOSITORY_COMMAND)
}
INBOX: dict[str, tuple[str, ...]] = {"inbox": ("trainer.importing.inbox",)}
"""The name of a process in the log, and the module that it runs with its arguments."""

TICK = 0.1
"""Seconds between two checks for dead processes."""


class _ChildProcess:
    """One process. It ends when its stdin closes, so it does not outlive this one even after SIGKILL."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self._name = name
        self._command = command
        self.process: subprocess.Popen[bytes] | None = None
        self._backoff = Backoff(shortest=0.2, longest=10)
        self._started_at = 0.0

    def ensure_running(self) -> None:
        """Start the process unless it runs; after a death only once the back-off is over."""
        if self.process and self.process.poll() is not None:
            pause = self._backoff.failed()
            code = self.process.returncode
            log.warning("the process of the %s ended with %s; restarting it in %.1f s", self._name, code, pause)
            self.process = None
        if self.process is None and self._backoff.over:
            command = [sys.executable, "-m", *self._command]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603
            self._started_at = time.monotonic()
        elif self.process and time.monotonic() - self._started_at > 30:
            self._backoff.worked()


class ChildProcesses:
    """Waits for a stop signal and restarts dead children meanwhile."""

    def __init__(self, stop: StopSignal, commands: Mapping[str, Sequence[str]]) -> None:
        self._stop = stop
        self._children = [_ChildProcess(name, command) for name, command in commands.items()]

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` and return whether a stop was requested."""
        end = time.monotonic() + seconds
        while True:
            for child in self._children:
                child.ensure_running()
            left = end - time.monotonic()
            if self._stop.wait(max(0.0, min(left, TICK))):
                return True
            if left <= TICK:
                return False

    def terminate(self, grace: float) -> None:
        """Send SIGTERM to the children, and SIGKILL to those that still run after `grace` seconds."""
        running = [child.process for child in self._children if child.process]
        for process in running:
            process.terminate()
        end = time.monotonic() + grace
        for process in running:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
