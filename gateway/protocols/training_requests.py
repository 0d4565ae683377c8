"""A training request in JSON: read, with every error in it, and written as a body that asks for the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Any

import orjson

from contract.errors import FieldError
from contract.json_objects import (
    BOOLEAN,
    MAX_NAME,
    OBJECT,
    Errors,
    ListOf,
    Object,
    Rule,
    WrongValue,
    chain,
    is_number,
    is_text,
    made_by,
    one_of,
    text,
)
from contract.model.parameters import RecipeParameter, parameter_errors
from contract.model.repository import CURRENT, PREVIOUS, valid_name
from contract.rows import csv_table
from contract.wording import shown
from contract.work.training import (
    ACCEPTABLE,
    DERIVED_METRICS,
    GENERIC_RECIPE,
    KINDS,
    METRICS,
    MOST_OUTCOME_ROWS,
    SIGNATURE,
    Gate,
    OutcomeRows,
    TrainingRequest,
)
from contract.work.training_columns import resolve_columns
from gateway.problems import Problem, ProblemCode
from gateway.problems.problem import invalid, read_body
from gateway.protocols import native
from gateway.protocols.experiments import read_plan

MAX_NOTES = 4000
MAX_PATH, MAX_FEATURES, _MAX_DEPTH = 1024, 10_000, 20

OUTCOMES = "outcomes"
"""The value of `data` for rows of the prediction log."""

_TEXTS = frozenset({"recipe", "target", "id_field", "alias", "notes"})
"""Fields of a form that are text; the others are JSON."""


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
    members, errors = read_body(body, _request(recipes, default), ProblemCode.INVALID_TRAINING)
    data, gate = members.pop("data", {}), Gate(**members.pop("gate", {}))
    members.setdefault("recipe", "")
    request = TrainingRequest(model=model, **members, gate=gate, upload=upload, upload_name=upload_name or None, **data)
    if data and upload:
        errors.add("data", "ambiguous_data", "send the data as a file or as a path under DATA_DIR, not both")
    if request.outcomes and preview:
        errors.add("data", "not_taken", "a preview is of a file; the prediction log is read when the training begins")
    elif request.recipe == GENERIC_RECIPE:
        _generic(request, errors, ("data",) if preview else ("target", "data"))
    elif preview and request.recipe:
        message = f"the recipe {request.recipe} knows its columns; a preview is for the recipe {GENERIC_RECIPE}"
        errors.add("recipe", "not_taken", message)
    elif request.kinds and request.recipe:
        errors.add(
            "kinds", "not_taken", f"the recipe {request.recipe} sets its own kinds; leave kinds out, or use tabular"
        )
    if gate.experiment and request.alias != CURRENT:
        message = f"a version that is tried becomes {CURRENT}; leave alias out, or the experiment"
        errors.add("alias", "not_taken", message)
    if request.target and request.target == request.id_field:
        message = f"id_field and target both name {shown(request.target)}; a target cannot be an id"
        errors.add("id_field", "repeated_field", message)
    if errors.total:
        raise invalid(ProblemCode.INVALID_TRAINING, errors)
    return request


def fields_of_form(fields: Mapping[str, str]) -> dict[str, object]:
    """Return the fields of a form as the keys of a body: some are text, the others JSON. Raises `MalformedBody`."""
    return {
        name: text if name in _TEXTS else native.json_value(text.encode(), f"the field {shown(name)}")
        for name, text in fields.items()
    }


def shown_request(request: TrainingRequest) -> dict[str, Any]:
    """Return the request as a body that asks for the same."""
    body = request.to_json()
    path, outcomes = body.pop("path"), body.pop("outcomes", None)
    for name in ("model", "upload", "upload_name"):
        del body[name]
    data = {"path": path} if path is not None else {"outcomes": outcomes["most"]} if outcomes else None
    return {**body, "data": data}


def check_parameters(request: TrainingRequest, parameters: Sequence[RecipeParameter]) -> None:
    """Raise `Problem` for parameters that the recipe does not take."""
    if errors := parameter_errors(request.parameters, request.recipe, parameters):
        raise invalid_training(*errors)


def check_file(request: TrainingRequest, file: IO[bytes]) -> None:
    """Raise `Problem` if the header of the CSV `file` shows that it cannot be used. All other requests of the process
    wait meanwhile, so it reads no further."""
    try:
        columns, has_rows = csv_table.read_header(file)
    except csv_table.NotCsv as error:
        raise invalid_training(FieldError(None, "file", "not_csv", f"the file is not CSV: {error}")) from error
    if len(columns) > MAX_FEATURES:
        message = f"the file has {len(columns):,} columns; it may have {MAX_FEATURES:,}"
        raise invalid_training(FieldError(None, "file", "too_many", message))
    if not has_rows:
        message = "the file has no rows; it needs a header and at least one row"
        raise invalid_training(FieldError(None, "file", "no_rows", message))
    if request.recipe == GENERIC_RECIPE and request.target:
        named = (request.target, request.features, request.id_field, request.kinds)
        _, errors = resolve_columns([name.strip() for name in columns], *named)
        if errors:
            raise invalid_training(*errors)


def invalid_training(*errors: FieldError) -> Problem:
    return invalid(ProblemCode.INVALID_TRAINING, Errors(errors))


def _request(recipes: Sequence[str], default: str) -> Object:
    """Return what a request may have. Its own recipe is one of `recipes`, and the `default` without one."""
    recipe = one_of(recipes, "unknown_recipe", "there is no recipe {value}{hint}; there are {known}")
    members = {
        "recipe": lambda field, value, errors: recipe(field, default if value is None else value, errors),
        **_MEMBERS,
    }
    readable = {name: chain(made_by(partial(_readable_by_trainer, name)), read) for name, read in members.items()}
    return Object(readable, _UNKNOWN, required=("recipe",), what="a training")


def _readable_by_trainer(name: str, value: Any) -> Any:
    """Return the value if the trainer can read the same one: JSON also allows 1e999 and lone surrogates."""
    with suppress(ValueError, RecursionError):
        if orjson.loads(json.dumps(value)) == value:
            return value
    message = f"{shown(name)} has a number that does not fit into 64 bits, or text that is not Unicode"
    raise WrongValue("out_of_range", message)


def _not_too_deep(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return any JSON object that is not nested so deeply that reading it is an attack."""
    level: list[Any] = [parameters]
    for _ in range(_MAX_DEPTH):
        inner = [value for value in level if isinstance(value, dict | list)]
        level = [part for value in inner for part in (value.values() if isinstance(value, dict) else value)]
    if level:
        raise WrongValue("too_deep", f"parameters is nested more than {_MAX_DEPTH} levels deep")
    return parameters


