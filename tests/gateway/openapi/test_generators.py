"""What generators of clients need of the OpenAPI document. tests/qa/clients/test_generated_client.py runs four."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from contract.model.repository import NAME
from contract.model.signature import AnswerForm, Field, Kind, Method, Output, OutputKind, RowFormat, Signature
from gateway.protocols.parameters import MOST_SECONDS
from tests.support import Sum, numbers, write_version

SIGNATURES = {
    "classes": Signature(
        (Field("x", Kind.STRING, nullable=True, categories=("a", "b")), Field("y", Kind.NUMBER, guessed=True)),
        (Output(OutputKind.CLASS, (0, 1), probabilities=True, scores=True),),
        id_field="id",
    ),
    "mixed": Signature(numbers("x"), (Output(OutputKind.CLASS, ("a", 1)),)),
    "two": Signature(numbers("x"), (Output(OutputKind.NUMBER, name="a"), Output(OutputKind.CLASS, (1, 2), name="b"))),
    "words": Signature((Field("text", Kind.STRING),), (Output(OutputKind.NUMBER),), format=RowFormat.TEXTS),
    "records": Signature((Field("text", Kind.STRING),), (Output(OutputKind.NUMBER),), format=RowFormat.RECORDS),
    "pca": Signature(
        numbers("x"),
        (),
        methods=(
            Method("transform", AnswerForm.NAMED, ("u", "v")),
            Method("kneighbors", AnswerForm.NEIGHBORS),
            Method("decision_function", AnswerForm.NUMBERS),
        ),
    ),
}
"""Models of every shape."""


@pytest.fixture
def api(client: FlaskClient, models: Path) -> dict[str, Any]:
    """The document with models of every shape."""
    for name, signature in SIGNATURES.items():
        example = {field.name: "a" if field.kind is Kind.STRING else 1.0 for field in signature.inputs}
        write_version(models, name, Sum(), (), signature=signature, example=example)
    document: dict[str, Any] = client.get("/openapi.json").json
    assert {f"{name}.rows" for name in SIGNATURES} <= document["components"]["schemas"].keys()
    return document


def operations(api: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def parts(where: str, schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a schema and all schemas in it, each with its place."""
    if isinstance(schema, dict):
        yield where, schema
        for name, part in schema.get("properties", {}).items():
            yield from parts(f"{where}.{name}", part)
        for word in ("items", "additionalProperties"):
            yield from parts(f"{where}.{word}", schema.get(word))
        for word in ("anyOf", "oneOf"):
            for number, part in enumerate(schema.get(word, ())):
                yield from parts(f"{where}.{word}[{number}]", part)


def all_schemas(api: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    schemas = [*api["components"]["schemas"].items()]
    for where, operation in operations(api):
        schemas += [(f"{where} {parameter['name']}", parameter["schema"]) for parameter in operation["parameters"]]
    answers = [operation["responses"] for _, operation in operations(api)] + [api["components"]["responses"]]
    contents = [(where, answer.get("content", {})) for group in answers for where, answer in group.items()]
    schemas += [(where, media["schema"]) for where, content in contents for media in content.values()]
    return [part for where, schema in schemas for part in parts(where, schema)]


def test_null_is_only_beside_something_else(api: dict[str, Any]) -> None:
    wrong = []
    for where, schema in all_schemas(api):
        kinds = schema.get("type")
        plain = isinstance(kinds, list) and len(kinds) == 2 and kinds[1] == "null" and "enum" not in schema
        if isinstance(kinds, list) and not plain:
            wrong.append(where)
        if kinds == "null" and ".anyOf[1]" not in where:
            wrong.append(where)
        if None in schema.get("enum", ()):
            wrong.append(where)
    assert wrong == []


def test_anyof_is_only_something_or_null(api: dict[str, Any]) -> None:
    unions = {where: schema["anyOf"] for where, schema in all_schemas(api) if "anyOf" in schema}
    assert unions
    assert [where for where, union in unions.items() if len(union) != 2 or union[1] != {"type": "null"}] == []


def test_every_body_has_a_name(api: dict[str, Any]) -> None:
    bodies = [
        (where, media["schema"])
        for where, operation in operations(api)
        for media in operation.get("requestBody", {}).get("content", {}).values()
    ]
    assert len(bodies) > 40
    assert [where for where, schema in bodies if schema.keys() != {"$ref"} and schema.get("format") != "binary"] == []


def test_every_other_union_has_a_name(api: dict[str, Any]) -> None:
    named = api["components"]["schemas"].keys()
    assert [where for where, schema in all_schemas(api) if "oneOf" in schema and where not in named] == []


def test_no_reference_has_members_beside_it(api: dict[str, Any]) -> None:
    """Generators ignore these, and openapi-generator calls them an error."""
    beside = [(where, schema.keys() - {"$ref"}) for where, schema in all_schemas(api) if "$ref" in schema]
    assert [where for where, members in beside if members - {"description"}] == []


def test_every_number_in_a_query_or_a_header_has_bounds(api: dict[str, Any]) -> None:
    ours = {
        where: operation for where, operation in operations(api) if operation["tags"][0] not in {*SIGNATURES, "sum"}
    }
    numbers = {
        f"{where} {parameter['name']}": parameter["schema"]
        for where, operation in ours.items()
        for parameter in operation["parameters"]
        if parameter["schema"].get("type") in ("integer", "number")
    }
    assert {"GET /v1/jobs limit", "GET /v1/jobs/{id} wait"} <= numbers.keys()
    assert [where for where, schema in numbers.items() if not {"minimum", "maximum"} <= schema.keys()] == []


@pytest.mark.parametrize(
    ("place", "keyword", "value"),
    [
        ("GET /v1/jobs limit", "maximum", 500),
        ("GET /v1/jobs/{id} wait", "maximum", MOST_SECONDS),
        ("GET /v1/jobs model", "pattern", f"^{NAME.pattern}$"),
        ("POST /v1/models/{model}/predict escape", "enum", ["formulas"]),
        ("GET /v1/traffic period", "enum", ["2h", "1d", "30d"]),
        ("KeyRequest.limits", "$ref", "#/components/schemas/Limits"),
        ("AliasMove.version", "maximum", 10**9 - 1),
    ],
)
def test_what_the_server_checks_is_in_the_schema(api: dict[str, Any], place: str, keyword: str, value: object) -> None:
    assert dict(all_schemas(api))[place][keyword] == value


def test_patterns_are_those_of_javascript_too(api: dict[str, Any]) -> None:
    patterns = {schema["pattern"] for _, schema in all_schemas(api) if "pattern" in schema}
    assert len(patterns) > 5
    assert [pattern for pattern in patterns if re.search(r"\\A|\\Z|\(\?P|\(\?i", pattern) or pattern[0] != "^"] == []


def test_files_are_binary(api: dict[str, Any]) -> None:
    upload = api["paths"]["/v1/models/{name}/versions"]["post"]["requestBody"]["content"]
    assert next(iter(upload)) == "multipart/form-data"  # openapi-generator takes the first alone
    binary = {"type": "string", "format": "binary"}
    form = api["components"]["schemas"]["ModelUpload"]["properties"]
    assert [form[part] for part in ("file", "sample", "code", "signature")] == [binary] * 4
    files = api["paths"]["/v1/models/{model}/predict-file"]["post"]["requestBody"]["content"]
    assert [media["schema"] for media in files.values()] == [binary] * 3
