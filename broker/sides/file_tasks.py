"""A scorer's side of file predictions: take a task from the bulk lane, report it, finish it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from redis import Redis

from broker.link.outbox import Outbox
from broker.link.scripts import Call, Scripts
from broker.records.job_kinds import FILE_PREDICTION, FILE_TASK, pool_of
from broker.records.job_records import dumps, failed, payload_of, plain
from broker.state.prediction_log import log_arguments
from contract.errors import Code, Failure
from contract.model.environments import TODAY
from contract.work.jobs import FileRequest
from contract.work.prediction_log import LoggedRequest, LogRecord
from contract.work.request_ids import RequestIds

_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_WAITS = 2
"""FINISH's answer for a task that the prediction log has no room for yet."""


def lane_bell(environment: str) -> str:
    """Return the key of the bell that rings when the bulk lane may have a task for versions that live there."""
    return f"mg:bell:lane{pool_of(environment)}"


class Stage(StrEnum):
    """What a task does: plan the chunks of a file, score one of them, or assemble the parts of all."""

    PLAN = "plan"
    SCORE = "score"
    ASSEMBLE = "assemble"


@dataclass(frozen=True)
class FileTask:
    """A task of the file prediction `file`: of `Stage.SCORE` the chunk `number`. `deaths` scorers have died with it.
    `logged`: what the prediction log gets of the request; None: it does not get the file."""

    id: str
    file: str
    file_request: FileRequest
    stage: Stage
    number: int
    deaths: int
    request: str = ""
    logged: LoggedRequest | None = None

    def context(self) -> dict[str, object]:
        """Return the context of a log line about this task."""
        ids = RequestIds.of_job(self.request, self.file).context()
        return {**ids, "job_id": self.file, "model": self.file_request.model, "version": self.file_request.version}


class FileTasks:
    """The bulk lane, as one scorer sees it. All methods are harmless to repeat and raise
    `redis.exceptions.RedisError`; `incarnation` must be registered (`broker.sides.supervisor`)."""

    def __init__(
        self, connection: Redis, incarnation: str, outbox: Outbox | None = None, environment: str = TODAY
    ) -> None:
        """The end of a task is sent with what is in `outbox`. The versions live in `environment`."""
        self._pool = pool_of(environment)
        self._scripts = Scripts(connection)
        self._outbox = outbox or Outbox(connection)
        self._incarnation = incarnation

    def take(self, models: Collection[str] | None = None, skip: Collection[str] = ()) -> FileTask | None:
        """Take the next task of a file for one of `models` (None: all) and none of `skip`. This incarnation owns it
        then. Returns None if there is none. Unreadable files fail with `job_refused`. Raises `FencedError` without a
        lease."""
        while answer := self._run("take_task", spaced(models or ()), spaced(skip), self._pool):
            task_id, file, queue, version, stage, number, deaths, data, request, logged = answer
            try:
                if not _ID.fullmatch(file):
                    raise ValueError("its id cannot be the name of a folder")
                file_request = FileRequest.from_json(payload_of(plain(data), FILE_PREDICTION.function))
                if (file_request.model, str(file_request.version)) != (
                    FILE_PREDICTION.model_of(queue.decode()),
                    version.decode(),
                ):
                    raise ValueError("the job names another model than its queue")
                return FileTask(
                    task_id.decode(),
                    file.decode(),
                    file_request,
                    Stage(stage.decode()),
                    number,
                    deaths,
                    request.decode(errors="replace"),
                    _logged(logged),
                )
            except (ValueError, KeyError, TypeError) as error:
                self._finish(task_id.decode(), Failure(Code.JOB_REFUSED, f"the job cannot be read: {error}"))
        return None

    def report(self, task: FileTask, rows: int, following: range) -> bool:
        """Report that `rows` of the task are done, and which rows of the file come next; a crash would be theirs.
        Returns False if the file has ended: drop the task then."""
        at = f"{following[0]} to {following[-1]}" if following else ""
        return bool(self._run("report_task", task.id, rows, at))

    def release(self, task: FileTask) -> None:
        """Return a task, for another scorer."""
        self._run("release", task.id)

    def finish(
        self, task: FileTask, outcome: Mapping[str, object] | Failure, records: Sequence[LogRecord] = ()
    ) -> bool:
        """End a task, and with it perhaps its file; the prediction log gets the `records` of its chunk. Returns False
        if so much waits for the observer that they have to wait, too: nothing is written then, so try again. Raises
        `FencedError` if this incarnation was given back; then nothing is written, and its scorer has to exit.

        The outcome of a plan has `tasks`, the number of chunks, and `rows`; of a chunk `rows`, `refused` and `nulls`;
        of an assembly `rows` and `warnings`.
        """
        version = f"{task.file_request.model}@{task.file_request.version}"
        return self._finish(task.id, outcome, *log_arguments(version, records))

    def _finish(self, task_id: str, outcome: Mapping[str, object] | Failure, *logged: str | bytes | int) -> bool:
        end = ("2", failed(outcome)) if isinstance(outcome, Failure) else ("1", dumps(outcome))
        args = (FILE_TASK.group.members, self._incarnation, 1, task_id, *end, *logged)
        ((answer,),) = self._outbox.send(self._scripts, [Call("finish", args)])
        return bool(answer != _WAITS)

    def _run(self, name: str, *args: str | int) -> Any:
        return self._scripts.run(name, self._incarnation, *args)


def _logged(text: bytes) -> LoggedRequest | None:
    """Return what the prediction log gets; None: nothing. Raises `ValueError` for what is no object."""
    logged = json.loads(text) if text else None
    if not isinstance(logged, dict | None):
        raise ValueError("what the job has for the prediction log is no object")
    return logged


def spaced(names: Iterable[str]) -> str:
    """Join names so that Lua finds one without parsing: ' loan iris '."""
    joined = " ".join(names)
    return f" {joined} " if joined else ""


@dataclass(frozen=True)
class EndedFile:
    """A file prediction that has ended: whether it has an output, and how many seconds ago it ended."""

    succeeded: bool
    seconds: float


def ended_files(connection: Redis, ids: Sequence[str]) -> list[EndedFile | Literal[False] | None]:
    """Return the end of each of these jobs: None if it has not ended, False if there is no such job."""
    redis: Any = connection
    with redis.pipeline(transaction=False) as pipeline:
        pipeline.time()
        for job_id in ids:
            pipeline.hmget(f"rq:job:{job_id}", "status", "ended_at")
        (seconds, _), *answers = pipeline.execute()
    return [_end(status, ended_at, seconds) for status, ended_at in answers]


def _end(status: bytes | None, ended_at: bytes | None, now: float) -> EndedFile | Literal[False] | None:
    if not status:
        return False
    if not ended_at:
        return None
    return EndedFile(status == b"finished", now - datetime.fromisoformat(ended_at.decode()).timestamp())
