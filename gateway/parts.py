"""The parts of a gateway process, wired: connections to Redis, use cases, and what watches requests."""

from __future__ import annotations

import functools
import socket
import threading
from typing import Any

from redis import Redis

from broker.access.audit_log import AuditLog
from broker.access.key_store import Keys, KeyUses, Sessions
from broker.access.key_use import UseCounts, UseReader
from broker.access.signatures import Signer
from broker.link.connection import connect
from broker.link.idempotency import IdempotencyRecords
from broker.link.outbox import Outbox
from broker.link.scripts import Durability
from broker.metrics.counts import Counts
from broker.metrics.reading import MetricsReader
from broker.metrics.traffic import TrafficReader, TrafficRecorder
from broker.records.job_kinds import FILE_PREDICTION, OBSERVATION, PREDICTION, TRAINING
from broker.sides.deliveries import Deliveries
from broker.sides.gateway.file_submission import FileJobs
from broker.sides.gateway.job_client import Jobs, JobWatch
from broker.sides.gateway.observer_client import ObserverClient
from broker.sides.gateway.receipts import Receipts
from broker.sides.gateway.system_health import HealthCheck, ProcessReader
from broker.sides.gateway.trainer_client import TrainerClient
from broker.sides.gateway.upload_counts import UploadCounts
from broker.state.announced import Announced
from broker.state.boards import ExperimentBoard, HealthBoard
from broker.state.failures import FailureBoard, FailureCounts
from broker.state.lake_schedules import LakeSchedules
from broker.state.presence import GATEWAYS, Presence
from broker.state.schedules import Schedules
from broker.state.starts import GATEWAY, ProcessStart, StartReader
from broker.state.waited_jobs import Asker, WaitedJobs
from broker.state.webhook_store import Webhooks
from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.webhooks import AllowedTargets
from gateway.door import audit as door_audit
from gateway.door.attempts import FailedAttempts
from gateway.door.authentication import KeyCheck
from gateway.door.closed import ClosedState
from gateway.door.sessions import BrowserSessions
from gateway.http.exchange import caller, current_idempotency, note_replay, travelling_ids
from gateway.serving.announcements import Announcements
from gateway.serving.attention import ModelStates
from gateway.serving.descriptions import Descriptions
from gateway.serving.experiments import Experiments
from gateway.serving.failures import Failures
from gateway.serving.file_predictions import FilePredictor
from gateway.serving.group_commit import GroupCommit
from gateway.serving.job_access import JobReader, Replays
from gateway.serving.job_events import JobWatcher
from gateway.serving.key_management import KeyAdmin
from gateway.serving.key_use import Callers
from gateway.serving.lake_schedules import ScheduledPredictions
from gateway.serving.listener import Listener
from gateway.serving.loading import Loader
from gateway.serving.marker import Marker
from gateway.serving.metrics import Metrics
from gateway.serving.model_cards import ModelCards
from gateway.serving.model_events import ModelEvents
from gateway.serving.model_versions import CallersRepository, ModelChanges, RunCommand
from gateway.serving.predicting import Predictor
from gateway.serving.prediction_log import LogAccess
from gateway.serving.promotions import Promotions
from gateway.serving.readiness import Readiness
from gateway.serving.spool import GatewaySpool, UploadAllowance, aside
from gateway.serving.subscriptions import Subscriptions
from gateway.serving.system_state import System
from gateway.serving.traffic import Traffic
from gateway.serving.trainings import Trainings
from storage.spool.places import spool_of

HEALTH_TIMEOUT = 0.5
"""Seconds that Redis has for each answer to the health check."""
KEYS_TIMEOUT = 1.0
"""The same for a question about a key, which holds up a request."""
METRICS_TIMEOUT = 2.0
"""The same for the metrics, for which Prometheus waits 10 s."""

TO_ANSWER = 5.0
"""Seconds that the trainer has for a command, besides the wait for workers."""
TO_PREVIEW = 30.0
"""The same for a preview of a training, which reads the beginning of a file."""
TO_IMPORT = 600.0
"""The same for an uploaded model, or one with an edited signature, which the trainer loads and tries."""


