"""File predictions: a file of rows in the spool becomes a job, and its output a file to download."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from broker.link.idempotency import IdempotencyConflict
from broker.records.job_kinds import FILE_PREDICTION
from broker.sides.gateway.file_submission import FileJobs, FileSubmission, NoWorker
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.model.signature import PREDICT
from contract.rows.file_formats import FileFormat
from contract.work.api_keys import Key
from contract.work.explanations import ExplainRequest
from contract.work.jobs import FileRequest, Job, Status, timestamp_now
from contract.work.prediction_log import logged_request
from gateway.problems import Problem, ProblemCode
from gateway.problems.problem import EnvironmentNotServed
from gateway.serving.explaining import check_explainable
from gateway.serving.job_access import Replays
from gateway.serving.model_versions import resolve
from gateway.serving.predicting import unknown_method
from gateway.serving.spool import GatewaySpool

MOST_FILES = 1000
"""Files of one owner that may wait or run for one model, unless the key has a limit."""

RETRY_FILE = 10
"""Seconds after which a client is asked to try again."""


@dataclass(frozen=True)
class FileOptions:
    """How a file is scored; see `contract.work.jobs.FileRequest`. `expires_after`: seconds within which it has to
    start. `webhook`: the URL to which its end is reported."""

    input: FileFormat
    output: FileFormat
    method: str = PREDICT.name
    lenient: bool = True
    escape: bool = False
    expires_after: float | None = None
    webhook: str = ""
    explain: ExplainRequest | None = None


@dataclass(frozen=True)
class FilePredictor:
    """Submits files, and finds their outputs."""

    jobs: FileJobs
    repository: Repository
    spool: GatewaySpool
    replays: Replays

    def model(self, reference: str, options: FileOptions, caller: Key) -> ModelManifest:
        """Return the version to which a job is pinned. Raises `Problem` without one, or if it cannot do what is asked
        of it."""
        model = self.repository.manifest(*resolve(self.repository, reference))
        if options.explain is not None:
            check_explainable(self.repository, model, options.explain, caller)
        elif model.signature.method(options.method) is None:
            raise unknown_method(model, options.method)
        return model

    def submit(
        self,
        model: ModelManifest,
        options: FileOptions,
        read: Callable[[int], bytes],
        size: int | None,
        *,
        job_id: str,
        caller: Key,
        alias: str | None = None,
        request: str = "",
        idempotency_of: Callable[[str], str] | None = None,
    ) -> Job:
        """Receive a file, which `read` returns in pieces of at most so many bytes, and return its job, which is in
        Redis then, or that of an earlier request. `size`: the bytes of the file, None if the client has not said.
        `alias`: that in the request; None: it named a version. `request`: the ids of the request. `idempotency_of`:
        returns the key and the fingerprint of a request whose file has this SHA-256; None: it has no key.

        Raises `Problem`: the file is empty or too large, the spool is full, or a limit of the caller is reached; and
        `RedisError`.
        """
        digest = hashlib.sha256()
        with self.spool.receiving_for_job(job_id, size) as file:
            while data := read(_PIECE):
                file.write(data)
                if idempotency_of:
                    digest.update(data)
            if not file.size:
                detail = f"the body is empty; send the rows as {options.input}"
                raise Problem(ProblemCode.MALFORMED_BODY, detail)
            if size is not None and file.size < size:
                raise Problem(ProblemCode.MALFORMED_BODY, f"the body ends after {file.size} of {size} bytes")
            idempotency = idempotency_of(digest.hexdigest()) if idempotency_of else ""
        file_request = FileRequest(
            model.name,
            model.version,
            options.input,
            options.output,
            options.method,
            options.lenient,
            options.escape,
            options.explain,
        )
        created = timestamp_now()
        allowed = caller.limits.jobs_in_flight
        logging = self.repository.settings(model.name).logging
        logged = None
        if options.method == PREDICT.name and logging.keeps(job_id):
            logged = logged_request(created, alias, caller.owner, leave_out=logging.leave_out)
        job = FileSubmission(
            job_id,
            created,
            file_request,
            model.environment,
            caller.owner,
            caller.id,
            request,
            options.expires_after,
            options.webhook,
            idempotency,
            logged,
        )
        # After an error the job may be in Redis, so its file stays; a worker removes it if there is no such job.
        try:
            accepted = self.jobs.submit(job, MOST_FILES if allowed is None else allowed)
        except IdempotencyConflict:
            self.spool.discard_job(job_id)
            raise
        except NoWorker:
            self.spool.discard_job(job_id)
            raise EnvironmentNotServed(model.name, model.version, model.environment) from None
        if accepted != job_id:
            self.spool.discard_job(job_id)
        if accepted is None:
            raise _too_many(model.name, allowed)
        if accepted != job_id:
            return self.replays.job(accepted, caller)
        return Job(
            job_id, Status.QUEUED, model.name, model.version, created, kind=FILE_PREDICTION.name, owner=caller.owner
        )

    def output(self, job: Job) -> tuple[BinaryIO, FileFormat]:
        """Open the output of a job, and return its format. Raises `Problem` if it has none."""
        return self._file(job, "output"), FileFormat(str((job.output or {})["format"]))

    def errors(self, job: Job) -> BinaryIO:
        """Open the errors of a job's rows, as NDJSON. Raises `Problem` as `output` does."""
        return self._file(job, "errors")

    def _file(self, job: Job, name: str) -> BinaryIO:
        if job.kind != FILE_PREDICTION.name:
            raise Problem(
                ProblemCode.NO_OUTPUT, f"the job {job.id} is no file prediction: GET /v1/jobs/{job.id} has its output"
            )
        if not job.status.final:
            detail = f"the job {job.id} is {job.status}; its {name} is there once it has succeeded"
            raise Problem(ProblemCode.NOT_FINISHED, detail, retry_after=1)
        state = f"it is {job.status}"
        if job.status is Status.SUCCEEDED:
            folder = self.spool.files.job(job.id)
            try:
                return folder.open(folder.path / name)
            except FileNotFoundError:
                state = "its files are gone from SPOOL_DIR"
        raise Problem(ProblemCode.NO_OUTPUT, f"the job {job.id} has no {name}: {state}")


_PIECE = 256 * 1024
"""Bytes of a file that are in memory at once."""


def _too_many(model: str, allowed: int | None) -> Problem:
    if allowed is None:
        detail = f"{MOST_FILES} files wait for {model!r} already; try again when some have ended"
        return Problem(ProblemCode.QUEUE_FULL, detail, retry_after=RETRY_FILE)
    detail = (
        f"{allowed} files of your owner may wait or run for {model!r} (jobs_in_flight); try again when one has ended"
    )
    return Problem(ProblemCode.JOBS_IN_FLIGHT_LIMIT, detail, retry_after=RETRY_FILE, limit="jobs_in_flight")
