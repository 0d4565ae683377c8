"""Webhooks: subscriptions to events, and the deliveries of a job."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, request

from contract.work.api_keys import Scope
from contract.work.webhooks import AllowedTargets, Subscription
from gateway.http.answers import FRESH, json_response
from gateway.http.exchange import caller
from gateway.http.operations import DELETED, KEPT, Answer, Operation, Parameter
from gateway.http.rules import BodyLimit, Level
from gateway.protocols import native
from gateway.protocols.webhooks import require, subscription
from gateway.serving.job_access import JobReader
from gateway.serving.subscriptions import Subscriptions

_BODY = BodyLimit.of_request(16)

_CHANGED = (*KEPT, "503 redis_disk_slow")
_INDEX = Operation(
    "list_webhooks", "The webhooks of the caller, by name", {200: Answer("The webhooks.", "WebhookList")}
)
_SHOW = Operation(
    "get_webhook", "A webhook", {200: Answer("The webhook.", "Webhook")}, problems=("404 unknown_webhook",)
)
_PUT = Operation(
    "set_webhook",
    "Send events to a URL",
    {200: Answer("It replaces one.", "Webhook"), 201: Answer("It is new.", "Webhook")},
    problems=(
        *("403 no_webhooks", "409 name_taken", "409 too_many_webhooks", "422 invalid_name", "422 invalid_webhook"),
        *_CHANGED,
    ),
    body="WebhookRequest",
)
_DELETE = Operation("delete_webhook", "Delete a webhook", {204: DELETED}, problems=("404 unknown_webhook", *_CHANGED))
_TEST = Operation(
    "test_webhook",
    "Send a message of the type `test` to a webhook",
    {202: Answer("It is sent; `last_try` says how that went.", "Webhook")},
    problems=("403 no_webhooks", "404 unknown_webhook", *KEPT),
)
_DELIVERIES = Operation(
    "list_deliveries",
    "The webhooks of a job, and how each try ended",
    {200: Answer("The deliveries.", "DeliveryList")},
    problems=("404 unknown_job",),
)
_WAITING = Operation(
    "list_waiting_deliveries", "How many webhooks wait, by owner", {200: Answer("The owners.", "WaitingDeliveries")}
)
_DELETE_WAITING = Operation(
    "delete_deliveries",
    "Delete the webhooks of an owner that wait",
    {200: Answer("How many were deleted.", "DeletedDeliveries")},
    parameters=(
        Parameter("owner", "Their owner; empty for jobs without one.", required=True),
        Parameter("host", "Only those to this host."),
    ),
)


def blueprint(subscriptions: Subscriptions, reader: JobReader, allowed: AllowedTargets | None) -> Blueprint:
    """`allowed`: where webhooks may go; None: there are none."""
    routes = Blueprint("webhooks", __name__, url_prefix="/v1")

    @routes.get("/webhooks", level=Scope.PUBLISH, docs=_INDEX)
    def index() -> Response:
        return json_response({"items": [_shown(*stored) for stored in subscriptions.all()]}, headers=FRESH)

    @routes.get("/webhooks/<webhook>", level=Scope.PUBLISH, docs=_SHOW)
    def show(webhook: str) -> Response:
        return json_response(_shown(*subscriptions.get(webhook)), headers=FRESH)

    @routes.put("/webhooks/<webhook>", level=Scope.PUBLISH, docs=_PUT, audit="set_webhook", body=_BODY)
    def put(webhook: str) -> Response:
        targets = require(allowed)
        body = native.json_value(request.environ["wsgi.input"].read())
        stored, new = subscriptions.put(subscription(webhook, body, caller(), targets))
        return json_response(_shown(stored, None), 201 if new else 200, FRESH)

    @routes.delete("/webhooks/<webhook>", level=Scope.PUBLISH, docs=_DELETE, audit="delete_webhook")
    def delete(webhook: str) -> Response:
        subscriptions.delete(webhook)
        return Response(status=204)

    @routes.post("/webhooks/<webhook>/test", level=Scope.PUBLISH, docs=_TEST, audit="test_webhook")
    def test(webhook: str) -> Response:
        require(allowed)
        subscriptions.test(webhook)
        return json_response(_shown(*subscriptions.get(webhook)), 202, FRESH)

    @routes.get("/jobs/<job_id>/deliveries", level=Level.OWN, docs=_DELIVERIES)
    def deliveries(job_id: str) -> Response:
        job = reader.read(job_id)
        return json_response({"items": subscriptions.deliveries(job.id)}, headers=FRESH)

    @routes.get("/deliveries", level=Scope.ADMIN, docs=_WAITING)
    def waiting() -> Response:
        return json_response({"items": subscriptions.waiting()}, headers=FRESH)

    @routes.delete("/deliveries", level=Scope.ADMIN, docs=_DELETE_WAITING, audit="delete_deliveries")
    def delete_waiting() -> Response:
        deleted = subscriptions.delete_waiting(request.args.get("owner"), request.args.get("host", ""))
        return json_response({"deleted": deleted})

    return routes


def _shown(subscription: Subscription, last_try: Mapping[str, object] | None) -> Mapping[str, object]:
    members = subscription.to_json()
    return {**{name: value for name, value in members.items() if name != "owner" or value}, "last_try": last_try}
