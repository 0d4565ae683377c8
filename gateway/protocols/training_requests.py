"""The body of a request to train → a `TrainingRequest`, or every error in it."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import IO, Any

import orjson

from contract import csv_table
from contract.coercion import RepeatedKeys
from contract.errors import MAX_ERRORS, FieldError
from contract.parameters import Parameter, parameter_errors
from contract.repository import PREVIOUS, valid_name
from contract.suggestions import Suggestions
from contract.training import DERIVED_METRICS, GENERIC_RECIPE, KINDS, METRICS, Gate, TrainingRequest
from contract.training_columns import resolve_columns
from contract.wording import shown
from gateway.refusals import Reason, Refusal, did_you_mean

_HEAD = 4 * 1024 * 1024
"""Bytes of a file in which its header and first row have to end."""

_LONGEST_NAME, _LONGEST_NOTES, _LONGEST_PATH, _MOST_FEATURES, _DEEPEST = 256, 4000, 1024, 10_000, 20
_KEYS = ("recipe", "parameters", "target", "features", "id_field", "kinds", "alias", "gate", "notes", "data")


class _Errors(list[FieldError]):
    """The first errors; `total` counts all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.suggestions = Suggestions()

    def add(self, field: str, code: str, message: str) -> None:
        self.total += 1
        if len(self) < MAX_ERRORS:
            self.append(FieldError(None, field[:_LONGEST_NAME], code, message))


def training_request(
    model: str,
    body: object,
    recipes: Sequence[str],
    default: str,
    upload: str | None = None,
    upload_name: str | None = None,
) -> TrainingRequest:
    """`default`: the recipe where the body names none; `upload`: the file that came with it, which the caller calls
    `upload_name`. Raises `Refusal`."""
    if not isinstance(body, dict):
        raise invalid([FieldError(None, None, "not_an_object", f"the body must be a JSON object; it is {shown(body)}")])
    errors = _Errors()
    _unknown(body, _KEYS, "", errors)
    given = {key: value for key, value in body.items() if value is not None and _arrives(key, value, errors)}
    path = _path(given.get("data"), errors)
    request = TrainingRequest(
        model=model,
        recipe=_recipe(given.get("recipe", default), recipes, errors),
        parameters=_parameters(given, errors),
        target=_text(given, "target", _LONGEST_NAME, errors),
        features=_features(given.get("features"), errors),
        id_field=_text(given, "id_field", _LONGEST_NAME, errors),
        alias=_alias(given.get("alias", "current"), errors),
        gate=_gate(given, errors),
        notes=_text(given, "notes", _LONGEST_NOTES, errors, empty=True) or "",
        upload=upload,
        upload_name=upload_name or None,
        path=path,
        kinds=_kinds(given, errors),
    )
    if path and upload:
        errors.add("data", "ambiguous_data", "send the data as a file or as a path under DATA_DIR, not both")
    if request.recipe == GENERIC_RECIPE:
        _generic(request, errors)
    elif request.kinds and request.recipe:
        errors.add(
            "kinds", "not_taken", f"the recipe {request.recipe} has kinds of its own: leave it out, or use tabular"
        )
    if request.target and request.target == request.id_field:
        message = f"id_field and target both name {shown(request.target)}; what is only echoed cannot be learnt"
        errors.add("id_field", "repeated_field", message)
    if errors:
        raise invalid(errors, errors.total)
    return request


def shown_request(request: TrainingRequest) -> dict[str, Any]:
    """The request as a body that asks for the same."""
    body = request.to_json()
    path = body.pop("path")
    for own in ("model", "upload", "upload_name"):
        del body[own]
    return {**body, "data": None if path is None else {"path": path}}


def check_parameters(request: TrainingRequest, parameters: Sequence[Parameter]) -> None:
    """Raise `Refusal` for parameters that the recipe does not take."""
    if errors := parameter_errors(request.parameters, request.recipe, parameters):
        raise invalid(errors, len(errors))


