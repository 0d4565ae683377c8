"""Reads what came true of predictions: JSON or CSV → outcomes as `contract.work.observation` has them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from contract.json_objects import Errors, ListOf, Object, Rule, WrongValue, is_number, is_text, text
from contract.rows import csv_table
from contract.wording import shown
from contract.work.jobs import timestamp
from contract.work.observation import MOST_OUTCOMES
from gateway.problems import ProblemCode
from gateway.problems.problem import MalformedBody, invalid
from gateway.protocols import native
from gateway.protocols.offload import offload_large
from gateway.protocols.parameters import utc

LONGEST = 1_000
"""Characters of an id, or of an outcome."""
MOST_ROW = 2**31 - 1


@offload_large
def read_json(body: bytes) -> list[dict[str, Any]]:
    """Return the outcomes in a body: a list, or a single one. Raises `Problem`, which names each wrong one."""
    value = native.json_value(body)
    return _checked(value if isinstance(value, list) else [value])


@offload_large
def read_csv(body: bytes) -> list[dict[str, Any]]:
    """Return the outcomes in a CSV with a column for each member. Raises `Problem` as `read_json`."""
    try:
        table = csv_table.read(io.BytesIO(body), MOST_OUTCOMES + 1)
    except csv_table.NotCsv as error:
        raise MalformedBody(f"the body is not CSV: {error}") from None
    rows = (dict(zip(table.columns, row, strict=False)) for row in table.rows)
    return _checked([{**row, "row": _number(row.get("row"))} if "row" in row else row for row in rows])


def _number(cell: str | None) -> object:
    return int(cell) if cell is not None and cell.isascii() and cell.isdigit() and len(cell) < 10 else cell


def _checked(value: list[Any]) -> list[dict[str, Any]]:
    errors = Errors()
    outcomes = errors.read("", value, _OUTCOMES)
    if errors.total or outcomes is None:
        raise invalid(ProblemCode.INVALID_BODY, errors)
    return outcomes


def _moment(field: str, value: Any, _errors: Errors) -> str:
    moment = utc(value) if is_text(value, 40) else None
    if moment is None:
        must = "must be a time with its zone, such as 2026-01-02T03:04:05Z"
        raise WrongValue("not_a_time", f"{field} {must}; it is {shown(value)}")
    return timestamp(moment)


def _identity(field: str, value: Any, _errors: Errors) -> str:
    identity = str(value) if type(value) is int else value
    if not is_text(identity, LONGEST):
        raise WrongValue("not_an_id", f"{field} must be an id of yours, a text or a whole number; it is {shown(value)}")
    return str(identity)


_MEMBERS = Object(
    {
        "job": text(64),
        "row": Rule(
            lambda value: type(value) is int and 0 <= value <= MOST_ROW,
            "not_a_row",
            "{field} must be the number of the row in its request, from 0; it is {value}",
        ),
        "id": _identity,
        "at": _moment,
        "outcome": Rule(
            lambda value: isinstance(value, bool) or is_number(value) or is_text(value, LONGEST),
            "not_an_outcome",
            f"{{field}} must be a label, a number, or a text of at most {LONGEST} characters; it is {{value}}",
        ),
    },
    ("unknown_key", "{name} is not a key of an outcome{hint}; it may have {known}"),
    required=("outcome",),
)


_OF_ROW, _OF_ID = {"job", "row", "outcome"}, {"id", "at", "outcome"}


def _outcome(field: str, value: Any, errors: Errors) -> Mapping[str, Any]:
    """An outcome of the row of a job, or of an id until a time."""
    before = errors.total
    members = _MEMBERS(field, value, errors)
    fits = ("job" in members and members.keys() <= _OF_ROW) or ("id" in members and members.keys() <= _OF_ID)
    if errors.total == before and not fits:
        must = "must have job and row, or id and perhaps at, beside its outcome"
        raise WrongValue("not_of_a_row", f"{field} {must}; it has {', '.join(members)}")
    return members


_OUTCOMES = ListOf(
    _outcome,
    f"the body must be an outcome, or a list of 1 to {MOST_OUTCOMES:,} outcomes; send more in several requests, as"
    " `modelgate outcomes` does",
    least=1,
    most=MOST_OUTCOMES,
    item_path="[{number}]",
)
