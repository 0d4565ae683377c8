"""An operation for each method of a served model, with the fields that its rows have and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contract.model.manifest import ModelManifest
from contract.model.signature import PREDICT, AnswerForm, Field, Kind, Method, Output, OutputKind, RowFormat, Signature
from contract.rows.values import DATES
from gateway.http.operations import TEXT, Schema
from gateway.openapi.schema_parts import (
    ANYTHING,
    BOOLEAN,
    INTEGER,
    NUMBER,
    OBJECT,
    SCALAR,
    array,
    nullable,
    record,
    ref,
)
from gateway.openapi.schemas import job

MOST_PARAMETERS = 100
"""Most inputs that are shown as parameters of a query."""
MOST_VALUES = 1_000
"""Most categories, labels and names that a schema lists; of more it says only how many there are."""

QUERY = "predict_query"
"""The beginning of the id of an operation that takes a row in its query."""

_KINDS: Mapping[Kind, Schema] = {
    Kind.NUMBER: NUMBER,
    Kind.INTEGER: {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    Kind.STRING: TEXT,
    Kind.BOOLEAN: BOOLEAN,
    Kind.DATETIME: {"type": "string", "format": "date-time"},
}
_ID: Schema = {**SCALAR, "description": "Repeated in the answer, and not used."}


def path_of(manifest: ModelManifest, method: Method) -> str:
    return f"/v1/models/{manifest.name}/{method.name}"


def named(shared: Mapping[str, Any], name: str, method: str) -> dict[str, Any]:
    """Return an operation that all models share, as that of one model. `method` begins its id."""
    return {
        **shared,
        "operationId": f"{method}_{name}",
        "summary": f"{shared['summary']}: {name}",
        "tags": [name],
        "parameters": [parameter for parameter in shared["parameters"] if parameter["in"] != "path"],
    }


def operation_of(shared: Mapping[str, Any], manifest: ModelManifest, method: Method) -> dict[str, Any]:
    """Return the same with what the rows of a version hold, and what one of its methods answers."""
    # JSON alone: of several media types, generators of clients make one argument, which many then cannot send.
    body = {"application/json": {"schema": ref(_rows_of(manifest.name)), "example": _example(manifest)}}
    return {
        **named(shared, manifest.name, method.name),
        "description": f"{_about(manifest)} {shared['description']}",
        "requestBody": {"content": body, "required": True},
        "responses": _answers(shared, manifest, method),
    }


def _example(manifest: ModelManifest) -> list[object]:
    return [*manifest.example.values()] if _takes_texts(manifest.signature) else [manifest.example]


def _takes_texts(signature: Signature) -> bool:
    """Whether each row can be a bare text: there is nothing beside it."""
    return signature.format is RowFormat.TEXTS and signature.id_field is None


def query_of(shared: Mapping[str, Any], manifest: ModelManifest) -> dict[str, Any]:
    """Return the prediction of one row in a query, with a parameter for each input."""
    operation = named(shared, manifest.name, QUERY)
    row = _row(manifest.signature)
    inputs = row["properties"] if len(row["properties"]) <= MOST_PARAMETERS else {}
    parameters = [
        {
            "name": name,
            "in": "query",
            "required": name in row.get("required", ()),
            "schema": _in_a_query(schema),
            **({"example": manifest.example[name]} if name in manifest.example else {}),
        }
        for name, schema in inputs.items()
    ]
    return {
        **operation,
        "description": f"{_about(manifest)} {shared['description']}",
        "parameters": [*parameters, *operation["parameters"]],
        "responses": _answers(shared, manifest, PREDICT),
    }


def _in_a_query(schema: Schema) -> Schema:
    """Return the schema of a value in a query, where an empty one stands for null."""
    if "anyOf" in schema:
        return {**schema["anyOf"][0], **({"description": schema["description"]} if "description" in schema else {})}
    kinds = schema.get("type")
    return {**schema, "type": kinds[0]} if isinstance(kinds, list) else schema


def _answers(shared: Mapping[str, Any], manifest: ModelManifest, method: Method) -> dict[str, Any]:
    content = {"application/json": {"schema": ref(f"{_name_of(manifest.name, method)}.job")}}
    return {
        status: {**answer, "content": content} if status in ("200", "202") else answer
        for status, answer in shared["responses"].items()
    }


def schemas_of(manifest: ModelManifest) -> dict[str, Schema]:
    """Return what `operation_of` refers to: rows, and for each method the job with its output."""
    name, signature = manifest.name, manifest.signature
    rows = array(TEXT if _takes_texts(signature) else ref(_row_of(name)), minItems=1)
    schemas = {_rows_of(name): rows, _row_of(name): _row(signature)}
    for method in signature.methods:
        schemas |= _schemas_of_method(signature, method, _name_of(name, method))
    return schemas


def _schemas_of_method(signature: Signature, method: Method, name: str) -> dict[str, Schema]:
    """Return the schemas of a method, whose names begin with `name`: all parts have one, as otherwise each generator
    makes its own."""
    parts: dict[str, Schema] = {}
    item = _named(_item(signature, method), f"{name}.prediction", parts)
    # Without a type: what openapi-generator makes of a list of several types cannot read a null in it.
    ids = nullable(array(ANYTHING, description="Those of the rows."))
    members = {"predictions": array(nullable(item)), "ids": ids}
    scores: dict[str, Schema] = {}
    if method.name == PREDICT.name:
        if all(output.probabilities for output in signature.outputs):
            probabilities = _named(_by_label(signature), f"{name}.probabilities", parts)
            members["probabilities"] = nullable(array(nullable(probabilities)))
        if any(output.scores for output in signature.outputs):
            scores["scores"] = array(nullable(NUMBER))
    output = record(members, {**scores, "errors": array(ref("FieldError"))})
    return {**parts, f"{name}.output": output, f"{name}.job": job(ref(f"{name}.output"))}


def _named(schema: Schema, name: str, parts: dict[str, Schema]) -> Schema:
    """Return the schema, or a reference to it if it has members or lists its values, which is added to `parts`."""
    if not {"properties", "enum"} & schema.keys():
        return schema
    parts[name] = schema
    return ref(name)


def _row_of(name: str) -> str:
    return f"{name}.row"


def _rows_of(name: str) -> str:
    return f"{name}.rows"


def _name_of(name: str, method: Method) -> str:
    """Return the beginning of the names of what a method answers."""
    return name if method.name == PREDICT.name else f"{name}.{method.name}"


def _about(manifest: ModelManifest) -> str:
    training = manifest.training_data
    learnt = f", trained on {training.rows} rows" if training.rows else ""
    return f"Version {manifest.version} of {manifest.name}, by the recipe `{manifest.recipe}`{learnt}."


def _row(signature: Signature) -> Schema:
    inputs = {field.name: _field(field) for field in signature.inputs}
    id_field = {signature.id_field: _ID} if signature.id_field else {}
    if signature.format is RowFormat.RECORDS:
        known = dict(list(inputs.items())[:MOST_VALUES])
        return record({}, {**known, **id_field}, additionalProperties=ref("RecordValue"))
    return record(inputs, id_field)


def _field(field: Field) -> Schema:
    schema = dict(_KINDS[field.kind])
    if field.kind is Kind.DATETIME and field.format:
        schema = {"type": "string"}
    notes = []
    if field.aliases:
        notes.append(f"Also taken as {', '.join(field.aliases)}.")
    if field.format in DATES:
        notes.append(f"Must be {DATES[field.format]} or in ISO 8601.")
    if field.guessed:
        notes.append("Nothing shows its kind: numbers, true and false are taken.")
        if field.kind in (Kind.NUMBER, Kind.BOOLEAN):
            schema = {**ref("NumberOrBoolean")}
    if field.categories is not None:
        if len(field.categories) <= MOST_VALUES:
            schema["enum"] = list(field.categories)
        else:
            notes.append(f"One of {len(field.categories)} texts.")
    if notes:
        schema["description"] = " ".join(notes)
    return nullable(schema) if field.nullable else schema


def _item(signature: Signature, method: Method) -> Schema:
    """Return the schema of what a method answers for one row (`AnswerForm`)."""
    match method.answer:
        case AnswerForm.OUTPUTS:
            return _by_output(signature, _value)
        case AnswerForm.LABELS:
            return _by_label(signature)
        case AnswerForm.NUMBER:
            return NUMBER
        case AnswerForm.NUMBERS:
            return array({})
        case AnswerForm.NEIGHBORS:
            return record({"distances": array(nullable(NUMBER)), "indices": array(INTEGER)})
    names = method.names or tuple(output.name for output in signature.outputs if output.name)
    return _numbers(names if method.answer is AnswerForm.NAMED else ())


def _by_label(signature: Signature) -> Schema:
    return _by_output(signature, lambda output: _numbers([str(label) for label in output.shown_labels]))


def _by_output(signature: Signature, schema: Any) -> Schema:
    if len(signature.outputs) == 1 and signature.output.name is None:
        of_output: Schema = schema(signature.output)
        return of_output
    return record({str(output.name): nullable(schema(output)) for output in signature.outputs})


def _numbers(names: Sequence[str]) -> Schema:
    """Return the schema of an object of numbers, with these names where they are not too many."""
    if not names or len(names) > MOST_VALUES:
        return {**OBJECT, "additionalProperties": nullable(NUMBER)}
    return record(dict.fromkeys(names, nullable(NUMBER)))


def _value(output: Output) -> Schema:
    labels = output.shown_labels
    if output.kind is OutputKind.NUMBER:
        return NUMBER
    if not labels or len(labels) > MOST_VALUES:
        return ANYTHING
    kinds = set(map(type, labels))
    if kinds == {str} or kinds == {int}:
        return {"type": "string" if kinds == {str} else "integer", "enum": list(labels)}
    return BOOLEAN if kinds == {bool} else ANYTHING
