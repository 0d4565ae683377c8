"""The spans of jobs, for OpenTelemetry: the wait in the queue and the scoring, within the trace of their requests."""

from __future__ import annotations

from broker.sides.file_tasks import FileTask
from contract.errors import Failure
from contract.work.request_ids import RequestIds
from runtime.tracing import Tracer
from worker.job_ends import End


class JobSpans:
    """Observes ends, and makes two spans of each job whose request is traced. Jobs of one batch have scoring spans of
    the same time."""

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
