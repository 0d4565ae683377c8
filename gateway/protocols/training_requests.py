"""A training request in JSON: read, with every error in it, and written as a body that asks for the same."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import IO, Any, cast

import orjson

from contract import csv_table
from contract.errors import MAX_ERRORS, FieldError
from contract.instances import RepeatedKeys
from contract.parameters import Parameter, parameter_errors
from contract.repository import PREVIOUS, valid_name
from contract.suggestions import Suggestions
from contract.training import (
    ACCEPTABLE,
    DERIVED_METRICS,
    GENERIC_RECIPE,
    KINDS,
    METRICS,
    SIGNATURE,
    Gate,
    TrainingRequest,
)
from contract.training_columns import resolve_columns
from contract.wording import shown
from gateway.problem_codes import ProblemCode
from gateway.problems import Problem, did_you_mean
from gateway.protocols import native

_MAX_NAME, _MAX_NOTES, _MAX_PATH, _MAX_FEATURES, _MAX_DEPTH = 256, 4000, 1024, 10_000, 20
_KEYS = ("recipe", "parameters", "target", "features", "id_field", "kinds", "alias", "gate", "accept", "notes", "data")


_TEXTS = frozenset({"recipe", "target", "id_field", "alias", "notes"})
"""Fields of a form that are text; the others are JSON."""


class _Errors(list[FieldError]):
    """The first errors; `total` counts all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.suggestions = Suggestions()

    def add(self, field: str, code: str, message: str) -> None:
        self.total += 1
        if len(self) < MAX_ERRORS:
            self.append(FieldError(None, field[:_MAX_NAME], code, message))


def training_request(
    model: str,
    body: object,
    recipes: Sequence[str],
    default: str,
    upload: str | None = None,
    upload_name: str | None = None,
    *,
    preview: bool = False,
) -> TrainingRequest:
    """Return the request in `body`. Raises `Problem` with every error.

    `default`: the recipe if the body names none; `upload` and `upload_name`: the names of the uploaded file, in
    SPOOL_DIR and at the client. `preview`: it is for a preview, which needs no target, and the recipe tabular.
    """
    if not isinstance(body, dict):
        raise invalid([FieldError(None, None, "not_an_object", f"the body must be a JSON object; it is {shown(body)}")])
    errors = _Errors()
    _unknown(body, _KEYS, "", errors)
    given = {
        key: value for key, value in body.items() if value is not None and _is_readable_by_trainer(key, value, errors)
    }
    path = _path(given.get("data"), errors)
    request = TrainingRequest(
        model=model,
        recipe=_recipe(given.get("recipe", default), recipes, errors),
        parameters=_parameters(given, errors),
        target=_text(given, "target", _MAX_NAME, errors),
        features=_features(given.get("features"), errors),
        id_field=_text(given, "id_field", _MAX_NAME, errors),
        alias=_alias(given.get("alias", "current"), errors),
        gate=_gate(given, errors),
        accept=_accept(given.get("accept", []), errors),
        notes=_text(given, "notes", _MAX_NOTES, errors, empty=True) or "",
        upload=upload,
        upload_name=upload_name or None,
        path=path,
        kinds=_kinds(given, errors),
    )
    if path and upload:
        errors.add("data", "ambiguous_data", "send the data as a file or as a path under DATA_DIR, not both")
    if request.recipe == GENERIC_RECIPE:
        _generic(request, errors, ("data",) if preview else ("target", "data"))
    elif preview and request.recipe:
        message = f"the recipe {request.recipe} knows its columns; a preview is for the recipe {GENERIC_RECIPE}"
        errors.add("recipe", "not_taken", message)
    elif request.kinds and request.recipe:
        errors.add(
            "kinds", "not_taken", f"the recipe {request.recipe} sets its own kinds; leave kinds out, or use tabular"
        )
    if request.target and request.target == request.id_field:
        message = f"id_field and target both name {shown(request.target)}; a target cannot be an id"
        errors.add("id_field", "repeated_field", message)
    if errors:
        raise invalid(errors, errors.total)
    return request


def fields_of_form(fields: Mapping[str, str]) -> dict[str, object]:
    """Return the fields of a form as the keys of a body: some are text, the others JSON. Raises `MalformedBody`."""
    return {name: text if name in _TEXTS else native.json_value(text.encode()) for name, text in fields.items()}


def shown_request(request: TrainingRequest) -> dict[str, Any]:
    """Return the request as a body that asks for the same."""
    body = request.to_json()
    path = body.pop("path")
    for own in ("model", "upload", "upload_name"):
        del body[own]
    return {**body, "data": None if path is None else {"path": path}}


