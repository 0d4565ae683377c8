"""The accepted jobs of a soak: what became of each, and whether that is right and stays so."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisError

from broker.gateway.jobs import Jobs
from contract.jobs import Job, Status
from tests.flow.clients import Answer, Clients

RECHECK_AFTER = 5.0
"""Seconds after which an ended job is read once more: its end must not have changed."""


@dataclass
class Accepted:
    """`ended_at`: the job's `completed_at` when it was first seen ended; `seen`: the moment of that."""

    value: float
    ended_at: str = ""
    seen: float = 0.0


@dataclass
class Ledger:
    """Reads each accepted job until it has ended, and once more later."""

    jobs: Jobs
    redis: Any
    clients: Sequence[Clients]
    canceled: set[str] = field(default_factory=set)
    """Ids of the jobs that a client has cancelled."""
    open: dict[str, Accepted] = field(default_factory=dict)
    to_recheck: deque[tuple[str, Accepted]] = field(default_factory=deque)
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    accepted: int = 0

    def __post_init__(self) -> None:
        self._read = [0] * len(self.clients)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Ledger:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def settled(self) -> bool:
        read = all(count == len(group.answers) for count, group in zip(self._read, self.clients, strict=True))
        return read and not self.open and not self.to_recheck

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            try:
                self._add_new_answers()
                self._read_open_jobs()
                self._recheck()
            except RedisError:
                continue  # Redis is being restarted
            except Exception as error:
                self.wrong.append(f"the ledger itself: {error!r}")
                raise

    def _add_new_answers(self) -> None:
        for number, group in enumerate(self.clients):
            answers = group.answers[self._read[number] :]
            self._read[number] += len(answers)
            for answer in answers:
                self._add(answer)

    def _add(self, answer: Answer) -> None:
        if answer.accepted:
            self.accepted += 1
            self.open[answer.job_id] = Accepted(answer.value)
        elif answer.status not in (0, 503):
            self.wrong.append(f"an answer {answer.status}: {answer.body}")

    def _read_open_jobs(self) -> None:
        """Read all open jobs: those behind a long queue can be read only for `RESULT_TTL` seconds after they end."""
        ids = list(self.open)
        found = [job for at in range(0, len(ids), 1000) for job in self.jobs.read(ids[at : at + 1000])]
        for job_id, job in zip(ids, found, strict=True):
            if job is None:
                del self.open[job_id]
                if job_id in self.canceled:
                    self.outcomes["deleted"] += 1  # it had ended before, so cancelling deleted it
                else:
                    self.wrong.append(f"{job_id} is lost")
            elif job.status.final:
                entry = self.open.pop(job_id)
                entry.ended_at, entry.seen = str(job.completed_at), time.monotonic()
                self.outcomes[_outcome(job)] += 1
                self._check_outcome(job, entry)
                self.to_recheck.append((job_id, entry))

    def _check_outcome(self, job: Job, entry: Accepted) -> None:
        if job.status is Status.SUCCEEDED:
            assert job.output
            if job.output["predictions"] != [2 * entry.value + job.version]:
                self.wrong.append(f"{job.id} of {entry.value}: {job.output}")
        elif job.status is Status.FAILED:
            if not (job.error and job.error.message):
                self.wrong.append(f"{job.id} failed without a reason")
        elif job.id not in self.canceled:
            self.wrong.append(f"{job.id} is {job.status}")

    def _recheck(self) -> None:
        while self.to_recheck and time.monotonic() - self.to_recheck[0][1].seen > RECHECK_AFTER:
            job_id, entry = self.to_recheck[0]
            (job,), results = self.jobs.read([job_id]), self.redis.xlen(f"rq:results:{job_id}")
            self.to_recheck.popleft()
            if job is None:
                if job_id not in self.canceled:
                    self.wrong.append(f"{job_id} is gone before its time")
            elif str(job.completed_at) != entry.ended_at or results != (job.status is not Status.CANCELED):
                self.wrong.append(f"{job_id} ended twice: {entry.ended_at}, {job.completed_at}, {results} results")


def _outcome(job: Job) -> str:
    return f"failed: {job.error.code}" if job.error else str(job.status)
