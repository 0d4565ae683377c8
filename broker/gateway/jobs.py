"""Jobs in and out of Redis, as the gateway needs them: submit, read, wait, cancel, delete, list."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from broker.gateway.listing import Listing, Page
from broker.records import echo, job_data, job_from_answers, read_steps
from broker.scripts import Call, Scripts, Step
from contract.jobs import Job, PredictionJob, Status, prediction_queue
from contract.training import TRAINING

_AT_ONCE = 500
"""Jobs or ids a script takes at most: Redis does nothing else meanwhile."""

_DRAIN_SECONDS = 10
"""Over how long the drain of a queue is measured."""


@dataclass(frozen=True)
class Backlog:
    """What waits for a model. `seconds`: until it is scored at the rate of the last 10 s; None without a rate."""

    rows: int
    jobs: int
    seconds: float | None


class Jobs:
    """The gateway's side of the queue.

    Every method is harmless to repeat and raises `redis.exceptions.RedisError`.
    """

    def __init__(self, connection: Redis, *, max_queue_rows: int, timeout: int, result_ttl: int) -> None:
        """`timeout` of scoring one job and `result_ttl` of a finished one are in seconds."""
        self._redis: Any = connection
        self._scripts = Scripts(connection)
        self._listing = Listing(connection, self._scripts)
        self._header = (max_queue_rows, timeout, result_ttl)

    def submit(self, jobs: Sequence[PredictionJob]) -> list[bool]:
        """For each job whether it is in Redis now; False: the queue of its model is full.

        One round trip for all models. Submitting the same ids again is harmless. Raises `OutOfMemoryError`
        from a full Redis; jobs of other models may be in then, and submitting all again tells.
        """
        positions: defaultdict[str, list[int]] = defaultdict(list)
        for position, job in enumerate(jobs):
            positions[job.model].append(position)
        groups = [group[i : i + _AT_ONCE] for group in positions.values() for i in range(0, len(group), _AT_ONCE)]
        answers = self._scripts.send([self._submission([jobs[position] for position in group]) for group in groups])
        accepted = [False] * len(jobs)
        for group, answer in zip(groups, answers, strict=True):
            for position, one in zip(group, answer, strict=True):
                accepted[position] = one == 1
        return accepted

    def _submission(self, jobs: Sequence[PredictionJob]) -> Call:
        args: list[Any] = [prediction_queue(jobs[0].model), *self._header]
        for job in jobs:
            expires = "" if job.expires_after is None else max(0, round(job.expires_after * 1000))
            args += (job.id, job.created_at, len(job.rows), job.version, job_data(job))
            args += (echo(job), job.reply_to or "", expires)
        return Call("submit", args)

    def read(self, ids: Sequence[str]) -> list[Job | None]:
        """The jobs with these ids; None where there is none (any more). One round trip."""
        return read(self._scripts, ids)

    def ahead(self, training_id: str) -> int | None:
        """Return the number of trainings queued before this one, or None if it does not wait. One round trip."""
        waiting, running = self._scripts.send(
            [("LPOS", f"rq:queue:{TRAINING}", training_id), ("ZCOUNT", f"rq:wip:{TRAINING}", "-inf", "+inf")]
        )
        return None if waiting is None else waiting + running

    def wait(self, ids: Sequence[str], channel: str) -> dict[str, Job | None]:
        """Asks that the ends of these jobs be published to `channel`; returns those that need no waiting: the ones that
        have ended, and None for the ones there are not.

        An end is either in the answer or published later, never missed in between. One round trip, and another if some
        have ended.
        """
        calls = [Call("wait", [channel, *ids[i : i + _AT_ONCE]]) for i in range(0, len(ids), _AT_ONCE)]
        answers = [answer for part in self._scripts.send(calls) for answer in part]
        found: dict[str, Job | None] = {i: None for i, answer in zip(ids, answers, strict=True) if answer == b"unknown"}
        final = [job_id for job_id, answer in zip(ids, answers, strict=True) if answer == b"final"]
        found.update(zip(final, self.read(final), strict=True))
        return found

    def cancel(self, job_id: str) -> tuple[bool, Job] | None:
        """Whether this call cancelled the job (False: it had ended before), and the job; None when there is none.

        A job that is being scored is cancelled at once; what its scorer answers is dropped.
        """
        answer, *fields = self._scripts.send([Call("cancel", [job_id, uuid.uuid4().hex]), *read_steps(job_id)])
        job = job_from_answers(job_id, *fields)
        return None if job is None else (answer == b"canceled", job)

    def delete(self, job_id: str) -> bool:
        """Forgets a job that has ended; False when it has not, and nothing is done."""
        return bool(self._scripts.run("delete", job_id) == b"deleted")

    def list(
        self, model: str | None = None, status: Status | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page:
        """A page of jobs; see `broker.gateway.listing.Listing.page`."""
        return self._listing.page(model, status, limit, cursor)

    def backlog(self, model: str) -> Backlog:
        """What waits for the model, and how long it will take: for Retry-After. Two round trips."""
        queue = prediction_queue(model)
        seconds, _ = self._redis.time()
        # A job is in its registry under the time at which it expires, result_ttl after its end.
        since = seconds + self._header[2] - _DRAIN_SECONDS
        rows, jobs, finished, failed = self._scripts.send(
            [
                ("HGET", "mg:rows", queue),
                ("LLEN", f"rq:queue:{queue}"),
                ("ZCOUNT", f"rq:finished:{queue}", since, "+inf"),
                ("ZCOUNT", f"rq:failed:{queue}", since, "+inf"),
            ]
        )
        ended = finished + failed
        return Backlog(int(rows or 0), jobs, jobs * _DRAIN_SECONDS / ended if ended else None)

    def ping(self) -> None:
        self._redis.ping()

    def workers(self) -> int:
        """How many scorers are alive, in all workers together."""
        incarnations = self._redis.smembers("mg:incs")
        return int(self._redis.exists(*(b"mg:lease:" + inc for inc in incarnations))) if incarnations else 0


def read(scripts: Scripts, ids: Sequence[str]) -> list[Job | None]:
    """The jobs with these ids; None where there is none (any more). One round trip."""
    if not ids:
        return []
    steps: list[Step] = []
    for job_id in ids:
        steps += read_steps(job_id)
    answers = scripts.send(steps)
    return [job_from_answers(*parts) for parts in zip(ids, answers[::2], answers[1::2], strict=True)]
