"""The parts of a gateway process, wired: connections to Redis, use cases, and what watches requests. Each is made once,
when it is first asked for."""

from __future__ import annotations

import functools
import socket
import threading
from functools import cached_property
from typing import Any

from redis import Redis

from broker.access.audit_log import AuditLog
from broker.access.key_store import Keys, KeyUses
from broker.access.sessions import Sessions
from broker.access.signatures import Signer
from broker.link.connection import connect
from broker.link.durability import Durability
from broker.link.idempotency import IdempotencyRecords
from broker.link.outbox import Outbox
from broker.metrics.counts import Counts
from broker.metrics.reading import MetricsReader
from broker.metrics.traffic import TrafficReader, TrafficRecorder
from broker.records.job_kinds import COMMAND_TTL, FILE_PREDICTION, PREDICTION, TRAINING
from broker.sides.gateway.file_submission import FileJobs
from broker.sides.gateway.job_client import Jobs
from broker.sides.gateway.processes import ProcessReader
from broker.sides.gateway.receipts import Receipts
from broker.sides.gateway.system_health import HealthCheck
from broker.sides.gateway.trainer_client import TrainerClient
from broker.sides.gateway.upload_counts import UploadCounts
from broker.sides.gateway.watching import JobWatch
from broker.state.presence import GATEWAYS, Presence
from broker.state.schedules import Schedules
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
from gateway.serving.file_predictions import FilePredictor
from gateway.serving.group_commit import GroupCommit
from gateway.serving.job_access import JobReader
from gateway.serving.job_events import JobWatcher
from gateway.serving.key_management import KeyAdmin
from gateway.serving.listener import Listener
from gateway.serving.loading import Loader
from gateway.serving.marker import Marker
from gateway.serving.metrics import Metrics
from gateway.serving.model_versions import CallersRepository
from gateway.serving.predicting import Predictor
from gateway.serving.readiness import Readiness
from gateway.serving.replays import Replays
from gateway.serving.repository_commands import ModelChanges, RunCommand
from gateway.serving.spool import Spool
from gateway.serving.subscriptions import Subscriptions
from gateway.serving.system_state import System
from gateway.serving.traffic import Traffic
from gateway.serving.trainings import Trainings
from gateway.serving.upload_allowance import UploadAllowance

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
TO_IMPORT = 300.0
"""The same for an uploaded model, or one with an edited signature, which the trainer loads and tries."""


