"""What has happened to a model, for its charts: each service keeps what it has done, and nothing is stored twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from broker.access.audit_log import LARGEST_PAGE, AuditLog, Outcome
from broker.records.job_kinds import TRAINING
from broker.sides.gateway.listing import JobFilter
from broker.state.boards import HealthBoard
from broker.state.starts import StartReader
from contract.model.model_health import HealthState
from contract.model.repository import CURRENT, Repository
from contract.retention import Retention
from contract.work.api_keys import Scope
from contract.work.jobs import Status
from gateway.serving.job_access import JobReader
from gateway.serving.metrics import ttl_of_cost
from gateway.serving.model_cards import alias_moved_by
from gateway.serving.traffic import KEEP, Chart, moment_of, seconds_of
from runtime.ttl_cache import TtlCache

_MOST_KEPT = 1_000
"""Models whose events are kept in memory for a moment."""
_MOST_NAMES = 3
"""Processes that started together and are named."""
_DRIFT = {
    HealthState.DRIFTED: ("began to drift", "no longer drifted"),
    HealthState.DEGRADED: ("was found to be worse than promised", "was as good as promised again"),
}
"""What is said when a state begins and ends."""


class EventKind(StrEnum):
    """START: Redis, a gateway or a worker has started."""

    PROMOTION = "promotion"
    TRAINING_FAILED = "training_failed"
    DRIFT = "drift"
    EXPERIMENT = "experiment"
    START = "start"


@dataclass(frozen=True)
class ModelEvent:
    """`at`: RFC 3339. `text`: a few words. `by`: the name of the key; None: unknown, or not for the caller to see.
    `job`: that of a failed training."""

    at: str
    kind: EventKind
    text: str
    by: str | None = None
    job: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class ModelEvents:
    """Events as the caller of the current request may see them: names of keys are for admins, as in the audit log, and
    failed trainings for their owner. Raises `RedisError`."""

    def __init__(
        self, repository: Repository, audit: AuditLog, health: HealthBoard, starts: StartReader, jobs: JobReader
    ) -> None:
        self._repository = repository
        self._audit = audit
        self._health = health
        self._starts = starts
        self._jobs = jobs
        self._cache: TtlCache[str, list[ModelEvent]] = TtlCache(_MOST_KEPT)

    def within(self, model: str, chart: Chart) -> list[ModelEvent]:
        """Return the events of a model in the time of a chart, the oldest first."""
        seen = self._cache.fetch(model, lambda: self._read(model), lambda _, cost: ttl_of_cost(cost, KEEP))
        if not self._jobs.caller().allows(Scope.ADMIN):
            seen = [replace(event, by=None) for event in seen]
        times = range(chart.points[0].start, chart.end)
        events = [event for event in [*seen, *self._failed_trainings(model)] if int(seconds_of(event.at)) in times]
        return sorted(events, key=lambda event: seconds_of(event.at))

    def _read(self, model: str) -> list[ModelEvent]:
        sources = (self._promotions, self._drift, self._experiments, self._process_starts)
        return [event for source in sources for event in source(model)]

    def _promotions(self, model: str) -> Iterator[ModelEvent]:
        wanted, current = {"model": model, "outcome": Outcome.DONE}, None
        since = datetime.now(UTC) - timedelta(seconds=Retention.traffic)
        for entry in reversed(self._audit.page(wanted, LARGEST_PAGE, None, since).items):
            if alias_moved_by(entry) == CURRENT and entry["version"] not in (None, current):
                current = entry["version"]
                back = " again, by a rollback" if entry["action"] == "roll_back" else ""
                yield ModelEvent(
                    entry["time"], EventKind.PROMOTION, f"version {current} became current{back}", entry["actor"]
                )

    def _drift(self, model: str) -> Iterator[ModelEvent]:
        for key, health in self._health.read().items():
            name, _, number = key.partition("@")
            for state, began, ended in health.spells if name == model else ():
                begins, ends = _DRIFT[state]
                yield ModelEvent(began, EventKind.DRIFT, f"version {number} {begins}")
                if ended:
                    yield ModelEvent(ended, EventKind.DRIFT, f"version {number} {ends}")

    def _experiments(self, model: str) -> Iterator[ModelEvent]:
        for one in self._repository.settings(model).experiments:
            text = f"version {one.candidate} began as a {one.plan.kind} beside version {one.baseline}"
            yield ModelEvent(one.started_at, EventKind.EXPERIMENT, text, one.started_by or None)
            if one.ending and one.ended_at:
                text = f"the experiment with version {one.candidate} ended: {one.ending.replace('_', ' ')}"
                yield ModelEvent(one.ended_at, EventKind.EXPERIMENT, text)

    def _process_starts(self, _: str) -> Iterator[ModelEvent]:
        """Yield the starts, each with those of its kind within the same minute."""
        by_minute = defaultdict(list)
        for at, kind, name in self._starts.read():
            by_minute[int(at // 60), kind].append((at, name))
        for (_minute, kind), starts in by_minute.items():
            names = sorted({name for _, name in starts})
            more = len(names) - _MOST_NAMES
            if len(names) > 1:
                others = f" and {more} more" if more > 0 else ""
                text = f"{len(names)} {kind}s started: {', '.join(names[:_MOST_NAMES])}{others}"
            else:
                text = f"{kind} {names[0]} started".replace("  ", " ")
            yield ModelEvent(moment_of(min(starts)[0]), EventKind.START, text)

    def _failed_trainings(self, model: str) -> Iterator[ModelEvent]:
        for job in self._jobs.list(JobFilter(model, Status.FAILED, kind=TRAINING.name), LARGEST_PAGE, None).items:
            if job.completed_at:
                yield ModelEvent(job.completed_at, EventKind.TRAINING_FAILED, "a training failed", job=job.id)
