"""Models: the served ones, what each takes and returns, and a request that works."""

from __future__ import annotations

from flask import Blueprint, Response

from contract.repository import Repository
from gateway.answers import json_response
from gateway.rules import Level
from gateway.serving.models import describe, model_summary, resolve


def blueprint(repository: Repository) -> Blueprint:
    routes = Blueprint("models", __name__, url_prefix="/v1/models")

    @routes.get("", level=Level.READ)
    def index() -> Response:
        return json_response({"items": [model_summary(repository, name) for name in repository.names()]})

    @routes.get("/<reference>", level=Level.READ)
    def show(reference: str) -> Response:
        name, version = resolve(repository, reference)
        manifest = repository.manifest(name, version)
        versions = repository.versions(name)
        return json_response({**describe(manifest), "aliases": repository.aliases(name), "versions": versions})

    return routes
