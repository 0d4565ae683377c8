"""Versions and aliases of a model: which there are, which one is used, back to the one before, and away with one.

What changes the model repository is a command to the trainer: nobody else writes there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, request

from contract.errors import Code, ModelgateError
from contract.repository import Repository
from contract.training import RepositoryAction, RepositoryCommand
from gateway.answers import json_response
from gateway.door.bodies import small
from gateway.problems import Problem
from gateway.routes.models import describe, resolve, version_item

RunCommand = Callable[[RepositoryCommand], dict[str, Any]]
"""Has the trainer run a command, and returns its answer. Raises `ModelgateError` with the trainer's reason."""

_STATUS: Mapping[str, int] = {
    Code.MODEL_NOT_FOUND: 404,
    Code.ALIAS_NOT_FOUND: 404,
    Code.CURRENT_REQUIRED: 409,
    Code.NO_PREVIOUS: 409,
    Code.VERSION_IN_USE: 409,
    Code.NOT_LOADED: 409,
    Code.NOT_TRUSTED: 409,
    Code.INVALID_ALIAS: 422,
}


def blueprint(repository: Repository, run_command: RunCommand) -> Blueprint:
    routes = Blueprint("versions", __name__, url_prefix="/v1/models/<name>")

    @routes.get("/versions")
    def index(name: str) -> Response:
        _known(name)
        return json_response({"items": [version_item(repository, name, v) for v in repository.versions(name)]})

    @routes.get("/versions/<version>")
    def show(name: str, version: str) -> Response:
        _known(name)
        return json_response(describe(repository.manifest(*resolve(repository, f"{name}@{version}"))))

    @routes.put("/aliases/<alias>")
    def move(name: str, alias: str) -> Response:
        _known(name)
        body = _body("version", "force")
        version, force = _version_in(body), _force_in(body)
        return execute(RepositoryCommand(RepositoryAction.MOVE_ALIAS, name, alias=alias, version=version, force=force))

    @routes.delete("/aliases/<alias>")
    def delete_alias(name: str, alias: str) -> Response:
        _known(name)
        return execute(RepositoryCommand(RepositoryAction.DELETE_ALIAS, name, alias=alias))

    @routes.post("/rollback")
    def roll_back(name: str) -> Response:
        _known(name)
        return execute(RepositoryCommand(RepositoryAction.ROLL_BACK, name, force=_force_in(_body("force"))))

    @routes.delete("/versions/<version>")
    def delete(name: str, version: str) -> Response:
        _known(name)
        _, number = resolve(repository, f"{name}@{version}")
        if str(number) != version:
            raise Problem(404, "unknown_model", f"{version[:64]!r} is an alias of version {number}: delete by number")
        return execute(RepositoryCommand(RepositoryAction.DELETE_VERSION, name, version=number))

    def execute(command: RepositoryCommand) -> Response:
        try:
            return json_response(run_command(command))
        except ModelgateError as error:
            failure = error.failure
            status = _STATUS.get(failure.code, 503)
            raise Problem(status, failure.code, failure.message, details=dict(failure.details)) from error

    def _known(name: str) -> None:
        """404 unless there is such a model; `loan@3` is not the name of one."""
        if "@" in name or not repository.versions(name):
            resolve(repository, name)
            raise Problem(404, "unknown_model", f"name the model alone, as in {name.partition('@')[0][:64]!r}")

    return routes


def _body(*keys: str) -> dict[str, Any]:
    """The body, a JSON object with no other keys; without a body it is empty."""
    text = small(request)
    try:
        body = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise Problem(400, "malformed_body", f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise Problem(422, "invalid_body", "the body is not a JSON object")
    unknown = sorted(body.keys() - set(keys))
    if unknown:
        known = ", ".join(map(repr, keys))
        raise Problem(422, "invalid_body", f"the body has the unknown key {unknown[0][:64]!r}; it may have {known}")
    return body


def _version_in(body: dict[str, Any]) -> int:
    version = body.get("version")
    if type(version) is not int or not 1 <= version < 10**9:
        raise Problem(422, "invalid_body", 'the body needs the number of a version, as in {"version": 2}')
    return version


def _force_in(body: dict[str, Any]) -> bool:
    force = body.get("force", False)
    if type(force) is not bool:
        raise Problem(422, "invalid_body", '"force" is true or false: whether to move it though no worker can load it')
    return force
