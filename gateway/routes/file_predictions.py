"""File predictions: a file of rows, the job that it becomes, and the files that the job leaves."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from typing import BinaryIO

from flask import Blueprint, Response, request
from werkzeug.wsgi import FileWrapper, get_content_length

from contract.model.signature import EXPLAIN, PREDICT
from contract.rows.file_formats import FileFormat
from contract.work.api_keys import Detail, Scope
from contract.work.webhooks import AllowedTargets
from gateway.http.answers import JobAnswer
from gateway.http.exchange import caller, current, noted
from gateway.http.idempotency import note_content
from gateway.http.media_types import media_type, unsupported
from gateway.http.operations import (
    CANCEL_AFTER,
    ESCAPE,
    EXPLAIN_PARAMETERS,
    FILE,
    IDEMPOTENCY_KEY,
    JOB_ACCEPTED,
    KEPT,
    WEBHOOK_URL,
    Answer,
    Operation,
    Parameter,
)
from gateway.http.rules import Level
from gateway.problems import Problem, ProblemCode
from gateway.protocols import explanations
from gateway.protocols.csv_rows import AS_CSV
from gateway.protocols.parameters import preferences, seconds
from gateway.protocols.webhooks import webhook_url
from gateway.serving.file_predictions import FileOptions, FilePredictor
from gateway.serving.job_access import JobReader

_FORMATS = {name: kind for kind in FileFormat for name in kind.media_types}
# CSV last: as that type openapi-python-client sends any file.
_FILE = {str(kind): FILE for kind in reversed(FileFormat)}
_NO_FILE = (
    "404 unknown_job",
    "404 no_output",
    "409 not_finished",
    "416 requested_range_not_satisfiable",
    "503 store_away",
)
_POST = Operation(
    "predict_file",
    "Score a file of rows",
    {202: JOB_ACCEPTED},
    problems=(
        *("400 malformed_body", "403 no_webhooks", "404 unknown_method", "409 no_background"),
        *("411 length_required", "413 upload_too_large"),
        *("415 unsupported_media_type", "415 unsupported_content_encoding"),
        *(
            "429 jobs_in_flight_limit",
            "429 upload_limit",
            "503 environment_not_served",
            "503 queue_full",
            "503 redis_disk_slow",
        ),
        *("503 manifest_invalid", "503 store_away", "507 spool_full", *KEPT),
    ),
    parameters=(
        Parameter("method", "The method of the model that gets the rows, or `explain`; by default predict."),
        *EXPLAIN_PARAMETERS,
        ESCAPE,
        Parameter("Accept", "The format of the output; by default that of the file.", location="header"),
        Parameter("Prefer", "`handling=strict` fails the file at the first invalid rows.", location="header"),
        CANCEL_AFTER,
        IDEMPOTENCY_KEY,
        WEBHOOK_URL,
    ),
    body=_FILE,
    streamed=True,
)
_PARTS = {"Content-Range": "Which bytes these are."}
_OUTPUT = Operation(
    "job_output",
    "Download the output of a file",
    {200: Answer("The rows with their predictions.", _FILE), 206: Answer("A range of it.", _FILE, _PARTS)}
    | {304: Answer("It is the one that the client has.")},
    problems=(*_NO_FILE, "406 not_acceptable"),
)
_LINES = {str(FileFormat.NDJSON): FILE}
_ERRORS = Operation(
    "job_errors",
    "Download the errors of the rows of a file",
    {200: Answer("A line of JSON for each error.", _LINES), 206: Answer("A range of it.", _LINES, _PARTS)}
    | {304: Answer("It is the one that the client has.")},
    problems=_NO_FILE,
)
_PIECE = 64 * 1024
"""Bytes of a file that are sent at once."""
_TAKEN = ", ".join(FileFormat)
# An output never changes, but may be deleted: caches ask again, and usually get 304.
_HEADERS = {"Cache-Control": "private, no-cache"}


def blueprint(files: FilePredictor, reader: JobReader, webhooks: AllowedTargets | None = None) -> Blueprint:
    """`webhooks`: where they may go; None: there are none."""
    routes = Blueprint("files", __name__, url_prefix="/v1")

    @routes.post("/models/<reference>/predict-file", level=Scope.PREDICT, docs=_POST, streams=True)
    def post(reference: str) -> JobAnswer:
        options, size, exchange = _options(webhooks), _size(), current()
        model = files.model(reference, options, exchange.caller)
        if options.explain is None:  # metrics of the model count predictions
            noted(model, reference)
        else:
            current().asked = model.name
        keyed = "HTTP_IDEMPOTENCY_KEY" in request.environ
        job = files.submit(
            model,
            options,
            request.environ["wsgi.input"].read,
            size,
            job_id=exchange.new_job_id(),
            caller=exchange.caller,
            alias=exchange.alias,
            request=exchange.travelling_ids(),
            idempotency_of=functools.partial(_idempotency_of, options) if keyed else None,
        )
        exchange.job_id = job.id
        headers = {"Location": f"/v1/jobs/{job.id}"}
        if handling := preferences(request.headers.get("Prefer"), 0).handling:
            headers["Preference-Applied"] = f"handling={handling}"
        return JobAnswer(job, 202, headers)

    @routes.get("/jobs/<job_id>/output", level=Level.OWN, docs=_OUTPUT)
    def output(job_id: str) -> Response:
        job = reader.read(job_id)
        file, kind = files.output(job)
        _check_accepted(kind)
        return _sent(file, kind, f"{job.model}-{job.id}.{kind.suffixes[0]}", f"{job.id}-output")

    @routes.get("/jobs/<job_id>/errors", level=Level.OWN, docs=_ERRORS)
    def errors(job_id: str) -> Response:
        job = reader.read(job_id)
        file = files.errors(job)
        if caller().detail is Detail.TERSE:
            return Response(_terse(file), headers=_HEADERS, content_type=FileFormat.NDJSON)
        return _sent(file, FileFormat.NDJSON, f"{job.model}-{job.id}-errors.ndjson", f"{job.id}-errors")

    return routes


def _options(webhooks: AllowedTargets | None) -> FileOptions:
    """Return what the head of the request asks for. Raises `Problem` and `Problem`."""
    if (coding := request.headers.get("Content-Encoding", "identity")).lower() != "identity":
        detail = f"the Content-Encoding {coding[:40]!r} is not supported; send the file as it is"
        headers = {"Accept-Encoding": "identity"}
        raise Problem(ProblemCode.UNSUPPORTED_CONTENT_ENCODING, detail, headers=headers)
    kind = media_type(request.environ)
    if kind not in _FORMATS:
        raise unsupported(kind, f"the file as the body, as one of {_TAKEN}, such as {AS_CSV}", _TAKEN)
    escape = request.args.get("escape")
    if escape not in (None, "formulas"):
        raise Problem(ProblemCode.INVALID_PARAMETER, f"escape={escape[:64]!r} is not escape=formulas")
    method = request.args.get("method", PREDICT.name)
    return FileOptions(
        input=_FORMATS[kind],
        output=_asked_for() or _FORMATS[kind],
        method=method,
        lenient=preferences(request.headers.get("Prefer"), 0).handling != "strict",
        escape=escape is not None,
        expires_after=seconds("Cancel-After", request.headers.get("Cancel-After")),
        webhook=webhook_url(request.environ, webhooks),
        explain=explanations.read(request.environ["QUERY_STRING"]) if method == EXPLAIN else None,
    )


def _idempotency_of(options: FileOptions, digest: str) -> str:
    return note_content(current(), [options.input, options.output, digest])


def _asked_for() -> FileFormat | None:
    """Return the format that `Accept` names first; None if it names none: a client that wants JSON."""
    return next((_FORMATS[kind] for kind in request.accept_mimetypes.values() if kind in _FORMATS), None)


def _check_accepted(kind: FileFormat) -> None:
    """Raise `Problem` if the client does not accept this format."""
    accepted = request.accept_mimetypes
    if accepted and not any(accepted[name] for name in kind.media_types):
        detail = (
            f"the output is {kind}; leave Accept out, or send the file again with the Accept of the format you want"
        )
        raise Problem(ProblemCode.NOT_ACCEPTABLE, detail, format=str(kind))


def _size() -> int | None:
    """Return the bytes of the file; None if it comes in chunks. Raises `Problem` (411) if the key counts bytes."""
    size = get_content_length(request.environ)
    if size is None and caller().limits.upload_mb_per_day is not None:
        raise Problem(
            ProblemCode.LENGTH_REQUIRED, "the key may upload so many bytes a day, so a file needs a Content-Length"
        )
    return size


def _sent(file: BinaryIO, kind: FileFormat, name: str, etag: str) -> Response:
    """Return a file with ranges (RFC 9110, 14) and an ETag; it is sent in pieces."""
    if "," in request.environ.get("HTTP_RANGE", ""):
        del request.environ["HTTP_RANGE"]  # several at once: a server may send the whole file instead
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    headers = {**_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    response = Response(FileWrapper(file, _PIECE), headers=headers, content_type=str(kind), direct_passthrough=True)
    response.content_length = size
    response.set_etag(etag)
    response.make_conditional(request, accept_ranges=True, complete_length=size)
    return response


def _terse(file: BinaryIO) -> Iterator[bytes]:
    """Yield the errors of rows as a terse key sees them: row and code."""
    with file:
        for line in file:
            error = json.loads(line)
            yield json.dumps({"row": error["row"], "code": error["code"]}).encode() + b"\n"
