"""Uploads of models: a pickle is a program, so this is off unless `ALLOW_UPLOAD` is set."""

from __future__ import annotations

from flask import Blueprint, Response, request

from contract.training import RepositoryAction, RepositoryCommand
from gateway.answers import json_response
from gateway.forms import Upload, receive
from gateway.media_types import MULTIPART
from gateway.problems import Problem
from gateway.rules import BodyLimit, Level
from gateway.serving.commands import RunCommand, run
from gateway.serving.models import check_new_name
from gateway.serving.spool import Spool

_OFF = (
    "uploads of models are off, because a pickle is a program that the trainer and the workers would run;"
    " set ALLOW_UPLOAD=1 to accept them from every client that may write"
)
_PARTS = ("file", "sample", "signature")


def blueprint(spool: Spool, fields: BodyLimit, run_command: RunCommand, allowed: bool) -> Blueprint:
    """`fields`: the limit of a form's fields. The uploaded files are deleted after the command."""
    routes = Blueprint("uploads", __name__, url_prefix="/v1/models")

    @routes.post("/<name>/versions", level=Level.PUBLISH)
    def upload(name: str) -> Response:
        if not allowed:
            raise Problem(403, "uploads_off", _OFF)
        check_new_name(name)
        if request.mimetype != MULTIPART:
            detail = "send the model as multipart/form-data: a file, and a sample and a signature if there are any"
            raise Problem(415, "unsupported_media_type", detail)
        form = receive(request.environ, spool, fields.bytes)
        try:
            answer = run(run_command, _command(name, form))
        finally:
            spool.discard(form.files.values())
        return json_response(answer, 201, {"Location": f"/v1/models/{name}/versions/{answer['version']}"})

    return routes


def _command(model: str, form: Upload) -> RepositoryCommand:
    unknown = [part for part in (*form.fields, *form.files) if part not in _PARTS]
    texts = [part for part in _PARTS if part in form.fields]
    if unknown or texts or "file" not in form.files:
        lacking = f"the form has no file in its part {(*texts, 'file')[0]!r}"
        detail = f"the form has the part {unknown[0][:64]!r}" if unknown else lacking
        known = "the files `file`, `sample` and `signature`"
        raise Problem(400, "invalid_parameter", f"{detail}; it takes {known} and nothing else")
    return RepositoryCommand(
        RepositoryAction.IMPORT,
        model,
        upload=form.files["file"],
        sample=form.files.get("sample"),
        signature=form.files.get("signature"),
        upload_name=form.client_names["file"] or None,
    )
