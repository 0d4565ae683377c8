"""The prediction log of a model: what is kept, read and deleted."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request

from contract.json_objects import ListOf, Object, Rule, is_number, text
from contract.model.model_settings import KEEP_DAYS, LONGEST_COLUMN, MOST_DAYS, MOST_LEFT_OUT, Logging
from contract.model.repository import CURRENT
from contract.rows.csv_cells import csv_lines
from contract.work.api_keys import Scope
from contract.work.jobs import timestamp
from contract.work.observation import CURSOR, LARGEST_PAGE, Observation, ObservationAction
from gateway.http.answers import FRESH, json_response
from gateway.http.operations import COMMANDED, COUNT, MOMENT, OBSERVED, TEXT, Answer, Operation, Parameter, matching
from gateway.http.operations import CURSOR as CURSOR_PARAMETER
from gateway.openapi.schema_parts import VERSION_OR_ALIAS
from gateway.problems import Problem, ProblemCode
from gateway.problems.problem import read_valid
from gateway.protocols import csv_rows, native
from gateway.protocols.accepted import preferred
from gateway.protocols.parameters import DEFAULT_LIMIT, limit, moment, refusing
from gateway.serving.model_versions import check_model
from gateway.serving.prediction_log import LogAccess, columns_of

CSV, JSON, NDJSON, PARQUET = "text/csv", "application/json", "application/x-ndjson", "application/vnd.apache.parquet"
_SHOW = Operation(
    "get_logging",
    "What the prediction log keeps of a model",
    {200: Answer("The share of requests, the inputs that are left out, and the days.", "Logging")},
    problems=("404 no_current_version",),
)
_CHANGE = Operation(
    "change_logging",
    "Have the prediction log keep a share of the predictions of a model",
    {200: Answer("What it keeps from now on.", "Logging")},
    problems=("404 model_not_found", "404 no_current_version", "422 invalid_body", *COMMANDED),
    body="LoggingChange",
)
_READ = Operation(
    "list_predictions",
    "What a model was asked and answered, newest first",
    {
        200: Answer(
            "A page of the log. In other formats than JSON, `Link` has the address of the next page.",
            {"application/json": "LogPage", NDJSON: "LoggedPrediction", "text/csv": "Csv", PARQUET: "Bytes"},
        )
    },
    problems=OBSERVED,
    parameters=(
        Parameter("id", "Only rows with this id of the caller's (`id_field`)."),
        Parameter("job", "Only rows of this job."),
        Parameter("row", "Only the row with this number in its request, from 0.", {**COUNT, "minimum": 0}),
        Parameter("version", "Only rows that this version has answered.", COUNT),
        Parameter("since", "Only rows that were accepted at this time or later.", MOMENT),
        Parameter("until", "Only rows that were accepted before this time.", MOMENT),
        Parameter("limit", "Most rows of the page.", {**COUNT, "maximum": LARGEST_PAGE, "default": DEFAULT_LIMIT}),
        replace(CURSOR_PARAMETER, schema=matching(CURSOR)),
    ),
)
_DELETE = Operation(
    "delete_predictions",
    "Delete what the prediction log has of a person",
    {200: Answer("How many rows there were. What still comes of accepted requests is not kept.", "Deleted")},
    problems=OBSERVED,
    parameters=(Parameter("id", "The id of the caller's (`id_field`).", {**TEXT, "minLength": 1}, required=True),),
)


_HEALTH = Operation(
    "get_health",
    "Whether the logged rows of a version still come from the distribution of its training rows",
    {200: Answer("The alarms, and what is watched.", "Health")},
    problems=("503 manifest_invalid", "503 model_not_found", *OBSERVED),
    parameters=(Parameter("version", "A version or an alias, by default current.", VERSION_OR_ALIAS),),
)


def blueprint(log: LogAccess) -> Blueprint:
    routes = Blueprint("prediction_log", __name__, url_prefix="/v1/models/<name>")

    @routes.get("/logging", level=Scope.READ, docs=_SHOW)
    def show(name: str) -> Response:
        return json_response(log.logging(name).to_json(), headers=FRESH)

    @routes.put("/logging", level=Scope.PUBLISH, docs=_CHANGE, audit="change_logging")
    def change(name: str) -> Response:
        body = native.json_value(request.environ["wsgi.input"].read())
        wanted = Logging.from_json(read_valid(body, LOGGING_BODY, ProblemCode.INVALID_BODY))
        log.change(name, wanted)
        return json_response(wanted.to_json())

    @routes.get("/health", level=Scope.READ, docs=_HEALTH)
    def health(name: str) -> Response:
        check_model(log.repository, name)
        return json_response(log.health(name, request.args.get("version", CURRENT)), headers=FRESH)

    @routes.get("/predictions", level=Scope.LOG, docs=_READ)
    def read(name: str) -> Response:
        accept = request.headers.get("Accept", "")
        page = log.read(_wanted(name, as_parquet=PARQUET in accept))
        if PARQUET in accept:
            return Response(base64.b64decode(page["file"]), headers=_linked(page), content_type=PARQUET)
        if NDJSON in accept:
            lines = "".join(map(native.to_json, page["items"]))
            return Response(lines, headers=_linked(page), content_type=NDJSON)
        if preferred(accept, (JSON, CSV)) == CSV:
            return Response(_csv(page["items"]), headers=_linked(page), content_type=csv_rows.CONTENT_TYPE)
        return json_response(page, headers={**FRESH, "Vary": "Accept"})

    @routes.delete("/predictions", level=Scope.LOG, docs=_DELETE, audit="delete_predictions")
    def delete(name: str) -> Response:
        if not (identity := request.args.get("id")):
            raise Problem(ProblemCode.INVALID_PARAMETER, "id is missing; name the person whose rows are to be deleted")
        return json_response(log.delete(name, identity))

    return routes


def _wanted(name: str, *, as_parquet: bool) -> Observation:
    arguments = request.args
    since, until = (moment(bound, arguments.get(bound)) for bound in ("since", "until"))
    with refusing("row and limit are numbers from 0 on, and version is one from 1 on"):
        numbers = {key: limit(arguments[key], key) for key in ("row", "version", "limit") if key in arguments}
    return Observation(
        ObservationAction.READ_PREDICTIONS,
        name,
        id=arguments.get("id"),
        job=arguments.get("job"),
        row=numbers.get("row"),
        version=numbers.get("version"),
        since=None if since is None else timestamp(since),
        until=None if until is None else timestamp(until),
        limit=numbers.get("limit", limit(None)),
        cursor=arguments.get("cursor"),
        parquet=as_parquet or None,
    )


def _linked(page: dict[str, Any]) -> dict[str, str]:
    """Return the headers of a page that cannot name the next one in its body."""
    headers = {**FRESH, "Vary": "Accept"}
    if cursor := page["next_cursor"]:
        query = "&".join(part for part in request.query_string.decode().split("&") if not part.startswith("cursor="))
        headers["Link"] = f'<?{f"{query}&" if query else ""}cursor={cursor}>; rel="next"'
    return headers


def _csv(items: list[dict[str, Any]]) -> bytes:
    """Return the rows with a header. Rows that say no more than others of a page have blank cells."""
    columns = columns_of(items)
    header = csv_lines([[name] for name in columns], ",", escape=True) if columns else []
    lines = csv_lines(list(columns.values()), ",", escape=True)
    return "\n".join([*header, *lines, ""]).encode(errors="replace") if columns else b""


LOGGING_BODY = Object(
    {
        "share": Rule(
            lambda value: is_number(value) and 0 <= value <= 1,
            "not_a_share",
            "{field} must be a number from 0 (nothing is logged) to 1 (every request is); it is {value}",
        ),
        "leave_out": ListOf(
            text(LONGEST_COLUMN),
            f"{{field}} must be a list of at most {MOST_LEFT_OUT} inputs; it is {{value}}",
            most=MOST_LEFT_OUT,
        ),
        "keep_days": Rule(
            lambda value: type(value) is int and 1 <= value <= MOST_DAYS,
            "not_a_number_of_days",
            f"{{field}} must be a whole number from 1 to {MOST_DAYS}, and is {KEEP_DAYS} without it; it is {{value}}",
        ),
    },
    ("unknown_key", "{name} is not a key of the body{hint}; it may have {known}"),
    required=("share",),
)
