"""Trainings: submitted, on a schedule, with the defaults of the recipe; and their logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs
from wsgiref.types import WSGIEnvironment

from flask import Blueprint, Response, request

from contract.errors import FieldError
from contract.work.api_keys import Scope
from contract.work.jobs import Job, timestamp
from contract.work.training import GENERIC_RECIPE
from contract.work.webhooks import AllowedTargets
from gateway.http.answers import FRESH, JobAnswer, json_response
from gateway.http.exchange import caller, current
from gateway.http.forms import Upload, received
from gateway.http.media_types import AS_JSON, MULTIPART, is_json, unsupported
from gateway.http.operations import (
    COMMANDED,
    DELETED,
    IDEMPOTENCY_KEY,
    JOB_ACCEPTED,
    KEPT,
    WEBHOOK_URL,
    Answer,
    Operation,
    Parameter,
)
from gateway.http.rules import BodyLimit, Level
from gateway.problems import Problem, ProblemCode
from gateway.protocols import native
from gateway.protocols.training_requests import fields_of_form, invalid_training, shown_request, training_request
from gateway.protocols.webhooks import webhook_url
from gateway.serving.job_access import JobReader, Replays
from gateway.serving.model_versions import check_new_name
from gateway.serving.spool import GatewaySpool
from gateway.serving.trainings import ScheduleState, Trainings, default_recipe

SCHEDULE_BODY = BodyLimit.of_request(16)
"""All schedules with their requests are read every second."""

_SUBMITTED = (
    *("403 no_webhooks", "409 experiment_refused", "422 invalid_training", "429 trainings_waiting_limit"),
    *("503 no_trainer", "503 queue_full", *KEPT),
)
_TRAIN = Operation(
    "train_model",
    "Train a model, or preview the columns of its file",
    {
        200: Answer("With `preview=1`: how its file would be understood.", "TrainingPreview"),
        202: JOB_ACCEPTED,
    },
    problems=(
        *("409 request_in_flight", "422 no_data", "503 trainer_crashed"),
        *("411 length_required", "413 form_too_large", "413 upload_too_large", "415 unsupported_media_type"),
        *("422 invalid_name", "422 repeated_field", "429 previews_limit", "429 upload_limit", "507 spool_full"),
        *("503 redis_disk_slow", "503 store_away"),
        *_SUBMITTED,
    ),
    # As for uploads, the form comes first; it can hold all that JSON can.
    body={"multipart/form-data": "TrainingForm", "application/json": "TrainingRequest"},
    body_required=False,
    parameters=(
        Parameter(
            "preview",
            "`1`: train nothing, and answer how the columns of the file would be understood. It needs no target.",
            {"type": "string", "enum": ["0", "1"], "default": "0"},
        ),
        IDEMPOTENCY_KEY,
        WEBHOOK_URL,
    ),
)
_RESET = Operation(
    "reset_model",
    "Train a model with the defaults of its recipe",
    {202: JOB_ACCEPTED},
    problems=("404 no_current_version", "503 manifest_invalid", "503 redis_disk_slow", *_SUBMITTED),
    parameters=(IDEMPOTENCY_KEY, WEBHOOK_URL),
)
_LOG = Operation(
    "get_log",
    "The output of a training",
    {
        200: Answer(
            "The log from `from` on, or what is left of it.",
            {"text/plain": "Text"},
            {"Log-From": "The byte at which this answer begins.", "Log-Next": "The next `from`."},
        )
    },
    problems=("404 unknown_job", "404 no_log"),
    parameters=(Parameter("from", "The first byte.", {"type": "integer", "minimum": 0, "maximum": 10**15 - 1}),),
)
_INDEX = Operation("list_schedules", "The schedules of the caller", {200: Answer("By model.", "ScheduleList")})
_SHOW = Operation(
    "get_schedule", "When a model is trained", {200: Answer("The schedule.", "Schedule")}, problems=("404 no_schedule",)
)
_PUT = Operation(
    "set_schedule",
    "Train a model regularly",
    {200: Answer("The schedule.", "Schedule")},
    problems=(
        *("409 experiment_refused", "409 others_schedule", "409 too_many_schedules"),
        *("422 invalid_name", "422 invalid_training", "422 no_data"),
        *("429 trainings_waiting_limit", *COMMANDED),
    ),
    body="NewSchedule",
)
_DELETE = Operation("delete_schedule", "Delete a schedule", {204: DELETED}, problems=("404 no_schedule", *KEPT))


def blueprint(
    trainings: Trainings,
    replays: Replays,
    reader: JobReader,
    fields: BodyLimit,
    webhooks: AllowedTargets | None = None,
) -> Blueprint:
    """`fields`: the limit of a form's fields. `webhooks`: where they may go; None: there are none."""
    routes = Blueprint("trainings", __name__, url_prefix="/v1")

    @routes.post("/models/<name>/train", level=Scope.TRAIN, docs=_TRAIN, audit=_action, streams=True)
    def train(name: str) -> JobAnswer | Response:
        check_new_name(name)
        recipes = trainings.recipes()
        if _is_preview(request.args.get("preview", "0")):
            with _body(trainings.spool, fields) as body:
                training = training_request(name, body.request, recipes, GENERIC_RECIPE, *body.file, preview=True)
                return json_response(trainings.preview(training).to_json(), headers=FRESH)
        with _body(trainings.spool, fields) as body:
            if job := replays.job_of(current().idempotency, caller()):
                return _accepted(job)
            training = training_request(name, body.request, recipes, default_recipe(name, recipes), *body.file)
            return _accepted(trainings.submit(training, webhook_url(request.environ, webhooks)))

    @routes.post("/models/<name>/reset", level=Scope.TRAIN, docs=_RESET, audit="train")
    def reset(name: str) -> JobAnswer:
        if job := replays.job_of(current().idempotency, caller()):
            return _accepted(job)
        recipes = trainings.recipes()
        training = training_request(name, {}, recipes, trainings.recipe_of(name, recipes))
        return _accepted(trainings.submit(training, webhook_url(request.environ, webhooks)))

    @routes.get("/jobs/<job_id>/log", level=Level.OWN, docs=_LOG)
    def log(job_id: str) -> Response:
        start = request.args.get("from", "0")
        if not (start.isascii() and start.isdigit() and len(start) < 16):
            raise Problem(ProblemCode.INVALID_PARAMETER, f"from={start[:64]!r} is not a number of bytes")
        first, text = trainings.log(reader.read(job_id), int(start))
        headers = {**FRESH, "Log-From": str(first), "Log-Next": str(first + len(text))}
        return Response(text, 200, headers, content_type="text/plain; charset=utf-8")

    @routes.get("/schedules", level=Level.OWN, docs=_INDEX)
    def index() -> Response:
        return json_response({"items": [_shown(state) for state in trainings.all_schedules()]}, headers=FRESH)

    @routes.get("/models/<name>/schedule", level=Level.OWN, docs=_SHOW)
    def show(name: str) -> Response:
        return json_response(_shown(trainings.schedule_of(name)), headers=FRESH)

    @routes.put("/models/<name>/schedule", level=Scope.TRAIN, docs=_PUT, audit="set_schedule", body=SCHEDULE_BODY)
    def put(name: str) -> Response:
        check_new_name(name)
        body = native.json_value(request.environ["wsgi.input"].read())
        if not isinstance(body, dict) or set(body) - {"cron", "request"} or not isinstance(body.get("cron"), str):
            message = 'a schedule is {"cron": "0 3 * * 1", "request": {…}}, the request as for a training, or "@alarm"'
            raise invalid_training(FieldError(None, None, "not_a_schedule", message))
        recipes = trainings.recipes()
        training = training_request(name, body.get("request", {}), recipes, default_recipe(name, recipes))
        return json_response(_shown(trainings.put_schedule(name, body["cron"], training)), headers=FRESH)

    @routes.delete("/models/<name>/schedule", level=Scope.TRAIN, docs=_DELETE, audit="delete_schedule")
    def delete(name: str) -> Response:
        trainings.delete_schedule(name)
        return Response(status=204)

    return routes


