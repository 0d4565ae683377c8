"""The JSON schemas of API keys."""

from __future__ import annotations

from collections.abc import Mapping

from contract.work.api_keys import EVERY_USER, NAME, USER, Detail, Limits, Scope
from gateway.http.operations import MOMENT, TEXT, Schema, matching
from gateway.openapi.schema_parts import DURATION, INTEGER, MODEL_NAME, NUMBER, array, nullable, record, ref
from gateway.protocols.key_requests import DURATION as SPAN
from gateway.protocols.key_requests import LARGEST_LIMIT, MOST_MODELS

_NAME = matching(NAME)
_DETAIL: Schema = {**TEXT, "enum": list(Detail)}
_SCOPES = array({**TEXT, "enum": list(Scope)}, minItems=1)
_MODELS = array(MODEL_NAME, minItems=1, maxItems=MOST_MODELS)
_LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT}
_LIMIT_NAMES = Limits.__dataclass_fields__
_KEY: Mapping[str, Schema] = {
    "id": TEXT,
    "name": TEXT,
    "owner": TEXT,
    "scopes": array({**TEXT, "enum": list(Scope)}),
    "models": nullable(array(TEXT)),
    "limits": ref("Limits"),
    "detail": _DETAIL,
    "created_at": TEXT,
    "expires_at": nullable(MOMENT),
    "last_used_at": nullable(MOMENT),
    "previous_secret": nullable(ref("JsonObject")),
    "user": nullable(TEXT),
    "warnings": array(TEXT),
    "use": ref("KeyUse"),
}
_USE = {**dict.fromkeys(("requests", "errors", "rows"), INTEGER), "last_request_at": nullable(MOMENT)}

KEYS: Mapping[str, Schema] = {
    "Key": record(_KEY),
    "KeyChange": record(
        {},
        {
            "scopes": _SCOPES,
            "models": {**nullable(_MODELS), "description": "Null for all."},
            "expires": {**nullable(DURATION), "description": "As of a new key; null for never."},
            "limits": ref("LimitsChange"),
            "detail": _DETAIL,
        },
        additionalProperties=False,
    ),
    "KeyList": record({"items": array(ref("Key")), "others": array(ref("OtherCaller"))}),
    "KeyRequest": record(
        {"name": _NAME, "scopes": _SCOPES},
        {
            "owner": _NAME,
            "user": {
                **TEXT,
                "pattern": rf"^(?:{USER.pattern}|\{EVERY_USER})$",
                "description": "A person whom a proxy signs in, or `*`; such an entry has no secret.",
            },
            "models": {**_MODELS, "description": "By default all."},
            "expires": DURATION,
            "limits": ref("Limits"),
            "detail": _DETAIL,
        },
        additionalProperties=False,
    ),
    "KeyUse": record({"days": INTEGER, **_USE, "models": array(ref("KeyUseOfModel"))}),
    "KeyUseOfModel": record({"model": nullable(TEXT), **_USE, "share": NUMBER}),
    "Limits": record({}, dict.fromkeys(_LIMIT_NAMES, _LIMIT), additionalProperties=False),
    "LimitsChange": record({}, dict.fromkeys(_LIMIT_NAMES, nullable(_LIMIT)), additionalProperties=False),
    "NewKey": record({**_KEY, "secret": nullable(TEXT)}),
    "OtherCaller": record({"name": TEXT, "use": ref("KeyUse")}),
    "RotationRequest": record(
        {},
        {
            "overlap": {**matching(SPAN), "description": "How long the previous secret still works; at most 30 days."},
            "expires": DURATION,
        },
        additionalProperties=False,
    ),
}
