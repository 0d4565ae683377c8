"""Predicting: rows for a model version become a job in Redis, and its result if the client waits for it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from broker.gateway.jobs import Jobs
from contract.coercion import Instances, coerce
from contract.jobs import Job, PredictionJob, Refused, Status, timestamp
from contract.manifest import ModelManifest
from contract.repository import Repository
from gateway.refusals import Reason, Refusal
from gateway.serving.group_commit import GroupCommit
from gateway.serving.listener import Listener
from gateway.serving.models import resolve

LONGEST_RETRY = 300
"""Most seconds after which a client is asked to try again."""


@dataclass(frozen=True)
class Predictor:
    """Turns rows into jobs. `max_rows`: rows that may wait for a model."""

    jobs: Jobs
    commit: GroupCommit
    repository: Repository
    listener: Listener
    max_rows: int

    def model(self, reference: str) -> ModelManifest:
        """Return the version behind `loan`, `loan@3` or `loan@canary`, to which the job is pinned.

        Raises `Refusal` without one, and `ModelgateError` if its manifest cannot be used.
        """
        return self.repository.manifest(*resolve(self.repository, reference))

    def predict(
        self,
        model: ModelManifest,
        rows: Instances,
        size: int,
        *,
        wait: float | None = None,
        lenient: bool = False,
        expires_after: float | None = None,
        gone: Callable[[], bool] = lambda: False,
    ) -> Job:
        """Return the job: final if it ends within `wait` seconds, else queued. It is in Redis then.

        `size`: bytes of the request. `lenient`: leave out invalid rows. `expires_after`: seconds within which it has to
        start. `gone`: returns whether the client has left, which ends the wait.

        Raises `InvalidInstances`, `Refusal`: too many rows, a full queue or overload, and `RedisError`.
        """
        if len(rows.rows) > self.max_rows:
            detail = (
                f"the request has more rows than may wait for a model ({self.max_rows}, MAX_QUEUE_ROWS);"
                " send them in several requests"
            )
            raise Refusal(Reason.TOO_MANY_ROWS, detail)
        coerced = coerce(rows, model.signature, model.training_data.target, lenient=lenient)
        job = PredictionJob(
            id=os.urandom(16).hex(),
            created_at=timestamp(datetime.now(UTC)),
            model=model.name,
            version=model.version,
            rows=coerced.rows,
            ids=coerced.ids,
            warnings=coerced.warnings,
            expires_after=expires_after,
            reply_to=self.listener.channel if wait else None,
            refused=Refused(coerced.refused, coerced.errors) if lenient else None,
        )
        with self.listener.expect(job.id, gone) if wait else nullcontext() as waiter:
            if not self.commit.submit(job, size):
                raise self._queue_full(job.model)
            ended = waiter.wait(wait or 0) if waiter else None
        return ended or Job(job.id, Status.QUEUED, job.model, job.version, job.created_at, warnings=job.warnings)

    def _queue_full(self, model: str) -> Refusal:
        """Ask the client to try again when half of the queue will have been scored, at the rate of the last seconds."""
        left = self.jobs.backlog(model).seconds
        retry = 1 if left is None else min(LONGEST_RETRY, max(1, math.ceil(left / 2)))
        detail = f"the queue of {model!r} is full (MAX_QUEUE_ROWS); try again in {retry} s"
        return Refusal(Reason.QUEUE_FULL, detail, retry_after=retry)
