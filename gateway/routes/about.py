"""What people say of a model: read and edited."""

from __future__ import annotations

from flask import Blueprint, Response, request

from contract.json_objects import ListOf, Object, Rule
from contract.model.about import LONGEST_DESCRIPTION, LONGEST_OWNER, MOST_TAGS, is_description, is_owner, is_tag
from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, json_response
from gateway.http.operations import COMMANDED, Answer, Operation
from gateway.problems import ProblemCode
from gateway.problems.problem import read_valid
from gateway.protocols import native
from gateway.serving.descriptions import Descriptions

_SHOW = Operation(
    "get_about",
    "What people say of a model, and how they edited it",
    {200: Answer("Description, owner and tags, with the edits, the newest first.", "AboutHistory")},
    problems=("404 no_current_version",),
)
_EDIT = Operation(
    "describe_model",
    "Edit the description, the owner or the tags of a model",
    {200: Answer("The state after the change.", "ModelState")},
    problems=("404 model_not_found", "404 no_current_version", "422 invalid_body", *COMMANDED),
    body="AboutEdit",
)


def blueprint(descriptions: Descriptions) -> Blueprint:
    routes = Blueprint("about", __name__, url_prefix="/v1/models/<name>")

    @routes.get("/about", level=Scope.READ, docs=_SHOW)
    def show(name: str) -> Response:
        about, history = descriptions.about(name), descriptions.history(name)
        return json_response({**about.to_json(), "history": [edit.to_json() for edit in history]}, headers=FRESH)

    @routes.patch("", level=Scope.PUBLISH, docs=_EDIT, audit="describe_model")
    def edit(name: str) -> Response:
        body = native.json_value(request.environ["wsgi.input"].read())
        return json_response(descriptions.edit(name, read_valid(body, ABOUT_BODY, ProblemCode.INVALID_BODY)))

    return routes


ABOUT_BODY = Object(
    {
        "description": Rule(
            is_description,
            "not_a_description",
            f"{{field}} must be text of at most {LONGEST_DESCRIPTION:,} characters, in lines, without control"
            " characters; it is {value}",
        ),
        "owner": Rule(
            is_owner,
            "not_an_owner",
            f"{{field}} must be one line of at most {LONGEST_OWNER} characters; it is {{value}}",
        ),
        "tags": ListOf(
            Rule(
                is_tag,
                "not_a_tag",
                "{value} cannot be a tag: use 1 to 32 of a-z, 0-9, _, . and -, beginning with a letter or digit",
            ),
            f"{{field}} must be a list of at most {MOST_TAGS} tags; it is {{value}}",
            most=MOST_TAGS,
            distinct=True,
        ),
    },
    ("unknown_key", "{name} is not a key of the body{hint}; it may have {known}"),
)
