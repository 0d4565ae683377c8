"""Jobs of another service whose caller waits for the answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from broker.access.signatures import Signer
from broker.link.idempotency import InFlight
from broker.link.scripts import Scripts
from broker.records.job_kinds import JobKind
from broker.state.job_reading import read_end
from broker.state.trainer_jobs import enqueue, make_job
from contract.errors import Failure, ModelgateError
from contract.work.jobs import reply_channel

START_TIMEOUT = 3.0
"""Seconds within which a process must begin a job; otherwise the job is withdrawn."""

_CHECK = 1.0
"""Seconds between two looks at a job, whose end wakes its caller unless the message is lost."""

_DEADLINES_PER_CALL = 100


class NotBegun(Exception):
    """No process has begun the job in time. It was withdrawn, and nothing was done."""


class NotEnded(Exception):
    """A process has begun the job, and not ended it in time. It may still do it."""


@dataclass(frozen=True)
class Asker:
    """For whom jobs are made. `request_ids` returns the ids of the request for which the caller acts
    (`contract.work.request_ids`), `owner` the owner for whom the jobs run, and `idempotency` the request's key and
    fingerprint, or ''. `on_replay` is called when the job of an earlier request answers it."""

    request_ids: Callable[[], str] = str
    owner: Callable[[], str] = str
    idempotency: Callable[[], str] = str
    on_replay: Callable[[], object] = lambda: None


NOBODY = Asker()


@dataclass
class WaitedJobs:
    """Has processes of another service do jobs of one kind. Raises `redis.exceptions.RedisError`.

    A job that may be repeated is kept for `keyed_ttl` seconds, another one for `ttl`, but with `once` only until its
    caller has the answer, which may be large.
    """

    connection: Any
    signer: Signer
    kind: JobKind
    _: KW_ONLY
    ttl: int
    keyed_ttl: int
    asker: Asker = NOBODY
    once: bool = False

    def __post_init__(self) -> None:
        self._scripts = Scripts(self.connection)

    def run(
        self, payload: Mapping[str, Any], description: str, wait: float, most_waiting: int | None = None
    ) -> dict[str, Any]:
        """Return the answer, which is given within `wait` seconds of beginning the job; or the answer to an earlier
        request.

        Raises `NotBegun`, `NotEnded`, `ModelgateError` with the reason of a job that has failed, `IdempotencyConflict`,
        `InFlight` while the job of an earlier request has not ended, and `TooManyWaiting` if `most_waiting` jobs of the
        owner wait or run.
        """
        idempotency = self.asker.idempotency()
        ttl = self.keyed_ttl if idempotency else self.ttl
        timeout, most = max(1, round(wait)), START_TIMEOUT + wait
        job = make_job(self.connection, self.kind, payload, description, timeout=timeout, result_ttl=ttl)
        job_id = enqueue(
            self.connection,
            self.signer,
            self.kind,
            job,
            ttl=most,
            start_timeout=START_TIMEOUT,
            request=self.asker.request_ids(),
            owner=self.asker.owner(),
            most_waiting=most_waiting,
            idempotency=idempotency,
        )
        if job_id == job.id:
            self._wait_for_end(job_id, time.monotonic() + most)
        else:
            self.asker.on_replay()
            self._expire()
        status, end = read_end(self._scripts, job_id)
        if job_id != job.id and status in ("queued", "started"):
            raise InFlight(job_id)
        if status == "finished":
            if self.once:
                self._scripts.run("delete", job_id)
            return dict(end.get("result") or {})
        if status == "failed":
            raise ModelgateError.from_failure(Failure.from_json(end["failure"]))
        raise NotBegun if status == "canceled" else NotEnded

    def _wait_for_end(self, job_id: str, deadline: float) -> None:
        """Return when the job has ended or is gone, at the latest at the `deadline` of the monotonic clock."""
        channel = reply_channel(job_id)
        with self.connection.pubsub() as subscription:
            subscription.subscribe(channel)
            while (left := deadline - time.monotonic()) > 0:
                self._expire()
                if self._scripts.run("wait", channel, job_id) != [b"wait"]:
                    return
                subscription.get_message(timeout=min(left, _CHECK))

    def _expire(self) -> None:
        """End jobs that no process has begun in time: none may be alive to do it."""
        self._scripts.run("expire", _DEADLINES_PER_CALL, self.kind.group.deadlines)
