"""How a program uses a model: its inputs, its answers, and requests to copy."""

from __future__ import annotations

from flask import Blueprint, Response, request

from contract.model.repository import Repository
from contract.work.api_keys import Scope
from gateway.http.exchange import caller
from gateway.pages.layout import blueprint_of_pages, page
from gateway.pages.model_header import ModelHeader, sees_inputs
from gateway.pages.snippets import snippets
from gateway.serving.model_versions import resolve


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
