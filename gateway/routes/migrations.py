"""Trying a version in the environments of newer releases, and publishing it in one of them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from contract.json_objects import BOOLEAN, ListOf, Object, Rule, as_sent
from contract.model.environments import ENVIRONMENT, TODAY, TODAY_WRITTEN
from contract.model.repository import CURRENT, Repository
from contract.rows.coercion import coerce
from contract.work.api_keys import Scope
from contract.work.training import DIFFERENCES, RepositoryAction, RepositoryCommand
from gateway.http.answers import json_response
from gateway.http.exchange import caller, current
from gateway.http.operations import COMMANDED, IDEMPOTENCY_KEY, Answer, Operation
from gateway.http.rules import BodyLimit
from gateway.problems import ProblemCode
from gateway.problems.problem import read_valid
from gateway.protocols import native
from gateway.protocols.offload import offload
from gateway.protocols.signature_edits import VERSION
from gateway.serving.model_versions import RunCommand, check_model, resolve, run
from gateway.serving.promotions import asker

_MIGRATE = Operation(
    "migrate",
    "Try a version in the environments of newer releases, or publish it in one of them",
    {200: Answer("What it answers there; with `to`, the state after the change.", "Migration")},
    problems=(
        *("400 malformed_body", "404 model_not_found", "404 no_current_version", "409 not_trusted"),
        *("409 request_in_flight", "422 invalid_body", "422 invalid_instances", "422 not_published"),
        *("503 artifact_corrupt", "503 artifact_missing", "503 manifest_invalid", *COMMANDED),
    ),
    body="MigrationRequest",
    body_required=False,
    parameters=(IDEMPOTENCY_KEY,),
)
_BODY = Object(
    {
        "from": VERSION,
        "to": Rule(
            lambda value: isinstance(value, str) and ENVIRONMENT.fullmatch(value) is not None,
            "not_an_environment",
            f"{{field}} must be the name of an environment, such as sklearn-1.8, or {TODAY_WRITTEN}; it is {{value}}",
        ),
        "instances": ListOf(as_sent, "{field} must be a list of rows; it is {value}", least=1),
        "accept_differences": BOOLEAN,
    },
    ("unknown_key", "{name} is not a key of the body{hint}; it may have {known}"),
)


def blueprint(repository: Repository, rows: BodyLimit, run_command: RunCommand) -> Blueprint:
    """`rows`: the limit of the body."""
    routes = Blueprint("migrations", __name__, url_prefix="/v1/models/<name>")

    @routes.post("/migrate", level=Scope.PUBLISH, docs=_MIGRATE, audit="migrate", body=rows)
    def migrate(name: str) -> Response:
        check_model(repository, name)
        text: bytes = request.environ["wsgi.input"].read()
        body: Any = native.json_value(text) if text else {}
        wanted = read_valid(body, _BODY, ProblemCode.INVALID_BODY)
        _, version = resolve(repository, f"{name}@{wanted.get('from', CURRENT)}")
        instances = None
        if "instances" in wanted:
            signature = repository.manifest(name, version).signature
            unwrapped = native.unwrapped(body, "instances", signature)
            instances = list(offload(len(text), coerce, unwrapped, signature).rows)
        environment = wanted.get("to")
        command = RepositoryCommand(
            RepositoryAction.MIGRATE,
            name,
            version=version,
            rows=instances,
            environment=TODAY if environment == TODAY_WRITTEN else environment,
            accept=[DIFFERENCES] if wanted.get("accept_differences") else None,
            person=asker(repository, name, caller()),
        )
        answer = run(run_command, command)
        current().version = answer["version"]
        return json_response(answer)

    return routes