class Parts:
    """Needs neither Redis nor a model to be made."""

    def __init__(self, settings: Settings, run_command: RunCommand | None = None) -> None:
        """`run_command` replaces the trainer, for tests."""
        self.settings = settings
        self._run_command = run_command
        self.stopping = threading.Event()
        self.attempts = FailedAttempts()
        self.uses = KeyUses()
        self.counts = Counts()
        self._connections: list[Redis] = []
        self.connection = self._connect()
        # One commit is in flight, and is repeated, so a dead connection must leave time for another try.
        self._patience = min(5, settings.submit_timeout / 2)
        self.durability = Durability(settings.redis_replicas, self._patience / 2)

    def _connect(self, *timeout: float, **options: Any) -> Any:
        self._connections.append(connect(self.settings.redis_url, *timeout, **options))
        return self._connections[-1]

    def close(self) -> None:
        """End the threads, send what is left for Redis, and close the connections. Raises `RedisError` if Redis has
        not got all of it."""
        self.watcher.close()
        self.listener.close()
        self.repetitions.close()
        try:
            self.outbox.stop()
        finally:
            for connection in self._connections:
                connection.close()
                connection.connection_pool.disconnect()

    # Jobs

    @cached_property
    def receipts(self) -> Receipts:
        return Receipts(max(1, PREDICTION.ttl(self.settings) // 60))

    @cached_property
    def outbox(self) -> Outbox:
        """Has a source for each report of this process."""
        outbox = Outbox(self.connection)
        presence = Presence(GATEWAYS, f"{socket.gethostname()}:{self.settings.port}")
        for source in (self.receipts, self.counts.steps, self.repetitions.steps, self.uses, presence.steps):
            outbox.add_source(source)
        return outbox

    def _jobs(self, connection: Any, **options: Any) -> Jobs:
        return Jobs(
            connection,
            max_queue_rows=self.settings.max_queue_rows,
            timeout=self.settings.predict_timeout,
            result_ttl=PREDICTION.ttl(self.settings),
            **options,
        )

    @cached_property
    def jobs(self) -> Jobs:
        return self._jobs(self.connection)

    @cached_property
    def commit(self) -> GroupCommit:
        own = self._connect(self._patience, own=True, resends=0)
        committing = self._jobs(own, outbox=self.outbox, durability=self.durability)
        return GroupCommit(committing.submit, self.settings.submit_timeout)

    @cached_property
    def listener(self) -> Listener:
        return Listener(self.connection, self.jobs)

    @cached_property
    def records(self) -> IdempotencyRecords:
        return IdempotencyRecords(self.connection, self.durability)

    @cached_property
    def replays(self) -> Replays:
        return Replays(self.records, self.jobs, self.listener, note_replay)

    @cached_property
    def reader(self) -> JobReader:
        return JobReader(self.jobs, self.listener, self.records, caller, deleted=self.spool.discard_job)

    @cached_property
    def watcher(self) -> JobWatcher:
        return JobWatcher(JobWatch(self.connection))

    # Models

    @cached_property
    def whole_repository(self) -> Repository:
        return Repository(self.settings.models_dir)

    @cached_property
    def repository(self) -> CallersRepository:
        return CallersRepository(self.settings.models_dir, caller)

    @cached_property
    def predictor(self) -> Predictor:
        most = self.settings.max_queue_rows
        return Predictor(self.jobs, self.commit, self.repository, self.listener, self.replays, most)

    @cached_property
    def loader(self) -> Loader:
        return Loader(self.connection, self.settings.warmup_timeout)

    # Files

    @cached_property
    def spool(self) -> Spool:
        settings, allowance = self.settings, UploadAllowance(UploadCounts(self.connection), caller)
        received, take, owner = self.counts.add_upload, allowance.taken, lambda: caller().owner
        return Spool(settings.spool_dir, settings.spool_mb, max(1, settings.spool_mb // 8), received, take, owner)

    @cached_property
    def files(self) -> FilePredictor:
        ttls = {"timeout": self.settings.predict_timeout, "result_ttl": FILE_PREDICTION.ttl(self.settings)}
        file_jobs = FileJobs(self.connection, **ttls, durability=self.durability)
        return FilePredictor(file_jobs, self.repository, self.spool, self.replays)

    # The trainer

    @cached_property
    def _signer(self) -> Signer:
        return Signer.from_settings(self.settings)

    @property
    def _training_ttls(self) -> dict[str, int]:
        return {"timeout": self.settings.train_timeout, "result_ttl": TRAINING.ttl(self.settings)}

    @cached_property
    def trainer(self) -> TrainerClient:
        return TrainerClient(
            self.connection,
            self._signer,
            **self._training_ttls,
            durability=self.durability,
            command_ttl=max(COMMAND_TTL, self.settings.result_ttl),
            request_ids=travelling_ids,
            owner=lambda: caller().owner,
            idempotency=current_idempotency,
            on_replay=note_replay,
        )

    @cached_property
    def trainings(self) -> Trainings:
        schedules = Schedules(self.connection, self._signer, **self._training_ttls)
        return Trainings(self.trainer, schedules, self.repository, caller, self.run_command(TO_PREVIEW), self.spool)

    @cached_property
    def model_changes(self) -> ModelChanges:
        return ModelChanges(self.repository, self.run_command(TO_ANSWER))

    def run_command(self, seconds: float) -> RunCommand:
        """Return what asks the trainer for a change that takes `seconds`, besides the wait for workers."""
        wait = self.settings.warmup_timeout + seconds
        return self._run_command or functools.partial(self.trainer.run_command, wait=wait)

    # Keys and the audit log

    @cached_property
    def marker(self) -> Marker:
        return Marker(self.settings.marker)

    @cached_property
    def closed(self) -> ClosedState:
        looking = Keys(self._connect(KEYS_TIMEOUT, resends=0))
        admin_key = bool(self.settings.admin_key)
        return ClosedState(
            looking, self.marker, always=admin_key or self.settings.allow_anonymous is False, admin_key=admin_key
        )

    @cached_property
    def key_check(self) -> KeyCheck:
        asking = Keys(self._connect(KEYS_TIMEOUT, resends=1))
        return KeyCheck(
            asking, self.closed, self.settings.admin_key, self.attempts, self.uses.note, self.browser_sessions
        )

    @cached_property
    def browser_sessions(self) -> BrowserSessions:
        return BrowserSessions(Sessions(self._connect(KEYS_TIMEOUT, resends=1)))

    @cached_property
    def key_admin(self) -> KeyAdmin:
        return KeyAdmin(Keys(self.connection, self.durability, self.settings.result_ttl), self.marker, self.repository)

    @cached_property
    def audit_log(self) -> AuditLog:
        durability = Durability(self.settings.redis_replicas, door_audit.TIMEOUT)
        return AuditLog(self._connect(door_audit.TIMEOUT, resends=1), self.settings.audit_days, durability)

    @cached_property
    def repetitions(self) -> door_audit.Repetitions:
        return door_audit.Repetitions(self.audit_log)

    # Webhooks

    @cached_property
    def webhook_targets(self) -> AllowedTargets | None:
        """Where webhooks may go; None: there are none."""
        return AllowedTargets(self.settings.webhook_allow) if self.settings.webhook_secret else None

    @cached_property
    def subscriptions(self) -> Subscriptions:
        return Subscriptions(Webhooks(self.connection, self.durability), caller)

    # Health and metrics

    @cached_property
    def readiness(self) -> Readiness:
        checking = HealthCheck(
            self._connect(HEALTH_TIMEOUT, own=True, resends=0),
            self.settings.max_queue_rows,
            Durability(self.settings.redis_replicas, HEALTH_TIMEOUT / 2),
        )
        return Readiness(checking.run, self.whole_repository, lambda: self.closed.needs_stored_key)

    @cached_property
    def metrics_reader(self) -> MetricsReader:
        return MetricsReader(self._connect(METRICS_TIMEOUT, resends=0))

    @cached_property
    def metrics(self) -> Metrics:
        expected = {**self.settings.expected, "senders": int(bool(self.settings.webhook_secret))}
        return Metrics(self.metrics_reader, self.whole_repository, self.spool, expected)

    @cached_property
    def system(self) -> System:
        return System(self.metrics, self.readiness, ProcessReader(self._connect(METRICS_TIMEOUT, resends=0)))

    @cached_property
    def traffic(self) -> Traffic:
        return Traffic(TrafficReader(self._connect(METRICS_TIMEOUT, resends=0)), self.repository, caller)

    @cached_property
    def traffic_recorder(self) -> TrafficRecorder:
        return TrafficRecorder(self.connection, self.whole_repository.names, self.metrics_reader.read)
