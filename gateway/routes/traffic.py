"""Requests, errors, rows and latency over time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from flask import Blueprint, Response, request

from broker.metrics.traffic import Period
from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, json_response
from gateway.http.operations import MOMENT, Answer, Operation, Parameter
from gateway.problems import Problem, ProblemCode
from gateway.protocols.parameters import moment
from gateway.serving.model_events import ModelEvents
from gateway.serving.traffic import TimeRange, Traffic, moment_of

_PERIOD = Parameter(
    "period",
    "How far back: two hours by the minute, a day by 15 minutes, or 30 days by 6 hours.",
    {"type": "string", "enum": list(Period), "default": Period.HOURS},
)
_ALL = Operation(
    "get_traffic",
    "Requests, errors, rows and latency of all models over time",
    {200: Answer("The sums, and a point a step, the oldest first.", "Traffic")},
    parameters=(
        _PERIOD,
        Parameter("from", "The points from this time on, instead of a period, with the shortest steps kept.", MOMENT),
        Parameter("to", "Up to this time, with `from`; otherwise up to now.", MOMENT),
    ),
)
_ONE = replace(
    _ALL,
    id="get_model_traffic",
    summary="Requests, errors, rows, latency and events of a model over time",
    answers={200: Answer("The sums, a point a step, and what happened meanwhile, the oldest first.", "ModelTraffic")},
)


def blueprint(traffic: Traffic, events: ModelEvents) -> Blueprint:
    routes = Blueprint("traffic", __name__, url_prefix="/v1")

    @routes.get("/traffic", level=Scope.READ, docs=_ALL)
    def index() -> Response:
        return json_response(traffic.of_all(asked_time(request.args)).to_json(), headers=FRESH)

    @routes.get("/models/<name>/traffic", level=Scope.READ, docs=_ONE)
    def show(name: str) -> Response:
        chart = traffic.of_model(name, asked_time(request.args))
        happened = [event.to_json() for event in events.within(name, chart)]
        return json_response({**chart.to_json(), "events": happened}, headers=FRESH)

    return routes


def asked_time(query: Mapping[str, str]) -> Period | TimeRange:
    """Return the period or the range that the query names. Raises `Problem` (400)."""
    start, end = (moment(name, query.get(name)) for name in ("from", "to"))
    if start is None:
        if end is not None:
            raise _refused("to needs from: send both times, or period")
        return _asked_period(query.get("period", Period.HOURS))
    if "period" in query:
        raise _refused("period and from exclude each other: send one of them")
    now = time.time()
    oldest = Period.MONTH.begins(now)
    asked = TimeRange(start.timestamp(), end.timestamp() if end else now)
    if not oldest <= asked.start <= now:
        raise _refused(f"from={query['from']!r} must be between {moment_of(oldest)}, where the traffic begins, and now")
    if asked.end <= asked.start:
        raise _refused(f"to={query.get('to')!r} must be later than from={query['from']!r}")
    return asked


def _asked_period(text: str) -> Period:
    try:
        return Period(text)
    except ValueError:
        raise _refused(f"period={text[:64]!r} is not one of {', '.join(Period)}") from None


def _refused(detail: str) -> Problem:
    return Problem(ProblemCode.INVALID_PARAMETER, detail)