def check_file(request: TrainingRequest, file: IO[bytes]) -> None:
    """Raise `Refusal` if the beginning of the CSV `file` shows that it cannot be used."""
    try:
        table = csv_table.read(io.BytesIO(file.read(_HEAD)), most=1)
    except csv_table.NotCsv as error:
        raise invalid([FieldError(None, "file", "not_csv", f"the file is not CSV: {error}")]) from error
    if not table.rows:
        message = "the file has no rows; it needs a line with the names of the columns, and rows below it"
        raise invalid([FieldError(None, "file", "no_rows", message)])
    if request.recipe == GENERIC_RECIPE and request.target:
        named = (request.target, request.features, request.id_field, request.kinds)
        _, errors = resolve_columns(table.columns, *named)
        if errors:
            raise invalid(errors, len(errors))


def invalid(errors: Sequence[FieldError], total: int = 1) -> Refusal:
    """Return the refusal with the first errors of `total`."""
    detail = errors[0].message if total == 1 else f"{total} values cannot be used; see errors"
    if total > len(errors):
        detail += f" (the first {len(errors)} are listed)"
    return Refusal(Reason.INVALID_TRAINING, detail, errors=[error.to_json() for error in errors])


def _unknown(given: Mapping[str, object], known: Sequence[str], where: str, errors: _Errors) -> None:
    for key in given:
        if key not in known:
            hint = did_you_mean(key, known, errors.suggestions)
            message = f"{shown(key)} is no key of {where or 'a training'}{hint}; there are {', '.join(known)}"
            errors.add(f"{where}.{key}" if where else key, "unknown_key", message)
    for key in given.repeated if isinstance(given, RepeatedKeys) else ():
        errors.add(key, "repeated_field", f"{shown(key)} is there more than once")


def _arrives(key: str, value: object, errors: _Errors) -> bool:
    """Whether the trainer will read what was sent. JSON holds more: 1e999, half a character."""
    with suppress(ValueError, RecursionError):
        if orjson.loads(json.dumps(value)) == value:
            return True
    message = f"{shown(key)} has a number that does not fit into 64 bits, or text that is no Unicode"
    errors.add(key, "out_of_range", message)
    return False


def _recipe(value: object, recipes: Sequence[str], errors: _Errors) -> str:
    if isinstance(value, str) and value in recipes:
        return value
    hint = did_you_mean(value, recipes, errors.suggestions) if isinstance(value, str) else ""
    errors.add("recipe", "unknown_recipe", f"there is no recipe {shown(value)}{hint}; there are {', '.join(recipes)}")
    return ""


def _object(given: Mapping[str, Any], key: str, errors: _Errors) -> Mapping[str, Any]:
    value = given.get(key, {})
    if isinstance(value, dict):
        return value
    errors.add(key, "not_an_object", f"{key} must be an object; it is {shown(value)}")
    return {}


def _parameters(given: Mapping[str, Any], errors: _Errors) -> Mapping[str, Any]:
    """Anything that JSON holds, but not so deep that reading it is an attack."""
    parameters = _object(given, "parameters", errors)
    level: list[Any] = [parameters]
    for _ in range(_DEEPEST):
        inner = [value for value in level if isinstance(value, dict | list)]
        level = [part for value in inner for part in (value.values() if isinstance(value, dict) else value)]
    if level:
        errors.add("parameters", "too_deep", f"parameters is nested more than {_DEEPEST} levels deep")
        return {}
    return parameters


def _text(given: Mapping[str, Any], key: str, most: int, errors: _Errors, empty: bool = False) -> str | None:
    value = given.get(key)
    if value is None or (_is_text(value, most) and (value or empty)):
        return value
    errors.add(
        key, "not_a_string", f"{key} must be text of {0 if empty else 1} to {most} characters; it is {shown(value)}"
    )
    return None


