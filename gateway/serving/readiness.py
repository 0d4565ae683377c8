"""Whether a prediction would be accepted now, and whether it would be scored soon."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from broker.link.faults import UNAVAILABLE
from broker.sides.gateway.system_health import SystemHealth
from broker.state.presence import TIMEOUT_COUNTS
from broker.state.webhook_store import MOST_WAITING
from contract.model.repository import Repository

log = logging.getLogger(__name__)

KEEP = 1.0
"""Seconds that an answer is kept."""

PATIENCE = 0.8
"""Seconds that a caller waits for an answer."""

WEBHOOKS_LATE = 60.0
"""Seconds after which webhooks are late."""

SHOWN = 100
"""Most reasons in an answer."""


class State(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    """Predictions are accepted, but some wait or fail."""
    NOT_READY = "not_ready"
    """No prediction is accepted."""


@dataclass(frozen=True)
class Reason:
    """One thing that is wrong: `code` for programs, `detail` for people, and further `members` of its JSON."""

    code: str
    detail: str
    members: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        return {"code": self.code, "detail": self.detail, **self.members}


_WITHOUT_NAMES: Mapping[str, str] = {
    "no_model": "the model repository holds no model",
    "worker_silent": "a worker has reported nothing for some seconds: its jobs may wait",
    "process_stuck": "a process has made no progress for some seconds: requests or jobs of it may wait",
    "queue_full": "the queue of a model is full (MAX_QUEUE_ROWS), so predictions with this model are refused",
    "model_times_out": "rows of a model took longer than PREDICT_TIMEOUT lately: one scorer takes none of them",
    "model_not_loaded": "a version cannot be loaded",
    "store_away": "the object store with the models does not answer: they stay as they were there",
    "mirror_behind": "a machine does not have a model as the object store has it",
    "webhooks_full": "too many webhooks of an owner wait, so further ones are given up",
}
"""The details of reasons that name models, workers or folders, for callers without the scope `read`."""


@dataclass(frozen=True)
class ReadinessReport:
    """The answer: the models in the repository, the scorers that are alive, and what is wrong. `repairs`: whether Redis
    accepts commands that free memory or repair, such as a rollback."""

    state: State
    models: int
    workers: int
    repairs: bool
    reasons: Sequence[Reason] = ()

    @property
    def detail(self) -> str:
        shown = [reason.detail for reason in self.reasons[:3]]
        more = [f"{len(self.reasons) - 3} more reasons"] if len(self.reasons) > 3 else []
        return "; ".join(shown + more)

    def without_names(self) -> ReadinessReport:
        """Return the answer for callers without the scope `read`: each reason once, without names."""
        reasons = [Reason(reason.code, _WITHOUT_NAMES.get(reason.code, reason.detail)) for reason in self.reasons]
        return replace(self, reasons=list({reason.code: reason for reason in reasons}.values()))


class _Attempt:
    """One check, whose result all callers meanwhile share."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.done = threading.Event()
        self.report: ReadinessReport | None = None

    @property
    def over(self) -> bool:
        return self.done.is_set() and time.monotonic() - self.began > KEEP


