"""Versions and aliases of a model: listed, described, moved, rolled back, deleted."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, request

from contract.repository import Repository
from contract.training import RepositoryAction, RepositoryCommand
from gateway.answers import json_response
from gateway.problems import Problem
from gateway.rules import Level
from gateway.serving.commands import RunCommand, run
from gateway.serving.models import check_model, describe, resolve, version_summary


def blueprint(repository: Repository, run_command: RunCommand) -> Blueprint:
    routes = Blueprint("versions", __name__, url_prefix="/v1/models/<name>")

    @routes.get("/versions", level=Level.READ)
    def index(name: str) -> Response:
        check_model(repository, name)
        return json_response({"items": [version_summary(repository, name, v) for v in repository.versions(name)]})

    @routes.get("/versions/<version>", level=Level.READ)
    def show(name: str, version: str) -> Response:
        check_model(repository, name)
        return json_response(describe(repository.manifest(*resolve(repository, f"{name}@{version}"))))

    @routes.put("/aliases/<alias>", level=Level.PUBLISH)
    def move(name: str, alias: str) -> Response:
        check_model(repository, name)
        body = _body("version", "force")
        version, force = _version_in(body), _force_in(body)
        return execute(RepositoryCommand(RepositoryAction.MOVE_ALIAS, name, alias=alias, version=version, force=force))

    @routes.delete("/aliases/<alias>", level=Level.PUBLISH)
    def delete_alias(name: str, alias: str) -> Response:
        check_model(repository, name)
        return execute(RepositoryCommand(RepositoryAction.DELETE_ALIAS, name, alias=alias))

    @routes.post("/rollback", level=Level.PUBLISH)
    def roll_back(name: str) -> Response:
        check_model(repository, name)
        return execute(RepositoryCommand(RepositoryAction.ROLL_BACK, name, force=_force_in(_body("force"))))

    @routes.delete("/versions/<version>", level=Level.PUBLISH)
    def delete(name: str, version: str) -> Response:
        check_model(repository, name)
        _, number = resolve(repository, f"{name}@{version}")
        if str(number) != version:
            raise Problem(
                404,
                "unknown_model",
                f"{version[:64]!r} is an alias of version {number}; delete the version by its number",
            )
        return execute(RepositoryCommand(RepositoryAction.DELETE_VERSION, name, version=number))

    def execute(command: RepositoryCommand) -> Response:
        return json_response(run(run_command, command))

    return routes


def _body(*keys: str) -> dict[str, Any]:
    """Return the body, a JSON object with no other keys; without a body it is empty."""
    text: bytes = request.environ["wsgi.input"].read()
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
        raise Problem(422, "invalid_body", 'the body must have the number of a version, such as {"version": 2}')
    return version


def _force_in(body: dict[str, Any]) -> bool:
    force = body.get("force", False)
    if type(force) is not bool:
        raise Problem(
            422,
            "invalid_body",
            '"force" must be true or false; true moves the alias even if no worker can load the version',
        )
    return force
