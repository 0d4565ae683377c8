"""The accepted jobs of a soak: what became of each, and whether that is right and stays so."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisError

from broker.sides.gateway.job_client import Jobs
from contract.work.jobs import Job, Status
from tests.flow.clients import Answer, Clients

RECHECK_AFTER = 5.0
"""Seconds after which an ended job is read once more: its end must not have changed."""


UNWRITTEN = 2.5
"""Seconds for which Redis may keep what it has answered in memory while its disk is busy: two, and some."""


@dataclass
class Accepted:
    """`ended_at`: the job's `completed_at` when it was first seen ended; `seen`: when that was; `outcome`: its end.
    `delivered`: its client had the right answer in the request, so a full Redis may drop it."""

    value: float
    ended_at: str = ""
    seen: float = 0.0
    outcome: str = ""
    delivered: bool = False


@dataclass
class Ledger:
    """Reads each accepted job until it has ended, and once more later.

    A Redis that is killed may forget the last ends, though no accepted job. Those jobs have to end again.
    """

    jobs: Jobs
    redis: Any
    clients: Sequence[Clients]
    canceled: set[str] = field(default_factory=set)
    """Ids of the jobs that a client has cancelled."""
    refusals: Collection[int] = (0, 503)
    """The statuses of requests that were not accepted; 0: no answer."""
    open: dict[str, Accepted] = field(default_factory=dict)
    to_recheck: deque[tuple[str, Accepted]] = field(default_factory=deque)
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    accepted: int = 0

    def __post_init__(self) -> None:
        self._read = [0] * len(self.clients)
        self._redis_run = self.redis.info("server")["run_id"]
        self._last_read = time.monotonic()
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
                self._look_for_a_restart()
                self._read_open_jobs()
                self._recheck()
            except RedisError:
                continue  # Redis is being restarted
            except Exception as error:
                self.wrong.append(f"the ledger itself: {error!r}")
                raise

    def _look_for_a_restart(self) -> None:
        run = self.redis.info("server")["run_id"]
        if run != self._redis_run:
            self._redis_run = run
            last = [ended for ended in self.to_recheck if ended[1].seen >= self._last_read - UNWRITTEN]
            for job_id, entry in last:
                self.outcomes[entry.outcome] -= 1
                self.to_recheck.remove((job_id, entry))
                self.open[job_id] = entry
        self._last_read = time.monotonic()

    def _add_new_answers(self) -> None:
        for number, group in enumerate(self.clients):
            answers = group.answers[self._read[number] :]
            self._read[number] += len(answers)
            for answer in answers:
                self._add(answer)

    def _add(self, answer: Answer) -> None:
        if answer.accepted:
            self.accepted += 1
            self.open[answer.job_id] = Accepted(answer.value, delivered=answer.succeeded and self._right(answer))
        elif answer.status not in self.refusals:
            self.wrong.append(f"an answer {answer.status}: {answer.body}")

    @staticmethod
    def _right(answer: Answer) -> bool:
        return bool(answer.body["output"]["predictions"] == [2 * answer.value + answer.body["model"]["version"]])

    def _read_open_jobs(self) -> None:
        """Read all open jobs: those behind a long queue can be read only for `RESULT_TTL` seconds after they end."""
        ids = list(self.open)
        jobs = [job for at in range(0, len(ids), 1000) for job in self.jobs.read(ids[at : at + 1000])]
        for job_id, job in zip(ids, jobs, strict=True):
            if job is None:
                if self.open.pop(job_id).delivered:
                    self.outcomes["succeeded"] += 1
                elif job_id in self.canceled:
                    self.outcomes["deleted"] += 1  # it had ended before, so cancelling deleted it
                else:
                    self.wrong.append(f"{job_id} is lost")
            elif job.status.final:
                entry = self.open.pop(job_id)
                entry.ended_at, entry.seen = str(job.completed_at), time.monotonic()
                entry.outcome = _outcome(job)
                self.outcomes[entry.outcome] += 1
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
        latest = time.monotonic() - RECHECK_AFTER
        due = list(itertools.takewhile(lambda item: item[1].seen < latest, itertools.islice(self.to_recheck, 1000)))
        jobs = self.jobs.read([job_id for job_id, _ in due])
        for (job_id, entry), job in zip(due, jobs, strict=True):
            self.to_recheck.popleft()
            if job is None:
                if job_id not in self.canceled and not entry.delivered:
                    self.wrong.append(f"{job_id} is gone before its time")
            elif str(job.completed_at) != entry.ended_at:
                self.wrong.append(f"{job_id} ended twice: {entry.ended_at}, {job.completed_at}")


def _outcome(job: Job) -> str:
    return f"failed: {job.error.code}" if job.error else str(job.status)
