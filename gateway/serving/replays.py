"""Repeated requests: what an earlier request with the same idempotency key has made answers them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from broker.link.idempotency import ConflictReason, IdempotencyConflict, IdempotencyRecords
from broker.sides.gateway.job_client import Jobs
from contract.work.api_keys import Key
from contract.work.jobs import Job
from gateway.problems import Problem, ProblemCode
from gateway.serving.listener import Listener
from gateway.serving.visibility import shown_to
from gateway.serving.waiting import ended_within


@dataclass(frozen=True)
class Replays:
    """Finds what earlier requests have made. `on_replay` is called when a job of one answers a request."""

    records: IdempotencyRecords
    jobs: Jobs
    listener: Listener
    on_replay: Callable[[], object]

    def find(self, idempotency: str) -> str | None:
        """Return what an earlier request has made, as `IdempotencyRecords.find` does; None without a key."""
        return self.records.find(idempotency) if idempotency else None

    def job_of(
        self, idempotency: str, caller: Key, wait: float = 0, gone: Callable[[], bool] = lambda: False
    ) -> Job | None:
        """Return the job of an earlier request as `job` does; None if there was none."""
        made = self.find(idempotency)
        return self.job(made, caller, wait, gone) if made else None

    def job(self, job_id: str, caller: Key, wait: float = 0, gone: Callable[[], bool] = lambda: False) -> Job:
        """Return the job of an earlier request as `caller` sees it, final if it ends within `wait` seconds.

        Raises `IdempotencyConflict` if it is gone, and `Problem` if the key may not use its model: another key of the
        owner has sent the request to an address that names no model.
        """
        job = self.jobs.read([job_id])[0]
        if job and not caller.may_use(job.model):
            detail = "an earlier request with this Idempotency-Key used a model that this key may not; send a new one"
            raise Problem(ProblemCode.UNKNOWN_MODEL, detail, models=[])
        self.on_replay()
        ended = job and ended_within(self.jobs, self.listener, job, caller.owner, wait, gone)
        if ended is None:
            raise IdempotencyConflict(ConflictReason.GONE)
        return shown_to(caller, ended)
