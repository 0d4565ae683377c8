"""The OpenAPI document as a page of Markdown: each request with its parameters, bodies and answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from contract.settings import Settings
from gateway.app import create_app
from gateway.openapi.document import document

_HEAD = """# Every request

What `/openapi.json` of a running Modelgate says, without its models; [the document](../files/openapi.json) itself.
`/docs` of a running Modelgate shows the same with the fields of its models, and sends the requests.
[HTTP interface](http-api.md) explains them.
"""


def document_as_json() -> str:
    """Return the document of a Modelgate that has keys and no models."""
    return json.dumps(_document(), ensure_ascii=False)


def page() -> str:
    """Return the page."""
    described = _document()
    by_tag: dict[str, list[str]] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            text = "".join(_operation(f"{method.upper()} {path}", operation, described["components"]["responses"]))
            by_tag.setdefault(operation["tags"][0], []).append(text)
    parts = [f"\n## {tag.replace('_', ' ').capitalize()}\n{''.join(texts)}" for tag, texts in by_tag.items()]
    schemas = [_schema(name, schema) for name, schema in described["components"]["schemas"].items()]
    return "".join([_HEAD, *parts, "\n## Schemas\n", *schemas])


def _document() -> dict[str, Any]:
    routes = create_app(Settings(redis_url="redis://localhost")).url_map.iter_rules()  # it does not connect
    return document(routes, keys=True)


def _operation(call: str, operation: Mapping[str, Any], shared: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n({operation['operationId'].lower()})=\n### `{call}`\n\n"
    yield f"{operation['summary']}. {operation['description']}\n"
    if parameters := operation["parameters"]:
        yield _table("parameter", "in", "type", "what it says")
        for parameter in parameters:
            name = f"`{parameter['name']}`" + (", required" if parameter["required"] else "")
            yield _row(name, parameter["in"], _type(parameter["schema"]), parameter["description"])
    if body := operation.get("requestBody"):
        yield _table("body", "type")
        for kind, content in body["content"].items():
            yield _row(f"`{kind}`", _type(content["schema"]))
    yield _table("answer", "what it says", "body")
    for status, answer in operation["responses"].items():
        whole = shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
        bodies = (f"`{kind}`: {_type(content['schema'])}" for kind, content in whole.get("content", {}).items())
        yield _row(status, whole["description"], ", ".join(bodies))


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    needed = schema.get("required", ())
    rows = [
        _row(
            f"`{member}`" + (", required" if member in needed else ""), f"{_type(part)}. {part.get('description', '')}"
        )
        for member, part in schema.get("properties", {}).items()
    ]
    table = _table("member", "what it is") + "".join(rows) if rows else f"\n{_type(schema)}\n"
    return f"\n({_anchor(name)})=\n### {name}\n\n{schema.get('description', '')}\n{table}"


def _type(schema: Mapping[str, Any]) -> str:
    """Return a type in words, with links to the schemas that have a name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{_anchor(name)})"
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(map(_type, choices))
    if values := schema.get("enum"):
        return " or ".join(f"`{json.dumps(value)}`" for value in values)
    kinds = schema.get("type", "any value")
    items = f"list of {_type(schema['items'])}" if "items" in schema else "list"
    return " or ".join(items if kind == "array" else kind for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _anchor(name: str) -> str:
    return f"schema-{name.lower()}"


def _table(*heads: str) -> str:
    return f"\n{_row(*heads)}{_row(*('---' for _ in heads))}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |\n"
