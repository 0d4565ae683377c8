"""`python -m trainer.jobs.post QUEUE`: the process that does the jobs of one of the trainer's queues.

It lives as long as its stdin: when `python -m trainer` is gone, so is this, and with it whatever it had started.
"""

from __future__ import annotations

import functools
import os
import select
import signal
import socket
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NoReturn

from redis.exceptions import RedisError

from broker.connection import connect
from broker.job_kinds import REPOSITORY_COMMAND, TRAINING, JobKind
from broker.lease_groups import TRAINERS
from broker.schedules import Schedules
from broker.scripts import FencedError
from broker.signatures import Signer
from broker.supervisor import LEASE, Leases, incarnation
from broker.trainer import OwnedJob, Ownership, Scheduler, TrainerQueue
from contract.errors import Code, Failure, ModelgateError
from contract.settings import Settings
from runtime.backoff import Backoff
from trainer import recipes
from trainer.jobs import spool
from trainer.jobs.commands import carry_out
from trainer.jobs.deeds import Deed, Errand, Outcome
from trainer.jobs.done import DoneJobs
from trainer.jobs.horse import Horse
from trainer.processes import hide_memory
from trainer.service import say

TICK = 0.02
"""Seconds after which a process that has something to do looks again."""

LOOK = 0.25
"""Seconds after which a running job is looked after: its progress goes out, and whether it was cancelled comes in."""


@dataclass
class Job:
    """A job in our hands."""

    begun: OwnedJob
    deed: Deed
    log_bytes: int
    outcome: Outcome | None = None
    look_at: float = 0.0


@dataclass
class _Duty:
    """What is to be done every so many seconds."""

    every: float
    do: Callable[[], object]
    due: float = 0.0


