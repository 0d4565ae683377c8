"""Jobs: listed, read, waited for, watched, cancelled, deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from flask import Blueprint, Response, request

from broker.records.job_kinds import readable_kinds
from broker.sides.gateway.listing import LARGEST_PAGE, JobFilter
from broker.sides.gateway.receipts import Receipts
from contract.model.repository import valid_name
from contract.work.jobs import Job, Status, timestamp
from gateway.http import idempotency
from gateway.http.answers import FRESH, JobAnswer, json_response
from gateway.http.clients import hung_up
from gateway.http.event_streams import EVENT_ID, events, position_of
from gateway.http.exchange import caller
from gateway.http.operations import CURSOR, DELETED, KEPT, LIMIT, MOMENT, WAIT, Answer, Operation, Parameter, matching
from gateway.http.rules import Level
from gateway.openapi.schema_parts import MODEL_NAME
from gateway.problems import Problem, ProblemCode
from gateway.protocols.parameters import limit, moment, refusing, seconds
from gateway.serving.job_access import JobReader
from gateway.serving.job_events import JobWatcher

_KINDS = [kind.name for kind in readable_kinds()]
_INDEX = Operation(
    "list_jobs",
    "The jobs of the caller, newest first",
    {200: Answer("A page of jobs.", "JobPage")},
    parameters=(
        Parameter("model", "Only jobs of this model.", MODEL_NAME),
        Parameter("status", "Only jobs with this status.", {"type": "string", "enum": list(Status)}),
        Parameter("kind", "Only jobs of this kind.", {"type": "string", "enum": _KINDS}),
        Parameter("created_after", "Only jobs of this time and later ones.", MOMENT),
        Parameter("created_before", "Only jobs of this time and earlier ones.", MOMENT),
        Parameter(
            "idempotency_key",
            "Only the job that the caller's request with this `Idempotency-Key` has made. It comes alone.",
        ),
        LIMIT,
        CURSOR,
    ),
)
_SHOW = Operation(
    "get_job",
    "A job, with its result once it has ended",
    {200: Answer("The job.", "Job")},
    problems=("404 unknown_job", *KEPT),
    parameters=(WAIT,),
)
_EVENTS = Operation(
    "watch_job",
    "What happens to a job, as server-sent events: progress, log, end",
    {
        200: Answer("The events, until the job has ended.", {"text/event-stream": "JobEvents"}),
        204: Answer("The client has seen the end of the job."),
    },
    problems=("404 unknown_job", "429 too_many_streams"),
    parameters=(
        Parameter("Last-Event-ID", "The id of the last event that the client has.", matching(EVENT_ID), "header"),
    ),
)
_CANCEL = Operation(
    "cancel_job",
    "Cancel a job unless it has ended",
    {200: Answer("The job.", "Job")},
    problems=("403 missing_scope", "404 unknown_job", *KEPT),
)
_DELETE = Operation(
    "delete_job",
    "Cancel a job, or delete one that has ended",
    {200: Answer("The job, which is cancelled.", "Job"), 204: DELETED},
    problems=("403 missing_scope", "404 unknown_job", *KEPT),
)


def blueprint(
    reader: JobReader,
    watchers: JobWatcher,
    log: Callable[[str, int], tuple[int, bytes]],
    max_wait: int,
    receipts: Receipts,
) -> Blueprint:
    """`log` returns the log of a job from a byte on, and where that begins. `max_wait`: seconds that a request may wait
    for a job. `receipts` notes which ended jobs clients have seen."""
    routes = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

    @routes.get("", level=Level.OWN, docs=_INDEX)
    def index() -> Response:
        if "idempotency_key" in request.args:
            key = _only("idempotency_key", request.args)
            return _listed(reader.made_with(idempotency.record(key, caller().owner)), None)
        wanted = _filter_in(request.args)
        with refusing(f"limit is a number up to {LARGEST_PAGE}, and cursor is the next_cursor of a page"):
            page = reader.list(wanted, limit(request.args.get("limit")), request.args.get("cursor"))
        return _listed(page.items, page.next_cursor)

    @routes.get("/<job_id>", level=Level.OWN, docs=_SHOW)
    def show(job_id: str) -> JobAnswer:
        wait = min(seconds("wait", request.args.get("wait")) or 0, max_wait)
        gone = hung_up()
        return JobAnswer(reader.wait(job_id, wait, gone), headers=FRESH, note=receipts.fetched, gone=gone)

    @routes.get("/<job_id>/events", level=Level.OWN, docs=_EVENTS)
    def watch(job_id: str) -> Response:
        position = position_of(request.headers.get("Last-Event-ID"))
        reader.read(job_id)
        if position is None:  # otherwise a browser would connect again and again
            return Response(status=204)
        watcher = watchers.enter(job_id, caller().owner, hung_up())
        stream = events(watcher, partial(log, job_id), partial(reader.read, job_id), position)
        response = Response(stream, headers={**FRESH, "X-Accel-Buffering": "no"}, content_type="text/event-stream")
        response.call_on_close(partial(watchers.leave, watcher))
        return response

    @routes.post("/<job_id>/cancel", level=Level.OWN, docs=_CANCEL, audit="cancel_job")
    def cancel(job_id: str) -> JobAnswer:
        return JobAnswer(reader.cancel(job_id))

    @routes.delete("/<job_id>", level=Level.OWN, docs=_DELETE, audit="delete_job")
    def delete(job_id: str) -> JobAnswer | Response:
        canceled = reader.cancel_or_delete(job_id)
        return JobAnswer(canceled) if canceled else Response(status=204)

    return routes


def _listed(jobs: Sequence[Job], next_cursor: str | None) -> Response:
    return json_response({"items": [job.to_json() for job in jobs], "next_cursor": next_cursor}, headers=FRESH)


def _only(name: str, arguments: Mapping[str, str]) -> str:
    """Return an argument that comes alone. Raises `Problem` beside others."""
    if others := sorted({*arguments} - {name}):
        raise Problem(ProblemCode.INVALID_PARAMETER, f"{name} finds one job; leave out {', '.join(others)[:64]}")
    return arguments[name]


def _filter_in(arguments: Mapping[str, str]) -> JobFilter:
    """Return the filter in a query. Raises `Problem` and `Problem`."""
    model, status, kind = (arguments.get(name) for name in ("model", "status", "kind"))
    if model is not None and not valid_name(model):
        raise Problem(ProblemCode.INVALID_PARAMETER, f"model={model[:64]!r} cannot be the name of a model")
    if status is not None and status not in list(Status):
        raise Problem(ProblemCode.INVALID_PARAMETER, f"status={status[:64]!r} is none of {', '.join(Status)}")
    if kind is not None and kind not in _KINDS:
        raise Problem(ProblemCode.INVALID_PARAMETER, f"kind={kind[:64]!r} is none of {', '.join(_KINDS)}")
    after, before = (moment(name, arguments.get(name)) for name in ("created_after", "created_before"))
    return JobFilter(
        model,
        Status(status) if status else None,
        kind=kind,
        created_after=None if after is None else timestamp(after),
        created_before=None if before is None else timestamp(before),
    )