def check_parameters(request: TrainingRequest, parameters: Sequence[Parameter]) -> None:
    """Raise `Problem` for parameters that the recipe does not take."""
    if errors := parameter_errors(request.parameters, request.recipe, parameters):
        raise invalid(errors, len(errors))


def check_file(request: TrainingRequest, file: IO[bytes]) -> None:
    """Raise `Problem` if the header of the CSV `file` shows that it cannot be used. All other requests of the process
    wait meanwhile, so it reads no further."""
    try:
        columns, has_rows = csv_table.read_header(file)
    except csv_table.NotCsv as error:
        raise invalid([FieldError(None, "file", "not_csv", f"the file is not CSV: {error}")]) from error
    if len(columns) > _MAX_FEATURES:
        message = f"the file has {len(columns):,} columns; it may have {_MAX_FEATURES:,}"
        raise invalid([FieldError(None, "file", "too_many", message)])
    if not has_rows:
        message = "the file has no rows; it needs a header and at least one row"
        raise invalid([FieldError(None, "file", "no_rows", message)])
    if request.recipe == GENERIC_RECIPE and request.target:
        named = (request.target, request.features, request.id_field, request.kinds)
        _, errors = resolve_columns([name.strip() for name in columns], *named)
        if errors:
            raise invalid(errors, len(errors))


def invalid(errors: Sequence[FieldError], total: int = 1) -> Problem:
    """Return the refusal with the first errors of `total`."""
    detail = errors[0].message if total == 1 else f"{total} values cannot be used; see errors"
    if total > len(errors):
        detail += f" (the first {len(errors)} are listed)"
    return Problem(ProblemCode.INVALID_TRAINING, detail, errors=[error.to_json() for error in errors])


def _unknown(given: Mapping[str, object], known: Sequence[str], where: str, errors: _Errors) -> None:
    for key in given:
        if key not in known:
            hint = did_you_mean(key, known, errors.suggestions)
            message = f"{shown(key)} is not a key of {where or 'a training'}{hint}; the keys are {', '.join(known)}"
            errors.add(f"{where}.{key}" if where else key, "unknown_key", message)
    for key in given.repeated if isinstance(given, RepeatedKeys) else ():
        errors.add(key, "repeated_field", f"{shown(key)} appears more than once")


def _is_readable_by_trainer(key: str, value: object, errors: _Errors) -> bool:
    """Return whether the trainer can read the same value: JSON also allows 1e999 and lone surrogates."""
    with suppress(ValueError, RecursionError):
        if orjson.loads(json.dumps(value)) == value:
            return True
    message = f"{shown(key)} has a number that does not fit into 64 bits, or text that is not Unicode"
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
    """Return any JSON object that is not nested so deeply that reading it is an attack."""
    parameters = _object(given, "parameters", errors)
    level: list[Any] = [parameters]
    for _ in range(_MAX_DEPTH):
        inner = [value for value in level if isinstance(value, dict | list)]
        level = [part for value in inner for part in (value.values() if isinstance(value, dict) else value)]
    if level:
        errors.add("parameters", "too_deep", f"parameters is nested more than {_MAX_DEPTH} levels deep")
        return {}
    return parameters


def _text(given: Mapping[str, Any], key: str, limit: int, errors: _Errors, empty: bool = False) -> str | None:
    value = given.get(key)
    if value is None or (_is_text(value, limit) and (value or empty)):
        return value
    errors.add(
        key, "not_a_string", f"{key} must be text of {0 if empty else 1} to {limit} characters; it is {shown(value)}"
    )
    return None


def _is_text(value: object, limit: int) -> bool:
    return isinstance(value, str) and len(value) <= limit and "\0" not in value


