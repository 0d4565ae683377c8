"""API keys: made, listed, changed, rotated, revoked. A secret is in one answer: a repeated request shows the key
without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, request

from broker.access.key_store import IssuedKey
from broker.link.idempotency import ConflictReason, IdempotencyConflict
from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, json_response
from gateway.http.exchange import current, note_replay
from gateway.http.operations import DELETED, IDEMPOTENCY_KEY, KEPT, LOCATION, Answer, Operation
from gateway.http.rules import BodyLimit
from gateway.protocols import native
from gateway.protocols.key_requests import key_change, key_request, rotation_request
from gateway.serving.job_access import Replays
from gateway.serving.key_management import KeyAdmin
from gateway.serving.key_use import Callers

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
_CHANGE = Operation(
    "change_key",
    "Change a key; its secret stays",
    {200: Answer("The key.", "Key")},
    problems=("404 unknown_key", "409 last_admin", "422 invalid_key_request", *_CHANGED),
    body="KeyChange",
)
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


def blueprint(keys: KeyAdmin, callers: Callers, replays: Replays) -> Blueprint:
    routes = Blueprint("keys", __name__, url_prefix="/v1/keys")

    @routes.get("", level=Scope.ADMIN, docs=_INDEX)
    def index() -> Response:
        issued = keys.all()
        others = [{"name": name, "use": use.to_json()} for name, use in callers.others(issued)]
        return json_response({"items": _shown(issued), "others": others}, headers=FRESH)

    @routes.post("", level=Scope.ADMIN, docs=_MAKE, audit="make_key", body=_BODY)
    def make() -> Response:
        idempotency = current().idempotency
        if earlier := replays.find(idempotency):
            return _again(earlier, 201)
        return _with_secret(*keys.make(key_request(native.json_value(_body())), idempotency), 201)

    @routes.get("/<key_id>", level=Scope.ADMIN, docs=_SHOW)
    def show(key_id: str) -> Response:
        return json_response(_shown([keys.get(key_id)])[0], headers=FRESH)

    @routes.patch("/<key_id>", level=Scope.ADMIN, docs=_CHANGE, audit="change_key", body=_BODY)
    def change(key_id: str) -> Response:
        return json_response(_shown([keys.change(key_id, key_change(native.json_value(_body())))])[0], headers=FRESH)

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

    def _shown(issued: Sequence[IssuedKey]) -> list[dict[str, Any]]:
        return [
            {**one.to_json(), "warnings": warnings, "use": callers.of_key(one.key.id).to_json()}
            for one, warnings in zip(issued, keys.warnings(key.key for key in issued), strict=True)
        ]

    def _again(earlier: str, status: int) -> Response:
        note_replay()
        stored = keys.found(earlier.removeprefix("key:"))
        if stored is None:
            raise IdempotencyConflict(ConflictReason.GONE)
        return _with_secret(stored, None, status)

    def _with_secret(issued: IssuedKey, secret: str | None, status: int) -> Response:
        current().on_key = issued.key.id
        headers = {**FRESH, "Location": f"/v1/keys/{issued.key.id}"}
        return json_response({**_shown([issued])[0], "secret": secret}, status, headers)

    return routes


def _body() -> bytes:
    body: bytes = request.environ["wsgi.input"].read()
    return body
