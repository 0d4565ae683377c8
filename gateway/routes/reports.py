"""The report of a model version: the page that the trainer wrote, and the same facts as JSON."""

from __future__ import annotations

from flask import Blueprint, Response, request

from contract.files import read_regular
from contract.repository import REPORT_HTML, REPORT_JSON, Repository
from gateway.problems import Problem
from gateway.routes.models import resolve

FORMATS = {"html": ("text/html; charset=utf-8", REPORT_HTML), "json": ("application/json", REPORT_JSON)}
HEADERS = {
    # The page holds names out of users' data: were one not escaped, it could still load and run nothing.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
    # A version never changes, but an alias in the address moves: asked for again, and mostly answered with 304.
    "Cache-Control": "private, no-cache",
    "Vary": "Accept",
}


def blueprint(repository: Repository) -> Blueprint:
    routes = Blueprint("reports", __name__, url_prefix="/v1/models")

    @routes.get("/<name>/versions/<version>/report")
    def report(name: str, version: str) -> Response:
        model, number = resolve(repository, f"{name}@{version}")
        content_type, file = FORMATS[_wanted()]
        try:
            body = read_regular(repository.report_dir(model, number) / file)
        except OSError as error:
            raise _no_report(repository, model, number) from error
        response = Response(body, headers=HEADERS, content_type=content_type)
        response.add_etag()
        response.make_conditional(request)
        return response

    return routes


def _wanted() -> str:
    """`?format=`, else what `Accept` likes best, the page where it does not say."""
    wanted = request.args.get("format")
    if wanted is None:
        best = request.accept_mimetypes.best_match(["text/html", "application/json"])
        return "json" if best == "application/json" else "html"
    if wanted not in FORMATS:
        raise Problem(400, "invalid_parameter", f"format {wanted[:64]!r} is neither {' nor '.join(FORMATS)}")
    return wanted


def _no_report(repository: Repository, model: str, version: int) -> Problem:
    having = [v for v in repository.versions(model) if (repository.report_dir(model, v) / REPORT_HTML).is_file()]
    there_are = (
        f"those that have one: {', '.join(map(str, having[-20:]))}" if having else "no version of it has one yet"
    )
    detail = (
        f"version {version} of the model {model!r} has no report; {there_are}."
        " Reports are written when a model is trained here, not when it is imported: train it to get one"
    )
    return Problem(404, "no_report", detail, reports=having[-20:])
