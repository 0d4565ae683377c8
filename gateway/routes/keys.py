"""API keys: made, listed, rotated, revoked. A secret is in one answer: a repeated request shows the key without it."""

from __future__ import annotations

from flask import Blueprint, Response, request

from broker.access.key_store import IssuedKey
from broker.link.idempotency import ConflictReason, IdempotencyConflict
from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, json_response
from gateway.http.exchange import current, note_replay
from gateway.http.operations import DELETED, IDEMPOTENCY_KEY, KEPT, LOCATION, Answer, Operation
from gateway.http.rules import BodyLimit
from gateway.protocols import native
from gateway.protocols.key_requests import key_request, rotation_request
from gateway.serving.job_access import Replays
from gateway.serving.key_management import KeyAdmin

_BODY = BodyLimit.of_request(128)


_CHANGED = (*KEPT, "503 redis_disk_slow")
_INDEX = Operation("list_keys", "All keys, by name", {200: Answer("The keys.", "KeyList")})
_MAKE = Operation(
    "make_key",
    "Make a key, whose secret no other answer shows, or the entry of a person",
    {201: Answer("The key, with its secret.", "NewKey", LOCATION)},
    problems=(
        *("409 request_in_flight", "409 name_taken", "409 too_many_keys", "422 invalid_key_request"),
        *("503 no_marker", *_CHANGED),
    ),
    body="KeyRequest",
    parameters=(IDEMPOTENCY_KEY,),
)
_SHOW = Operation("get_key", "A key", {200: Answer("The key.", "Key")}, problems=("404 unknown_key",))
_ROTATE = Operation(
    "rotate_key",
    "Give a key a new secret",
    {200: Answer("The key, with its new secret.", "NewKey", LOCATION)},
    problems=("409 request_in_flight", "404 unknown_key", "409 key_expired", "422 invalid_key_request", *_CHANGED),
    body="RotationRequest",
    body_required=False,
    parameters=(IDEMPOTENCY_KEY,),
)
_REVOKE = Operation("revoke_key", "Revoke a key", {204: DELETED}, problems=("404 unknown_key", *_CHANGED))


def blueprint(keys: KeyAdmin, replays: Replays) -> Blueprint:
    routes = Blueprint("keys", __name__, url_prefix="/v1/keys")

    @routes.get("", level=Scope.ADMIN, docs=_INDEX)
    def index() -> Response:
        return json_response({"items": [issued.to_json() for issued in keys.all()]}, headers=FRESH)

    @routes.post("", level=Scope.ADMIN, docs=_MAKE, audit="make_key", body=_BODY)
    def make() -> Response:
        idempotency = current().idempotency
        if earlier := replays.find(idempotency):
            return _again(earlier, 201)
        return _with_secret(*keys.make(key_request(native.json_value(_body())), idempotency), 201)

    @routes.get("/<key_id>", level=Scope.ADMIN, docs=_SHOW)
    def show(key_id: str) -> Response:
        return json_response(keys.get(key_id).to_json(), headers=FRESH)

    @routes.post("/<key_id>/rotate", level=Scope.ADMIN, docs=_ROTATE, audit="rotate_key")
    def rotate(key_id: str) -> Response:
        idempotency = current().idempotency
        if earlier := replays.find(idempotency):
            return _again(earlier, 200)
        rotation = rotation_request(native.json_value(_body() or b"{}"))
        return _with_secret(*keys.rotate(key_id, rotation.overlap, rotation.expires_at, idempotency), 200)

    @routes.delete("/<key_id>", level=Scope.ADMIN, docs=_REVOKE, audit="revoke_key")
    def revoke(key_id: str) -> Response:
        keys.revoke(key_id)
        return Response(status=204)

    def _again(earlier: str, status: int) -> Response:
        note_replay()
        stored = keys.found(earlier.removeprefix("key:"))
        if stored is None:
            raise IdempotencyConflict(ConflictReason.GONE)
        return _with_secret(stored, None, status)

    def _with_secret(issued: IssuedKey, secret: str | None, status: int) -> Response:
        current().on_key = issued.key.id
        headers = {**FRESH, "Location": f"/v1/keys/{issued.key.id}"}
        made = {**issued.to_json(), "secret": secret, "warnings": keys.warnings(issued.key)}
        return json_response(made, status, headers)

    return routes


def _body() -> bytes:
    body: bytes = request.environ["wsgi.input"].read()
    return body