def _features(value: object, errors: _Errors) -> Sequence[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not 1 <= len(value) <= _MAX_FEATURES:
        errors.add("features", "not_a_list", f"features must be a list of 1 to {_MAX_FEATURES} names of columns")
        return None
    for name in value:
        if not _is_text(name, _MAX_NAME) or not name:
            errors.add("features", "not_a_string", f"features must be names of columns; {shown(name)} is not one")
            return None
    if twice := [name for name, times in Counter(value).items() if times > 1]:
        errors.add("features", "repeated_field", f"features has {shown(twice[0])} more than once")
    return value


def _kinds(given: Mapping[str, Any], errors: _Errors) -> Mapping[str, str]:
    kinds = _object(given, "kinds", errors)
    if len(kinds) > _MAX_FEATURES:
        errors.add("kinds", "too_many", f"kinds has {len(kinds)} columns; it may have {_MAX_FEATURES}")
        return {}
    for name, kind in kinds.items():
        if not _is_text(name, _MAX_NAME) or not name:
            errors.add("kinds", "not_a_string", f"kinds must name columns; {shown(name)} is not one")
            break
        if not isinstance(kind, str) or kind not in KINDS:
            hint = did_you_mean(kind, KINDS, errors.suggestions) if isinstance(kind, str) else ""
            message = f"the kind of {shown(name)} must be one of {', '.join(KINDS)}; it is {shown(kind)}{hint}"
            errors.add(f"kinds.{name}", "unknown_kind", message)
            break
    return kinds


def _alias(value: object, errors: _Errors) -> str:
    if problem := alias_problem(value):
        errors.add("alias", "not_an_alias", problem)
    return "" if problem else str(value)


def alias_problem(value: object) -> str | None:
    """Return why a new version cannot get this alias, or None."""
    if isinstance(value, str) and valid_name(value) and not value.isdigit() and value != PREVIOUS:
        return None
    hint = (
        "previous follows current by itself"
        if value == PREVIOUS
        else "it takes lower-case letters, digits, _ and -, and not digits alone"
    )
    return f"{shown(value)} cannot be an alias: {hint}"


def _accept(value: object, errors: _Errors) -> Sequence[str]:
    if problem := accept_problem(value):
        errors.add("accept", "unknown_value", problem)
    return [] if problem else list(dict.fromkeys(cast("list[str]", value)))


def accept_problem(value: object) -> str | None:
    """Return why the gate cannot take this as what is accepted of a new version, or None."""
    words = value if isinstance(value, list) else [value]
    wrong = [word for word in words if not isinstance(word, str) or word not in ACCEPTABLE]
    if isinstance(value, list) and not wrong:
        return None
    return (
        f'accept must be a list of {", ".join(ACCEPTABLE)}, such as ["{SIGNATURE}"]; it has {shown([*wrong, value][0])}'
    )


def _gate(given: Mapping[str, Any], errors: _Errors) -> Gate:
    gate = _object(given, "gate", errors)
    _unknown(gate, [field.name for field in dataclasses.fields(Gate)], "gate", errors)
    numbers: dict[str, float | None] = {}
    for key in ("floor", "margin"):
        value = numbers[key] = gate.get(key)
        if value is not None and not _is_number(value):
            errors.add(f"gate.{key}", "not_a_number", f"gate.{key} must be a finite number; it is {shown(value)}")
    if _is_number(numbers["margin"]) and (numbers["margin"] or 0) < 0:
        errors.add("gate.margin", "out_of_range", "gate.margin, by how much a version may be worse, must be 0 or more")
    metric = _text(gate, "metric", _MAX_NAME, errors)
    if metric and metric not in METRICS and not metric.startswith(DERIVED_METRICS):
        hint = did_you_mean(metric, METRICS, errors.suggestions)
        message = f"{shown(metric)} is not a metric{hint}; the metrics are {', '.join(METRICS)}"
        errors.add("gate.metric", "unknown_metric", message)
    required = gate.get("require_comparison")
    if required is not None and not isinstance(required, bool):
        message = f"gate.require_comparison must be true or false; it is {shown(required)}"
        errors.add("gate.require_comparison", "not_a_boolean", message)
    return Gate(metric, numbers["floor"], numbers["margin"], required is True)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _path(data: object, errors: _Errors) -> str | None:
    """Return a path that stays below DATA_DIR. The trainer checks where its links lead."""
    if data is None:
        return None
    if not isinstance(data, dict) or set(data) != {"path"} or not _is_text(data["path"], _MAX_PATH):
        errors.add("data", "not_a_path", 'data must be {"path": "…"}, a file under DATA_DIR; or send the file itself')
        return None
    path: str = data["path"]
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        message = f"{shown(path)} is not a path below DATA_DIR; give the path relative to it, such as loan.csv"
        errors.add("data.path", "not_a_path", message)
        return None
    return path


def _generic(request: TrainingRequest, errors: _Errors, needed: Sequence[str]) -> None:
    named: dict[str, Callable[[TrainingRequest], object]] = {
        "target": lambda asked: asked.target,
        "data": lambda asked: asked.upload or asked.path,
    }
    for key in needed:
        if not named[key](request) and not any(error.field and error.field.startswith(key) for error in errors):
            what = "the column to predict" if key == "target" else 'a CSV file, or {"path": "…"} under DATA_DIR'
            errors.add(key, "missing_field", f"the recipe {GENERIC_RECIPE} needs {key}: {what}")
