"""The model card of a version, as JSON or Markdown."""

from __future__ import annotations

from flask import Blueprint, Response, request

from contract.model.card_text import markdown
from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, json_response
from gateway.http.operations import Answer, Operation
from gateway.serving.model_cards import ModelCards
from gateway.serving.model_versions import check_model, resolve

MARKDOWN = "text/markdown"

_CARD = Operation(
    "get_card",
    "The model card of a version: what it predicts, how good it is, its limits, and what is known since",
    {200: Answer("The card.", {"application/json": "ModelCard", MARKDOWN: "Text"})},
    problems=("503 manifest_invalid", "503 model_not_found"),
)


def blueprint(cards: ModelCards) -> Blueprint:
    repository = cards.log.repository
    routes = Blueprint("model_cards", __name__, url_prefix="/v1/models")

    @routes.get("/<name>/versions/<version>/card", level=Scope.READ, docs=_CARD)
    def card(name: str, version: str) -> Response:
        check_model(repository, name)
        made = cards.card(repository.manifest(*resolve(repository, f"{name}@{version}")))
        headers = {**FRESH, "Vary": "Accept"}
        if request.accept_mimetypes.best_match(["application/json", MARKDOWN]) == MARKDOWN:
            return Response(markdown(made), headers=headers, content_type=f"{MARKDOWN}; charset=utf-8")
        return json_response(made, headers=headers)

    return routes
