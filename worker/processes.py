"""The processes of a supervisor as it sees them: the template, and the scorers that the template forks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from contract.errors import Failure
from runtime.limits import ONE_THREAD
from worker.activity import Activity, ActivityTable
from worker.lifeline import ScorerConnection

STARTED_THREADS = 3
"""Exit code of a template that can no longer fork, because loading a model has started threads."""


class TemplateProcess:
    """A template. What it has written can be read from `fileno()`."""

    def __init__(self, activities: ActivityTable, blocked: Mapping[str, str]) -> None:
        """`blocked`: versions that it must not load, and why."""
        self._control, theirs = socket.socketpair()
        self._buffer = b""
        self.generation: int | None = None
        """Grows with each change of the versions in its memory; None: it has not loaded all that it should."""
        self.versions: Mapping[str, int] = {}
        """Those in its memory (`loan@3`), each with the generation since which it is there."""
        self.refused: Mapping[str, str] = {}
        """Those that it was asked for and does not load, with the reason."""
        with theirs:
            descriptors = (theirs.fileno(), activities.descriptor)
            arguments = [*map(str, descriptors), str(activities.slots), json.dumps(blocked)]
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "worker.template", *arguments],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ONE_THREAD},
                pass_fds=descriptors,
            )

    def fileno(self) -> int:
        return self._control.fileno()

    def fork(self, slot: int, inc: str) -> ScorerConnection:
        """Asks for a scorer. It comes when the template is ready; if never, the connection tells that it is gone."""
        connection = ScorerConnection()
        with suppress(OSError):
            socket.send_fds(self._control, [_line({"fork": [slot, inc]})], [connection.scorer_end.fileno()])
        connection.close_scorer_end()
        return connection

    def request_versions(self, versions: Collection[str]) -> None:
        """Asks for these versions (`loan@3`) beside those that aliases name."""
        with suppress(OSError):
            self._control.sendall(_line({"versions": sorted(versions)}))

    def read(self) -> bool:
        """Takes in what the template says; False: it is gone."""
        try:
            received = self._control.recv(65536)
        except OSError:
            return False
        *lines, self._buffer = (self._buffer + received).split(b"\n")
        for line in lines:
            state = json.loads(line)
            self.generation, self.versions, self.refused = state["generation"], state["versions"], state["refused"]
        return bool(received)

    def kill(self) -> None:
        self._process.kill()

    @property
    def started_threads(self) -> bool:
        """Whether that is what it ended of."""
        return self._process.returncode == STARTED_THREADS

    def stop(self, grace: float = 0) -> str:
        """Ends it, if need be, after `grace` seconds; how it ended."""
        self._control.close()
        try:
            code = self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def _line(message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


@dataclass
class ScorerProcess:
    """A scorer, from the wish to have one to its death."""

    slot: int
    inc: str
    connection: ScorerConnection
    template: TemplateProcess
    began: float = field(default_factory=time.monotonic)
    pid: int | None = None
    generation: int = 0
    """Of its template when it was forked."""
    registered: bool = False
    retiring: bool = False
    busy: float = field(default_factory=time.monotonic)
    """When it was last seen to score, or had not been told to end."""
    killed: bool = False
    """By the supervisor, and not for what it was scoring."""
    overdue: Activity | None = None
    """What it was killed for."""

    @property
    def versions(self) -> frozenset[str]:
        """Those that it shares with its template."""
        return frozenset(v for v, since in self.template.versions.items() if since <= self.generation)

    def signal(self, number: signal.Signals) -> None:
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def retire(self) -> None:
        """It finishes what it holds and ends."""
        self.retiring = True
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        self.killed = True
        self.signal(signal.SIGKILL)


@dataclass(frozen=True)
class ScorerExit:
    """What is to be given back: the incarnation, what it was scoring, and what it was killed for."""

    inc: str
    scored: Collection[str] | None
    """None: nobody knows."""
    failure: Failure | None = None
