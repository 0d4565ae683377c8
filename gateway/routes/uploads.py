"""New versions of a model: an upload, or a version with an edited signature.

An upload is a pickle, and so a program: uploads are off unless `ALLOW_UPLOAD` is set; `local` takes those of the
user who runs the gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from wsgiref.types import WSGIEnvironment

from flask import Blueprint, Response, request

from contract.json_objects import BOOLEAN, MAX_NAME, ListOf, Object, WrongValue, one_of, repeated, text
from contract.model.environments import ENVIRONMENT, TODAY, TODAY_WRITTEN
from contract.model.repository import CURRENT, Repository
from contract.model.signature import Kind, Null
from contract.rows.instances import MAX_NAMES
from contract.wording import shown
from contract.work.api_keys import Scope
from contract.work.training import RepositoryAction, RepositoryCommand
from gateway.http.answers import json_response
from gateway.http.exchange import caller, current
from gateway.http.forms import Upload, received
from gateway.http.media_types import AS_JSON, MULTIPART, is_json, media_type, unsupported
from gateway.http.operations import COMMANDED, IDEMPOTENCY_KEY, LOCATION, Answer, Operation
from gateway.http.rules import BodyLimit
from gateway.problems import Problem, ProblemCode
from gateway.problems.problem import read_valid
from gateway.protocols import native
from gateway.protocols.offload import offload
from gateway.protocols.signature_edits import check_edits, edit_request
from gateway.protocols.training_requests import MAX_NOTES, accepted, alias
from gateway.serving.model_versions import RunCommand, check_model, check_new_name, resolve, run
from gateway.serving.promotions import asker
from gateway.serving.spool import GatewaySpool

_OFF = (
    "uploads of models are off, because a pickle is a program that the trainer and the workers would run;"
    " set ALLOW_UPLOAD=1 to accept them from every client that may write; with `make up` on Linux, programs of the user"
    " who started it may send them to 127.0.0.1 without that"
)
_PARTS = ("file", "sample", "code", "signature")
_VERSIONS = "versions"
"""The field with the versions of Python and the libraries that made the file, as an object."""
_MOST_VERSIONS, _LONGEST_VERSION = 20, 64
_NULLS = "nulls"
"""The field with what the nulls in columns of the sample were, as an object of lists."""
_NULL_WORDS = list(map(str, Null))
_COLUMNS = "columns"
"""The field with the columns that the model takes, as a list of objects."""
_FIELDS = (_VERSIONS, _NULLS, _COLUMNS, "target", "environment", "alias", "promote", "accept", "notes")


EDIT_BODY = BodyLimit.of_request(1024)
"""A signature has at most some thousand names."""


_PUBLISH = Operation(
    "publish_version",
    "Publish an uploaded model, or a version again under an edited signature",
    {201: Answer("The new version.", "NewVersion", LOCATION)},
    problems=(
        "409 request_in_flight",
        *("403 uploads_off", "403 not_signed", "404 no_current_version"),
        *("409 not_trusted", "411 length_required", "413 form_too_large", "413 upload_too_large"),
        *("415 unsupported_media_type", "422 invalid_name", "422 invalid_signature", "422 not_published"),
        *("422 repeated_field", "429 upload_limit", "507 spool_full"),
        *("503 manifest_invalid", "503 artifact_missing", "503 artifact_corrupt", *COMMANDED),
    ),
    # Some generators of clients take the first alone, and files can be sent with no other.
    body={"multipart/form-data": "ModelUpload", "application/json": "SignatureEdit"},
    parameters=(IDEMPOTENCY_KEY,),
)


def blueprint(
    repository: Repository,
    spool: GatewaySpool,
    fields: BodyLimit,
    run_command: RunCommand,
    may_upload: Callable[[WSGIEnvironment], bool],
) -> Blueprint:
    """`fields`: the limit of a form's fields. `may_upload`: whether this request may upload a model; the files are
    deleted after the command."""
    routes = Blueprint("uploads", __name__, url_prefix="/v1/models")

    @routes.post("/<name>/versions", level=Scope.PUBLISH, docs=_PUBLISH, audit=_action, body=EDIT_BODY, streams=True)
    def publish(name: str) -> Response:
        if request.mimetype == MULTIPART:
            answer = upload(name)
        elif is_json(request.mimetype):
            answer = edit(name)
        else:
            what = f"a model as {MULTIPART} (curl -F file=@model.pkl), or an edited signature as {AS_JSON}"
            raise unsupported(request.mimetype, what, f"{MULTIPART}, application/json")
        current().version = answer["version"]
        return json_response(answer, 201, {"Location": f"/v1/models/{name}/versions/{answer['version']}"})

    def upload(name: str) -> dict[str, Any]:
        if not may_upload(request.environ):
            raise Problem(ProblemCode.UPLOADS_OFF, _OFF)
        check_new_name(name)
        with received(request.environ, spool, fields.bytes) as form:
            command = replace(_command(name, form), person=asker(repository, name, caller()))
            answer = run(run_command, command)
            current().alias = (command.alias or CURRENT) if answer.get("promoted") else None
            spool.files.discard(form.files.values())
        return answer

    def edit(name: str) -> dict[str, Any]:
        check_model(repository, name)
        text = request.environ["wsgi.input"].read()
        edit_of = offload(len(text), edit_request, native.json_value(text))
        _, version = resolve(repository, f"{name}@{edit_of.source}")
        offload(len(text), check_edits, repository.manifest(name, version), edit_of.edits)
        return run(
            run_command, RepositoryCommand(RepositoryAction.EDIT_SIGNATURE, name, version=version, edits=edit_of.edits)
        )

    return routes


def _action(environ: WSGIEnvironment) -> str:
    return "upload" if media_type(environ) == MULTIPART else "edit_signature"


def _command(model: str, form: Upload) -> RepositoryCommand:
    unknown = [part for part in (*form.fields, *form.files) if part not in (*_PARTS, *_FIELDS)]
    unknown += [field for field in _FIELDS if field in form.files]
    texts = [part for part in _PARTS if part in form.fields]
    if unknown or texts or "file" not in form.files:
        lacking = f"the form has no file in its part {(*texts, 'file')[0]!r}"
        detail = f"the form has the part {unknown[0][:64]!r}" if unknown else lacking
        fields = ", ".join(f"`{field}`" for field in _FIELDS)
        known = f"the files `file`, `sample`, `code` and `signature`, and the texts {fields},"
        raise Problem(ProblemCode.INVALID_PARAMETER, f"{detail}; it takes {known} and nothing else")
    return RepositoryCommand(
        RepositoryAction.IMPORT,
        model,
        upload=form.files["file"],
        sample=form.files.get("sample"),
        code=form.files.get("code"),
        signature=form.files.get("signature"),
        upload_name=form.client_names["file"] or None,
        versions=_versions(form.fields[_VERSIONS]) if _VERSIONS in form.fields else None,
        nulls=_nulls(form.fields[_NULLS]) if _NULLS in form.fields else None,
        columns=_columns(form.fields[_COLUMNS]) if _COLUMNS in form.fields else None,
        target=form.fields.get("target"),
        environment=_environment(form.fields["environment"]) if "environment" in form.fields else None,
        notes=_notes(form.fields["notes"]) if "notes" in form.fields else None,
        **_promotion(form.fields),
    )


def _promotion(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of the command that say whether the version is promoted. Raises `Problem`."""
    promote = fields.get("promote", "true")
    if promote not in ("true", "false"):
        raise Problem(ProblemCode.INVALID_PARAMETER, f"promote must be true or false; it is {shown(promote)}")
    try:
        named = alias(fields["alias"]) if "alias" in fields else None
        accept = accepted(native.json_value(fields["accept"].encode(errors="replace"))) if "accept" in fields else None
    except WrongValue as wrong:
        raise Problem(ProblemCode.INVALID_PARAMETER, str(wrong)) from wrong
    return {"alias": named, "no_promote": promote == "false", "accept": accept or None}


