"""The OpenAPI document of this interface, and the page that shows it."""

from __future__ import annotations

import functools
from pathlib import Path

from flask import Blueprint, Response, request

import gateway
from gateway.http.exchange import caller
from gateway.http.operations import Answer, Operation, Parameter
from gateway.http.rules import Level
from gateway.openapi.document import ApiDocument
from gateway.problems import Problem, ProblemCode

HEADERS = {"Cache-Control": "private, no-cache", "Vary": "Authorization, X-API-Key"}
"""It changes with the repository and differs by key, so clients ask again and usually get 304."""

PAGE_HEADERS = {
    # Texts of manifests are shown here. Even if one were not escaped, it could run nothing and send nothing elsewhere.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

_FOLDER = Path(gateway.__file__).parent / "pages"
_ASSETS = {
    "style.css": ("static/style.css", "text/css"),
    "docs.css": ("docs/docs.css", "text/css"),
    "docs.js": ("docs/docs.js", "text/javascript"),
}

_UNCHANGED = Answer("As it was.")
_DOCUMENT = Operation(
    "get_openapi",
    "This document",
    {200: Answer("OpenAPI 3.1, with the models that the caller may use.", "Document"), 304: _UNCHANGED},
    problems=("404 unknown_model",),
    parameters=(
        Parameter("model", "The requests of this model alone; empty: the routes, without the requests of each model."),
    ),
)
_PAGE = Operation(
    "get_docs",
    "This document as a page on which requests can be tried",
    {200: Answer("The page.", {"text/html": "Text"}), 304: _UNCHANGED},
)
_ASSET = Operation(
    "get_docs_asset",
    "A style or a script of the page",
    {200: Answer("The file.", {"text/css": "Text", "text/javascript": "Text"}), 304: _UNCHANGED},
)


def blueprint(document: ApiDocument) -> Blueprint:
    routes = Blueprint("documentation", __name__)

    @routes.get("/openapi.json", level=Level.OWN, docs=_DOCUMENT)
    def openapi() -> Response:
        published = document.of(caller(), request.args.get("model"))
        response = Response(published.body, headers=HEADERS, content_type="application/json")
        response.set_etag(published.tag)
        response.make_conditional(request)
        return response

    # A browser that opens a page can send no key, so these two are open: they are the same files everywhere, and name
    # no model. The page asks for a key and reads the document with it.
    @routes.get("/docs", level=Level.OPEN, docs=_PAGE)
    def page() -> Response:
        return _file("docs/index.html", "text/html")

    @routes.get("/docs/<asset>", level=Level.OPEN, docs=_ASSET)
    def asset(asset: str) -> Response:
        if asset not in _ASSETS:
            raise Problem(ProblemCode.NOT_FOUND, f"the page has no file {asset[:64]!r}")
        return _file(*_ASSETS[asset])

    return routes


def _file(name: str, content_type: str) -> Response:
    response = Response(_content(name), headers=PAGE_HEADERS, content_type=f"{content_type}; charset=utf-8")
    response.add_etag()
    response.make_conditional(request)
    return response


@functools.cache
def _content(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()
