"""The OpenAPI document: the routes and the served models, as fresh as the repository, and for each caller its own."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from flask.testing import FlaskClient
from redis import Redis

from contract.model.signature import AnswerForm, Field, Kind, Method, Output, OutputKind, RowFormat, Signature
from contract.release import VERSION
from contract.settings import Settings
from contract.work.api_keys import Detail, Key, Scope
from gateway.app import Gateway, create_app
from gateway.openapi import document as openapi
from gateway.openapi.document import document as document_of
from gateway.openapi.document import operations
from tests.gateway.callers import Caller
from tests.support import Sum, numbers, write_version

ALL = frozenset(Scope) - {Scope.ADMIN}


def document(client: FlaskClient) -> dict[str, Any]:
    response = client.get("/openapi.json")
    assert response.status_code == 200, response.text
    return json.loads(response.data)


def of_models(paths: dict[str, Any]) -> set[str]:
    """The names of the models that have an operation of their own."""
    return {path.split("/")[3] for path in paths if path.startswith("/v1/models/") and "{" not in path}


def test_the_requests_of_each_model_can_be_left_out_or_stand_alone(client: FlaskClient, models: Path) -> None:
    write_version(models, "other", Sum(), numbers("x"))
    everything = document(client)
    shared = client.get("/openapi.json?model=").json
    assert of_models(everything["paths"]) == {"sum", "other"}
    assert shared["paths"] == {
        path: entry for path, entry in everything["paths"].items() if "{" in path or not path.startswith("/v1/models/")
    }
    alone = client.get("/openapi.json?model=sum").json
    assert set(alone["paths"]) == {path for path in everything["paths"] if path.startswith("/v1/models/sum/")}
    assert alone["paths"]["/v1/models/sum/predict"] == everything["paths"]["/v1/models/sum/predict"]
    assert [name for name in alone["components"]["schemas"] if name.startswith("other")] == []
    refused = client.get("/openapi.json?model=sun")
    assert (refused.status_code, refused.json["code"]) == (404, "unknown_model")
    assert "did you mean 'sum'" in refused.json["detail"]


def test_a_route_without_documentation_stops_the_start() -> None:
    with pytest.raises(TypeError, match="/things is not documented"):
        Gateway("test", static_folder=None).add_url_rule("/things", "things", level=Scope.READ)


def test_the_document_has_every_route(client: FlaskClient) -> None:
    paths = document(client)["paths"]
    ids = [entry["operationId"] for path in paths.values() for entry in path.values()]
    declared = [route.docs.id for route, _ in operations(client.application.url_map.iter_rules())]
    assert set(declared) <= set(ids)
    assert len(set(ids)) == len(ids)
    assert "{model}" in "".join(paths)
    assert re.search("[<>]", "".join(paths)) is None


def test_the_document_has_the_version_of_the_release(client: FlaskClient) -> None:
    assert document(client)["info"] == {"title": "Modelgate", "version": VERSION, "description": ANY}


def test_every_schema_that_is_named_exists(client: FlaskClient) -> None:
    api = document(client)
    for name in set(re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(api))):
        part = api
        for key in name.split("/"):
            part = part[key]


def test_a_model_has_its_fields_example_and_errors(client: FlaskClient) -> None:
    api = document(client)
    predict = api["paths"]["/v1/models/sum/predict"]["post"]
    assert predict["operationId"] == "predict_sum"
    body = predict["requestBody"]["content"]["application/json"]
    assert body["example"] == [{"key": "x", "a": 1.0, "b": 2.0}]
    row = api["components"]["schemas"]["sum.row"]
    assert row["required"] == ["a", "b"]
    assert row["properties"]["a"] == {"type": "number", "description": "Also taken as A."}
    assert {"200", "202", "404", "422", "429", "503"} <= predict["responses"].keys()
    refused = api["components"]["responses"]["predict.422"]
    assert refused["content"]["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert refused["x-problem-codes"] == ["idempotency_key_reused", "invalid_instances", "timed_out_twice"]


def test_a_model_that_is_promoted_is_there_at_once_and_the_tag_changes(client: FlaskClient, models: Path) -> None:
    before = client.get("/openapi.json")
    assert client.get("/openapi.json", headers={"If-None-Match": before.headers["ETag"]}).status_code == 304
    write_version(models, "late", Sum(), numbers("x"))
    after = client.get("/openapi.json", headers={"If-None-Match": before.headers["ETag"]})
    assert after.status_code == 200
    assert of_models(after.json["paths"]) == {"sum", "late"}
    write_version(models, "late", Sum(), numbers("y"), version=2)
    assert document(client)["components"]["schemas"]["late.row"]["required"] == ["y"]


def test_a_model_whose_manifest_is_broken_hides_no_other(client: FlaskClient, models: Path) -> None:
    write_version(models, "broken", Sum(), numbers("x"))
    (models / "broken" / "versions" / "1" / "manifest.json").write_text("{")
    assert of_models(document(client)["paths"]) == {"sum"}


def test_a_document_is_made_once_for_each_state(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(openapi, "document", lambda *args, **named: made.append(1) or document_of(*args, **named))
    assert client.get("/openapi.json").data == client.get("/openapi.json").data
    assert made == [1]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (Field("x", Kind.NUMBER, nullable=True), {"type": ["number", "null"]}),
        (Field("x", Kind.INTEGER), {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}),
        (Field("x", Kind.BOOLEAN), {"type": "boolean"}),
        (Field("x", Kind.STRING, categories=("a", "b")), {"type": "string", "enum": ["a", "b"]}),
        (
            Field("x", Kind.STRING, nullable=True, categories=("a",)),
            {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
        ),
        (
            Field("x", Kind.STRING, categories=tuple(map(str, range(5000)))),
            {"type": "string", "description": "One of 5000 texts."},
        ),
        (Field("x", Kind.DATETIME), {"type": "string", "format": "date-time"}),
    ],
)
def test_an_input_has_its_kind(client: FlaskClient, models: Path, field: Field, expected: dict[str, Any]) -> None:
    write_version(models, "one", Sum(), [field])
    assert document(client)["components"]["schemas"]["one.row"]["properties"]["x"] == expected


def test_answers_have_labels_and_probabilities(client: FlaskClient, models: Path) -> None:
    output = Output(OutputKind.CLASS, ("no", "yes"), probabilities=True)
    write_version(models, "classes", Sum(), numbers("x"), output)
    schemas = document(client)["components"]["schemas"]
    assert schemas["classes.output"]["properties"].keys() == {"ids", "predictions", "probabilities", "errors"}
    assert schemas["classes.prediction"] == {"type": "string", "enum": ["no", "yes"]}
    assert schemas["classes.probabilities"]["required"] == ["no", "yes"]


def test_several_outputs_are_an_object(client: FlaskClient, models: Path) -> None:
    outputs = (Output(OutputKind.NUMBER, name="price"), Output(OutputKind.CLASS, (1, 2), name="tier"))
    write_version(models, "two", Sum(), numbers("x"), signature=Signature(numbers("x"), outputs))
    assert document(client)["components"]["schemas"]["two.prediction"]["required"] == ["price", "tier"]


def test_each_method_has_an_operation(client: FlaskClient, models: Path) -> None:
    methods = (Method("transform", AnswerForm.NAMED, ("u", "v")), Method("kneighbors", AnswerForm.NEIGHBORS))
    write_version(models, "pca", Sum(), numbers("x"), signature=Signature(numbers("x"), (), methods=methods))
    api = document(client)
    assert {path for path in api["paths"] if "/pca/" in path} == {
        "/v1/models/pca/transform",
        "/v1/models/pca/kneighbors",
    }
    assert api["components"]["schemas"]["pca.transform.prediction"]["required"] == ["u", "v"]


@pytest.mark.parametrize("row_format", [RowFormat.TEXTS, RowFormat.RECORDS])
def test_texts_and_records_have_their_shapes(client: FlaskClient, models: Path, row_format: RowFormat) -> None:
    signature = Signature((Field("text", Kind.STRING),), (Output(OutputKind.NUMBER),), format=row_format)
    write_version(models, "words", Sum(), (), signature=signature, example={"text": "hello"})
    api = document(client)
    body = api["paths"]["/v1/models/words/predict"]["post"]["requestBody"]["content"]["application/json"]
    bare = row_format is RowFormat.TEXTS
    assert body["schema"] == {"$ref": "#/components/schemas/words.rows"}
    assert body["example"] == (["hello"] if bare else [{"text": "hello"}])
    item = {"type": "string"} if bare else {"$ref": "#/components/schemas/words.row"}
    assert api["components"]["schemas"]["words.rows"] == {"type": "array", "items": item, "minItems": 1}
    assert ("additionalProperties" in api["components"]["schemas"]["words.row"]) is not bare


def seen_by(settings: Settings, redis: Redis, **changes: Any) -> dict[str, Any]:
    if not (settings.models_dir / "other").exists():
        write_version(settings.models_dir, "other", Sum(), numbers("hidden_field"))
    client = create_app(settings).test_client()
    holder = Caller.with_key(client, redis, Key("k", "ci", "team", ALL, **changes))
    return holder("GET", "/openapi.json").json


def test_a_key_sees_only_the_models_that_it_may_use(settings: Settings, redis: Redis) -> None:
    api = seen_by(settings, redis, models=frozenset({"sum"}))
    assert of_models(api["paths"]) == {"sum"}
    assert "sum.row" in api["components"]["schemas"]
    assert "hidden_field" not in json.dumps(api)
    assert api["security"] == [{"key": []}, {"header": []}]


def test_a_terse_key_sees_no_field_and_no_model_that_it_does_not_name(settings: Settings, redis: Redis) -> None:
    api = seen_by(settings, redis, models=frozenset({"sum"}), detail=Detail.TERSE)
    assert of_models(api["paths"]) == {"sum"}
    assert [name for name in api["components"]["schemas"] if name.startswith("sum")] == []
    assert "example" not in api["paths"]["/v1/models/sum/predict"]["post"]["requestBody"]["content"]["application/json"]
    all_models = seen_by(settings, redis, detail=Detail.TERSE)
    assert of_models(all_models["paths"]) == set()


def test_the_requests_of_a_model_are_seen_by_who_may_use_it(settings: Settings, redis: Redis) -> None:
    write_version(settings.models_dir, "other", Sum(), numbers("hidden_field"))
    client = create_app(settings).test_client()
    limited = Caller.with_key(client, redis, Key("k", "ci", "team", ALL, models=frozenset({"sum"})))
    assert limited("GET", "/openapi.json?model=other").json["code"] == "unknown_model"
    terse = Caller.with_key(client, redis, Key("t", "form", "web", ALL, detail=Detail.TERSE))
    assert list(terse("GET", "/openapi.json?model=other").json["paths"]) == ["/v1/models/other/predict"]
    assert "hidden_field" not in terse("GET", "/openapi.json?model=other").text


def test_without_a_key_a_closed_gateway_shows_the_page_and_not_the_document(settings: Settings, redis: Redis) -> None:
    closed = create_app(replace(settings, admin_key="a" * 40)).test_client()
    assert closed.get("/openapi.json").status_code == 401
    assert closed.get("/docs").status_code == 200


def test_the_page_loads_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/docs")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert re.findall(r'(?:src|href)="([^/"][^"]*)"', page.text) == ["data:,"]
    for asset in re.findall(r'(?:src|href)="(/docs/[^"]*)"', page.text):
        answer = client.get(asset)
        assert answer.status_code == 200
        assert client.get(asset, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert client.get("/docs/README.md").status_code == 404


def keywords_in(schema: Any) -> set[str]:
    """Return the keywords of JSON Schema in a schema and its parts."""
    if not isinstance(schema, dict):
        return set()
    parts = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    parts += [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return {*schema, *(word for part in parts for word in keywords_in(part))}


def test_the_page_shows_every_keyword_of_the_document(client: FlaskClient) -> None:
    script, api = client.get("/docs/docs.js").text, document(client)
    schemas = list(api["components"]["schemas"].values())
    for operation in (operation for path in api["paths"].values() for operation in path.values()):
        schemas += [parameter["schema"] for parameter in operation["parameters"]]
    keywords = set().union(*map(keywords_in, schemas))
    assert {"anyOf", "properties", "pattern"} <= keywords
    assert [word for word in keywords if not re.search(rf"(?<!\w){re.escape(word)}\b", script)] == []
