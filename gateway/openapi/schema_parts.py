"""What JSON schemas are put together from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.model.repository import NAME
from gateway.http.operations import TEXT, Schema


def record(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, **members: Any) -> Schema:
    """Return the schema of an object, which may have other members, too."""
    schema = {"type": "object", "properties": {**required, **(optional or {})}, **members}
    return {**schema, "required": list(required)} if required else schema


def array(items: Schema, **members: Any) -> Schema:
    return {"type": "array", "items": items, **members}


def nullable(schema: Schema) -> Schema:
    kind = schema.get("type")
    if kind is None:
        return {"anyOf": [schema, {"type": "null"}]}
    values = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [*([kind] if isinstance(kind, str) else kind), "null"], **values}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
FILE: Schema = {"type": "string", "format": "binary"}
ANYTHING: Schema = {}
VERSION: Schema = {"type": "integer", "minimum": 1, "maximum": 10**9 - 1}
SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
MODEL_NAME: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$"}
DURATION: Schema = {"type": "string", "description": "`90d`, `12h`, `30m`, `10s` or `2w`, or a time in RFC 3339."}


def map_of(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def page_of(items: Schema) -> Schema:
    return record({"items": array(items), "next_cursor": nullable(TEXT)})


OWNER = {"owner": {**TEXT, "description": "With API keys."}}
