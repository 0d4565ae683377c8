"""Predicting: rows for a model version become a job in Redis, and its result if the client waits for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass

from redis.exceptions import OutOfMemoryError

from broker.link.idempotency import ConflictReason, IdempotencyConflict
from broker.sides.gateway.job_client import Jobs, Limit, Submission, kind_of_job
from broker.state.presence import TIMEOUT_COUNTS
from contract.errors import Failure, InvalidInstances, ModelgateError
from contract.model.experiments import Experiment, ExperimentKind
from contract.model.manifest import ModelManifest
from contract.model.model_settings import Logging
from contract.model.repository import Repository
from contract.model.signature import PREDICT, Signature
from contract.row import Value
from contract.rows.coercion import coerce
from contract.rows.instances import Coerced, Instances
from contract.wording import listed
from contract.work.api_keys import EVERYBODY, Detail, Key, Quota, most_of_one_owner
from contract.work.explanations import ExplainRequest
from contract.work.jobs import Job, PredictionJob, RefusedRows, Status, timestamp_now
from contract.work.prediction_log import LoggedRequest, logged_request
from gateway.problems import Problem, ProblemCode
from gateway.problems.problem import EnvironmentNotServed, status_of
from gateway.problems.terse import terse_errors
from gateway.protocols.offload import offload
from gateway.serving.explaining import check_explainable, counted
from gateway.serving.group_commit import GroupCommit
from gateway.serving.job_access import Replays, shown_to
from gateway.serving.listener import Listener
from gateway.serving.model_versions import resolve

_TERSE = Detail.TERSE  # looked up once: finding a member of an Enum is slow
_REASONS = {
    Limit.ROWS_WAITING: ProblemCode.ROWS_WAITING_LIMIT,
    Limit.JOBS_IN_FLIGHT: ProblemCode.JOBS_IN_FLIGHT_LIMIT,
    Limit.ROWS_PER_SECOND: ProblemCode.RATE_LIMIT,
}
RETRY_FULL = 10
"""Seconds after which a full Redis may have room, if nothing says more."""

_FULL = "Redis is full of waiting jobs and of results that no client has seen, and takes no new jobs"

LONGEST_RETRY = 300
"""Most seconds after which a client is asked to try again."""


class PredictionFailed(Problem):
    """A prediction that ended without an answer."""

    def __init__(self, failure: Failure) -> None:
        status = status_of(failure)
        # That the model cannot be used is no fault of a request for a prediction.
        super().__init__(failure.code, failure.message, status=503 if status in (404, 409) else status)


@dataclass(slots=True)
class PredictionOptions:
    """What a client asks for besides the answers to its rows.

    `method`: the one of the model that gets the rows. `wait`: seconds to wait for the end of the job. `lenient`: leave
    out invalid rows. `expires_after`: seconds within which the job has to start. `webhook`: the URL that gets its end,
    or ''. `explain`: what is to be explained, instead of asking a method. `made_up`: the rows are about nothing, so the
    prediction log does not keep them.
    """

    method: str = PREDICT.name
    wait: float | None = None
    lenient: bool = False
    expires_after: float | None = None
    webhook: str = ""
    explain: ExplainRequest | None = None
    made_up: bool = False


@dataclass(slots=True)
class RequestContext:
    """The request that a prediction answers.

    `job_id`: the id for its job. `caller`: whose limits hold, and to whose owner the job belongs. `request_ids`: its
    ids (`contract.work.request_ids`), unless the id of the job is that of the request. `idempotency`: see
    `gateway.http.idempotency`. `accepted` is called once the job is in Redis, with the number of its rows, and the
    state of the caller's rows a second, if it has this limit. `gone`: returns whether the client has left, which ends
    the wait. `alias`: that for which it has asked; None: for a version. `experiment_key`: whom a canary chooses a
    version for; None: the id in its rows, else the `request_id`, which is '' for a request that has named an alias or a
    version.
    """

    job_id: str
    caller: Key = EVERYBODY
    request_ids: str = ""
    idempotency: str = ""
    accepted: Callable[[int, Quota | None], object] = lambda _rows, _rate: None
    gone: Callable[[], bool] = lambda: False
    alias: str | None = None
    experiment_key: str | None = None
    request_id: str = ""


@dataclass(frozen=True)
class Predictor:
    """Turns rows into jobs. `max_rows`: rows that may wait for a model."""

    jobs: Jobs
    commit: GroupCommit
    repository: Repository
    listener: Listener
    replays: Replays
    max_rows: int

    def model(self, reference: str) -> ModelManifest:
        """Return the version behind `loan`, `loan@3` or `loan@canary`, to which the job is pinned.

        Raises `Problem` without one, and `ModelgateError` if its manifest cannot be used.
        """
        return self.repository.manifest(*resolve(self.repository, reference))

    def predict(
        self, model: ModelManifest, rows: Instances, size: int, options: PredictionOptions, context: RequestContext
    ) -> Job:
        """Return the job: final if it ends within the wait, else queued. It is in Redis then. It is that of an earlier
        request if there is one with the same `idempotency`.

        `size`: bytes of the request. Raises `InvalidInstances`, `RedisError`, `IdempotencyConflict` and `Problem`: a
        method that the model lacks, too many rows, a full queue, a limit of the caller, a full Redis or overload.
        """
        caller, wait, gone = context.caller, options.wait, context.gone
        if earlier := self.replays.job_of(context.idempotency, caller, wait or 0, gone):
            return earlier
        coerced, settings = self.check(model, rows, options, caller), self.repository.settings(model.name)
        if settings.experiment and context.request_id:
            model, coerced = self._chosen(settings.experiment, model, rows, coerced, options, context)
        errors = terse_errors(coerced.errors) if caller.detail is _TERSE else coerced.errors
        job = PredictionJob(
            id=context.job_id,
            created_at=timestamp_now(),
            model=model.name,
            version=model.version,
            rows=coerced.rows,
            ids=coerced.ids,
            warnings=coerced.warnings,
            expires_after=options.expires_after,
            reply_to=self.listener.channel if wait else None,
            refused=RefusedRows(coerced.refused, errors) if options.lenient else None,
            request=context.request_ids,
            method=options.method,
            environment=model.environment,
            caller=caller,
            idempotency=context.idempotency,
            webhook=options.webhook,
        )
        if options.explain is not None:
            job.explain = options.explain
            job.counts = counted(coerced.rows, model, options.explain, self._most_rows(caller))
        elif options.method == PREDICT.name and not options.made_up:
            logging = settings.logging
            if logging.share and logging.keeps(job.id):
                id_field, shadow = model.signature.id_field, _shadow(job, settings.experiment)
                job.logged = _logged(job, logging, coerced.refused, context.alias, id_field, shadow)
        with self.listener.expect(job.id, caller.owner, gone) if wait else nullcontext() as waiter:
            try:
                submission = self.commit.submit(job, size)
            except OutOfMemoryError as error:
                raise self._redis_full(job.model) from error
            if submission.refused_by is not None:
                raise self._refused(job, submission.refused_by, submission)
            if submission.earlier:  # it came between the look for it and the submit
                return self.replays.job(submission.earlier, caller, wait or 0, gone)
            context.accepted(len(job.rows), submission.rate)
            ended = waiter.wait(wait or 0) if waiter else None
        if ended:
            return shown_to(caller, ended)
        return Job(
            job.id,
            Status.QUEUED,
            job.model,
            job.version,
            job.created_at,
            warnings=job.warnings,
            owner=caller.owner,
            kind=kind_of_job(job).name,
        )

    def check(self, model: ModelManifest, rows: Instances, options: PredictionOptions, caller: Key) -> Coerced:
        """Return the rows as a job would have them. Raises `InvalidInstances` and `Problem` as `predict` does before it
        makes a job."""
        if options.explain is not None:
            check_explainable(self.repository, model, options.explain, caller)
        elif model.signature.method(options.method) is None:
            raise unknown_method(model, options.method)
        self.check_size(len(rows.rows), caller)
        return _coerced(rows, model, options, caller)

    def _chosen(
        self,
        experiment: Experiment,
        model: ModelManifest,
        rows: Instances,
        coerced: Coerced,
        options: PredictionOptions,
        context: RequestContext,
    ) -> tuple[ModelManifest, Coerced]:
        """Return the version that answers a request for the current one, and its rows: the candidate if the experiment
        is a canary that takes the caller. What the candidate does not accept after all, the current one answers."""
        canary = experiment.plan.kind is ExperimentKind.CANARY and model.version == experiment.baseline
        key = _canary_key(context, coerced.ids) if canary else None
        if key is None or not experiment.takes(key):
            return model, coerced
        with suppress(ModelgateError, InvalidInstances):
            candidate = self.repository.manifest(model.name, experiment.candidate)
            its_rows = _coerced(rows, candidate, options, context.caller)
            if candidate.signature.method(options.method) and list(its_rows.refused) == list(coerced.refused):
                return candidate, its_rows
        return model, coerced

    def succeeded(self, job: Job, waited: float, *, repeatable: bool = False) -> Job:
        """Return a job that has succeeded, for clients that know no jobs and have waited for `waited` seconds.

        One that has not ended is cancelled, because nobody would read it, unless the same request is `repeatable`.
        Raises `PredictionFailed` for one that has failed, `RedisError`, and `Problem` after the wait.
        """
        if not job.status.final:
            late = f"the model {job.model!r} did not answer within {waited:g} s (MAX_WAIT)"
            if repeatable:
                detail = f"{late}; repeat the request with its Idempotency-Key to wait for the same job"
                raise Problem(ProblemCode.NOT_IN_TIME, detail, retry_after=1)
            canceled, ended = self.jobs.cancel(job.id) or (True, job)
            if canceled:
                detail = (
                    f"{late}, so the job was cancelled; send fewer rows, or POST /v1/models/{job.model}/predict, which"
                    " answers with a job to wait for"
                )
                raise Problem(ProblemCode.NOT_IN_TIME, detail)
            job = ended
        if job.status is not Status.SUCCEEDED:
            raise PredictionFailed(job.error or Failure(str(job.status), f"the job {job.id} was {job.status}"))
        return job

    def _refused(self, job: PredictionJob, by: Limit | ConflictReason, submission: Submission) -> Exception:
        if isinstance(by, ConflictReason):
            return IdempotencyConflict(by)
        if by is Limit.NO_WORKER:
            return EnvironmentNotServed(job.model, job.version, job.environment)
        if by is Limit.TIMED_OUT:
            return _timed_out_twice(job)
        if by is Limit.RESULTS:
            share = "results of your owner that no client has read take their share of Redis; read or delete them"
            return self._redis_full(job.model, share)
        return self._queue_full(job) if by is Limit.QUEUE else self._over_limit(job, by, submission)

    def _most_rows(self, caller: Key) -> int:
        """Return the most rows of this caller that may ever wait for a model."""
        allowed = caller.limits.rows_waiting
        most = most_of_one_owner(self.max_rows) if caller.owner else self.max_rows
        return most if allowed is None else min(most, allowed)

    def check_size(self, rows: int, caller: Key) -> None:
        """Raise `Problem` for a request with more rows than the queue, an owner's part of it or a limit of the key ever
        allows."""
        allowed = caller.limits.rows_waiting
        if caller.owner and rows > (part := most_of_one_owner(self.max_rows)):
            most = f"of one owner for a model ({part}, nine tenths of MAX_QUEUE_ROWS)"
        elif rows > self.max_rows:
            most = f"for a model ({self.max_rows}, MAX_QUEUE_ROWS)"
        elif allowed is not None and rows > allowed:
            most = f"of the owner {caller.owner!r} ({allowed}, rows_waiting)"
        else:
            return
        detail = (
            f"the request has more rows than may wait {most}; send them as a file, to POST"
            " /v1/models/{model}/predict-file"
        )
        raise Problem(ProblemCode.TOO_MANY_ROWS, detail)

    def _over_limit(self, job: PredictionJob, limit: Limit, submission: Submission) -> Problem:
        """Ask the client to try again when the rate allows the job, or half of what its owner has waiting is scored."""
        key, model = job.caller, job.model
        if limit is Limit.ROWS_PER_SECOND:
            left: float | None = submission.retry_after
            most = f"the key {key.name!r} may send {key.limits.rows_per_second} rows a second to {model!r}"
        else:
            waiting = self.jobs.backlog(model, key.owner, kind_of_job(job)).seconds
            left = None if waiting is None else waiting / 2
            most = f"{key.limits.rows_waiting} rows of the owner {key.owner!r} may wait for {model!r}"
            if limit is Limit.JOBS_IN_FLIGHT:
                most = f"{key.limits.jobs_in_flight} jobs of the owner {key.owner!r} may wait or run for {model!r}"
        retry = _retry_after(left, 1)
        if job.explain and limit is not Limit.JOBS_IN_FLIGHT:
            most += f", and this explanation counts as {job.counts}"
        detail = f"{most} ({limit}); try again in {retry} s, or ask an admin for a higher limit"
        return Problem(_REASONS[limit], detail, retry_after=retry, quota=submission.rate, limit=str(limit))

    def _queue_full(self, job: PredictionJob) -> Problem:
        """Ask the client to try again when half of the queue will have been scored, at the rate of the last seconds."""
        left = self.jobs.backlog(job.model, kind=kind_of_job(job)).seconds
        retry = _retry_after(None if left is None else left / 2, 1)
        detail = f"the queue of {job.model!r} is full (MAX_QUEUE_ROWS); try again in {retry} s"
        return Problem(ProblemCode.QUEUE_FULL, detail, retry_after=retry)

    def _redis_full(self, model: str, what: str = _FULL) -> Problem:
        """Ask the client to try again when the first result will have expired, or half of the queue been scored."""
        retry = _retry_after(self.jobs.seconds_to_room(model), RETRY_FULL)
        detail = f"{what}; try again in {retry} s, or raise REDIS_MAXMEMORY"
        return Problem(ProblemCode.REDIS_FULL, detail, retry_after=retry)


def _logged(
    job: PredictionJob,
    logging: Logging,
    refused: Sequence[int],
    alias: str | None,
    id_field: str | None,
    shadow: str | None,
) -> LoggedRequest:
    """Return what the prediction log gets of a job. `refused`: the numbers of its rows that are not scored. `shadow`:
    the experiment whose candidate scores the others, too."""
    numbers, ids = None, None if id_field in logging.leave_out else job.ids
    if refused:
        gaps = frozenset(refused)
        numbers = [number for number in range(len(job.rows) + len(gaps)) if number not in gaps]
        ids = [ids[number] for number in numbers] if ids else None
    return logged_request(
        job.created_at,
        alias,
        job.caller.owner,
        ids,
        numbers,
        logging.leave_out,
        job.warnings,
        shadow,
    )


def _shadow(job: PredictionJob, experiment: Experiment | None) -> str | None:
    """Return the experiment whose candidate is to score the rows of a job, too."""
    if experiment is None or experiment.plan.kind is not ExperimentKind.SHADOW or job.version != experiment.baseline:
        return None
    return experiment.id if experiment.takes(job.id) else None


def _canary_key(context: RequestContext, ids: Sequence[Value] | None) -> str | None:
    """Return by what a canary chooses the version of a request; None: its rows belong to several."""
    if context.experiment_key is not None:
        return context.experiment_key
    named = set(map(_name, ids or ()))
    return None if len(named) > 1 else next(iter(named), "") or context.request_id


def _name(identity: Value) -> str:
    """Return an id as text, the same for 5 and 5.0; '' for none."""
    whole = isinstance(identity, float) and identity.is_integer()
    return "" if identity is None else str(int(identity) if whole else identity)


def _coerced(rows: Instances, model: ModelManifest, options: PredictionOptions, caller: Key) -> Coerced:
    target = None if caller.detail is _TERSE else model.training_data.target
    try:
        return offload(_size(rows, model.signature), coerce, rows, model.signature, target, lenient=options.lenient)
    except InvalidInstances as error:
        error.instances = rows
        raise


def _size(rows: Instances, signature: Signature) -> int:
    """Return about as many bytes as rows of numbers take."""
    return 8 * len(rows.rows) * len(signature.inputs)


def unknown_method(model: ModelManifest, method: str) -> Problem:
    """Return the refusal for a method that the version lacks."""
    methods = [offered.name for offered in model.signature.methods]
    detail = (
        f"version {model.version} of the model {model.name!r} has no {method}; it has {listed(methods)}:"
        f" send the rows to /v1/models/{model.name}/{methods[0]}"
    )
    return Problem(ProblemCode.UNKNOWN_METHOD, detail, methods=methods)


def _timed_out_twice(job: PredictionJob) -> Problem:
    only = len(job.rows) == 1
    detail = (
        f"{'this row' if only else 'these rows together'} took longer than PREDICT_TIMEOUT with version {job.version}"
        f" of {job.model!r}, twice, so {'it is' if only else 'they are'} refused until {TIMEOUT_COUNTS / 60:g} minutes"
        f" have passed since; {'send other values' if only else 'find the row that hangs, one at a time'}, or ask for a"
        " version that answers"
    )
    return Problem(ProblemCode.TIMED_OUT_TWICE, detail)


def _retry_after(seconds: float | None, otherwise: int) -> int:
    """Return the seconds after which a client is asked to try again, 1 to `LONGEST_RETRY`."""
    return otherwise if seconds is None else min(LONGEST_RETRY, max(1, math.ceil(seconds)))
