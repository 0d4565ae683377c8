"""The observer: keeps the log, and answers questions about it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb
from redis.exceptions import RedisError

from broker.link.connection import connect
from broker.records.job_kinds import OBSERVATION
from broker.running.execution import Execution, ThreadExecution
from broker.running.job_runner import JobRunner
from broker.sides.observer import BEGINNING, LogStream, RequestCounts
from broker.sides.single_jobs import OwnedJob
from broker.sides.supervisor import LEASE
from broker.state.boards import ExperimentBoard, HealthBoard
from contract.errors import Code, Failure
from contract.model.model_settings import MOST_DAYS
from contract.model.repository import RepositoryWithRemoved
from contract.settings import Settings
from contract.work.observation import Observation, ObservationAction
from observer.experiments.looks import ExperimentWatch
from observer.experiments.reading import ExperimentRows
from observer.experiments.shadows import ShadowWatch
from observer.health import HealthReports
from observer.learning import Learning
from observer.log.deletion import Deletion, Deletions
from observer.log.intake import Intake
from observer.log.outcomes import Outcomes
from observer.log.reading import read_page
from observer.log.store import InUse, LogStore
from observer.log.upkeep import merge, remove_old
from observer.measuring import Measuring
from observer.quality import QualityWatch
from observer.refusals import RefusalWatches
from observer.watch import Watch
from runtime.backoff import Backoff

if TYPE_CHECKING:
    from observer.log.bucket import LogBucket

log = logging.getLogger("observer")

INTAKE_EVERY, LOOK_EVERY, COUNTS_EVERY, COPY_EVERY, UPKEEP_EVERY = 2.0, 5.0, 15.0, 10.0, 60.0
"""Seconds between two rounds."""

MOST_TIME = 0.05
"""The part of a processor that a thread takes: what the observer does is in nobody's way. One that had much to do
takes more, because what waits for too long is dropped."""

OF_ROWS, OF_OUTCOMES = 0.8, 0.2
"""The parts of `ALARM_LEVEL` for alarms of rows, and for a version that is worse than its report promised."""


@dataclass(frozen=True)
class PredictionLog:
    """The log of one installation: what enters it, and what is asked of it."""

    intake: Intake
    store: LogStore
    repository: RepositoryWithRemoved
    outcomes: Outcomes
    measuring: Measuring
    reports: HealthReports
    experiments: ExperimentWatch
    most_gb: int
    bucket: LogBucket | None

    @classmethod
    def open(cls, settings: Settings, connection: Any) -> PredictionLog:
        """Raises OSError, `SettingsError` and `observer.log.store.InUse`. An empty log is fetched from the store first,
        however long that is away: without, it would be another log."""
        store = LogStore(settings.prediction_log_dir, BEGINNING)
        bucket = _bucket_of(settings, store)
        fetched = bucket is not None and _fetch(bucket)
        repository = RepositoryWithRemoved(settings.models_dir)
        watch = Watch(store, OF_ROWS * settings.alarm_level)
        shadows = ShadowWatch(store, repository)
        intake = Intake(LogStream(connection), store, repository, Deletions(store), watch, shadows)
        outcomes = Outcomes(store)
        for deletion in intake.deletions.remembered() if fetched else ():  # their rows may have been there still
            outcomes.forget(deletion)
            intake.deletions.repeat(deletion)
        measuring = Measuring(store, outcomes)
        quality = QualityWatch(store, measuring, repository, OF_OUTCOMES * settings.alarm_level)
        counts = RequestCounts(connection)
        refusals = RefusalWatches(store, counts, repository)
        reports = HealthReports(HealthBoard(connection), store, repository, watch, quality, refusals)
        rows = ExperimentRows(store, outcomes)
        experiments = ExperimentWatch(ExperimentBoard(connection), rows, repository, counts, shadows)
        most_gb = settings.prediction_log_gb
        return cls(intake, store, repository, outcomes, measuring, reports, experiments, most_gb, bucket)

    def take_in(self) -> bool:
        """Take what waits, and say what it shows. Returns whether it was much."""
        much = self.intake.run()
        self.reports.publish()
        return much

    def keep_order(self) -> None:
        """Merge files and remove old ones."""
        merge(self.store)
        remove_old(self.store, self._keep_days, self.most_gb)
        self.outcomes.keep_order(self._keep_days)
        self.reports.remove_old()

    def _keep_days(self, model: str) -> int:
        if not self.repository.versions(model) and not self.repository.was_removed(model):
            return MOST_DAYS  # the repository may be away, so its settings are unknown
        self.repository.aliases(model)
        return self.repository.settings(model).logging.keep_days

    def answer(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the answer to an observation. Takes what waits first, so a caller finds the rows that it was
        answered."""
        asked = Observation.from_json(payload)
        self.intake.run()
        return _ANSWERS[asked.action](self, asked)

    def read_predictions(self, asked: Observation) -> Mapping[str, Any]:
        return read_page(self.store, asked)

    def delete_predictions(self, asked: Observation) -> Mapping[str, Any]:
        with self.store.lock:
            self.outcomes.forget(Deletion.of(asked.model, asked.id or "", asked.owner))
            return {"deleted": self.intake.deletions.delete(asked.model, asked.id or "", asked.owner)}

    def health(self, asked: Observation) -> Mapping[str, Any]:
        manifest = self.repository.manifest(asked.model, asked.version or 0)
        with self.store.lock:
            return {**self.reports.summary(manifest), **self.reports.watch.health(manifest)}

    def add_outcomes(self, asked: Observation) -> Mapping[str, Any]:
        counts = self.outcomes.add(asked)
        self.reports.quality.note(asked.model, counts["new"] + counts["corrected"])
        return counts

    def measure(self, asked: Observation) -> Mapping[str, Any]:
        manifest = self.repository.manifest(asked.model, asked.version or 0)
        facts = self.repository.files(asked.model, manifest.version).report_facts() or {}
        return self.measuring.measure(manifest, facts, asked.owner)

    def read_outcomes(self, asked: Observation) -> Mapping[str, Any]:
        return Learning(self.store, self.outcomes, self.repository).page(asked)


