"""Runs the jobs of one queue in this process, and renews its lease meanwhile."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any, ClassVar

from redis.exceptions import RedisError

from broker.access.signatures import Signer
from broker.link.scripts import FencedError
from broker.records.job_kinds import JobKind
from broker.running.execution import Execution, Outcome
from broker.sides.single_jobs import OwnedJob, SingleJobs
from broker.sides.supervisor import LEASE, Leases, incarnation
from contract.errors import Code, Failure
from contract.settings import Settings
from runtime.outages import Duties

TICK = 0.02
"""Seconds between two checks of a busy process."""

REPORT_EVERY = 0.25
"""Seconds between two reports of a running job's progress, whose answers say whether it was cancelled."""


@dataclass
class RunningJob:
    """A job that this process runs."""

    owned: OwnedJob
    execution: Execution
    log_bytes: int
    outcome: Outcome | None = None
    report_at: float = 0.0


class JobRunner(ABC):
    """Takes the jobs of one queue, runs them, records their outcomes, and renews its lease meanwhile.

    The runner that takes a job owns it (`broker.sides.single_jobs`). While Redis is gone, running jobs continue. It
    runs only jobs that a gateway signed.
    """

    kind: ClassVar[JobKind]
    most_jobs: ClassVar[int]
    """How many jobs run at a time."""

    def __init__(
        self,
        settings: Settings,
        connection: Any,
        log: logging.Logger,
        *,
        lease: float = LEASE,
        done: Container[str] = (),
    ) -> None:
        """`lease` in seconds; `done` has the ids of jobs that must not run again. Raises `SettingsError`."""
        self._settings = settings
        self._log = log
        self._redis = connection
        self._leases = Leases(self._redis, lease=lease, group=self.kind.group)
        self._host = socket.gethostname()
        self._inc = incarnation(f"{self._host.replace(':', '.')}-{self.kind.queue}", 0)
        signer = Signer.from_settings(settings)
        self._queue = SingleJobs(self._redis, self._inc, self.kind, signer, done=done, on_refused=self._log_refused)
        self._jobs: list[RunningJob] = []
        self._registered = False
        self._stop_by: float | None = None
        self._duties = Duties(f"the process of the queue {self.kind.queue}", log)
        self._duties.add(0, self._register)
        self._duties.add(lease / 5, self._renew)
        self._duties.add(lease / 5, self._reap)
        self._duties.add(1, self._leases.expire)
        self._duties.add(0, self._leases.reconcile_in_parts)
        self._duties.add(0, self._report_all)
        self._duties.add(0, self._begin_jobs)

    @abstractmethod
    def start(self, owned: OwnedJob) -> Execution:
        """Start a job."""

    @property
    @abstractmethod
    def stop_grace(self) -> float:
        """Seconds that running jobs have to end after a stop was requested. Then they go back to the queue."""

    def report_progress(self, job: RunningJob) -> bool:  # noqa: ARG002
        """Report a job's progress and return whether this process still owns the job.

        Called several times a second, and once more when the job has ended.
        """
        return True

    def ended(self, owned: OwnedJob, *, succeeded: bool) -> None:  # noqa: B027
        """Note that a job has ended, here or elsewhere."""

    def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Run jobs until SIGTERM or SIGINT. Calls `beat` several times a second."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        while not self._stopped():
            beat()
            for job in self._jobs:
                job.outcome = job.outcome or job.execution.poll()
            self._use_redis()
            self._pause()
        self._end_jobs()

    # Stopping

    def _stop(self) -> None:
        if self._stop_by is None:
            self._stop_by = time.monotonic() + self.stop_grace

    def _stopped(self) -> bool:
        return self._stop_by is not None and (not self._jobs or time.monotonic() >= self._stop_by)

    def _end_jobs(self) -> None:
        for job in self._jobs:
            job.execution.kill()
        try:
            self.give_back()
        except RedisError as error:
            self._log.warning("%s: no Redis; its jobs start again when the lease ends: %s", self.kind.queue, error)

    def give_back(self) -> None:
        """Return the jobs to the queue. Another process starts them again; it does not count as a crash."""
        self._leases.give_back(self._inc)

    # Redis

    def _use_redis(self) -> None:
        """Run the duties that are due, report on running jobs, and take new ones."""
        try:
            self._duties.run_due()
        except FencedError:
            self._registered = False

    def _register(self) -> None:
        if not self._registered:
            self._leases.register(self._inc, host=self._host, pid=os.getpid(), queues=[self.kind.queue])
            self._registered = True

    def _renew(self) -> None:
        # Another process may have given our jobs back after the lease ended: the next report of each job says so.
        if self._leases.renew([self._inc]):
            self._registered = False

    def _reap(self) -> None:
        for inc in self._leases.reap():
            self._log.warning("%s is gone; its jobs start again", inc)

    # Jobs

    def _begin_jobs(self) -> None:
        while self._stop_by is None and len(self._jobs) < self.most_jobs:
            owned = self._queue.begin([job.owned.id for job in self._jobs])
            if owned is None:
                return
            self._jobs.append(RunningJob(owned, self.start(owned), owned.log_bytes))

    def _report_all(self) -> None:
        for job in list(self._jobs):
            self._report(job)

    def _report(self, job: RunningJob) -> None:
        if job.outcome is None and time.monotonic() < job.report_at:
            return
        job.report_at = time.monotonic() + REPORT_EVERY
        if self.report_progress(job) and job.outcome is not None:
            self._finish(job, job.outcome)
            self.release(job)
            self.ended(job.owned, succeeded=not isinstance(job.outcome, Failure))

    def _finish(self, job: RunningJob, outcome: Outcome) -> None:
        if isinstance(outcome, Failure):
            self._log.warning(
                "the %s failed: %s: %s", self.kind.name, outcome.code, outcome.message, extra=job.owned.context()
            )
        else:
            self._log.info("the %s succeeded", self.kind.name, extra=job.owned.context())
        try:
            self._queue.finish(job.owned.id, outcome)
        except ValueError as error:
            self._queue.finish(
                job.owned.id, Failure(Code.TRAINING_FAILED, f"the result cannot be written as JSON: {error}")
            )

    def _log_refused(self, job_id: str, failure: Failure) -> None:
        context = {"job_id": job_id[:64]}
        self._log.warning("%s: %r: %s: %s", self.kind.queue, job_id[:64], failure.code, failure.message, extra=context)

    def release(self, job: RunningJob) -> None:
        """Stop running a job that this process no longer owns."""
        job.execution.kill()
        self._jobs.remove(job)

    def _pause(self) -> None:
        """Wait until there may be something to do."""
        if self._jobs or not self._registered or self._duties.paused or self._stop_by is not None:
            time.sleep(TICK)
            return
        try:
            self._queue.wait_for_work(1.0)
        except RedisError:
            time.sleep(TICK)  # the next call of `_use_redis` fails too, and logs it
