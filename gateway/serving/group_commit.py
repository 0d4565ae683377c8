"""Many submits in one round trip: jobs that arrive while a submit is in flight leave together in the next one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from redis.exceptions import OutOfMemoryError, RedisError

from broker.link.faults import DiskError
from broker.sides.gateway.job_client import Submission
from contract.work.jobs import PredictionJob
from gateway.problems import Problem, ProblemCode

MAX_JOBS, MAX_BYTES = 128, 1_000_000
"""Size of a group."""
PENDING_BYTES = 64_000_000
"""Bytes of requests that may wait in one process while Redis is slow or away; beyond, requests are refused. Their rows
take up to 25 times as much memory: 8 MB of one-digit numbers are 200 MB of Python objects."""


class Overloaded(Problem):
    """More bytes wait for Redis than this process may hold."""

    def __init__(self) -> None:
        detail = "more requests wait for Redis than this process can hold; try again"
        super().__init__(ProblemCode.OVERLOADED, detail, retry_after=1)


@dataclass(slots=True, eq=False)
class _Submit:
    """The job of one request. `turn` is set once it is answered, or has to commit the next group."""

    job: PredictionJob
    size: int
    turn: threading.Event = field(default_factory=threading.Event)
    answered: bool = False
    submission: Submission | None = None
    error: BaseException | None = None
    since: float = field(default_factory=time.monotonic)


class GroupCommit:
    """Hands jobs to Redis in groups, without a thread of its own.

    A request that finds no commit in flight commits at once, so a quiet gateway adds no delay. The others wait; after a
    commit, the first waiting request commits the next group. An error of Redis ends the requests of its group only, any
    other error only one of them.
    """

    def __init__(self, submit: Callable[[Sequence[PredictionJob]], list[Submission]], timeout: float) -> None:
        """`submit` must be repeat-safe: it is called again after errors, until a job has waited `timeout` seconds."""
        self._submit = submit
        self._timeout = timeout
        self._lock = threading.Lock()
        self._pending: deque[_Submit] = deque()
        self._pending_bytes = 0
        self._committing = False

    def submit(self, job: PredictionJob, size: int) -> Submission:
        """Return once the job, of about `size` bytes, is in Redis or refused.

        Raises `RedisError` if Redis has not answered within the timeout (it may still run), and `Overloaded`.
        """
        mine = _Submit(job, size)
        with self._lock:
            if self._pending_bytes and self._pending_bytes + size > PENDING_BYTES:
                raise Overloaded
            self._pending.append(mine)
            self._pending_bytes += size
            leads = not self._committing
            self._committing = True
        if leads:
            self._let_others_arrive()
        else:
            mine.turn.wait()
        if not mine.answered:
            self._commit()
        if mine.submission is None:
            raise mine.error or RedisError("the commit of this job was interrupted")
        return mine.submission

    def _let_others_arrive(self) -> None:
        """Let requests that have arrived already reach this point, and leave in the same group: until a turn of the
        event loop brings no other."""
        arrived = 0
        while arrived < len(self._pending) < MAX_JOBS and self._pending_bytes < MAX_BYTES:
            arrived = len(self._pending)
            time.sleep(0)

    def _commit(self) -> None:
        """Commit the group at the head, which holds the caller's job, and hand over to the next group."""
        with self._lock:
            group = self._next_group()
        try:
            self._submit_together(group)
        except RedisError as error:
            group += self._overdue()
            for entry in group:
                entry.error = error
        except Exception:  # a job that cannot be written: it is not to take the others with it
            for entry in group:
                self._submit_alone(entry)
        finally:
            with self._lock:
                self._pending_bytes -= sum(entry.size for entry in group)
                following = self._pending[0] if self._pending else None
                self._committing = following is not None
            for entry in group:
                entry.answered = True
                entry.turn.set()
            if following:
                following.turn.set()

    def _next_group(self) -> list[_Submit]:
        """Return at least one job. A job that would make the group too large leads the next one."""
        group = [self._pending.popleft()]
        size = group[0].size
        while self._pending and len(group) < MAX_JOBS and size + self._pending[0].size <= MAX_BYTES:
            group.append(self._pending.popleft())
            size += group[-1].size
        return group

    def _overdue(self) -> list[_Submit]:
        """Return the jobs that have waited for the whole timeout while Redis refused the groups before theirs."""
        overdue, latest = [], time.monotonic() - self._timeout
        with self._lock:
            while self._pending and self._pending[0].since <= latest:
                overdue.append(self._pending.popleft())
        return overdue

    def _submit_together(self, group: Sequence[_Submit]) -> None:
        for entry, submission in zip(group, self._submit_until_timeout(group), strict=True):
            entry.submission = submission

    def _submit_alone(self, entry: _Submit) -> None:
        try:
            self._submit_together([entry])
        except Exception as error:
            entry.error = error

    def _submit_until_timeout(self, group: Sequence[_Submit]) -> list[Submission]:
        jobs = [entry.job for entry in group]
        deadline = group[0].since + self._timeout
        pause = 0.05
        while True:
            try:
                return self._submit(jobs)
            except (OutOfMemoryError, DiskError):
                raise  # a repetition would not change it
            except RedisError:
                if time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, 0.5)
