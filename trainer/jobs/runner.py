"""`python -m trainer.jobs.runner QUEUE`: the process that runs the jobs of one of the trainer's queues."""

from __future__ import annotations

import functools
import logging
import os
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar, NoReturn

from redis.exceptions import RedisError

from broker.access.signatures import Signer
from broker.link.connection import connect
from broker.link.scripts import FencedError
from broker.records.job_kinds import REPOSITORY_COMMAND, TRAINING, JobKind
from broker.records.lease_groups import TRAINERS
from broker.sides.gateway.room import RoomMaker
from broker.sides.supervisor import LEASE, Leases, incarnation
from broker.sides.trainer import OwnedJob, Ownership, TrainerQueue
from contract.errors import Code, Failure, ModelgateError
from contract.settings import Settings
from runtime.outages import Duties
from storage.spool.places import spool_of
from trainer import recipes
from trainer.forks import TRAININGS, Forks
from trainer.jobs.commands import CommandParts, carry_out
from trainer.jobs.execution import Execution, Outcome, ThreadExecution
from trainer.jobs.training_process import TrainingProcess
from trainer.processes import CLUSTER_PREFIX, RECIPE_PREFIX, environment
from trainer.program import Program
from trainer.publishing.repositories import done_jobs_of

log = logging.getLogger("trainer")

STUCK_AFTER = 120.0
"""Seconds without a turn of the main loop after which the process ends: more than Redis can delay one."""

TICK = 0.02
"""Seconds between two checks of a busy process."""

REPORT_EVERY = 0.25
"""Seconds between two reports of a running job's progress, whose answers say whether it was cancelled."""

