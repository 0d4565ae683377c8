"""Keeps the processes of the trainer alive: one for each queue and one for the inbox, started anew when they die."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from broker.job_kinds import REPOSITORY_COMMAND, TRAINING
from runtime.backoff import Backoff
from trainer.service import Signals, say

QUEUES: dict[str, tuple[str, ...]] = {
    f"queue {kind.queue}": ("trainer.jobs.post", kind.queue) for kind in (TRAINING, REPOSITORY_COMMAND)
}
INBOX: dict[str, tuple[str, ...]] = {"inbox": ("trainer.importing.inbox",)}
"""What to call a process in the log, and the module that it runs with its arguments."""

TICK = 0.1
"""Seconds after which a process that died is noticed."""


class _Kept:
    """One process, which lives as long as its stdin is open: also when this one is killed."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self._name = name
        self._command = command
        self.process: subprocess.Popen[bytes] | None = None
        self._backoff = Backoff(shortest=0.2, longest=10)
        self._began = 0.0

    def look(self) -> None:
        if self.process and self.process.poll() is not None:
            pause = self._backoff.failed()
            ended = f"the process of the {self._name} ended with {self.process.returncode}"
            say(f"trainer: {ended}; again in {pause:.1f} s")
            self.process = None
        if self.process is None and self._backoff.over:
            command = [sys.executable, "-m", *self._command]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603
            self._began = time.monotonic()
        elif self.process and time.monotonic() - self._began > 30:
            self._backoff.worked()


class Keeper:
    """Stands in for the signals where somebody waits for them, and looks after the processes meanwhile."""

    def __init__(self, signals: Signals, commands: Mapping[str, Sequence[str]]) -> None:
        self._signals = signals
        self._kept = [_Kept(name, command) for name, command in commands.items()]

    def told_to_stop(self, seconds: float) -> bool:
        """Waits for up to `seconds`."""
        end = time.monotonic() + seconds
        while True:
            for kept in self._kept:
                kept.look()
            left = end - time.monotonic()
            if self._signals.told_to_stop(max(0.0, min(left, TICK))):
                return True
            if left <= TICK:
                return False

    def stop(self, grace: float) -> None:
        """They have `grace` seconds to finish or give back what they have."""
        running = [kept.process for kept in self._kept if kept.process]
        for process in running:
            process.terminate()
        end = time.monotonic() + grace
        for process in running:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
