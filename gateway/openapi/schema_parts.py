"""What JSON schemas are put together from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.model.environments import ENVIRONMENT, TODAY_WRITTEN
from contract.model.repository import NAME
from gateway.http.operations import COUNT, TEXT, Schema, matching
from gateway.protocols.key_requests import DURATION as _DURATION


def record(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, **members: Any) -> Schema:
    """Return the schema of an object, which may have other members, too."""
    schema = {"type": "object", "properties": {**required, **(optional or {})}, **members}
    return {**schema, "required": list(required)} if required else schema


def array(items: Schema, **members: Any) -> Schema:
    return {"type": "array", "items": items, **members}


def nullable(schema: Schema) -> Schema:
    """Return the schema with null. Generators of clients read a list of types for plain values alone, and no null among
    the values of an `enum`."""
    if not schema:
        return schema
    if schema.get("type") in _PLAIN and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_PLAIN = ("string", "number", "integer", "boolean")
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object", "additionalProperties": True}
ANYTHING: Schema = {}
VERSION = COUNT
SCALAR = nullable(ref("Scalar"))
MODEL_NAME = matching(NAME)
ALIAS: Schema = {**TEXT, "pattern": f"^(?![0-9]+$){NAME.pattern}$"}
REFERENCE: Schema = {**TEXT, "pattern": f"^{NAME.pattern}(@{NAME.pattern})?$"}
VERSION_OR_ALIAS: Schema = {**MODEL_NAME, "description": "The number of a version, or an alias."}
ENVIRONMENT_NAME: Schema = {**TEXT, "pattern": f"^(?:{ENVIRONMENT.pattern}|{TODAY_WRITTEN})$"}
DURATION: Schema = {
    **TEXT,
    "pattern": f"^(?:{_DURATION.pattern}|[0-9]{{4}}-.+)$",
    "description": "`90d`, `12h`, `30m`, `10s` or `2w`, or a time in RFC 3339.",
    "examples": ["90d"],
}


def text(most: int, least: int = 1) -> Schema:
    return {**TEXT, "minLength": least, "maxLength": most}


def map_of(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def page_of(items: Schema) -> Schema:
    return record({"items": array(items), "next_cursor": nullable(TEXT)})


OWNER = {"owner": {**TEXT, "description": "With API keys."}}