class Post(ABC):
    """Takes the jobs of one queue, runs them, records their ends, and renews its lease meanwhile.

    The trainer that takes a job owns it (`broker.trainer`). Without Redis it goes on with the jobs that it has. It runs
    only jobs that a gateway signed, each of them once.
    """

    kind: ClassVar[JobKind]
    most: ClassVar[int]
    """Jobs at a time."""

    def __init__(self, settings: Settings, *, lease: float = LEASE) -> None:
        """`lease` in seconds. Raises `SettingsError` without TRAINER_SECRET."""
        self._settings = settings
        self._signer = Signer.required(settings)
        self._done = DoneJobs(settings.models_dir)
        self._redis = connect(settings.redis_url, socket_timeout=2)
        self._leases = Leases(self._redis, lease=lease, group=TRAINERS)
        self._host = socket.gethostname()
        self._inc = incarnation(f"{self._host.replace(':', '.')}-{self.kind.queue}", 0)
        self._tasks = TrainerQueue(
            self._redis,
            self._inc,
            self.kind,
            self._signer,
            done=self._done,
            on_refused=self._tell_refused,
        )
        self._backoff = Backoff()
        self._jobs: list[Job] = []
        self._registered = False
        self._stop_by: float | None = None
        self._duties = [
            _Duty(lease / 5, self._renew),
            _Duty(lease / 5, self._reap),
            _Duty(1, self._leases.expire),
            _Duty(10, self._leases.reconcile),
        ]

    @abstractmethod
    def start(self, begun: OwnedJob) -> Deed:
        """Begins to do a job."""

    @property
    @abstractmethod
    def patience(self) -> float:
        """Seconds that jobs have to end when this process is told to stop; after that they go back to the queue."""

    def is_mine(self, job: Job) -> bool:  # noqa: ARG002
        """Whether a job still belongs to this process, which is asked several times a second and when it has ended."""
        return True

    def run(self) -> None:
        """Until SIGTERM, SIGINT or the end of stdin."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        while not self._stopped():
            for job in self._jobs:
                job.outcome = job.outcome or job.deed.poll()
            self._ask_redis()
            self._pause()
        self._leave()

    # Stopping

    def _stop(self) -> None:
        if self._stop_by is None:
            self._stop_by = time.monotonic() + self.patience

    def _stopped(self) -> bool:
        if select.select([sys.stdin], [], [], 0)[0] and not os.read(sys.stdin.fileno(), 1):
            self._stop()
        return self._stop_by is not None and (not self._jobs or time.monotonic() >= self._stop_by)

    def _leave(self) -> None:
        for job in self._jobs:
            job.deed.kill()
        try:
            self.give_back()
        except RedisError as error:
            say(f"trainer: {self.kind.queue}: Redis does not answer, so its jobs go on in a few seconds: {error}")

    def give_back(self) -> None:
        """Nothing of it counts as a death: the next trainer begins these jobs anew."""
        self._leases.give_back(self._inc)

    # Redis

    def _ask_redis(self) -> None:
        """All that is due; after an error all of it later, since everything may be done twice."""
        if not self._backoff.over:
            return
        try:
            if not self._registered:
                self._leases.register(self._inc, host=self._host, pid=os.getpid(), queues=[self.kind.queue])
                self._registered = True
            for duty in self._duties:
                if time.monotonic() >= duty.due:
                    duty.do()
                    duty.due = time.monotonic() + duty.every
            for job in list(self._jobs):
                self._look_after(job)
            while self._stop_by is None and len(self._jobs) < self.most and self._begin():
                pass
        except FencedError:
            self._registered = False
        except RedisError as error:
            if not self._backoff.failing:
                say(f"trainer: {self.kind.queue}: lost Redis and tries again: {error}")
            self._backoff.failed()
        else:
            if self._backoff.failing:
                say(f"trainer: {self.kind.queue}: has Redis again")
            self._backoff.worked()

    def _renew(self) -> None:
        # Without a lease somebody may have given our jobs back, or not yet: their own answers tell.
        if self._leases.renew([self._inc]):
            self._registered = False

    def _reap(self) -> None:
        for inc in self._leases.reap():
            say(f"trainer: {inc} is gone: what it did is begun anew")

    # Jobs

    def _begin(self) -> bool:
        begun = self._tasks.begin([job.begun.id for job in self._jobs])
        if begun is None:
            return False
        self._jobs.append(Job(begun, self.start(begun), begun.log_bytes))
        return True

    def _look_after(self, job: Job) -> None:
        if job.outcome is None and time.monotonic() < job.look_at:
            return
        job.look_at = time.monotonic() + LOOK
        if self.is_mine(job) and job.outcome is not None:
            self._finish(job, job.outcome)
            self.drop(job, ended=True)

    def _finish(self, job: Job, outcome: Outcome) -> None:
        try:
            self._tasks.finish(job.begun.id, outcome)
        except ValueError as error:
            self._tasks.finish(job.begun.id, Failure(Code.TRAINING_FAILED, f"the result cannot be told: {error}"))
        if not isinstance(outcome, Failure):  # stock RQ may requeue failed jobs
            try:
                self._done.add(job.begun.id)
            except OSError as error:
                say(f"trainer: cannot note that the job {job.begun.id} is done, so it could be run again: {error}")

    def _tell_refused(self, job_id: str, failure: Failure) -> None:
        say(f"trainer: {self.kind.queue}: {job_id[:64]!r}: {failure.code}: {failure.message}")

    def drop(self, job: Job, ended: bool) -> None:
        """It is somebody else's or nobody's from now on; its files go once it has ended."""
        job.deed.kill()
        self._jobs.remove(job)
        for key in ("upload", "sample", "signature") if ended else ():
            spool.remove(self._settings.spool_dir, job.begun.payload.get(key))

    def _pause(self) -> None:
        """Until there may be something to do."""
        if self._jobs or not self._registered or not self._backoff.over or self._stop_by is not None:
            time.sleep(TICK)
            return
        try:
            self._tasks.wait_for_work(1.0)
        except RedisError:
            time.sleep(TICK)  # which the next look will notice, and say


class TrainingPost(Post):
    """Trains, one job at a time, each in a process group of its own; and looks after what trainings need besides."""

    kind, most, patience = TRAINING, 1, 0.0

    def __init__(self, settings: Settings, *, lease: float = LEASE) -> None:
        super().__init__(settings, lease=lease)
        self._clock = Scheduler(self._redis, self.kind.queue)
        ttls = {"timeout": settings.train_timeout, "result_ttl": settings.result_ttl}
        self._schedules = Schedules(self._redis, self._signer, **ttls)
        self._unsigned: set[str] = set()
        self._duties += [
            _Duty(1, self._tend_schedules),
            _Duty(10, self._publish_recipes),
            _Duty(60, self._sweep),
        ]

    def _publish_recipes(self) -> None:
        folder = self._settings.recipes_dir
        self._tasks.publish_recipes(recipes.names(folder), recipes.parameters(folder))

    def start(self, begun: OwnedJob) -> Deed:
        again = "the trainer died while it was at this, which is now begun anew\n" if begun.deaths else ""
        try:
            return Horse(begun.payload, self._settings.train_timeout, again)
        except OSError as error:
            return Errand(functools.partial(_not_started, error))

    def is_mine(self, job: Job) -> bool:
        """Tells its progress and what it said, and hears whether it was cancelled or given back."""
        progress, lines = job.deed.progress, job.deed.lines()
        owner = self._tasks.report_progress(job.begun.id, progress, lines, job.log_bytes)
        if owner is not Ownership.MINE:
            say(f"trainer: the job {job.begun.id} is stopped: {owner}")
            self.drop(job, ended=owner is Ownership.ENDED)
            return False
        job.deed.progress = None
        job.deed.forget(len(lines))
        job.log_bytes += len(lines)
        if lines:
            told = lines.decode(errors="replace").splitlines()
            say("\n".join(f"trainer: {job.begun.payload.get('model')}: {line}" for line in told))
        return True

    def give_back(self) -> None:
        super().give_back()
        self._clock.stop()

    def _tend_schedules(self) -> None:
        if self._clock.enqueue_due():
            self._schedules.advance(self._tell_unsigned)

    def _tell_unsigned(self, model: str) -> None:
        if model not in self._unsigned:
            say(
                f"trainer: the schedule of {model[:64]!r} is not run: no gateway with this trainer's secret"
                " (TRAINER_SECRET) signed it; PUT it again"
            )
            self._unsigned.add(model)

    def _sweep(self) -> None:
        spool.sweep(self._settings.spool_dir, [payload.get("upload") for payload in self._tasks.unfinished()])
        self._done.sweep()


def _not_started(error: OSError) -> NoReturn:
    """In place of a training: what it takes to start one, a file and a process, is not to be had."""
    raise ModelgateError(Code.TRAINING_FAILED, f"its process cannot be started ({error.strerror}); try again")


class PublishingPost(Post):
    """Carries out repository commands, each in a thread, and finishes those that it has before it stops."""

    # Eight, so that a command that waits for workers keeps no alias of another model waiting.
    kind, most = REPOSITORY_COMMAND, 8

    @property
    def patience(self) -> float:
        return max(0, self._settings.stop_grace - 2)

    def start(self, begun: OwnedJob) -> Deed:
        return Errand(functools.partial(carry_out, begun.payload, self._settings, self._redis))


POSTS: Mapping[str, type[Post]] = {post.kind.queue: post for post in (TrainingPost, PublishingPost)}


def main(queue: str) -> None:
    hide_memory()
    POSTS[queue](Settings.from_environ()).run()
    os._exit(0)  # also when a command hangs


if __name__ == "__main__":
    main(*sys.argv[1:])
