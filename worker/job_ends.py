"""The one place that learns how work of a scorer has ended, once Redis has the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from broker.sides.file_tasks import FileTask, Stage
from broker.sides.scorer import Batch
from contract.errors import Failure
from contract.work.jobs import PredictionOutcome
from contract.work.request_ids import RequestIds
from runtime.tracing import Tracer
from worker.file_work import Result

log = logging.getLogger("worker")


@dataclass(frozen=True, slots=True)
class End:
    """The end of the jobs of a batch, or of a task of a file.

    `outcomes` has one by id, and none of a job that was cancelled meanwhile. `taken` and `done`: when the scorer took
    the work and when it had the outcomes, Unix time in ns.
    """

    work: Batch | FileTask
    outcomes: Mapping[str, PredictionOutcome | Result | Failure]
    taken: int
    done: int


Observer = Callable[[End], object]
"""Gets every end. It runs in the scorer, between two batches, so it only notes what it needs and never waits."""


class EndObservers:
    """Calls the observers of a scorer. One that raises harms neither the scorer nor the others."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers
        self._broken: set[Observer] = set()

    def ended(self, end: End) -> None:
        for observe in self._observers:
            try:
                observe(end)
            except Exception:
                if observe not in self._broken:  # one line, also while it fails for every batch
                    log.exception("an observer of ended jobs failed")
                self._broken.add(observe)
            else:
                self._broken.discard(observe)


def log_end(end: End) -> None:
    """Log what has failed, and each file that is scored."""
    if isinstance(end.work, FileTask):
        _log_task(end.work, end.outcomes[end.work.id])
        return
    for job in end.work.jobs:
        outcome = end.outcomes.get(job.id)
        if isinstance(outcome, Failure):
            about = {"model": end.work.model, "version": end.work.version}
            context = {**job.context(), **about, "kind": (outcome.code, *about.values())}
            log.warning("a job failed: %s: %s", outcome.code, outcome.message, extra=context)


def _log_task(task: FileTask, outcome: PredictionOutcome | Result | Failure) -> None:
    if isinstance(outcome, Failure):
        context = {**task.context(), "kind": outcome.code}
        log.warning("a file failed: %s: %s", outcome.code, outcome.message, extra=context)
    elif isinstance(outcome, Mapping) and task.stage is Stage.ASSEMBLE:
        log.info("a file of %s rows is scored", outcome["rows"], extra=task.context())


class JobSpans:
    """Observes ends, and makes two spans for OpenTelemetry of each job whose request is traced: the wait in the queue,
    and the scoring, which jobs of one batch have at the same time."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def record(self, end: End) -> None:
        batch, taken = end.work, end.taken
        if isinstance(batch, FileTask):
            return
        rows = sum(len(job.rows) for job in batch.jobs)
        for job in batch.jobs:
            ids = RequestIds.of_job(job.request, job.id)
            if ids.traceparent is None:
                continue
            known = {"modelgate.job_id": job.id, "modelgate.model": batch.model, "modelgate.version": batch.version}
            if ids.handed_over is not None:
                wait = self._tracer.start("queue", ids.traceparent, at=min(ids.handed_over, taken))
                self._tracer.end(wait, known, at=taken)
            outcome = end.outcomes.get(job.id)
            scoring = self._tracer.start("predict", ids.traceparent, at=taken)
            self._tracer.end(
                scoring,
                {**known, "modelgate.batch.jobs": len(batch.jobs), "modelgate.batch.rows": rows},
                failed=outcome.code if isinstance(outcome, Failure) else None,
                at=end.done,
            )
