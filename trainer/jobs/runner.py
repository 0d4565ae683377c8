"""`python -m trainer.jobs.runner QUEUE`: the process that runs the jobs of one of the trainer's queues."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import NoReturn

from broker.link.connection import connect
from broker.records.job_kinds import REPOSITORY_COMMAND, TRAINING
from broker.running.execution import Execution, ThreadExecution
from broker.running.job_runner import JobRunner, RunningJob
from broker.sides.gateway.room import RoomMaker
from broker.sides.single_jobs import OwnedJob, Ownership
from broker.sides.supervisor import LEASE
from broker.sides.trainer import publish_recipes
from contract.errors import Code, Failure, ModelgateError
from contract.settings import Settings
from storage.spool.places import spool_of
from trainer import recipes
from trainer.forks import TRAININGS, Forks
from trainer.jobs.commands import CommandParts, carry_out
from trainer.jobs.training_process import TrainingProcess
from trainer.processes import CLUSTER_PREFIX, RECIPE_PREFIX, environment
from trainer.program import Program
from trainer.publishing.repositories import done_jobs_of

log = logging.getLogger("trainer")

STUCK_AFTER = 120.0
"""Seconds without a turn of the main loop after which the process ends: more than Redis can delay one."""

KEEP_TEMPLATE = 60.0
"""Seconds that a template is kept, at least, for the next training or command."""


class TrainerRunner(JobRunner):
    """Runs the jobs of a queue of the trainer, each of them once."""

    def __init__(self, settings: Settings, *, lease: float = LEASE) -> None:
        """`lease` in seconds. Raises `SettingsError`."""
        self._done = done_jobs_of(settings)
        super().__init__(settings, connect(settings.redis_url, socket_timeout=2), log, lease=lease, done=self._done)
        self._duties.add(1, RoomMaker(self._redis).make)

    def ended(self, owned: OwnedJob, *, succeeded: bool) -> None:
        """Remove the files of the job. If it has `succeeded`, it must not run again: stock RQ may requeue failed
        ones."""
        if succeeded:
            try:
                self._done.add(owned.id)
            except OSError as error:
                log.warning("cannot record that a job has run: %s", error, extra=owned.context())
        spool_of(self._settings).discard(map(owned.payload.get, ("upload", "sample", "code", "signature")))


class TrainingRunner(TrainerRunner):
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
        publish_recipes(self._redis, recipes.names(folder), recipes.parameters(folder))

    def start(self, owned: OwnedJob) -> Execution:
        first_line = "the trainer died during this training, which now starts again\n" if owned.deaths else ""
        self._has_trained = True
        try:
            return TrainingProcess(self._forks, owned.payload, owned.id, self._settings.train_timeout, first_line)
        except OSError as error:
            return ThreadExecution(functools.partial(_not_started, error), _unexpected)

    def report_progress(self, job: RunningJob) -> bool:
        """Send progress and output to Redis. Kill a job that was cancelled or given back."""
        progress, lines = job.execution.progress, job.execution.log_lines()
        owner = self._queue.report_progress(job.owned.id, progress, lines, job.log_bytes)
        if owner is not Ownership.MINE:
            log.info("the job %s is stopped: %s", job.owned.id, owner, extra=job.owned.context())
            self.release(job)
            if owner is Ownership.ENDED:
                self.ended(job.owned, succeeded=False)
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


def _unexpected(error: Exception) -> Failure:
    log.exception("a job of the trainer ended with %s", type(error).__name__)
    return Failure(Code.NOT_PUBLISHED, f"the trainer failed: {type(error).__name__}: {error}")


class PublishingRunner(TrainerRunner):
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
        return ThreadExecution(functools.partial(carry_out, owned.payload, self._parts), _unexpected)


RUNNERS: Mapping[str, type[TrainerRunner]] = {
    runner.kind.queue: runner for runner in (TrainingRunner, PublishingRunner)
}


def main() -> None:
    program = Program("queue")
    RUNNERS[program.arguments.queue](Settings.from_environ()).run(program.watch(STUCK_AFTER))
    os._exit(0)  # also while a command hangs


if __name__ == "__main__":
    main()
