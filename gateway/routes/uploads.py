"""Uploads of models: a pickle is a program, so this is off unless `ALLOW_UPLOAD` is set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request

from contract.errors import Code, ModelgateError
from contract.training import RepositoryAction, RepositoryCommand
from gateway.answers import json_response
from gateway.problems import Problem
from gateway.routes.models import check_name
from gateway.routes.versions import RunCommand
from gateway.serving.spool import Form, Spool

_OFF = (
    "uploads of models are off, because a pickle is a program that the trainer and the workers would run;"
    " ALLOW_UPLOAD=1 takes them from everybody who may write here"
)
_PARTS = ("file", "sample", "signature")
_STATUS: Mapping[str, int] = {Code.NOT_PUBLISHED: 422, Code.NOT_SIGNED: 403}


def blueprint(spool: Spool, run_command: RunCommand, allowed: bool) -> Blueprint:
    """`run_command` raises `ModelgateError` with the trainer's reason, and `TrainerUnavailable`. The uploaded files are
    deleted afterwards."""
    routes = Blueprint("uploads", __name__, url_prefix="/v1/models")

    @routes.post("/<name>/versions")
    def upload(name: str) -> Response:
        if not allowed:
            raise Problem(403, "uploads_off", _OFF)
        check_name(name)
        if request.mimetype != "multipart/form-data":
            detail = "send the model as multipart/form-data: a file, and where you have them a sample and a signature"
            raise Problem(415, "unsupported_media_type", detail)
        form = spool.receive(request)
        try:
            answer = _run(run_command, _command(name, form))
        finally:
            spool.discard(form)
        return json_response(answer, 201, {"Location": f"/v1/models/{name}/versions/{answer['version']}"})

    return routes


def _command(model: str, form: Form) -> RepositoryCommand:
    unknown = [part for part in (*form.fields, *form.files) if part not in _PARTS]
    texts = [part for part in _PARTS if part in form.fields]
    if unknown or texts or "file" not in form.files:
        lacking = f"the form lacks a file in a part {(*texts, 'file')[0]}"
        detail = f"the form has the part {unknown[0][:64]!r}" if unknown else lacking
        known = "the files `file`, `sample` and `signature`"
        raise Problem(400, "invalid_parameter", f"{detail}; it takes {known} and nothing else")
    return RepositoryCommand(
        RepositoryAction.IMPORT,
        model,
        upload=form.files["file"],
        sample=form.files.get("sample"),
        signature=form.files.get("signature"),
        upload_name=form.called["file"] or None,
    )


def _run(run_command: RunCommand, command: RepositoryCommand) -> Mapping[str, Any]:
    try:
        return run_command(command)
    except ModelgateError as error:
        status = _STATUS.get(error.failure.code)
        if status is None:
            raise
        raise Problem(status, error.failure.code, error.failure.message) from error