KEEP_TEMPLATE = 60.0
"""Seconds that a template is kept, at least, for the next training or command."""


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

    The runner that takes a job owns it (`broker.sides.trainer`). While Redis is gone, running jobs continue. It runs
    only jobs that a gateway signed, and each of them once.
    """

    kind: ClassVar[JobKind]
    most_jobs: ClassVar[int]
    """How many jobs run at a time."""

    def __init__(self, settings: Settings, *, lease: float = LEASE) -> None:
        """`lease` in seconds. Raises `SettingsError`."""
        self._settings = settings
        self._signer = Signer.from_settings(settings)
        self._done = done_jobs_of(settings)
        self._redis = connect(settings.redis_url, socket_timeout=2)
        self._leases = Leases(self._redis, lease=lease, group=TRAINERS)
        self._host = socket.gethostname()
        self._inc = incarnation(f"{self._host.replace(':', '.')}-{self.kind.queue}", 0)
        self._queue = TrainerQueue(
            self._redis,
            self._inc,
            self.kind,
            self._signer,
            done=self._done,
            on_refused=self._log_refused,
        )
        self._jobs: list[RunningJob] = []
        self._registered = False
        self._stop_by: float | None = None
        self._duties = Duties(f"the process of the queue {self.kind.queue}", log)
        self._duties.add(0, self._register)
        self._duties.add(lease / 5, self._renew)
        self._duties.add(lease / 5, self._reap)
        self._duties.add(1, self._leases.expire)
        self._duties.add(1, RoomMaker(self._redis).make)
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
            log.warning("%s: no Redis; its jobs start again when the lease ends: %s", self.kind.queue, error)

    def give_back(self) -> None:
        """Return the jobs to the queue. Another trainer starts them again; it does not count as a crash."""
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
            log.warning("%s is gone; its jobs start again", inc)

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
            self.release(job, ended=True)

    def _finish(self, job: RunningJob, outcome: Outcome) -> None:
        if isinstance(outcome, Failure):
            log.warning(
                "the %s failed: %s: %s", self.kind.name, outcome.code, outcome.message, extra=job.owned.context()
            )
        else:
            log.info("the %s succeeded", self.kind.name, extra=job.owned.context())
        try:
            self._queue.finish(job.owned.id, outcome)
        except ValueError as error:
            self._queue.finish(
                job.owned.id, Failure(Code.TRAINING_FAILED, f"the result cannot be written as JSON: {error}")
            )
        if not isinstance(outcome, Failure):  # stock RQ may requeue failed jobs
            try:
                self._done.add(job.owned.id)
            except OSError as error:
                log.warning("cannot record that a job has run: %s", error, extra=job.owned.context())

    def _log_refused(self, job_id: str, failure: Failure) -> None:
        context = {"job_id": job_id[:64]}
        log.warning("%s: %r: %s: %s", self.kind.queue, job_id[:64], failure.code, failure.message, extra=context)

    def release(self, job: RunningJob, ended: bool) -> None:
        """Stop running a job that this process no longer owns. If it has `ended`, remove its files."""
        job.execution.kill()
        self._jobs.remove(job)
        if ended:
            files = map(job.owned.payload.get, ("upload", "sample", "code", "signature"))
            spool_of(self._settings).discard(files)

    def _pause(self) -> None:
        """Wait until there may be something to do."""
        if self._jobs or not self._registered or self._duties.paused or self._stop_by is not None:
            time.sleep(TICK)
            return
        try:
            self._queue.wait_for_work(1.0)
        except RedisError:
            time.sleep(TICK)  # the next call of `_use_redis` fails too, and logs it


class TrainingRunner(JobRunner):
    """Runs trainings one at a time, each in a fork of its own."""

    kind, most_jobs, stop_grace = TRAINING, 1, 0.0

    def __init__(self, settings: Settings, *, lease: float = LEASE) -> None:
        super().__init__(settings, lease=lease)
        prefixes = (RECIPE_PREFIX, CLUSTER_PREFIX) if settings.train_cluster else (RECIPE_PREFIX,)
        self._forks = Forks(TRAININGS, {**environment(*prefixes), "PYTHONUNBUFFERED": "1"})
        self._has_trained = False
        self._duties.add(10, self._publish_recipes)
        self._duties.add(KEEP_TEMPLATE, self._end_unused_template)

    def run(self, beat: Callable[[], None] = lambda: None) -> None:
        with self._forks:
            super().run(beat)

    def _end_unused_template(self) -> None:
        """Free the memory of the template if there was no training since the last call."""
        if not self._has_trained:
            self._forks.close()
        self._has_trained = bool(self._jobs)

    def _publish_recipes(self) -> None:
        folder = self._settings.recipes_dir
        self._queue.publish_recipes(recipes.names(folder), recipes.parameters(folder))

    def start(self, owned: OwnedJob) -> Execution:
        first_line = "the trainer died during this training, which now starts again\n" if owned.deaths else ""
        self._has_trained = True
        try:
            return TrainingProcess(self._forks, owned.payload, owned.id, self._settings.train_timeout, first_line)
        except OSError as error:
            return ThreadExecution(functools.partial(_not_started, error))

    def report_progress(self, job: RunningJob) -> bool:
        """Send progress and output to Redis. Kill a job that was cancelled or given back."""
        progress, lines = job.execution.progress, job.execution.log_lines()
        owner = self._queue.report_progress(job.owned.id, progress, lines, job.log_bytes)
        if owner is not Ownership.MINE:
            log.info("the job %s is stopped: %s", job.owned.id, owner, extra=job.owned.context())
            self.release(job, ended=owner is Ownership.ENDED)
            return False
        job.execution.progress = None
        job.execution.discard(len(lines))
        job.log_bytes += len(lines)
        for line in lines.decode(errors="replace").splitlines():
            log.info("%s: %s", job.owned.payload.get("model"), line, extra=job.owned.context())
        return True


def _not_started(error: OSError) -> NoReturn:
    """Fail in place of a training whose process cannot be started."""
    raise ModelgateError(Code.TRAINING_FAILED, f"its process cannot be started ({error.strerror}); try again")


class PublishingRunner(JobRunner):
    """Carries out repository commands, each in a thread, and finishes running ones before it stops."""

    # Eight, so that a command that waits for workers does not delay those of other models.
    kind, most_jobs = REPOSITORY_COMMAND, 8

    def __init__(self, settings: Settings, *, lease: float = LEASE) -> None:
        super().__init__(settings, lease=lease)
        self._parts = CommandParts(settings, self._redis)
        self._duties.add(KEEP_TEMPLATE, self._parts.forks.end_unused)

    def run(self, beat: Callable[[], None] = lambda: None) -> None:
        with closing(self._parts.forks):
            super().run(beat)

    @property
    def stop_grace(self) -> float:
        return max(0, self._settings.stop_grace - 2)

    def start(self, owned: OwnedJob) -> Execution:
        return ThreadExecution(functools.partial(carry_out, owned.payload, self._parts))


RUNNERS: Mapping[str, type[JobRunner]] = {runner.kind.queue: runner for runner in (TrainingRunner, PublishingRunner)}


def main() -> None:
    program = Program("queue")
    RUNNERS[program.arguments.queue](Settings.from_environ()).run(program.watch(STUCK_AFTER))
    os._exit(0)  # also while a command hangs


if __name__ == "__main__":
    main()