def _kinds(field: str, kinds: Mapping[str, Any], errors: Errors) -> Mapping[str, str]:
    if len(kinds) > MAX_FEATURES:
        raise WrongValue("too_many", f"kinds has {len(kinds)} columns; it may have {MAX_FEATURES}")
    for name, kind in kinds.items():
        if not is_text(name, MAX_NAME):
            errors.add(field, "not_a_string", f"kinds must name columns; {shown(name)} is not one")
        elif not isinstance(kind, str) or kind not in KINDS:
            near = errors.near(kind, KINDS)
            message = f"the kind of {shown(name)} must be one of {', '.join(KINDS)}; it is {shown(kind)}"
            errors.add(f"{field}.{name}", "unknown_kind", message + (f" ({near})" if near else ""))
    return kinds


def alias(value: object) -> str:
    """Return the alias that a new version gets. Raises `WrongValue`."""
    if isinstance(value, str) and valid_name(value) and not value.isdigit() and value != PREVIOUS:
        return value
    hint = (
        "previous follows current by itself"
        if value == PREVIOUS
        else "it takes lower-case letters, digits, _ and -, and not digits alone"
    )
    raise WrongValue("not_an_alias", f"{shown(value)} cannot be an alias: {hint}")


def accepted(value: object) -> list[str]:
    """Return what the gate accepts of a new version. Raises `WrongValue`."""
    words = value if isinstance(value, list) else [value]
    wrong = [word for word in words if not isinstance(word, str) or word not in ACCEPTABLE]
    if isinstance(value, list) and not wrong:
        return list(dict.fromkeys(words))
    such = f'accept must be a list of {", ".join(ACCEPTABLE)}, such as ["{SIGNATURE}"]'
    raise WrongValue("unknown_value", f"{such}; it has {shown([*wrong, value][0])}")


