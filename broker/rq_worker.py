"""Stock RQ, bent in three places: whose turn it is, what a job may call, and when to stop."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from redis import Redis
from rq import Queue, SimpleWorker
from rq.exceptions import DequeueTimeout, NoSuchJobError
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer
from rq.timeouts import JobTimeoutException
from rq.worker.base import StopRequested  # type: ignore[attr-defined]

from contract.errors import Code, ModelgateError
from contract.jobs import ENDED_CHANNEL, FUNCTIONS

BELL = "mg:bell"
Functions = Mapping[str, Callable[..., object]]


class _TableJob(RQJob):
    """A job that runs what its dotted path means in a table, and imports nothing."""

    functions: ClassVar[Functions] = {}

    @property
    def func(self) -> Callable[..., object]:
        path = self.func_name or ""
        if path not in self.functions:
            raise ModelgateError(Code.JOB_REFUSED, f"the job names {path!r}, which this worker does not run")
        return self.functions[path]


class _TurnQueue(Queue):
    """Takes from the queue whose turn it is, among all that have work, in one script."""

    @classmethod
    def dequeue_any(  # type: ignore[override]
        cls, _queues: object, timeout: int | None, *, connection: Redis, job_class: type[RQJob], **_: object
    ) -> tuple[RQJob, Queue] | None:
        take = connection.register_script(Path(__file__).with_name("lua").joinpath("rq_take.lua").read_text())
        while True:
            taken = take(args=[])
            if taken:
                name, job_id = (part.decode() for part in taken)
                try:
                    job = job_class.fetch(job_id, connection=connection, serializer=JSONSerializer)
                except NoSuchJobError:
                    continue
                return job, cls(name, connection=connection, job_class=job_class, serializer=JSONSerializer)
            if timeout is None:
                return None
            if connection.blpop([BELL], timeout) is None:
                raise DequeueTimeout(timeout, BELL)


class TurnWorker(SimpleWorker):
    """Runs one job at a time, in this process.

    RQ's own worker ends its loop from within the signal handler, and a job that it has popped but not
    begun is then lost; this one only notes the signal and looks at the note between two jobs.
    """

    max_connection_wait_time = 2.0

    def __init__(self, connection: Redis, functions: Functions, name: str) -> None:
        """`functions` maps the dotted paths of `contract.jobs` to what they run here."""
        unknown = set(functions) ^ FUNCTIONS
        if unknown:
            raise ValueError(f"the table of functions is not that of the contract: {sorted(unknown)}")
        super().__init__(
            ["predict"],
            name=name,
            connection=connection,
            job_class=type("TableJob", (_TableJob,), {"functions": dict(functions)}),
            queue_class=_TurnQueue,
            serializer=JSONSerializer,
            exception_handlers=[self._note_failure],
        )

    def _shutdown(self) -> None:
        self._stop_requested = True

    def dequeue_job_and_maintain_ttl(self, *_: object) -> Any:
        while not self._stop_requested:
            found = super().dequeue_job_and_maintain_ttl(1, max_idle_time=1)
            if found:
                return found
        raise StopRequested

    def execute_job(self, job: RQJob, queue: Queue) -> None:
        super().execute_job(job, queue)
        self.connection.publish(ENDED_CHANNEL, job.id)

    @staticmethod
    def _note_failure(job: RQJob, _: type[BaseException], error: BaseException, __: object) -> None:
        if isinstance(error, JobTimeoutException) or isinstance(error.__cause__, JobTimeoutException):
            error = ModelgateError(Code.TIMEOUT, f"scoring took longer than {job.timeout} s", seconds=job.timeout)
        if not isinstance(error, ModelgateError):
            error = ModelgateError(Code.MODEL_ERROR, f"scoring raised {type(error).__name__}: {error}")
        job.connection.hset(job.key, "failure", json.dumps(error.failure.to_json()))