class Readiness:
    """Checks at most once a second for all callers together, and answers within a second even if Redis hangs."""

    def __init__(
        self, check: Callable[[], SystemHealth], repository: Repository, needs_key: Callable[[], bool]
    ) -> None:
        """`needs_key`: whether requests need a key from Redis."""
        self._check = check
        self._needs_key = needs_key
        self._repository = repository
        self._lock = threading.Lock()
        self._attempt: _Attempt | None = None
        self._seen = self._logged = ""

    def report(self) -> ReadinessReport:
        """Return the answer of the last second. An attempt that takes longer counts as failed."""
        with self._lock:
            attempt = self._attempt
            if attempt is None or attempt.over:
                attempt = self._attempt = _Attempt()
                threading.Thread(target=self._run, args=(attempt,), name="readiness", daemon=True).start()
        attempt.done.wait(max(0.0, attempt.began + PATIENCE - time.monotonic()))
        return attempt.report or self._make_report(SystemHealth(UNAVAILABLE))

    def _run(self, attempt: _Attempt) -> None:
        try:
            attempt.report = self._make_report(self._check())
        except Exception:
            log.exception("the health check failed")
        finally:
            attempt.done.set()

    def log_change(self, is_news: Callable[[str], bool]) -> None:
        """Log the state if it has changed and lasts, and `is_news` for the other processes of this gateway. Call it
        each second: nobody else may ask."""
        report = self.report()
        state = " ".join([report.state, *(reason.code for reason in report.reasons)])
        lasts, self._seen = state == self._seen, state
        if not lasts or state == self._logged:
            return
        self._logged = state
        if not is_news(state):
            return
        if report.state is State.OK:
            log.info("ready: predictions are accepted and scored")
        else:
            log.warning("%s: %s", report.state, report.detail)

    def _make_report(self, health: SystemHealth) -> ReadinessReport:
        models = len(self._repository.names())
        refused = list(self._why_refused(health, models))
        known = health.repairs or not health.fault
        others = [*self._why_locked(health), *_why_degraded(health)] if known else []
        state = State.NOT_READY if refused else State.DEGRADED if others else State.OK
        return ReadinessReport(state, models, health.workers, health.repairs, [*refused, *others])

    def _why_refused(self, health: SystemHealth, models: int) -> Iterator[Reason]:
        if health.fault:
            yield Reason(health.fault.code, health.fault.message)
        if not models:
            yield Reason("no_model", f"the model repository {self._repository.root} holds no model")

    def _why_locked(self, health: SystemHealth) -> Iterator[Reason]:
        if not health.keys and self._needs_key():
            detail = (
                "requests need a key, and Redis has none, so each gets 401: make one (python -m gateway key add --name"
                " me --scopes admin)"
            )
            yield Reason("no_key", detail)


def _why_degraded(health: SystemHealth) -> Iterator[Reason]:
    if not health.workers:
        yield Reason("no_worker", "no worker is alive: requests are accepted and wait")
    if health.slow_disk:
        detail = "the disk of Redis is slow: jobs wait for it before they are accepted, and some may be refused"
        yield Reason("redis_disk_slow", detail)
    for worker in health.silent:
        detail = f"the worker {worker!r} has reported nothing for some seconds: its jobs may wait"
        yield Reason("worker_silent", detail, {"worker": worker})
    for process in health.stuck:
        detail = f"{process} has made no progress for some seconds: requests or jobs of it may wait"
        yield Reason("process_stuck", detail, {"process": process})
    for model in health.full_queues:
        detail = f"the queue of {model!r} is full (MAX_QUEUE_ROWS), so predictions with this model are refused"
        yield Reason("queue_full", detail, {"model": model})
    for model in health.timed_out:
        detail = (
            f"rows of {model!r} took longer than PREDICT_TIMEOUT in the last {TIMEOUT_COUNTS / 60:g} minutes: one"
            " scorer takes none of them"
        )
        yield Reason("model_times_out", detail, {"model": model})
    if health.webhooks_late > WEBHOOKS_LATE:
        late = f"{health.webhooks_late:.0f} s ago"
        detail = f"a webhook should have been sent {late}: the service events is away or behind, or Redis is full"
        yield Reason("webhooks_late", detail)
    for owner in health.webhooks_full:
        whose = f"the owner {owner!r}" if owner else "callers without a key"
        detail = f"{MOST_WAITING} webhooks of {whose} wait, so further ones are given up"
        yield Reason("webhooks_full", detail, {"owner": owner})
    for mirror, report in sorted(health.mirrors.items()):
        if report.away:
            detail = f"the mirror {mirror!r} cannot reach the store, and its models stay as they were: {report.away}"
            yield Reason("store_away", detail, {"mirror": mirror})
        for model, problem in sorted(report.problems.items()):
            detail = f"the mirror {mirror!r} does not have {model!r} as the store has it: {problem}"
            yield Reason("mirror_behind", detail, {"mirror": mirror, "model": model})
    for version, failure in sorted(health.failures.items()):
        model, _, number = version.partition("@")
        detail = f"{version} cannot be loaded since {failure.since}: {failure.reason}"
        members = {"model": model, "version": int(number), "since": failure.since, "reason": failure.reason}
        yield Reason("model_not_loaded", detail, members)
