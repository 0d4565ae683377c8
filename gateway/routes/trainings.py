"""Trainings: a request becomes a job of the trainer's, now or again and again; its log; back to the defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from flask import Blueprint, Response, request

from broker.gateway.jobs import Jobs
from broker.gateway.trainer_client import TrainerClient
from broker.schedules import Schedule, Schedules, TooManySchedules
from contract.errors import FieldError
from contract.jobs import Job
from contract.repository import Repository, valid_name
from contract.training import GENERIC_RECIPE, TrainingRequest
from gateway.answers import job_response, json_response
from gateway.door.bodies import LARGEST_REQUEST, small
from gateway.problems import RETRY_SOON, Problem
from gateway.protocols import dialects
from gateway.protocols.slips import JSON
from gateway.protocols.training_requests import check_file, check_parameters, invalid, shown_request, training_request
from gateway.routes.jobs import known
from gateway.routes.models import check_name, resolve
from gateway.serving.spool import Form, Spool

MOST_WAITING = 100
"""Trainings that may wait; beyond, 503."""

LARGEST_SCHEDULE = 16 * 1024
"""Most bytes of a schedule with its request. All schedules are read every second."""

_FRESH = {"Cache-Control": "no-store"}
_TEXTS = frozenset({"recipe", "target", "id_field", "alias", "notes"})
"""Fields of a form that are text; the others are JSON."""


def blueprint(
    trainings: TrainerClient, schedules: Schedules, jobs: Jobs, repository: Repository, spool: Spool
) -> Blueprint:
    routes = Blueprint("trainings", __name__, url_prefix="/v1")

    @routes.post("/models/<name>/train")
    def train(name: str) -> Response:
        check_name(name)
        recipes = _recipes()
        with _body(spool) as (body, upload, called):
            asked = training_request(name, body, recipes, _default(name, recipes), upload, called)
            if upload:
                with spool.open(upload) as file:
                    check_file(asked, file)
            return _submit(_checked(asked))

    @routes.post("/models/<name>/reset")
    def reset(name: str) -> Response:
        recipes = _recipes()
        return _submit(training_request(name, {}, recipes, _recipe_of(name, recipes)))

    @routes.get("/jobs/<job_id>/log")
    def log(job_id: str) -> Response:
        start = request.args.get("from", "0")
        if not (start.isascii() and start.isdigit() and len(start) < 16):
            raise Problem(400, "invalid_parameter", f"from={start[:64]!r} is not a number of bytes")
        job = known(job_id, jobs)
        if job.kind != "training":
            raise Problem(404, "no_log", f"the job {job_id} is a prediction, which has no log")
        first, text = trainings.log(job_id, int(start))
        headers = {**_FRESH, "Log-From": str(first), "Log-Next": str(first + len(text))}
        return Response(text, 200, headers, content_type="text/plain; charset=utf-8")

    @routes.get("/schedules")
    def index() -> Response:
        return json_response({"items": [_shown(schedule) for schedule in schedules.all()]}, headers=_FRESH)

    @routes.get("/models/<name>/schedule")
    def show(name: str) -> Response:
        schedule = schedules.get(name) if valid_name(name) else None
        if schedule is None:
            raise _no_schedule(name)
        return json_response(_shown(schedule), headers=_FRESH)

    @routes.put("/models/<name>/schedule")
    def put(name: str) -> Response:
        check_name(name)
        body = dialects.json_value(small(request, LARGEST_SCHEDULE))
        if not isinstance(body, dict) or set(body) - {"cron", "request"} or not isinstance(body.get("cron"), str):
            message = 'a schedule is {"cron": "0 3 * * 1", "request": {…}}, the request as for a training'
            raise invalid([FieldError(None, None, "not_a_schedule", message)])
        recipes = _recipes()
        asked = _checked(training_request(name, body.get("request", {}), recipes, _default(name, recipes)))
        try:
            return json_response(_shown(schedules.put(name, body["cron"], asked)), headers=_FRESH)
        except ValueError as error:
            raise invalid([FieldError(None, "cron", "not_a_cron_expression", str(error))]) from error
        except TooManySchedules as error:
            raise Problem(409, "too_many_schedules", str(error)) from error

    @routes.delete("/models/<name>/schedule")
    def delete(name: str) -> Response:
        if not valid_name(name) or not schedules.delete(name):
            raise _no_schedule(name)
        return Response(status=204)

    def _submit(asked: TrainingRequest) -> Response:
        if trainings.waiting() >= MOST_WAITING:
            detail = f"{MOST_WAITING} trainings wait already; try again when some have ended"
            raise Problem(503, "queue_full", detail, headers={"Retry-After": "60"})
        job: Job = trainings.submit(asked)
        return job_response(job, 202, {"Location": f"/v1/jobs/{job.id}"})

    def _checked(asked: TrainingRequest) -> TrainingRequest:
        """Return the request once its parameters fit its recipe."""
        parameters = trainings.parameters(asked.recipe) if asked.parameters else None
        if parameters is not None:
            check_parameters(asked, parameters)
        return asked

    def _recipes() -> list[str]:
        recipes = trainings.recipes()
        if recipes is None:
            detail = (
                "no trainer has been ready yet, so no recipe is known; if it has just started, try again in a minute"
            )
            raise Problem(503, "no_trainer", detail, headers=RETRY_SOON)
        return recipes

    def _recipe_of(name: str, recipes: list[str]) -> str:
        """The recipe of the current version, else the one that bears the model's name."""
        if name not in recipes or repository.aliases(name):
            return repository.manifest(*resolve(repository, name)).recipe
        return name

    return routes


