"""The supervisor's handles on its processes: the template, and the scorers that the template forks. Supervisor and
scorer share a connection, by which each notices at once that the other died. What models print becomes log lines.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from broker.state.load_status import LoadFailure
from contract.errors import Code, Failure
from contract.wording import counted
from runtime.limits import ONE_THREAD
from runtime.liveness import Silence
from worker.activity import Activity, ActivityTable

log = logging.getLogger("worker")


@dataclass(frozen=True)
class Hello:
    """A scorer's first message: its process id, and the generation of its template when it was forked."""

    pid: int
    generation: int


class Lifeline:
    """The scorer's end. No other process holds it, so it closes exactly when the scorer dies."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def wait_for_start(self, generation: int) -> bool:
        """Say hello and wait until the supervisor sends the start. From then on this process dies with its supervisor.

        Returns False if the supervisor is gone or does not want this scorer.
        """
        try:
            self._end.sendall(json.dumps([os.getpid(), generation]).encode())
            if not self._end.recv(1):
                return False
        except ConnectionError:
            return False
        # A child that the model forks must not keep it open, or the supervisor would not notice that the scorer died.
        os.register_at_fork(after_in_child=self._end.close)
        # A signal from the kernel and not a thread: the model may run C code that holds the GIL. Linux ends a process
        # that does not handle SIGIO, macOS does not.
        signal.signal(signal.SIGIO, signal.SIG_DFL if sys.platform == "linux" else lambda *_: os._exit(1))
        fcntl.fcntl(self._end, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self._end, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
        with suppress(BlockingIOError):
            return bool(self._end.recv(1))
        return True

    def close(self) -> None:
        self._end.close()


class ScorerConnection:
    """The supervisor's end."""

    def __init__(self) -> None:
        self._ours, self.scorer_end = socket.socketpair()

    def fileno(self) -> int:
        return self._ours.fileno()

    def close_scorer_end(self) -> None:
        """Close this process's copy of the scorer's end, once it has been sent to the template."""
        self.scorer_end.close()

    def read(self) -> Hello | None:
        """Return the scorer's message; None if the scorer is gone. Call it when `fileno()` is readable."""
        try:
            received = self._ours.recv(256)
        except OSError:
            return None
        return Hello(*json.loads(received)) if received else None

    def send_start(self) -> None:
        """Let the scorer take jobs."""
        with suppress(OSError):
            self._ours.send(b"!")

    def close(self) -> None:
        self._ours.close()


@dataclass(frozen=True)
class Interpreter:
    """The Python of an environment, and the variables with which it finds our code."""

    path: str
    variables: Mapping[str, str] = field(default_factory=dict)


THIS_INTERPRETER = Interpreter(sys.executable)

CHANGED_PROCESS = 3
"""Exit code of a template that can no longer fork, because loading a model started threads or changed it for good."""


