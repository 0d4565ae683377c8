"""Trainings: submitted, on a schedule, with the defaults of the recipe; and their logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from flask import Blueprint, Response, request

from broker.schedules import Schedule
from contract.errors import FieldError
from contract.training import TrainingRequest
from gateway.answers import FRESH, job_response, json_response
from gateway.forms import Upload, receive
from gateway.media_types import AS_JSON, MULTIPART, is_json, unsupported
from gateway.problems import Problem
from gateway.protocols import native
from gateway.protocols.training_requests import check_file, check_parameters, invalid, shown_request, training_request
from gateway.rules import SMALL_BODY, BodyLimit, Level
from gateway.serving.jobs import JobReader
from gateway.serving.models import check_new_name
from gateway.serving.spool import Spool
from gateway.serving.training import Trainings, default_recipe

SCHEDULE_BODY = BodyLimit.of_request(16)
"""All schedules with their requests are read every second."""

_TEXTS = frozenset({"recipe", "target", "id_field", "alias", "notes"})
"""Fields of a form that are text; the others are JSON."""


def blueprint(trainings: Trainings, reader: JobReader, spool: Spool, fields: BodyLimit) -> Blueprint:
    """`fields`: the limit of a form's fields."""
    routes = Blueprint("trainings", __name__, url_prefix="/v1")

    @routes.post("/models/<name>/train", level=Level.TRAIN)
    def train(name: str) -> Response:
        check_new_name(name)
        recipes = trainings.recipes()
        with _body(spool, fields) as given:
            default = default_recipe(name, recipes)
            asked = training_request(name, given.request, recipes, default, given.upload, given.client_name)
            if given.upload:
                with spool.open(given.upload) as file:
                    check_file(asked, file)
            return _submit(_checked(asked))

    @routes.post("/models/<name>/reset", level=Level.TRAIN)
    def reset(name: str) -> Response:
        recipes = trainings.recipes()
        return _submit(training_request(name, {}, recipes, trainings.recipe_of(name, recipes)))

    @routes.get("/jobs/<job_id>/log", level=Level.READ)
    def log(job_id: str) -> Response:
        start = request.args.get("from", "0")
        if not (start.isascii() and start.isdigit() and len(start) < 16):
            raise Problem(400, "invalid_parameter", f"from={start[:64]!r} is not a number of bytes")
        first, text = trainings.log(reader.read(job_id), int(start))
        headers = {**FRESH, "Log-From": str(first), "Log-Next": str(first + len(text))}
        return Response(text, 200, headers, content_type="text/plain; charset=utf-8")

    @routes.get("/schedules", level=Level.READ)
    def index() -> Response:
        return json_response({"items": [_shown(schedule) for schedule in trainings.schedules.all()]}, headers=FRESH)

    @routes.get("/models/<name>/schedule", level=Level.READ)
    def show(name: str) -> Response:
        return json_response(_shown(trainings.schedule_of(name)), headers=FRESH)

    @routes.put("/models/<name>/schedule", level=Level.TRAIN, body=SCHEDULE_BODY)
    def put(name: str) -> Response:
        check_new_name(name)
        body = native.json_value(request.environ["wsgi.input"].read())
        if not isinstance(body, dict) or set(body) - {"cron", "request"} or not isinstance(body.get("cron"), str):
            message = 'a schedule is {"cron": "0 3 * * 1", "request": {…}}, the request as for a training'
            raise invalid([FieldError(None, None, "not_a_schedule", message)])
        recipes = trainings.recipes()
        asked = _checked(training_request(name, body.get("request", {}), recipes, default_recipe(name, recipes)))
        try:
            schedule = trainings.put_schedule(name, body["cron"], asked)
        except ValueError as error:
            raise invalid([FieldError(None, "cron", "not_a_cron_expression", str(error))]) from error
        return json_response(_shown(schedule), headers=FRESH)

    @routes.delete("/models/<name>/schedule", level=Level.TRAIN)
    def delete(name: str) -> Response:
        trainings.delete_schedule(name)
        return Response(status=204)

    def _submit(asked: TrainingRequest) -> Response:
        job = trainings.submit(asked)
        return job_response(job, 202, {"Location": f"/v1/jobs/{job.id}"})

    def _checked(asked: TrainingRequest) -> TrainingRequest:
        """Return the request if its parameters fit its recipe."""
        parameters = trainings.trainer.parameters(asked.recipe) if asked.parameters else None
        if parameters is not None:
            check_parameters(asked, parameters)
        return asked

    return routes


@dataclass(frozen=True)
class _Body:
    """The request in a body, and the name of its file in SPOOL_DIR and at the client."""

    request: object
    upload: str | None = None
    client_name: str | None = None


@contextmanager
def _body(spool: Spool, fields: BodyLimit) -> Iterator[_Body]:
    """Yield the body. Its file is deleted if the block raises."""
    kind = request.mimetype
    if kind == MULTIPART:
        form = receive(request.environ, spool, fields.bytes)
        try:
            names = (next(iter(names.values()), None) for names in (form.files, form.client_names))
            yield _Body(_request_in(form), *names)
        except BaseException:
            spool.discard(form.files.values())
            raise
    elif is_json(kind):
        data = request.environ["wsgi.input"].read()
        yield _Body(native.json_value(data) if data.strip() or kind else {})
    else:
        raise unsupported(kind, f"{AS_JSON} or multipart/form-data (curl -F)", "application/json")


def _request_in(form: Upload) -> object:
    """Return the field `request`, or all fields together; at most one file, `file` or `data`."""
    if len(form.files) > 1 or not set(form.files) <= {"file", "data"}:
        message = f"the form has the files {', '.join(sorted(form.files))[:200]}; send one, as file"
        raise invalid([FieldError(None, "file", "not_a_file", message)])
    if sum(map(len, form.fields.values())) > SMALL_BODY.bytes:
        detail = f"the fields of the form are larger than {SMALL_BODY.bytes // 1024} KB"
        raise Problem(413, "body_too_large", detail)
    if "request" in form.fields:
        if len(form.fields) > 1:
            message = "the form has other fields beside request; put everything into request"
            raise invalid([FieldError(None, "request", "ambiguous_body", message)])
        return native.json_value(form.fields["request"].encode())
    return {name: text if name in _TEXTS else native.json_value(text.encode()) for name, text in form.fields.items()}


def _shown(schedule: Schedule) -> Mapping[str, object]:
    return {
        "model": schedule.model,
        "cron": schedule.cron,
        "request": shown_request(schedule.request),
        "next_run": schedule.next_run,
    }
