"""A finished prediction as CSV: the columns of the request, if that was CSV, and those of the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

from contract.model.signature import Signature
from contract.rows.answer_columns import answer_columns, answer_names
from contract.rows.csv_writer import csv_lines
from contract.rows.instances import Grid, Instances
from contract.work.jobs import Job
from gateway.problems import Problem, ProblemCode

CONTENT_TYPE = "text/csv; charset=utf-8"

_TYPES = ("text/csv", "application/json")


@lru_cache(256)  # clients repeat the same header
def is_wanted(accept: str) -> bool:
    """Return whether a client that sends this `Accept` wants CSV: it names it, and JSON not before it."""
    weights = dict.fromkeys(_TYPES, 0.0)
    for part in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        if kind in weights:
            weights[kind] = _weight(parameters)
    csv, json = weights.values()
    return csv > 0 and csv >= json


def _weight(parameters: Sequence[str]) -> float:
    weight = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
    try:
        return float(weight)
    except ValueError:
        return 0.0


def is_escaped(query: str) -> bool:
    """Return whether the query asks for cells that no spreadsheet runs. Raises `Problem` for any other `escape`."""
    values = parse_qs(query, keep_blank_values=True).get("escape", [])
    if values and values != ["formulas"]:
        raise Problem(ProblemCode.INVALID_PARAMETER, f"escape={values[-1][:64]!r} is not escape=formulas")
    return bool(values)


def write(job: Job, instances: Instances, signature: Signature, method: str, *, escape: bool) -> bytes:
    """Return the answers to the `instances` of a request, a row each; that of an invalid one is blank."""
    output: Mapping[str, Any] = job.output or {}
    names, columns, separator = _kept(instances, signature, output.get("ids"))
    answers = answer_columns(
        output["predictions"], output.get("probabilities"), output.get("scores"), signature, method
    )
    header = csv_lines([[name] for name in [*names, *answer_names(signature, method, names)]], separator, escape=escape)
    lines = csv_lines([*columns, *answers], separator, escape=escape)
    return "\n".join([*header, *lines, ""]).encode()


def _kept(
    instances: Instances, signature: Signature, ids: Sequence[object] | None
) -> tuple[Sequence[str], list[list[object]], str]:
    """Return the columns that are not answers, by name and values, and the separator."""
    if isinstance(instances, Grid) and instances.separator and instances.columns is not None:
        names, blank = instances.columns, [None] * len(instances.columns)
        rows = [[*row, *blank][: len(names)] for row in instances.rows]
        return names, [list(column) for column in zip(*rows, strict=True)], instances.separator
    return ([signature.id_field or "id"], [list(ids)], ",") if ids else ([], [], ",")
