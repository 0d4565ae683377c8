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
from worker.board import Board, Note
from worker.lifeline import Watch

STARTED_THREADS = 3
"""Exit code of a template that can no longer fork, because loading a model has started threads."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""In the environment before numpy is imported: with more, processes fight over the cores."""


class TemplateProcess:
    """A template. What it has written can be read from `fileno()`."""

    def __init__(self, board: Board, avoid: Mapping[str, str]) -> None:
        """`avoid`: versions that it must not load, and why."""
        self._control, theirs = socket.socketpair()
        self._heard = b""
        self.generation: int | None = None
        """Grows with each change of the versions in its memory; None: it has not loaded all that it should."""
        self.versions: Mapping[str, int] = {}
        """Those in its memory (`loan@3`), each with the generation since which it is there."""
        self.refused: Mapping[str, str] = {}
        """Those that it was asked for and does not load, with the reason."""
        with theirs:
            descriptors = (theirs.fileno(), board.descriptor)
            arguments = [*map(str, descriptors), str(board.slots), json.dumps(avoid)]
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "worker.template", *arguments],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **_ONE_THREAD},
                pass_fds=descriptors,
            )

    def fileno(self) -> int:
        return self._control.fileno()

    def fork(self, slot: int, inc: str) -> Watch:
        """Asks for a scorer. It comes when the template is ready; if never, the watch tells that it is gone."""
        watch = Watch()
        with suppress(OSError):
            socket.send_fds(self._control, [_line({"fork": [slot, inc]})], [watch.theirs.fileno()])
        watch.handed_over()
        return watch

    def want(self, versions: Collection[str]) -> None:
        """Asks for these versions (`loan@3`) beside those that aliases name."""
        with suppress(OSError):
            self._control.sendall(_line({"want": sorted(versions)}))

    def read(self) -> bool:
        """Takes in what the template says; False: it is gone."""
        try:
            said = self._control.recv(65536)
        except OSError:
            return False
        *lines, self._heard = (self._heard + said).split(b"\n")
        for line in lines:
            state = json.loads(line)
            self.generation, self.versions, self.refused = state["generation"], state["versions"], state["refused"]
        return bool(said)

    def kill(self) -> None:
        self._process.kill()

    @property
    def started_threads(self) -> bool:
        """Whether that is what it ended of."""
        return self._process.returncode == STARTED_THREADS

    def end(self, grace: float = 0) -> str:
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
    watch: Watch
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
    overdue: Note | None = None
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
class Death:
    """What is to be given back: the incarnation, what it was scoring, and what it was killed for."""

    inc: str
    scored: Collection[str] | None
    """None: nobody knows."""
    failure: Failure | None = None
