"""What SUBMIT answers for a job: accepted, made by an earlier request, or refused."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from broker.link.idempotency import ConflictReason, IdempotencyConflict, made_in
from contract.work.api_keys import Limits
from contract.work.quotas import Quota

_MICROSECONDS = 1_000_000


class Limit(StrEnum):
    """What refuses a job: its rows, which have timed out twice lately; the rows that may wait for a model; or a limit
    of its key (`contract.work.api_keys.Limits`)."""

    TIMED_OUT = "timed_out"
    QUEUE = "queue"
    ROWS_WAITING = "rows_waiting"
    JOBS_IN_FLIGHT = "jobs_in_flight"
    ROWS_PER_SECOND = "rows_per_second"


@dataclass(frozen=True, slots=True)
class Submission:
    """The outcome of submitting a job. `refused_by`: what refuses it. `earlier`: the id of the job that an earlier
    request has made instead. Both None: it was accepted. `rate`: the state of `rows_per_second` if the key has this
    limit. `retry_after`: the seconds until that limit allows the job."""

    refused_by: Limit | ConflictReason | None = None
    rate: Quota | None = None
    retry_after: float = 0.0
    earlier: str | None = None

    @property
    def accepted(self) -> bool:
        return self.refused_by is None and self.earlier is None

    @classmethod
    def of_answer(cls, answer: Any, limits: Limits) -> Submission:
        """Read the answer of SUBMIT. `limits`: of the job's key."""
        if answer == 1:
            return ACCEPTED
        if isinstance(answer, bytes):
            return cls._refused_or_earlier(answer)
        first, remaining, reset, wait = answer
        rate = Quota("rows", limits.rows_per_second or 0, 1, remaining, reset / _MICROSECONDS)
        submission = ACCEPTED if first == 1 else cls._refused_or_earlier(first)
        return cls(submission.refused_by, rate, wait / _MICROSECONDS, submission.earlier)

    @classmethod
    def _refused_or_earlier(cls, answer: bytes) -> Submission:
        try:
            earlier = made_in(answer)
        except IdempotencyConflict as error:
            return cls(error.conflict)
        return cls(None if earlier else Limit(answer.decode()), earlier=earlier)


ACCEPTED = Submission()