def _action(environ: WSGIEnvironment) -> str:
    return "preview_training" if parse_qs(environ.get("QUERY_STRING", "")).get("preview") == ["1"] else "train"


def _is_preview(preview: str) -> bool:
    if preview not in ("0", "1"):
        raise Problem(ProblemCode.INVALID_PARAMETER, f"preview={preview[:64]!r} is neither 0 nor 1")
    return preview == "1"


@dataclass(frozen=True)
class _Body:
    """The request in a body, and the names of its file in SPOOL_DIR and at the client."""

    request: object
    file: Sequence[str] = ()


def _accepted(job: Job) -> JobAnswer:
    current().job_id = job.id
    return JobAnswer(job, 202, {"Location": f"/v1/jobs/{job.id}"})


@contextmanager
def _body(spool: GatewaySpool, fields: BodyLimit) -> Iterator[_Body]:
    """Yield the body. Its file is deleted if the block raises."""
    kind = request.mimetype
    if kind == MULTIPART:
        with received(request.environ, spool, fields.bytes) as form:
            yield _Body(_request_in(form), [*form.files.values(), *form.client_names.values()])
    elif is_json(kind):
        data = request.environ["wsgi.input"].read()
        yield _Body(native.json_value(data) if data.strip() or kind else {})
    else:
        raise unsupported(kind, f"{AS_JSON} or multipart/form-data (curl -F)", "application/json")


def _request_in(form: Upload) -> object:
    """Return the field `request`, or all fields together; at most one file, `file` or `data`."""
    if len(form.files) > 1 or not set(form.files) <= {"file", "data"}:
        message = f"the form has the files {', '.join(sorted(form.files))[:200]}; send one, as file"
        raise invalid_training(FieldError(None, "file", "not_a_file", message))
    form.check_fields()
    if "request" in form.fields:
        if len(form.fields) > 1:
            message = "the form has other fields beside request; put everything into request"
            raise invalid_training(FieldError(None, "request", "ambiguous_body", message))
        return native.json_value(form.fields["request"].encode(), "the field 'request'")
    return fields_of_form(form.fields)


def _shown(state: ScheduleState) -> Mapping[str, object]:
    schedule, last = state.schedule, state.last_run
    shown: dict[str, object] = {
        "model": schedule.model,
        "cron": schedule.cron,
        "request": shown_request(schedule.request),
        "next_run": schedule.next_run if schedule.has_times else None,
        "last_run": last and _run(last),
        "alarms_wait_until": state.alarms_wait_until and timestamp(state.alarms_wait_until),
    }
    return {**shown, "owner": schedule.owner} if schedule.owner else shown


def _run(job: Job) -> Mapping[str, object]:
    """Return what a schedule shows of its last run."""
    shown = job.to_json()
    return {"job": job.id, **{name: shown[name] for name in ("status", "started_at", "completed_at", "error")}}
