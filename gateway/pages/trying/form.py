"""The form with the row of a model: what it holds, and what a visitor has sent with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from flask import request

from contract.model.manifest import ModelManifest
from contract.model.signature import Field, Kind, RowFormat
from contract.rows.instances import Instances, Records
from gateway.http.exchange import caller
from gateway.pages.model_header import sees_inputs
from gateway.protocols import native

MOST_FIELDS = 200
"""A model with more inputs gets one box for the row as JSON, instead of a field for each."""
MOST_SENT = 20_000
"""Characters of a row of JSON that is repeated in the requests to copy."""
_PREFIX = "input-"


@dataclass(frozen=True)
class FormField:
    """A field of the form: its input, its `name` in the form, and its text."""

    input: Field
    name: str
    value: str


def form_fields(model: ModelManifest, values: Mapping[str, str]) -> list[FormField]:
    return [FormField(field, _name(field), values.get(field.name, "")) for field in model.signature.inputs]


def _name(field: Field) -> str:
    """Return the name of an input in the form. Quoted: browsers change the line ends in the name of a field."""
    return _PREFIX + quote(field.name, safe="")


def entry_mode(model: ModelManifest) -> str:
    """Return how a row is entered: by `fields`, as a `text`, or as `json`."""
    signature = model.signature
    if signature.format is RowFormat.TEXTS:
        return "text"
    by_fields = signature.format is RowFormat.TABLE and len(signature.inputs) <= MOST_FIELDS
    return "fields" if by_fields and sees_inputs(caller()) else "json"


def example(model: ModelManifest) -> dict[str, str]:
    """Return the example of the model: a text for each input, and under '' the whole row as JSON, or as its text."""
    shown = dict(model.example) if sees_inputs(caller()) else {}
    if model.signature.format is RowFormat.TEXTS:
        return {"": str(next(iter(shown.values()), ""))}
    texts = {name: _text(value) for name, value in shown.items()}
    return {**texts, "": json.dumps(shown, indent=2, ensure_ascii=False) if shown else "{}"}


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def is_form_of(model: ModelManifest) -> bool:
    """Return whether the form that was sent was made for this version. Another version may have other inputs."""
    return request.form.get("form_version") == str(model.version)


def sent_values(model: ModelManifest) -> dict[str, str]:
    """Return what was sent with the form of this version: a text for each input, or the whole row under ''."""
    if "row" in request.form or not sees_inputs(caller()):
        return {"": request.form.get("row", "")}
    return {field.name: request.form.get(_name(field), "") for field in model.signature.inputs}


def kept_values(model: ModelManifest) -> dict[str, str]:
    """Return what was sent for inputs that this version has, too, and its example for the others."""
    if "row" in request.form:
        return {**example(model), "": request.form["row"]}
    sent = {unquote(name.removeprefix(_PREFIX)): text for name, text in request.form.items()}
    known = [field for field in model.signature.inputs if field.name in sent]
    kept = {
        field.name: sent[field.name]
        for field in known
        if field.categories is None or sent[field.name] in field.categories
    }
    return {**example(model), **kept}


def row_of(model: ModelManifest, values: Mapping[str, str]) -> Instances:
    """Return the row to predict. Raises `InvalidInstances` or `Problem` for JSON that is no row."""
    if "" in values and model.signature.format is RowFormat.TEXTS:
        return Records([{model.signature.names[0]: values[""]}])
    if "" in values:
        return native.read(values[""].encode(), model.signature)
    return Records([{name: value if value.strip() else None for name, value in values.items()}])


def row_to_copy(model: ModelManifest, values: Mapping[str, str]) -> object:
    """Return the row with numbers where the text is one, for the requests to copy. Raises `ValueError` if it is no
    JSON, or too long."""
    if model.signature.format is RowFormat.TEXTS:
        return values.get("", "")
    if set(values) == {""}:
        if len(values[""]) > MOST_SENT:
            raise ValueError(f"the row has more than {MOST_SENT} characters")
        return json.loads(values[""])
    return {field.name: _typed(field, values.get(field.name, "")) for field in model.signature.inputs}


def _typed(field: Field, text: str) -> object:
    if not text.strip():
        return None
    try:
        if field.kind in (Kind.NUMBER, Kind.INTEGER):
            return json.loads(text)
    except ValueError:
        return text
    return text == "true" if field.kind is Kind.BOOLEAN and text in ("true", "false") else text
