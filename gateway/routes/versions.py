"""Versions and aliases of a model: listed, described, moved, rolled back, deleted. The model: removed, restored."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from contract.json_objects import Object
from contract.model.card_text import markdown
from contract.model.repository import CURRENT
from contract.work.api_keys import Scope
from contract.work.training import RepositoryAction, RepositoryCommand
from gateway.http.answers import FRESH, json_response
from gateway.http.exchange import current
from gateway.http.operations import COMMANDED, FILE, IDEMPOTENCY_KEY, Answer, Operation, Parameter
from gateway.problems import Problem, ProblemCode
from gateway.protocols import change_requests
from gateway.serving.model_cards import ModelCards
from gateway.serving.model_export import open_artifact, published_manifest, zipped
from gateway.serving.model_versions import (
    ModelChanges,
    check_model,
    describe,
    manifest_of,
    resolve,
    size_of,
    version_summary,
)
from gateway.serving.promotions import Promotions

_INDEX = Operation(
    "list_versions",
    "The versions of a model",
    {200: Answer("The versions, oldest first.", "VersionList")},
    problems=("404 no_current_version",),
)
_SHOW = Operation(
    "get_version",
    "A version of a model",
    {200: Answer("The version.", "ModelVersion")},
    problems=("503 manifest_invalid", "503 model_not_found"),
)
_MARKDOWN = "text/markdown"
_CARD = Operation(
    "get_card",
    "The model card of a version: what it predicts, how good it is, where its limits are, and what is known since",
    {200: Answer("The card.", {"application/json": "ModelCard", _MARKDOWN: "Text"})},
    problems=("503 manifest_invalid", "503 model_not_found"),
)
_ZIP = {"application/zip": FILE}
_EXPORT = Operation(
    "export_version",
    "Export a version as a folder that MLflow reads",
    {200: Answer("The folder, with its `MLmodel`, as a zip.", _ZIP)},
    problems=("503 manifest_invalid", "503 model_not_found", "503 artifact_missing", "503 artifact_corrupt"),
)
_CHANGED = Answer("The state after the change.", "ModelState")
_NOT_LOADED = ("409 not_loaded", "409 not_trusted", "503 manifest_invalid")
_MOVE = Operation(
    "move_alias",
    "Have an alias name a version",
    {200: _CHANGED},
    problems=(
        *("404 model_not_found", "409 approval_required", *_NOT_LOADED, "422 invalid_alias", "422 invalid_body"),
        *COMMANDED,
    ),
    body="AliasMove",
)
_DELETE_ALIAS = Operation(
    "delete_alias",
    "Delete an alias",
    {200: _CHANGED},
    problems=("404 alias_not_found", "409 current_required", *COMMANDED),
)
_ROLL_BACK = Operation(
    "roll_back",
    "Go back to the last version that was current and was not rolled back from",
    {200: _CHANGED},
    problems=(
        *("409 request_in_flight", "409 no_previous", "409 alias_moved", *_NOT_LOADED, "422 invalid_body"),
        *COMMANDED,
    ),
    body="Rollback",
    body_required=False,
    parameters=(IDEMPOTENCY_KEY,),
)
_DELETE = Operation(
    "delete_version",
    "Delete a version that no alias names",
    {200: _CHANGED},
    problems=("404 model_not_found", "409 version_in_use", *COMMANDED),
)
_SETTINGS = Operation(
    "change_settings",
    "Have answers warn of unusual values, or not; protect the model",
    {200: _CHANGED},
    problems=(
        *("403 second_person_needed", "404 model_not_found", "409 approval_required", "422 invalid_body"),
        *COMMANDED,
    ),
    body="SettingsChange",
)
_REMOVE = Operation(
    "remove_model",
    "Remove a model with all its versions",
    {200: Answer("The model is removed, and can be restored for a while.", "ModelState")},
    problems=("404 model_not_found", "409 approval_required", *COMMANDED),
    parameters=(Parameter("confirm", "The name of the model once more.", required=True),),
)
_RESTORE = Operation(
    "restore_model",
    "Restore a removed model",
    {200: _CHANGED},
    problems=(
        *("404 model_not_found", "409 model_exists", "409 request_in_flight", "422 invalid_body"),
        *COMMANDED,
    ),
    body="Restoration",
    body_required=False,
    parameters=(IDEMPOTENCY_KEY,),
)


def blueprint(changes: ModelChanges, cards: ModelCards, promotions: Promotions) -> Blueprint:
    repository = changes.repository
    routes = Blueprint("versions", __name__, url_prefix="/v1/models/<name>")

    @routes.get("/versions", level=Scope.READ, docs=_INDEX)
    def index(name: str) -> Response:
        check_model(repository, name)
        makers = cards.makers(name, versions := repository.versions(name))
        by = {version: {"made_by": maker} for version, maker in makers.items()}
        return json_response({"items": [{**version_summary(repository, name, v), **by.get(v, {})} for v in versions]})

    @routes.get("/versions/<version>", level=Scope.READ, docs=_SHOW)
    def show(name: str, version: str) -> Response:
        manifest = manifest_of(repository, name, version)
        return json_response(describe(manifest), size=size_of(manifest))

    @routes.get("/versions/<version>/card", level=Scope.READ, docs=_CARD)
    def card(name: str, version: str) -> Response:
        check_model(repository, name)
        made, headers = cards.card(*resolve(repository, f"{name}@{version}")), {**FRESH, "Vary": "Accept"}
        if request.accept_mimetypes.best_match(["application/json", _MARKDOWN]) == _MARKDOWN:
            return Response(markdown(made), headers=headers, content_type=f"{_MARKDOWN}; charset=utf-8")
        return json_response(made, headers=headers)

    @routes.get("/versions/<version>/export", level=Scope.PUBLISH, docs=_EXPORT)
    def export(name: str, version: str) -> Response:
        manifest = manifest_of(repository, name, version)
        published = published_manifest(repository, manifest)
        artifact, is_pickle = open_artifact(repository, manifest)
        attached = {"Content-Disposition": f'attachment; filename="{name}-{manifest.version}.zip"'}
        pieces = zipped(manifest, published, artifact, is_pickle)
        response = Response(pieces, headers={**FRESH, **attached}, content_type="application/zip")
        response.call_on_close(artifact.close)
        return response

    @routes.put("/aliases/<alias>", level=Scope.PUBLISH, docs=_MOVE, audit="move_alias")
    def move(name: str, alias: str) -> Response:
        body = body_of(change_requests.MOVE)
        current().version = body["version"]
        return run(RepositoryAction.MOVE_ALIAS, name, alias=alias, **body)

    @routes.delete("/aliases/<alias>", level=Scope.PUBLISH, docs=_DELETE_ALIAS, audit="delete_alias")
    def delete_alias(name: str, alias: str) -> Response:
        return run(RepositoryAction.DELETE_ALIAS, name, alias=alias)

    @routes.post("/rollback", level=Scope.PUBLISH, docs=_ROLL_BACK, audit="roll_back")
    def roll_back(name: str) -> Response:
        answer = changes.run(RepositoryCommand(RepositoryAction.ROLL_BACK, name, **body_of(change_requests.FORCED)))
        current().version = answer.get("aliases", {}).get(CURRENT)
        return json_response(answer)

    @routes.delete("/versions/<version>", level=Scope.PUBLISH, docs=_DELETE, audit="delete_version")
    def delete(name: str, version: str) -> Response:
        check_model(repository, name)
        _, number = resolve(repository, f"{name}@{version}")
        if str(number) != version:
            raise Problem(
                ProblemCode.UNKNOWN_MODEL,
                f"{version[:64]!r} is an alias of version {number}; delete the version by its number",
            )
        return run(RepositoryAction.DELETE_VERSION, name, version=number)

    @routes.put("/settings", level=Scope.PUBLISH, docs=_SETTINGS, audit="change_settings")
    def change_settings(name: str) -> Response:
        edits = change_requests.settings_request(request.environ["wsgi.input"].read())
        return json_response(promotions.change_settings(name, edits))

    @routes.delete("", level=Scope.PUBLISH, docs=_REMOVE, audit="remove_model")
    def remove(name: str) -> Response:
        return json_response(changes.remove(name, request.args.get("confirm", "")))

    @routes.post("/restore", level=Scope.PUBLISH, docs=_RESTORE, audit="restore_model")
    def restore(name: str) -> Response:
        return json_response(changes.restore(name, body_of(change_requests.RESTORATION).get("version")))

    def body_of(members: Object) -> dict[str, Any]:
        return change_requests.read(request.environ["wsgi.input"].read(), members)

    def run(action: RepositoryAction, name: str, **options: Any) -> Response:
        return json_response(changes.run(RepositoryCommand(action, name, **options)))

    return routes