_ANSWERS: Mapping[ObservationAction, Callable[[PredictionLog, Observation], Mapping[str, Any]]] = {
    ObservationAction.READ_PREDICTIONS: PredictionLog.read_predictions,
    ObservationAction.DELETE_PREDICTIONS: PredictionLog.delete_predictions,
    ObservationAction.HEALTH: PredictionLog.health,
    ObservationAction.ADD_OUTCOMES: PredictionLog.add_outcomes,
    ObservationAction.MEASURE: PredictionLog.measure,
    ObservationAction.READ_OUTCOMES: PredictionLog.read_outcomes,
}


class Observer(JobRunner):
    """Answers observations, each in a thread, and keeps the log in another one, so that the lease is renewed while
    either takes long."""

    kind, most_jobs = OBSERVATION, 4

    def __init__(self, settings: Settings, *, lease: float = LEASE) -> None:
        """`lease` in seconds. Raises `SettingsError`, OSError and `observer.log.store.InUse`."""
        connection = connect(settings.redis_url, socket_timeout=2, check=False)
        super().__init__(settings, connection, log, lease=lease)
        self.log = PredictionLog.open(settings, connect(settings.redis_url, check=False))
        self._ended = threading.Event()

    def run(self, beat: Callable[[], None] = lambda: None) -> None:
        rounds = [
            threading.Thread(target=self._repeat, args=(work, seconds, subject), name=work.__name__)
            for work, seconds, subject in (
                (self.log.take_in, INTAKE_EVERY, "the prediction log"),
                (self.log.reports.quality.look, LOOK_EVERY, "the prediction log"),
                (self.log.experiments.look, LOOK_EVERY, "experiments"),
                (self.log.reports.refusals.look, COUNTS_EVERY, "the prediction log"),
                (self.log.keep_order, UPKEEP_EVERY, "the prediction log"),
                (self._copy, COPY_EVERY, "the copy of the prediction log"),
            )
        ]
        for thread in rounds:
            thread.start()
        try:
            super().run(beat)
        finally:
            self._ended.set()
            for thread in rounds:
                thread.join()
            with suppress(RedisError, OSError, duckdb.Error):  # what is left waits for the next observer
                self.log.intake.run()
            with suppress(OSError, InUse):
                self._copy(self.stop_grace / 2)
            self.log.store.close()

    @property
    def stop_grace(self) -> float:
        return max(0, self._settings.stop_grace - 2)

    def start(self, owned: OwnedJob) -> Execution:
        return ThreadExecution(partial(self.log.answer, owned.payload), _unexpected)

    def _copy(self, last: float = 0) -> bool:
        """Copy what has changed, until the end and then for `last` seconds. Returns whether there was anything."""
        by = time.monotonic() + last
        bucket = self.log.bucket
        return bucket is not None and bucket.copy(lambda: time.monotonic() < by or not self._ended.is_set())

    def _repeat(self, work: Callable[[], bool | None], seconds: float, subject: str) -> None:
        """Do `work`, which returns whether it was much, again and again. One that fails is done again: the disk may be
        full, or Redis away."""
        failing, took = False, 0.0
        while not self._ended.wait(max(seconds, took / MOST_TIME)):
            began, much = time.thread_time(), None
            try:
                much = work()
            except Exception as error:
                if not failing:
                    log.warning("%s waits: %s: %s", subject, type(error).__name__, error)
                failing = True
            else:
                if failing:
                    log.info("%s goes on", subject)
                failing = False
            took = 0.0 if much else time.thread_time() - began


def _bucket_of(settings: Settings, store: LogStore) -> LogBucket | None:
    if not settings.prediction_log_url:
        return None
    from observer.log.bucket import LogBucket  # the library takes memory

    return LogBucket.at(settings, store)


def _fetch(bucket: LogBucket) -> bool:
    """Fetch an empty log, and return whether there was one in the store."""
    pauses = Backoff(1, 30)
    while True:
        try:
            return bucket.fetch()
        except OSError as error:
            if not pauses.failing:
                log.warning("the prediction log waits to be fetched: %s", error)
            time.sleep(pauses.failed())


def _unexpected(error: Exception) -> Failure:
    log.exception("an observation ended with %s", type(error).__name__)
    return Failure(Code.OBSERVER_FAILED, f"the observer failed: {type(error).__name__}: {error}")