def _is_text(value: object, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most and "\0" not in value


def _features(value: object, errors: _Errors) -> Sequence[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not 1 <= len(value) <= _MOST_FEATURES:
        errors.add("features", "not_a_list", f"features must be a list of 1 to {_MOST_FEATURES} names of columns")
        return None
    for name in value:
        if not _is_text(name, _LONGEST_NAME) or not name:
            errors.add("features", "not_a_string", f"features must be names of columns; {shown(name)} is none")
            return None
    if twice := [name for name, times in Counter(value).items() if times > 1]:
        errors.add("features", "repeated_field", f"features has {shown(twice[0])} more than once")
    return value


def _kinds(given: Mapping[str, Any], errors: _Errors) -> Mapping[str, str]:
    kinds = _object(given, "kinds", errors)
    if len(kinds) > _MOST_FEATURES:
        errors.add("kinds", "too_many", f"kinds has {len(kinds)} columns; it takes {_MOST_FEATURES}")
        return {}
    for name, kind in kinds.items():
        if not _is_text(name, _LONGEST_NAME) or not name:
            errors.add("kinds", "not_a_string", f"kinds must name columns; {shown(name)} is none")
            break
        if not isinstance(kind, str) or kind not in KINDS:
            hint = did_you_mean(kind, KINDS, errors.suggestions) if isinstance(kind, str) else ""
            message = f"the kind of {shown(name)} must be one of {', '.join(KINDS)}; it is {shown(kind)}{hint}"
            errors.add(f"kinds.{name}", "unknown_kind", message)
            break
    return kinds


def _alias(value: object, errors: _Errors) -> str:
    if isinstance(value, str) and valid_name(value) and not value.isdigit() and value != PREVIOUS:
        return value
    hint = (
        "previous follows current by itself"
        if value == PREVIOUS
        else "small letters, digits, _ and -, not digits alone"
    )
    errors.add("alias", "not_an_alias", f"{shown(value)} cannot be an alias: {hint}")
    return ""


def _gate(given: Mapping[str, Any], errors: _Errors) -> Gate:
    gate = _object(given, "gate", errors)
    _unknown(gate, ("metric", "floor", "margin"), "gate", errors)
    numbers: dict[str, float | None] = {}
    for key in ("floor", "margin"):
        value = numbers[key] = gate.get(key)
        if value is not None and not _is_number(value):
            errors.add(f"gate.{key}", "not_a_number", f"gate.{key} must be a finite number; it is {shown(value)}")
    if _is_number(numbers["margin"]) and (numbers["margin"] or 0) < 0:
        errors.add("gate.margin", "out_of_range", "gate.margin is by how much a version may be worse: 0 or more")
    metric = _text(gate, "metric", _LONGEST_NAME, errors)
    if metric and metric not in METRICS and not metric.startswith(DERIVED_METRICS):
        hint = did_you_mean(metric, METRICS, errors.suggestions)
        message = f"{shown(metric)} is no metric{hint}; there are {', '.join(METRICS)}"
        errors.add("gate.metric", "unknown_metric", message)
    return Gate(metric, numbers["floor"], numbers["margin"])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _path(data: object, errors: _Errors) -> str | None:
    """A path that stays where it is looked up. What links there point to is the trainer's to check."""
    if data is None:
        return None
    if not isinstance(data, dict) or set(data) != {"path"} or not _is_text(data["path"], _LONGEST_PATH):
        errors.add("data", "not_a_path", 'data must be {"path": "…"}, a file under DATA_DIR; or send the file itself')
        return None
    path: str = data["path"]
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        message = (
            f"{shown(path)} is not a path below DATA_DIR; name the file as it is seen from there, such as loan.csv"
        )
        errors.add("data.path", "not_a_path", message)
        return None
    return path


def _generic(request: TrainingRequest, errors: _Errors) -> None:
    named: dict[str, Callable[[TrainingRequest], object]] = {
        "target": lambda asked: asked.target,
        "data": lambda asked: asked.upload or asked.path,
    }
    for key, value in named.items():
        if not value(request) and not any(error.field and error.field.startswith(key) for error in errors):
            what = "the column to predict" if key == "target" else 'a CSV file, or {"path": "…"} under DATA_DIR'
            errors.add(key, "missing_field", f"the recipe {GENERIC_RECIPE} needs {key}: {what}")
