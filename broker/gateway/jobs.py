"""Jobs for the gateway: submit predictions; read, await, cancel, delete and list jobs of every kind."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from broker.gateway.listing import Listing, Page
from broker.gateway.reading import job_from_answers, read_steps
from broker.job_kinds import PREDICTION, TRAINING
from broker.records import echo, job_data
from broker.scripts import Call, Scripts
from contract.jobs import Job, PredictionJob, Status

_PER_CALL = 500
"""Most jobs or ids of one call of a script: Redis does nothing else meanwhile."""

_DRAIN_SECONDS = 10
"""The period for which the throughput of a queue is measured."""


@dataclass(frozen=True)
class Backlog:
    """The jobs that wait for a model. At the rate of the last 10 s they take `seconds` (None without a rate)."""

    rows: int
    jobs: int
    seconds: float | None


class Jobs:
    """All jobs. Every method is harmless to repeat and raises `redis.exceptions.RedisError`."""

    def __init__(self, connection: Redis, *, max_queue_rows: int, timeout: int, result_ttl: int) -> None:
        """`timeout`, for scoring one job, and `result_ttl`, of one that has ended, are in seconds."""
        self._redis: Any = connection
        self._scripts = Scripts(connection)
        self._listing = Listing(connection, self._scripts)
        self._header = (max_queue_rows, timeout, result_ttl)

    def submit(self, jobs: Sequence[PredictionJob]) -> list[bool]:
        """Submit prediction jobs. Returns for each whether it is in Redis now; False: the queue of its model is full.

        One round trip for all models. Raises `OutOfMemoryError` if Redis is full; some jobs may be in Redis by
        then. Submit all of them again to learn which.
        """
        positions: defaultdict[str, list[int]] = defaultdict(list)
        for position, job in enumerate(jobs):
            positions[job.model].append(position)
        groups = [group[i : i + _PER_CALL] for group in positions.values() for i in range(0, len(group), _PER_CALL)]
        answers = self._scripts.send([self._submission([jobs[position] for position in group]) for group in groups])
        accepted = [False] * len(jobs)
        for group, answer in zip(groups, answers, strict=True):
            for position, one in zip(group, answer, strict=True):
                accepted[position] = one == 1
        return accepted

    def _submission(self, jobs: Sequence[PredictionJob]) -> Call:
        model = jobs[0].model
        args: list[Any] = [PREDICTION.queue_of(model), model, *self._header]
        for job in jobs:
            expires = "" if job.expires_after is None else max(0, round(job.expires_after * 1000))
            args += (job.id, job.created_at, len(job.rows), job.version, _data(job))
            args += (echo(job), job.reply_to or "", expires)
        return Call("submit", args)

    def read(self, ids: Sequence[str]) -> list[Job | None]:
        """Return the jobs with these ids, None for one that does not exist. One round trip."""
        if not ids:
            return []
        answers = self._scripts.send([step for job_id in ids for step in read_steps(job_id)])
        return [job_from_answers(*parts) for parts in zip(ids, answers[::2], answers[1::2], strict=True)]

    def ahead(self, training_id: str) -> int | None:
        """Return the number of trainings queued before this one, or None if it does not wait. One round trip."""
        waiting, running = self._scripts.send(
            [
                ("LPOS", f"rq:queue:{TRAINING.queue}", training_id),
                ("ZCOUNT", f"rq:wip:{TRAINING.queue}", "-inf", "+inf"),
            ]
        )
        return None if waiting is None else waiting + running

    def wait(self, ids: Sequence[str], channel: str) -> dict[str, Job | None]:
        """Have the ends of these jobs published to `channel`. Returns the jobs that have ended already, and None for
        those that do not exist.

        An end is either in the answer or published later, never missed in between. One round trip, and another if some
        jobs have ended.
        """
        calls = [Call("wait", [channel, *ids[i : i + _PER_CALL]]) for i in range(0, len(ids), _PER_CALL)]
        answers = [answer for part in self._scripts.send(calls) for answer in part]
        found: dict[str, Job | None] = {i: None for i, answer in zip(ids, answers, strict=True) if answer == b"unknown"}
        final = [job_id for job_id, answer in zip(ids, answers, strict=True) if answer == b"final"]
        found.update(zip(final, self.read(final), strict=True))
        return found

    def cancel(self, job_id: str) -> tuple[bool, Job] | None:
        """Cancel a job. Returns whether this call cancelled it (False: it had ended before), and the job; None if there
        is none.

        A running job is cancelled at once, and its outcome is dropped.
        """
        answer, *fields = self._scripts.send([Call("cancel", [job_id, uuid.uuid4().hex]), *read_steps(job_id)])
        job = job_from_answers(job_id, *fields)
        return None if job is None else (answer == b"canceled", job)

    def delete(self, job_id: str) -> bool:
        """Remove a job that has ended. Returns False if it has not ended; then it stays."""
        return bool(self._scripts.run("delete", job_id) == b"deleted")

    def list(
        self, model: str | None = None, status: Status | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page:
        """Return a page of jobs; see `broker.gateway.listing.Listing.page`."""
        return self._listing.page(model, status, limit, cursor)

    def backlog(self, model: str) -> Backlog:
        """Return the jobs that wait for the model, and how long they will take, for Retry-After. Two round trips."""
        queue = PREDICTION.queue_of(model)
        seconds, _ = self._redis.time()
        # The score of a job in its registry is the time at which it expires, result_ttl after its end.
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

    def workers(self) -> int:
        """Return the number of scorers that are alive, in all workers together."""
        incarnations = self._redis.smembers(PREDICTION.group.members)
        return int(self._redis.exists(*(b"mg:lease:" + inc for inc in incarnations))) if incarnations else 0


def _data(job: PredictionJob) -> bytes:
    return job_data(PREDICTION.written_function, {"model": job.model, "version": job.version, "rows": job.rows})