class TemplateProcess:
    """A template process. `fileno()` is readable when it has sent its state or has died."""

    def __init__(
        self,
        activities: ActivityTable,
        blocked: Mapping[str, str],
        output: int | None = None,
        interpreter: Interpreter = THIS_INTERPRETER,
    ) -> None:
        """`blocked` maps versions (`loan@3`) that the template must not load to the reason. `output`: the descriptor
        that gets what models print. Raises OSError."""
        self._control, theirs = socket.socketpair()
        self._buffer = b""
        self.generation: int | None = None
        """Grows with each change of the versions in its memory; None until it has loaded them all once."""
        self.versions: Mapping[str, int] = {}
        """The versions in its memory, each with the generation that first had it."""
        self.refused: Mapping[str, str] = {}
        """The requested versions that it does not load, each with the reason."""
        self.failures: Mapping[str, LoadFailure] = {}
        """The versions that it cannot load, requested or named by an alias."""
        self.shadows = False
        """Whether a shadow experiment runs whose candidate it can score."""
        self.loads: list[tuple[str, float, bool]] = []
        """Versions that it has loaded, or failed to load: model, seconds, whether it worked."""
        with theirs:
            descriptors = (theirs.fileno(), activities.descriptor)
            arguments = [*map(str, descriptors), str(activities.slots), json.dumps(blocked)]
            self._process = subprocess.Popen(  # noqa: S603
                [interpreter.path, "-m", "worker.template", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                env={**os.environ, **ONE_THREAD, **interpreter.variables},
                pass_fds=descriptors,
            )

    def fileno(self) -> int:
        return self._control.fileno()

    def fork(self, slot: int, inc: str) -> ScorerConnection:
        """Ask the template to fork a scorer. The connection closes if that never happens."""
        connection = ScorerConnection()
        with suppress(OSError):
            socket.send_fds(self._control, [_line({"fork": [slot, inc]})], [connection.scorer_end.fileno()])
        connection.close_scorer_end()
        return connection

    def request_versions(self, versions: Collection[str]) -> None:
        """Ask the template to load these versions (`loan@3`) besides those that aliases name."""
        with suppress(OSError):
            self._control.sendall(_line({"versions": sorted(versions)}))

    def read(self) -> bool:
        """Read the template's state; return False if the template is gone."""
        try:
            received = self._control.recv(65536)
        except OSError:
            return False
        *lines, self._buffer = (self._buffer + received).split(b"\n")
        for line in lines:
            state = json.loads(line)
            self.generation, self.versions, self.refused = state["generation"], state["versions"], state["refused"]
            self.shadows = state["shadows"]
            self.loads += state["loads"]
            self.failures = {version: LoadFailure(*failure) for version, failure in state["failures"].items()}
        return bool(received)

    def kill(self) -> None:
        self._process.kill()

    @property
    def changed_process(self) -> bool:
        """Whether it ended because loading a model started threads or changed it for good."""
        return self._process.returncode == CHANGED_PROCESS

    def stop(self, grace: float = 0) -> str:
        """Kill it unless it ends within `grace` seconds; return how it ended, such as `exit code 0`."""
        self._control.close()
        try:
            code = self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def _line(message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


@cache
def _log_once(why: str) -> None:
    log.warning("%s; this is put back, and each scorer that has scored it is replaced: take it out of the code", why)


@dataclass
class ScorerProcess:
    """A process that the template forks, from the request until its death."""

    slot: int
    inc: str
    connection: ScorerConnection
    template: TemplateProcess
    began: float = field(default_factory=time.monotonic)
    pid: int | None = None
    generation: int = 0
    """The template's generation when it was forked."""
    registered: bool = False
    """Whether it has a lease and may take jobs."""
    retiring: bool = False
    """Whether it was asked to finish its jobs and end."""
    busy: float = field(default_factory=time.monotonic)
    """When it was last seen scoring, or last seen before it was asked to end."""
    killed: bool = False
    """Whether the supervisor killed it for another reason than a timeout."""
    silence: Silence = field(default_factory=Silence)
    """How long it has made no progress."""
    overdue: Activity | None = None
    """The activity that took too long, for which it was killed."""

    @property
    def versions(self) -> frozenset[str]:
        """The versions whose memory it shares with its template."""
        return frozenset(v for v, since in self.template.versions.items() if since <= self.generation)

    def outdated(self, template: TemplateProcess) -> bool:
        """Return whether it lacks models of the current template."""
        return self.template is not template or self.generation < (template.generation or 0)

    @property
    def starved(self) -> bool:
        """Whether it makes no progress because others have the processor, so it is not to blame."""
        return False

    def signal(self, number: signal.Signals) -> None:
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def activate(self) -> None:
        """Let it take jobs, once it has its lease."""
        self.registered = True
        self.connection.send_start()

    def retire(self) -> None:
        """Ask it to finish its jobs and end."""
        self.retiring = True
        self.signal(signal.SIGTERM)

    def leaves(self, why: str) -> None:
        """Note that it ends by itself, if there is a reason, which is logged once."""
        if why:
            self.retiring = True
            _log_once(why)

    def kill(self) -> None:
        """Kill it for another reason than a timeout."""
        self.killed = True
        self.signal(signal.SIGKILL)

    def exit(self, activity: Activity | None) -> ScorerExit:
        """Return its end, during this activity."""
        if activity is None or self.killed:
            return ScorerExit(self.inc, ())
        if self.overdue is None:
            return ScorerExit(self.inc, activity.subjects)
        if activity != self.overdue:
            # It finished the overdue activity just before it was killed, and the next one is not to blame.
            return ScorerExit(self.inc, ())
        seconds = round(activity.seconds, 3)
        failure = Failure(Code.TIMEOUT, f"scoring took longer than {seconds:g} s", {"seconds": seconds})
        return ScorerExit(self.inc, activity.subjects, failure)


class ShadowProcess(ScorerProcess):
    """The process of the shadow scorer, which gets only processor time that nobody else wants."""

    @property
    def starved(self) -> bool:
        with suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
        return False


_MOST_IDS = 10
"""Jobs that a line of the log names."""


@dataclass(frozen=True)
class ScorerExit:
    """The end of an incarnation whose jobs have to go back to their queues.

    `failure` is the outcome of the jobs that it was scoring, if it was killed for them.
    """

    inc: str
    scored: Collection[str] | None
    """Ids of the jobs that it was scoring; None if that is unknown."""
    failure: Failure | None = None

    def log(self) -> None:
        """Log that it died by itself."""
        ids = sorted(self.scored or ())
        context = {"job_id": ids[0]} if len(ids) == 1 else {"job_ids": ",".join(ids[:_MOST_IDS]) or None}
        doing = f"scored {counted(len(ids), 'job')}" if ids else "was idle"
        log.warning("scorer %s died while it %s", self.inc, doing, extra=context)


def reap_zombies(pids: set[int]) -> None:
    """Wait for those that have ended, and remove them. Scorers are children of the template: when that dies and this
    process is the first of its container, it inherits them."""
    for pid in list(pids):
        try:
            done = os.waitpid(pid, os.WNOHANG)[0]
        except ChildProcessError:
            done = pid
        if done:
            pids.discard(pid)


LONGEST_LINE = 4096
"""Bytes without a line end after which a line ends."""


class PrintedLines:
    """A pipe for the standard output of other processes, whose lines it hands on."""

    def __init__(self, log: Callable[[str], object]) -> None:
        """`log` gets each line, without its end; empty lines are dropped."""
        self._log = log
        self._partial = b""
        self._read_end, self.write_end = os.pipe()
        os.set_blocking(self._read_end, False)

    def fileno(self) -> int:
        """Return the descriptor that is readable when something was printed."""
        return self._read_end

    def read(self) -> None:
        """Log what has been printed; at most 64 KB a call, since a program may print without end."""
        with suppress(BlockingIOError):
            *lines, self._partial = (self._partial + os.read(self._read_end, 65_536)).split(b"\n")
            if len(self._partial) > LONGEST_LINE:
                lines, self._partial = [*lines, self._partial], b""
            for line in lines:
                if text := line.decode(errors="replace").rstrip():
                    self._log(text)

    def close(self) -> None:
        """Log the rest, without its line end, and close the pipe."""
        self.read()
        if self._partial:
            self._log(self._partial.decode(errors="replace"))
        os.close(self._read_end)
        os.close(self.write_end)