def _notes(text: str) -> str:
    if len(text) > MAX_NOTES:
        detail = f"notes has {len(text):,} characters; send at most {MAX_NOTES:,}"
        raise Problem(ProblemCode.INVALID_PARAMETER, detail)
    return text


def _environment(name: str) -> str:
    if not ENVIRONMENT.fullmatch(name):
        detail = (
            "environment must be the name of an environment, such as sklearn-1.5, or"
            f" {TODAY_WRITTEN}; it is {shown(name)}"
        )
        raise Problem(ProblemCode.INVALID_PARAMETER, detail)
    return TODAY if name == TODAY_WRITTEN else name


def _nulls(written: str) -> dict[str, list[str]]:
    words = native.json_value(written.encode(errors="replace"))
    lists = [*words.values()] if isinstance(words, dict) else [None]
    valid = all(isinstance(held, list) and all(map(_NULL_WORDS.count, held)) for held in lists)
    if not isinstance(words, dict) or not valid:
        detail = f'nulls must be an object of lists of {", ".join(Null)} by column, such as {{"city": ["none"]}}'
        raise Problem(ProblemCode.INVALID_PARAMETER, detail)
    return dict(words)


_COLUMN = Object(
    {
        "name": text(MAX_NAME),
        "kind": one_of(list(Kind), "unknown_kind", "{field} must be one of {known}; it is {value}{near}"),
        "nullable": BOOLEAN,
    },
    unknown=("unknown_field", "{what} has the member {name}{near}"),
    required=("name", "kind"),
)
_LIST_OF_COLUMNS = ListOf(
    _COLUMN, 'columns must be a list such as [{{"name": "age", "kind": "number"}}]; it is {value}', 1, MAX_NAMES
)


def _columns(written: str) -> list[dict[str, Any]]:
    """Return the columns that the sender declares. Raises `Problem`."""
    declared = {_COLUMNS: native.json_value(written.encode(errors="replace"))}
    read = read_valid(
        declared, Object({_COLUMNS: _LIST_OF_COLUMNS}, required=[_COLUMNS]), ProblemCode.INVALID_PARAMETER
    )
    columns: list[dict[str, Any]] = read[_COLUMNS]
    if (twice := repeated([column["name"] for column in columns])) is not None:
        raise Problem(ProblemCode.INVALID_PARAMETER, f"columns names {shown(twice)} more than once")
    return columns


def _versions(written: str) -> dict[str, str]:
    versions = native.json_value(written.encode(errors="replace"))
    texts = [*versions, *versions.values()] if isinstance(versions, dict) else [None]
    short = len(texts) <= 2 * _MOST_VERSIONS and all(
        isinstance(word, str) and len(word) <= _LONGEST_VERSION for word in texts
    )
    if not isinstance(versions, dict) or not short:
        detail = f'versions must be an object of up to {_MOST_VERSIONS} short texts, such as {{"python": "3.11.7"}}'
        raise Problem(ProblemCode.INVALID_PARAMETER, detail)
    return dict(versions)
