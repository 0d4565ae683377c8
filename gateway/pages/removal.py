"""Removing a model, after its name is entered once more, and restoring it."""

from __future__ import annotations

from flask import Blueprint, Response, request

from contract.work.api_keys import Scope
from gateway.http.exchange import caller
from gateway.pages.layout import blueprint_of_pages, page, see
from gateway.pages.model_header import ModelHeader
from gateway.serving.model_versions import check_model, check_removed
from gateway.serving.repository_commands import ModelChanges


def blueprint(changes: ModelChanges, days: int) -> Blueprint:
    """`days`: how long a removed model is kept."""
    routes = blueprint_of_pages("removal")
    repository = changes.repository

    @routes.get("/models/<name>/remove", level=Scope.PUBLISH, page=True)
    def ask_remove(name: str) -> Response:
        check_model(repository, name)
        return page(
            "remove.html",
            title=f"Remove {name}",
            header=ModelHeader.of(repository, name, caller()),
            versions=len(repository.versions(name)),
            days=days,
        )

    @routes.post("/models/<name>/remove", level=Scope.PUBLISH, page=True, audit="remove_model")
    def remove(name: str) -> Response:
        changes.remove(name, request.form.get("confirm", "").strip())
        return see(f"/ui/models/{name}/restore")

    @routes.get("/models/<name>/restore", level=Scope.PUBLISH, page=True)
    def ask_restore(name: str) -> Response:
        check_removed(repository, name)
        title, removed = f"Restore {name}", repository.removals(name)[0]
        return page("restore.html", title=title, name=name, removed=removed, days=days)

    @routes.post("/models/<name>/restore", level=Scope.PUBLISH, page=True, audit="restore_model")
    def restore(name: str) -> Response:
        changes.restore(name)
        return see(f"/ui/models/{name}/versions")

    return routes
