"""Scheduled file predictions of a data lake in JSON, and what clients report of their runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from broker.state.lake_schedules import LakeRunReport, LakeSchedule, RunStatus, at_time
from broker.state.schedules import next_run
from contract.json_objects import (
    BOOLEAN,
    Errors,
    Object,
    Rule,
    WrongValue,
    chain,
    is_text,
    made_by,
    one_of,
    or_null,
    text,
)
from gateway.problems import ProblemCode
from gateway.problems.problem import invalid, read_valid

SCHEMES = ("s3://", "gs://", "az://")
MOST_ROWS = 10**15
LONGEST_URL, LONGEST_ERROR = 1024, 2000


def _url(example: str) -> Callable[[str, Any, Errors], Any]:
    return chain(
        Rule(
            lambda value: is_text(value, LONGEST_URL) and value.startswith(SCHEMES) and value.isprintable(),
            "not_a_url",
            f"{{field}} must be a URL in a lake, such as {example!r}; it is {{value}}",
        ),
        made_by(_with_parts),
    )


def _with_parts(url: str) -> str:
    try:
        at_time(url, datetime.now(UTC))
    except ValueError as error:
        raise WrongValue("unknown_part", str(error)) from None
    return url


def _cron(cron: object) -> object:
    try:
        next_run(cron if isinstance(cron, str) else "", datetime.now(UTC))
    except ValueError as error:
        raise WrongValue("not_a_cron_expression", str(error)) from None
    return cron


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_ROWS


_UNKNOWN = ("unknown_member", "{name} is no part of {what}{hint}")
_COUNT = Rule(_is_count, "not_a_number", "{field} must be a number of objects or rows; it is {value}")
_SCHEDULE = Object(
    {
        "cron": made_by(_cron),
        "source": _url("s3://lake/{{date}}/*.parquet"),
        "target": _url("s3://lake/scored/{{date}}/"),
        "method": text(64),
        "strict": BOOLEAN,
    },
    _UNKNOWN,
    required=("cron", "source", "target"),
    what="a scheduled prediction",
)
_REPORT = Object(
    {
        "due": text(40),
        "status": one_of(tuple(RunStatus), "unknown_status", "{field} must be one of {known}; it is {value}"),
        "objects": _COUNT,
        "rows": _COUNT,
        "errors": _COUNT,
        "error": or_null(text(LONGEST_ERROR)),
    },
    _UNKNOWN,
    required=("due", "status"),
    what="the report of a run",
)


def lake_schedule(reference: str, body: object) -> LakeSchedule:
    """Return what a body asks for. Raises `Problem` with every error."""
    values = read_valid(body, _SCHEDULE, ProblemCode.INVALID_SCHEDULE)
    schedule = LakeSchedule(
        reference,
        values["cron"],
        values["source"],
        values["target"],
        values.get("method", "predict"),
        values.get("strict", False),
    )
    if schedule.mixes_objects:
        errors = Errors()
        message = "target must differ from run to run as source does; put the same part of the time into it, as {date}"
        errors.add("target", "same_folder", message)
        raise invalid(ProblemCode.INVALID_SCHEDULE, errors)
    return schedule


def lake_run_report(body: object) -> LakeRunReport:
    """Return what a body says of a run. Raises `Problem` with every error."""
    values: dict[str, Any] = read_valid(body, _REPORT, ProblemCode.INVALID_SCHEDULE)
    return LakeRunReport(**{**values, "status": RunStatus(values["status"])})
