"""Watches the jobs of all streams of events: one reader, one round trip for all of them."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from broker.sides.gateway.job_client import JobState, JobWatch
from gateway.problems import Problem, ProblemCode
from runtime.outages import repeat_in_thread

log = logging.getLogger(__name__)

LOOK_EVERY = 0.5
"""Seconds between two looks at all watched jobs."""
SILENCE = 15.0
"""Seconds after which a stream without events says that it is alive. Proxies close a connection that says nothing for a
minute."""
MOST = 256
"""Streams of one process."""
MOST_OF_OWNER = 64
"""Streams of one owner in one process."""


@dataclass(eq=False)
class Watcher:
    """A stream. `gone` returns whether its client has left. `changed` is set when the job has changed, or when the
    stream has to end (`closed`), because the client has left or the process stops."""

    job_id: str
    owner: str
    gone: Callable[[], bool]
    state: JobState | None = None
    closed: bool = False
    changed: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        self.closed = True
        self.changed.set()

    def next(self) -> JobState | None:
        """Return how far the job is once that has changed; None after `SILENCE`."""
        if not self.changed.wait(SILENCE):
            return None
        self.changed.clear()
        return self.state


class JobWatcher:
    """Watches the jobs of all streams of a process, with one round trip every `LOOK_EVERY` seconds and none without
    streams. Nothing is queued for a stream: one that writes slowly only sees the newest state later."""

    def __init__(self, watch: JobWatch) -> None:
        self._watch = watch
        self._watchers: set[Watcher] = set()
        self._lock = threading.Lock()
        self._running = False
        self._thread: threading.Thread | None = None

    def enter(self, job_id: str, owner: str, gone: Callable[[], bool]) -> Watcher:
        """Watch a job until `leave`. Raises `Problem` if there are too many streams."""
        watcher = Watcher(job_id, owner, gone)
        with self._lock:
            self._check(owner)
            self._watchers.add(watcher)
            start, self._running = not self._running, True
        if start:
            self._thread = repeat_in_thread("job watcher", self._step, LOOK_EVERY, log)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        with self._lock:
            self._watchers.discard(watcher)

    def release(self) -> None:
        """End all streams: this process is about to end. Their clients connect again."""
        for watcher in list(self._watchers):
            watcher.close()

    def close(self) -> None:
        """End all streams, and wait until nothing looks at jobs any more."""
        self.release()
        if self._thread:
            self._thread.join(10 * LOOK_EVERY)

    def _check(self, owner: str) -> None:
        of_owner = sum(watcher.owner == owner for watcher in self._watchers) if owner else 0
        if len(self._watchers) >= MOST or of_owner >= MOST_OF_OWNER:
            which = f"your owner has {of_owner}" if of_owner >= MOST_OF_OWNER else f"this process has {MOST}"
            detail = f"{which} streams of events, as many as it may have; close one, or poll GET /v1/jobs/ID"
            raise Problem(ProblemCode.TOO_MANY_STREAMS, detail, retry_after=15)

    def _step(self) -> bool:
        """Look at all watched jobs; returns False if there are none."""
        with self._lock:
            watchers = [watcher for watcher in self._watchers if not watcher.closed]
            self._running = bool(watchers)
        if watchers:
            self._look(watchers)
        return bool(watchers)

    def _look(self, watchers: Sequence[Watcher]) -> None:
        by_job: defaultdict[str, list[Watcher]] = defaultdict(list)
        for watcher in watchers:
            if watcher.gone():
                watcher.close()
            else:
                by_job[watcher.job_id].append(watcher)
        states = self._watch.look(list(by_job)) if by_job else {}
        for job_id, state in states.items():
            for watcher in by_job[job_id]:
                if watcher.state != state:
                    watcher.state = state
                    watcher.changed.set()
