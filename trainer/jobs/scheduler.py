"""`python -m trainer.jobs.scheduler`: submits scheduled trainings and deletes expired data.

Of several trainers, one at a time submits: the one that holds the lock of RQ's scheduler.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime

from redis.exceptions import OutOfMemoryError, RedisError

from broker.access.audit_log import SCHEDULE, AuditEntry, AuditLog
from broker.access.signatures import Signer
from broker.link.connection import connect
from broker.records.job_kinds import TRAINING
from broker.sides.trainer import Scheduler, unfinished
from broker.state.boards import HealthBoard
from broker.state.schedules import Schedule
from broker.state.trainer_jobs import enqueue, training_job
from contract.model.model_health import HealthState
from contract.model.repository import CURRENT
from contract.retention import Retention
from contract.settings import Settings
from contract.work.training import TrainingRequest
from runtime.outages import Duties
from runtime.program import stop_event
from storage.spool.places import spool_of
from trainer.jobs.commands import schedules_of
from trainer.jobs.train_on_start import TrainOnStart
from trainer.program import Program
from trainer.publishing.experiments import Decisions
from trainer.publishing.repositories import done_jobs_of, repository_of
from trainer.publishing.signing import SigningPolicy

log = logging.getLogger("trainer")

STUCK_AFTER = 120.0
"""Seconds without a turn of the main loop after which the process ends: more than Redis can delay one."""

TICK, ALARMS_EVERY = 0.5, 5.0
"""Seconds between two rounds of duties, and between two looks at what the observer has found."""


class TrainingScheduler:
    """Runs schedules, trains the models of TRAIN_ON_START, carries out what is decided about experiments, and removes
    old uploads, records and models."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError`."""
        self._settings = settings
        self._redis = connect(settings.redis_url, socket_timeout=2)
        self._signer = Signer.from_settings(settings)
        self._scheduler = Scheduler(self._redis, TRAINING.queue)
        self._schedules = schedules_of(settings, self._redis)
        self._audit = AuditLog(self._redis, settings.retention.audit_days, of_trainer=True)
        self._repository = repository_of(settings)
        self._done = done_jobs_of(settings)
        signing = SigningPolicy.from_settings(settings)
        self._on_start = TrainOnStart(self._repository, settings.train_on_start, signing, self._submit)
        self._health = HealthBoard(self._redis)
        self._unsigned: set[str] = set()
        self._too_often: set[str] = set()
        self._schedules_wait = False
        self.leads = False
        self._duties = Duties("the trainer's scheduler", log)
        self._duties.add(1, self._advance_schedules)
        self._duties.add(1, self._train_missing)
        self._duties.add(ALARMS_EVERY, self._train_on_alarm)
        # Each trainer does: one that was killed as the one that schedules is missed for a minute.
        self._duties.add(ALARMS_EVERY, Decisions(settings, self._redis, self._repository, self._audit).carry_out)
        self._duties.add(5, self._sweep_staging)
        self._duties.add(60, self._sweep)

    def problems(self) -> list[str]:
        """Return what is wrong, in sentences. Any thread may call it."""
        return [] if self._on_start.ready else ["not every missing model has been tried yet"]

    def step(self) -> None:
        self._duties.run_due()

    def stop(self) -> None:
        """Let another trainer schedule at once."""
        try:
            self._scheduler.stop()
        except RedisError as error:
            log.warning("no Redis; another trainer schedules when the lock ends: %s", error)

    def _advance_schedules(self) -> None:
        try:
            self.leads = self._scheduler.enqueue_due()
            if self.leads:
                self._schedules.advance(self._log_unsigned, self._audit_run)
        except OutOfMemoryError:
            if not self._schedules_wait:
                log.warning("Redis is full: schedules run once there is room")
            self._schedules_wait = True
        else:
            self._schedules_wait = False

    def _audit_run(self, schedule: Schedule) -> None:
        entry = AuditEntry("train", SCHEDULE, owner=schedule.owner or None, model=schedule.model, job_id=schedule.job)
        self._audit.write(entry)

    def _log_unsigned(self, model: str) -> None:
        if model not in self._unsigned:
            log.warning(
                "the schedule of %r does not run: no gateway with this trainer's secret signed it; PUT it again",
                model[:64],
            )
            self._unsigned.add(model)

    def _train_missing(self) -> None:
        def models() -> list[object]:
            return [payload.get("model") for payload in unfinished(self._redis, TRAINING)]

        self._on_start.look(models, self.leads)

    def _train_on_alarm(self) -> None:
        """Begin the trainings that wait for an alarm of the current version of their model."""
        waiting = [schedule for schedule in self._schedules.all() if schedule.on_alarm] if self.leads else []
        found = self._health.read() if waiting else {}
        for schedule in waiting:
            version = f"{schedule.model}@{self._repository.aliases(schedule.model).get(CURRENT)}"
            health = found.get(version)
            if health is None or not health.findings:
                continue
            if schedule.request.outcomes and health.state is not HealthState.DEGRADED:
                continue  # what came true of the rows that have drifted is not known yet
            alarm = f"{version} {health.changed_at}"
            if self._schedules.run_on_alarm(schedule, alarm, datetime.now(UTC)):
                self._too_often.discard(alarm)
            elif alarm not in self._too_often:
                self._too_often.add(alarm)
                log.warning("%s is not trained again: its last training by an alarm began within a day", version)

    def _submit(self, model: str) -> None:
        ttls = {"timeout": self._settings.train_timeout, "result_ttl": TRAINING.kept(self._settings.retention)}
        job = training_job(self._redis, TrainingRequest(model, model), **ttls)
        enqueue(self._redis, self._signer, TRAINING, job, ttl=Retention.unended_jobs)

    def _sweep_staging(self) -> None:
        """Remove the folders of trainings that were killed."""
        with suppress(OSError):
            self._repository.sweep()

    def _sweep(self) -> None:
        uploads = [payload.get("upload") for payload in unfinished(self._redis, TRAINING)]
        spool_of(self._settings).sweep_uploads(uploads)
        try:
            self._done.sweep(Retention.done_jobs)  # their age counts from the run, and a signature is older
            days = self._settings.retention.removed_model_days
            for model in self._repository.forget(days):
                log.info("%s was removed more than %d days ago and is deleted", model, days)
        except OSError as error:
            log.warning("what nobody needs cannot be removed: %s", error)


def main() -> None:
    program, stop = Program(), stop_event()
    scheduler = TrainingScheduler(Settings.from_environ())
    beat = program.watch(STUCK_AFTER, scheduler.problems)
    while not stop.wait(TICK):
        beat()
        scheduler.step()
    scheduler.stop()
    log.info("stopped")


if __name__ == "__main__":
    main()