class Parts:
    """Needs neither Redis nor a model to be made. Raises `SettingsError` without the secret of the trainer."""

    def __init__(self, settings: Settings, run_command: RunCommand | None = None) -> None:
        """`run_command` replaces the trainer, for tests."""
        self.settings = settings
        self._run_command = run_command
        self.stopping = threading.Event()
        self.attempts = FailedAttempts()
        self.counts, self.uses, self.failure_counts = Counts(), UseCounts(), FailureCounts()
        self._connections: list[Redis] = []
        self.connection = self._connect()
        # One commit is in flight, and is repeated, so a dead connection must leave time for another try.
        self._patience = min(5, settings.submit_timeout / 2)
        self.durability = Durability(settings.redis_replicas, self._patience / 2)
        self.whole_repository = Repository(settings.models_dir)
        self.repository = CallersRepository(settings.models_dir, caller)
        # Where webhooks may go; None: there are none.
        self.webhook_targets = AllowedTargets(settings.webhook_allow) if settings.webhook_secret else None
        self.deliveries = Deliveries(self.connection, Outbox(self.connection))
        self.subscriptions = Subscriptions(Webhooks(self.connection, self.durability), self.deliveries, caller)
        self._make_access()
        self._make_jobs()
        self._make_trainings()
        self._make_health()

    def _connect(self, *timeout: float, **options: Any) -> Any:
        self._connections.append(connect(self.settings.redis_url, *timeout, **options))
        return self._connections[-1]

    def close(self) -> None:
        """End the threads, send what is left for Redis, and close the connections. Raises `RedisError` if Redis has
        not got all of it."""
        self.stopping.set()
        self.closed.stop()
        self.traffic_recorder.stop()
        self.watcher.close()
        self.listener.close()
        self.repetitions.close()
        try:
            self.outbox.stop()
        finally:
            for connection in self._connections:
                connection.close()
                connection.connection_pool.disconnect()

    def _make_access(self) -> None:
        """Make what checks keys, and the audit log."""
        settings, admin_key = self.settings, self.settings.admin_key
        marker = Marker(settings.marker)
        self.closed = ClosedState(
            Keys(self._connect(KEYS_TIMEOUT, resends=0)),
            marker,
            always=settings.always_closed,
            admin_key=bool(admin_key),
        )
        self.browser_sessions = BrowserSessions(Sessions(self._connect(KEYS_TIMEOUT, resends=1)))
        self._key_uses, asking = KeyUses(), Keys(self._connect(KEYS_TIMEOUT, resends=1))
        self.key_check = KeyCheck(
            asking, self.closed, admin_key, self.attempts, self._key_uses.note, self.browser_sessions
        )
        keys = Keys(self.connection, self.durability, settings.retention.results)
        self.key_admin = KeyAdmin(keys, marker, self.repository, bool(admin_key))
        self.callers = Callers(UseReader(self._connect(METRICS_TIMEOUT, resends=0)), keys)
        durability = Durability(settings.redis_replicas, door_audit.TIMEOUT)
        self.audit_log = AuditLog(
            self._connect(door_audit.TIMEOUT, resends=1), settings.retention.audit_days, durability
        )
        self.repetitions = door_audit.Repetitions(self.audit_log)

    def _make_jobs(self) -> None:
        """Make what submits predictions and files, and what reads jobs and waits for them."""
        settings, connection = self.settings, self.connection
        self.receipts = Receipts(settings.retention.delivered_results)
        self.outbox = Outbox(connection)
        name = f"{socket.gethostname()}:{settings.port}"
        counted, reports = (
            (self.counts.steps, self.uses.steps, self.failure_counts.steps),
            (Presence(GATEWAYS, name).steps, ProcessStart(GATEWAY, name).steps),
        )
        for source in (self.receipts, *counted, self.repetitions.steps, self._key_uses, *reports):
            self.outbox.add_source(source)
        most = settings.max_queue_rows
        make_jobs = functools.partial(
            Jobs, max_queue_rows=most, timeout=settings.predict_timeout, result_ttl=PREDICTION.kept(settings.retention)
        )
        jobs, committing = make_jobs(connection), self._connect(self._patience, own=True, resends=0)
        submit = make_jobs(committing, outbox=self.outbox, durability=self.durability).submit
        self.listener = Listener(connection, jobs)
        records = IdempotencyRecords(connection, self.durability)
        self.replays = Replays(records, jobs, self.listener, note_replay)
        commit = GroupCommit(submit, settings.submit_timeout)
        self.predictor = Predictor(jobs, commit, self.repository, self.listener, self.replays, most)
        take = UploadAllowance(UploadCounts(connection), caller).taken
        largest, owner = max(1, settings.spool_mb // 8), lambda: caller().owner
        self.spool = GatewaySpool(spool_of(settings, aside), largest, self.counts.add_upload, take, owner)
        file_jobs = FileJobs(
            connection,
            timeout=settings.predict_timeout,
            result_ttl=FILE_PREDICTION.kept(settings.retention),
            durability=self.durability,
        )
        self.files = FilePredictor(file_jobs, self.repository, self.spool, self.replays)
        self.reader = JobReader(jobs, self.listener, records, caller, deleted=self.spool.discard_job)
        self.watcher = JobWatcher(JobWatch(connection))

    def _make_trainings(self) -> None:
        """Make what sends jobs and commands to the trainer."""
        signer = Signer.from_settings(self.settings)
        ttls = {"timeout": self.settings.train_timeout, "result_ttl": TRAINING.kept(self.settings.retention)}
        asker = Asker(travelling_ids, lambda: caller().owner, current_idempotency, note_replay)
        self.trainer = TrainerClient(
            self.connection,
            signer,
            **ttls,
            durability=self.durability,
            command_ttl=self.settings.retention.keyed_commands,
            asker=asker,
        )
        schedules = Schedules(self.connection, signer, **ttls)
        self.scheduled_predictions = ScheduledPredictions(LakeSchedules(self.connection), self.repository, caller)
        preview = self.run_command(TO_PREVIEW)
        self.trainings = Trainings(self.trainer, schedules, self.repository, caller, preview, self.spool)
        self.failure_board = FailureBoard(self.connection)
        self.model_changes = ModelChanges(self.repository, self.run_command(TO_ANSWER), self.failure_board.forget)
        self.descriptions = Descriptions(self.model_changes, caller)
        self.promotions = Promotions(self.model_changes, caller)
        self.experiments = Experiments(self.model_changes, ExperimentBoard(self.connection), caller)
        kept, unkeyed = OBSERVATION.kept(self.settings.retention), Asker(asker.request_ids, asker.owner)
        observing = WaitedJobs(self.connection, signer, OBSERVATION, ttl=kept, keyed_ttl=kept, asker=unkeyed, once=True)
        self.log = LogAccess(self.model_changes, ObserverClient(observing).ask, caller)
        self.cards = ModelCards(self.log, self.audit_log, HealthBoard(self.connection))

    def run_command(self, seconds: float) -> RunCommand:
        """Return what asks the trainer for a change that takes `seconds`, besides the wait for workers."""
        wait = self.settings.warmup_timeout + seconds
        return self._run_command or functools.partial(self.trainer.run_command, wait=wait)

    def _make_health(self) -> None:
        """Make what knows the state of the system."""
        settings, durability = self.settings, Durability(self.settings.redis_replicas, HEALTH_TIMEOUT / 2)
        checking = HealthCheck(self._connect(HEALTH_TIMEOUT, own=True, resends=0), settings.max_queue_rows, durability)
        self.readiness = Readiness(checking.run, self.whole_repository, lambda: self.closed.needs_stored_key)
        reading = self._connect(METRICS_TIMEOUT, resends=0)
        reader = self.metrics_reader = MetricsReader(reading)
        issued = Keys(reading)
        expected = {**settings.expected, "senders": int(bool(settings.webhook_secret))}
        self.metrics = Metrics(reader, issued.all, self.whole_repository, self.spool, expected)
        processes = ProcessReader(self._connect(METRICS_TIMEOUT, resends=0))
        self.system = System(self.metrics, self.readiness, processes, TrafficReader(reading))
        self.traffic = Traffic(TrafficReader(self._connect(METRICS_TIMEOUT, resends=0)), self.repository, caller)
        self.failures = Failures(self.failure_board, self.traffic, self.repository, self.key_admin.all, caller)
        health, starts = HealthBoard(self.connection), StartReader(self._connect(METRICS_TIMEOUT, resends=0))
        self.events = ModelEvents(self.repository, self.audit_log, health, starts, self.reader)
        announcements = Announcements(
            self.whole_repository,
            TrafficReader(self.connection),
            Keys(self.connection),
            Announced(self.connection),
            Webhooks(self.connection).all,
            self.deliveries,
        )
        look = (announcements.look,) if self.webhook_targets else ()
        self.traffic_recorder = TrafficRecorder(self.connection, self.whole_repository.names, reader.read, *look)
        self.states = ModelStates(self.repository, self.traffic, self.cards.health, self.trainings, self.reader)
        self.loader = Loader(self.connection, settings.warmup_timeout)
