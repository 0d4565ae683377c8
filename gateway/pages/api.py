"""How a program uses a model: its inputs, its answers, and requests to copy."""

from __future__ import annotations

import csv
import io
import json
import pprint
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from flask import Blueprint, Response, request

from contract.model.repository import Repository
from contract.work.api_keys import Scope
from gateway.http.exchange import caller
from gateway.pages.layout import blueprint_of_pages, page
from gateway.pages.model_header import ModelHeader, sees_inputs
from gateway.routes.reports import SAFE_ADDRESS
from gateway.serving.model_versions import resolve

_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""Characters that a terminal or an editor does not show as they are."""


@dataclass(frozen=True)
class Snippet:
    label: str
    text: str


def snippets(model: str, row: object, address: str) -> list[Snippet]:
    """Return requests with one row to a model: `loan` for its current version, or `loan@3`."""
    address = address if SAFE_ADDRESS.fullmatch(address) else "http://127.0.0.1:8080"
    body = _escaped(json.dumps([row], ensure_ascii=False))
    value = _escaped(pprint.pformat([row], sort_dicts=False, width=88))
    snippets = [
        Snippet(
            "curl",
            f"curl -s {address}/v1/models/{model}/predict \\\n"
            "  -H 'Content-Type: application/json' -H 'Prefer: wait=10' \\\n"
            f"  -d {shlex.quote(body)}",
        ),
        Snippet(
            "Python",
            "from modelgate import Client\n\n"
            f'model = Client("{address}").model("{model}")\n'
            f"print(model.predict({value}))",
        ),
    ]
    if row in ({}, ""):
        return snippets
    if isinstance(row, Mapping) and not any(isinstance(cell, list) for cell in row.values()):
        lines, end, options = _csv(row), "CSV", ""
    else:
        lines, end, options = f"{_escaped(json.dumps(row, ensure_ascii=False))}\n", "NDJSON", " --format ndjson"
    while end in lines:  # a line of the row must not end the rows, or a shell would run the next one
        end += "_"
    command = f"export MODELGATE_URL={address}\nmodelgate predict {model}{options} <<'{end}'\n{lines}{end}"
    return [*snippets, Snippet("modelgate", command)]


def _csv(row: Mapping[str, object]) -> str:
    """Return a CSV with one row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([list(row), ["" if value is None else value for value in row.values()]])
    return _escaped(text.getvalue())


def _escaped(text: str) -> str:
    return _UNSHOWN.sub(lambda matched: matched[0] if matched[0] == "\n" else f"\\u{ord(matched[0]):04x}", text)


def blueprint(repository: Repository) -> Blueprint:
    """`repository`: that of the caller."""
    routes = blueprint_of_pages("api")

    @routes.get("/models/<name>/api", level=Scope.PREDICT, page=True)
    def api(name: str) -> Response:
        model = repository.manifest(*resolve(repository, name))
        shown = sees_inputs(caller())
        return page(
            "api.html",
            title=f"API of {name}",
            header=ModelHeader.of(repository, model.name, caller()),
            model=model,
            shown=shown,
            snippets=snippets(model.name, dict(model.example) if shown else {}, request.url_root.rstrip("/")),
        )

    return routes