def _data(data: object) -> Mapping[str, Any]:
    """Return the fields of the request that say where its rows come from, if no file is sent."""
    if data == OUTCOMES:
        return {OUTCOMES: OutcomeRows()}
    if isinstance(data, dict) and set(data) == {OUTCOMES}:
        most = data[OUTCOMES]
        if type(most) is not int or not 1 <= most <= MOST_OUTCOME_ROWS:
            message = f"outcomes must be a number of rows from 1 to {MOST_OUTCOME_ROWS:,}; it is {shown(most)}"
            raise WrongValue("out_of_range", message, "data.outcomes")
        return {OUTCOMES: OutcomeRows(most)}
    if not isinstance(data, dict) or set(data) != {"path"} or not is_text(data["path"], MAX_PATH, 0):
        message = (
            'data must be {"path": "…"}, a file under DATA_DIR, or "outcomes", what came true of the predictions in the'
            " log; or send the file itself"
        )
        raise WrongValue("not_a_path", message)
    return {"path": _path(data["path"])}


def _path(path: str) -> str:
    """Return a path that stays below DATA_DIR. The trainer checks where its links lead."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        message = f"{shown(path)} is not a path below DATA_DIR; give the path relative to it, such as loan.csv"
        raise WrongValue("not_a_path", message, "data.path")
    return path


_UNKNOWN = ("unknown_key", "{name} is not a key of {what}{hint}; the keys are {known}")
_NUMBER = Rule(is_number, "not_a_number", "{field} must be a finite number; it is {value}")
_GATE = Object(
    {
        "metric": chain(
            text(MAX_NAME),
            Rule(
                lambda value: value in METRICS or value.startswith(DERIVED_METRICS),
                "unknown_metric",
                "{value} is not a metric{hint}; the metrics are {known}",
                METRICS,
            ),
        ),
        "floor": _NUMBER,
        "margin": chain(
            _NUMBER,
            Rule(
                lambda value: value >= 0,
                "out_of_range",
                "{field}, by how much a version may be worse, must be 0 or more",
            ),
        ),
        "require_comparison": BOOLEAN,
        "experiment": read_plan,
    },
    _UNKNOWN,
)
_MEMBERS: Mapping[str, Callable[[str, Any, Errors], Any]] = {
    "parameters": chain(OBJECT, made_by(_not_too_deep)),
    "target": text(MAX_NAME),
    "features": ListOf(
        text(MAX_NAME, message="features must be names of columns; {value} is not one"),
        f"features must be a list of 1 to {MAX_FEATURES} names of columns",
        least=1,
        most=MAX_FEATURES,
        distinct=True,
    ),
    "id_field": text(MAX_NAME),
    "kinds": chain(OBJECT, _kinds),
    "alias": made_by(alias),
    "gate": _GATE,
    "accept": made_by(accepted),
    "notes": text(MAX_NOTES, 0),
    "data": made_by(_data),
}


def _generic(request: TrainingRequest, errors: Errors, needed: Sequence[str]) -> None:
    named = {"target": request.target or request.outcomes, "data": request.upload or request.path or request.outcomes}
    for key in needed:
        if not named[key] and not any(error.field and error.field.startswith(key) for error in errors.first):
            what = (
                "the column to predict"
                if key == "target"
                else 'a CSV file, {"path": "…"} under DATA_DIR, or "outcomes"'
            )
            errors.add(key, "missing_field", f"the recipe {GENERIC_RECIPE} needs {key}: {what}")