@contextmanager
def _body(spool: Spool) -> Iterator[tuple[object, str | None, str | None]]:
    """Yield the request, and the name of its file in SPOOL_DIR and at the sender.

    The file is deleted if the block raises.
    """
    kind = request.mimetype
    if kind == "multipart/form-data":
        form = spool.receive(request)
        try:
            yield _asked(form), next(iter(form.files.values()), None), next(iter(form.called.values()), None)
        except BaseException:
            spool.discard(form)
            raise
    elif kind in ("application/json", "") or (kind.startswith("application/") and kind.endswith("+json")):
        data = small(request)
        yield dialects.json_value(data) if data.strip() or kind else {}, None, None
    else:
        detail = f"the media type {kind[:80]!r} is not understood; send {JSON} or multipart/form-data (curl -F)"
        raise Problem(415, "unsupported_media_type", detail, headers={"Accept-Post": "application/json"})


def _asked(form: Form) -> object:
    """The field `request`, or all fields together; at most one file, `file` or `data`."""
    if len(form.files) > 1 or not set(form.files) <= {"file", "data"}:
        message = f"the form has the files {', '.join(sorted(form.files))[:200]}; send one, as file"
        raise invalid([FieldError(None, "file", "not_a_file", message)])
    if sum(map(len, form.fields.values())) > LARGEST_REQUEST:
        raise Problem(413, "body_too_large", f"the fields of the form are larger than {LARGEST_REQUEST // 1024} KB")
    if "request" in form.fields:
        if len(form.fields) > 1:
            message = "the form has a field request and others beside it; put all into request"
            raise invalid([FieldError(None, "request", "ambiguous_body", message)])
        return dialects.json_value(form.fields["request"].encode())
    return {name: text if name in _TEXTS else dialects.json_value(text.encode()) for name, text in form.fields.items()}


def _default(name: str, recipes: list[str]) -> str:
    return name if name in recipes else GENERIC_RECIPE


def _no_schedule(name: str) -> Problem:
    return Problem(404, "no_schedule", f"the model {name[:80]!r} has no schedule")


def _shown(schedule: Schedule) -> Mapping[str, object]:
    return {
        "model": schedule.model,
        "cron": schedule.cron,
        "request": shown_request(schedule.request),
        "next_run": schedule.next_run,
    }
