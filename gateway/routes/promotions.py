"""Protected models: ask a second person to promote a version, approve, reject and withdraw."""

from __future__ import annotations

from flask import Blueprint, Response, request

from contract.model.promotions import PromotionEnding
from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, json_response
from gateway.http.exchange import current
from gateway.http.operations import COMMANDED, Answer, Operation
from gateway.protocols import change_requests
from gateway.serving.promotions import Promotions

_INDEX = Operation(
    "list_promotions",
    "The requests to promote of a model",
    {200: Answer("Whether the model is protected, and the last requests, the newest first.", "PromotionList")},
    problems=("404 no_current_version",),
)
_ASK = Operation(
    "ask_promotion",
    "Ask a second person to promote a version of a protected model, or to unprotect it",
    {201: Answer("The request waits. `warnings` names the one that it replaces.", "Promotion")},
    problems=("404 model_not_found", "409 not_protected", "409 alias_moved", "422 invalid_body", *COMMANDED),
    body="NewPromotion",
)
_DECISION = ("403 second_person_needed", "404 promotion_not_found", *COMMANDED)
_APPROVE = Operation(
    "approve_promotion",
    "Approve a request: the version becomes current, or the model unprotected",
    {200: Answer("The state after the change.", "ModelState")},
    problems=(
        *("404 model_not_found", "409 not_loaded", "409 not_trusted", "422 invalid_body", "503 manifest_invalid"),
        *_DECISION,
    ),
    body="Rollback",
    body_required=False,
)
_REJECT = Operation(
    "reject_promotion",
    "Reject a request",
    {200: Answer("The request has ended.", "Promotion")},
    problems=_DECISION,
)
_WITHDRAW = Operation(
    "withdraw_promotion",
    "Withdraw a request",
    {200: Answer("The request has ended.", "Promotion")},
    problems=("404 promotion_not_found", *COMMANDED),
)


def blueprint(promotions: Promotions) -> Blueprint:
    routes = Blueprint("promotions", __name__, url_prefix="/v1/models/<name>/promotions")

    @routes.get("", level=Scope.READ, docs=_INDEX)
    def index(name: str) -> Response:
        settings = promotions.settings(name)
        items = [one.shown() for one in settings.promotions]
        return json_response({"protected": settings.protected, "items": items}, headers=FRESH)

    @routes.post("", level=Scope.PUBLISH, docs=_ASK, audit="ask_promotion")
    def ask(name: str) -> Response:
        wanted = change_requests.promotion_request(request.environ["wsgi.input"].read())
        current().version = wanted.get("version")
        asked = promotions.ask(name, wanted.get("version"), wanted.get("note", ""))
        return json_response(asked, 201)

    @routes.post("/<promotion>/approve", level=Scope.APPROVE, docs=_APPROVE, audit="approve_promotion")
    def approve(name: str, promotion: str) -> Response:
        forced = change_requests.read(request.environ["wsgi.input"].read(), change_requests.FORCED)
        answer = promotions.approve(name, promotion, forced.get("force", False))
        current().version = answer.get("promotion", {}).get("version")
        return json_response(answer)

    @routes.post("/<promotion>/reject", level=Scope.APPROVE, docs=_REJECT, audit="reject_promotion")
    def reject(name: str, promotion: str) -> Response:
        return end(name, promotion, PromotionEnding.REJECTED)

    @routes.delete("/<promotion>", level=Scope.PUBLISH, docs=_WITHDRAW, audit="withdraw_promotion")
    def withdraw(name: str, promotion: str) -> Response:
        return end(name, promotion, PromotionEnding.WITHDRAWN)

    def end(name: str, promotion: str, ending: PromotionEnding) -> Response:
        ended = promotions.end(name, promotion, ending)
        current().version = ended.get("version")
        return json_response(ended)

    return routes
