"""The trainer's child processes: one for each queue and one for the inbox, restarted when they die or are stuck."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.job_kinds import REPOSITORY_COMMAND, TRAINING
from runtime.backoff import Backoff
from runtime.liveness import Silence
from trainer.heartbeat import Pulse
from trainer.stop_signal import StopSignal

log = logging.getLogger("trainer")

TICK = 0.1
"""Seconds between two checks for dead processes."""

_MISSING = 15.0
"""Seconds that a process may be missing before the trainer is unhealthy: restarts are no problem."""

_START_TIMEOUT = 300.0
"""Seconds that a process may take until its first sign of progress."""


@dataclass(frozen=True)
class ChildCommand:
    """The module that a child runs, with its arguments. A child that shows no progress for `stuck_after` seconds is
    restarted: that is more than Redis can delay it."""

    module: str
    arguments: Sequence[str] = ()
    stuck_after: float = 120.0


QUEUES: Mapping[str, ChildCommand] = {
    f"queue {kind.queue}": ChildCommand("trainer.jobs.runner", (kind.queue,)) for kind in (TRAINING, REPOSITORY_COMMAND)
}
"""What a process is called in the log, and what it runs."""
INBOX: Mapping[str, ChildCommand] = {"inbox": ChildCommand("trainer.importing.inbox", stuck_after=3600)}
"""The same; this process waits for each import."""


class _ChildProcess:
    """One process. It ends when its stdin closes, so it does not outlive this one even after SIGKILL."""

    def __init__(self, name: str, command: ChildCommand) -> None:
        self._name = name
        self._command = command
        self.process: subprocess.Popen[bytes] | None = None
        self._backoff = Backoff(shortest=0.2, longest=10)
        self._started_at = 0.0
        self._missing_since: float | None = None

    def ensure_running(self) -> None:
        """Start the process unless it runs; after a death only once the back-off is over. Kill it if it is stuck."""
        if self.process and self.process.poll() is not None:
            pause = self._backoff.failed()
            code = self.process.returncode
            log.warning("the process of the %s ended with %s; restarting it in %.1f s", self._name, code, pause)
            self.process = None
            self._pulse.close()
            self._missing_since = self._missing_since or time.monotonic()
        if self.process is None and self._backoff.over:
            self._start()
        elif self.process and time.monotonic() - self._started_at > 30:
            self._backoff.worked()
            self._missing_since = None
        if self.process and self._is_stuck():
            log.warning("the process of the %s is stuck and is restarted", self._name)
            self.process.kill()

    def _is_stuck(self) -> bool:
        beats = self._pulse.beats()
        return self._silence.seconds(beats) > (self._command.stuck_after if beats else _START_TIMEOUT)

    def problem(self) -> str | None:
        """Return what is wrong, if it has been so for some time."""
        missing = self._missing_since is not None and time.monotonic() - self._missing_since > _MISSING
        return f"the process of the {self._name} keeps dying" if missing else None

    def _start(self) -> None:
        self._pulse, self._silence = Pulse(), Silence()
        command = [sys.executable, "-m", self._command.module, *self._command.arguments]
        with self._pulse.child_end as stdin:
            self.process = subprocess.Popen(command, stdin=stdin.fileno())  # noqa: S603
        self._started_at = time.monotonic()


class ChildProcesses:
    """Waits for a stop signal, and restarts dead and stuck children meanwhile."""

    def __init__(
        self,
        stop: StopSignal,
        commands: Mapping[str, ChildCommand],
        ready_file: Path | None = None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """The trainer is not well until `ready_file` exists. Calls `beat` while it waits."""
        self._stop = stop
        self._children = [_ChildProcess(name, command) for name, command in commands.items()]
        self._ready_file = ready_file
        self._beat = beat

    def problems(self) -> list[str]:
        """Return what is wrong, in sentences. Any thread may call it."""
        untrained = self._ready_file is not None and not self._ready_file.exists()
        training = ["not every missing model has been tried yet"] if untrained else []
        return training + [problem for child in self._children if (problem := child.problem())]

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` and return whether a stop was requested."""
        end = time.monotonic() + seconds
        while True:
            self._beat()
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
