"""Models: the served ones, what each takes and returns, and a request that works."""

from __future__ import annotations

from flask import Blueprint, Response

from contract.model.repository import Repository
from contract.work.api_keys import Scope
from gateway.http.answers import json_response
from gateway.http.operations import Answer, Operation
from gateway.serving.model_versions import describe, model_summary, resolve, size_of

_INDEX = Operation("list_models", "The served models", {200: Answer("The models, by name.", "ModelList")})
_SHOW = Operation(
    "get_model",
    "A model: what it takes and answers, and a request that works",
    {200: Answer("The version, with all versions and aliases of the model.", "Model")},
    problems=("404 no_current_version", "503 manifest_invalid", "503 model_not_found"),
)


def blueprint(repository: Repository) -> Blueprint:
    routes = Blueprint("models", __name__, url_prefix="/v1/models")

    @routes.get("", level=Scope.READ, docs=_INDEX)
    def index() -> Response:
        names = repository.names()
        # KServe's clients look for `models` here, and for `ready` below.
        return json_response({"items": [model_summary(repository, name) for name in names], "models": names})

    @routes.get("/<reference>", level=Scope.READ, docs=_SHOW)
    def show(reference: str) -> Response:
        name, version = resolve(repository, reference)
        manifest = repository.manifest(name, version)
        versions = repository.versions(name)
        aliases = repository.aliases(name)
        settings = repository.settings(name)
        people = {"about": settings.about.to_json(), "settings": settings.to_json()}
        shown = {**describe(manifest), "aliases": aliases, "versions": versions, **people, "ready": True}
        return json_response(shown, size=size_of(manifest))

    return routes
