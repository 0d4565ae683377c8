"""Reads the parts of a manifest as the annotations of their dataclasses say, and names those that are wrong."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache
from math import isfinite
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from contract.errors import Code, ModelgateError
from contract.json_objects import Errors, ListOf, Object, Rule, as_sent, is_number, one_of, or_null, repeated
from contract.model.signature import PREDICT, Kind, RowFormat, Signature
from contract.row import Value

T = TypeVar("T")
_Read = Callable[[str, Any, Errors], Any]

_SHOWN = 3
"""Most errors in the sentence about a manifest."""


def parse(text: str | bytes) -> Mapping[str, Any]:
    """Return the JSON object in `text`. Raises `ModelgateError` (`manifest_invalid`)."""
    try:
        data = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise invalid(f"is not JSON ({error})") from error
    if not isinstance(data, dict):
        raise invalid("is not a JSON object")
    return data


def read(data: object, part: type[T]) -> T:
    """Return a dataclass from the JSON object `data`. Further members are ignored: a later release may write them.
    Raises `ModelgateError` (`manifest_invalid`)."""
    errors = Errors()
    value = errors.read("", data, _reader(cast("Any", part)))
    if errors.total:
        raise invalid("; ".join(error.message for error in errors.first[:_SHOWN]))
    return cast("T", value)


def _needs(test: Callable[[Any], bool], what: str) -> Rule:
    return Rule(test, "wrong", f"needs {{field}}, {what}; it has {{value}}")


_OBJECT = _needs(lambda value: isinstance(value, dict), "an object")
_SEQUENCE = Rule(
    lambda value: isinstance(value, list),
    "wrong",
    "has a value of the wrong type: {field} must be a list, not {value}",
)
_SCALARS: Mapping[object, _Read] = {
    str: _needs(lambda value: isinstance(value, str), "a text"),
    int: _needs(lambda value: type(value) is int, "a whole number"),
    float: _needs(is_number, "a number"),
    bool: _needs(lambda value: isinstance(value, bool), "true or false"),
}
_ITEMS: Mapping[object, _Read] = {
    str: _needs(lambda value: isinstance(value, str), "a list of texts"),
    Value: _needs(lambda value: not isinstance(value, list | dict), "a list of plain values"),
}


@cache
def _reader(kind: Any) -> _Read:
    """Return what reads a value annotated as `kind`."""
    origin, of = get_origin(kind), get_args(kind)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _enum(kind)
    if is_dataclass(kind):
        return _dataclass(cast("type", kind))
    if origin in (Union, types.UnionType) and len(of) == 2 and of[1] is type(None):
        return or_null(_reader(of[0]))
    if origin is tuple:
        needs = "needs {field}, a list; it has {value}"
        plain = _ITEMS.get(of[0])
        items = ListOf(plain, needs) if plain else ListOf(_reader(of[0]), needs, item_path="{field}[{number}]")
        return lambda field, value, errors: tuple(items(field, value, errors))
    if origin is Sequence:
        return lambda field, value, errors: tuple(_SEQUENCE(field, value, errors))
    return _mapping(_reader(of[1])) if origin is Mapping else as_sent


def _enum(kind: type[StrEnum]) -> _Read:
    rule = one_of(list(kind), "wrong", "needs {field}, one of {known}; it has {value}")
    return lambda field, value, errors: kind(rule(field, value, errors))


def _mapping(read_value: _Read) -> _Read:
    def read_mapping(field: str, value: Any, errors: Errors) -> Any:
        for name, item in _OBJECT(field, value, errors).items():
            errors.read(f"{field}.{name:.60}", item, read_value)
        return value

    return read_mapping


def _dataclass(kind: type) -> _Read:
    members = {name: _reader(hint) for name, hint in get_type_hints(kind).items()}
    required = [entry.name for entry in fields(kind) if "optional" not in entry.metadata]
    members_of = Object(members, required=required)

    def read_dataclass(field: str, value: Any, errors: Errors) -> Any:
        before = errors.total
        values = members_of(field, _OBJECT(field, value, errors), errors)
        return None if errors.total > before else kind(**values)

    return read_dataclass


def check_signature(signature: Signature) -> None:
    """Raise `ModelgateError` (`manifest_invalid`) if parts of the signature contradict each other."""
    inputs = signature.inputs
    if not inputs and signature.format is not RowFormat.RECORDS:
        raise invalid("has no signature.inputs")
    if signature.format is RowFormat.TEXTS and [field.kind for field in inputs] != [Kind.STRING]:
        raise invalid("has texts as rows, and signature.inputs that are not one input of the kind string")
    if not signature.methods:
        raise invalid("has no signature.methods")
    if bool(signature.outputs) != (signature.method(PREDICT.name) is not None):
        raise invalid("needs signature.outputs if predict is one of its signature.methods, and only then")
    if len(signature.outputs) > 1 and None in [output.name for output in signature.outputs]:
        raise invalid("has several signature.outputs; each needs a name")
    if any(len(output.shown_labels) != len(output.labels or ()) for output in signature.outputs):
        raise invalid("has label_names in signature.outputs, but not one for each of the labels")
    for output in signature.outputs:
        if decision := output.decision:
            fits = output.decidable and len(signature.outputs) == 1 and decision.label in (output.labels or ())
            if not fits or not 0 < decision.threshold < 1:
                raise invalid("has a decision in signature.outputs that does not fit its two classes and probabilities")
    spellings = [name for field in inputs for name in (field.name, *field.aliases)]
    for what, names in (
        ("input", spellings),
        ("output", [output.name for output in signature.outputs]),
        ("method", [method.name for method in signature.methods]),
    ):
        if (twice := repeated(names)) is not None:
            raise invalid(f"names the {what} {twice!r} twice")


def _finite(text: str) -> float:
    """Return the number. Raises ValueError for NaN, Infinity and 1e999: Python reads them, but they are not JSON."""
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text:.40} is not a finite number")
    return number


def invalid(what: str) -> ModelgateError:
    """Return the error `the manifest <what>`."""
    return ModelgateError(Code.MANIFEST_INVALID, f"the manifest {what}")
