"""Scheduled file predictions of a data lake, and the runs that a client does of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from flask import Blueprint, Response, request

from broker.state.lake_schedules import LakeSchedule
from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, json_response
from gateway.http.operations import DELETED, KEPT, Answer, Operation
from gateway.http.rules import BodyLimit, Level
from gateway.protocols import native
from gateway.protocols.lake_schedules import lake_run_report, lake_schedule
from gateway.serving.lake_schedules import ScheduledPredictions

_BODY = BodyLimit.of_request(16)
_ANSWER = {200: Answer("The schedule.", "LakeSchedule")}
_TAG = "trainings"

_INDEX = Operation(
    "list_lake_schedules",
    "The scheduled predictions of the caller",
    {200: Answer("By model.", "LakeScheduleList")},
    tag=_TAG,
)
_SHOW = Operation(
    "get_lake_schedule", "When a data lake is scored with a model", _ANSWER, problems=("404 no_schedule",), tag=_TAG
)
_PUT = Operation(
    "set_lake_schedule",
    "Score the objects of a data lake regularly",
    _ANSWER,
    problems=(
        *("404 no_current_version", "409 others_schedule", "409 too_many_schedules", "422 invalid_schedule"),
        *("503 manifest_invalid", *KEPT),
    ),
    body="NewLakeSchedule",
    tag=_TAG,
)
_DELETE = Operation(
    "delete_lake_schedule", "Delete a scheduled prediction", {204: DELETED}, problems=("404 no_schedule",), tag=_TAG
)
_REPORT = Operation(
    "report_lake_run",
    "Say how a run of a scheduled prediction is",
    _ANSWER,
    problems=("404 no_schedule", "422 invalid_schedule", *KEPT),
    body="LakeRunReport",
    tag=_TAG,
)


def blueprint(scheduled: ScheduledPredictions) -> Blueprint:
    routes = Blueprint("lake_schedules", __name__, url_prefix="/v1")

    @routes.get("/schedules/predict", level=Level.OWN, docs=_INDEX)
    def index() -> Response:
        return json_response({"items": list(map(_shown, scheduled.all()))}, headers=FRESH)

    @routes.get("/models/<name>/schedule/predict", level=Level.OWN, docs=_SHOW)
    def show(name: str) -> Response:
        return json_response(_shown(scheduled.get(name)), headers=FRESH)

    # Not Scope.PREDICT: the client that does the runs would read and write for others what only it may.
    @routes.put("/models/<name>/schedule/predict", level=Scope.TRAIN, docs=_PUT, audit="set_lake_schedule", body=_BODY)
    def put(name: str) -> Response:
        wanted = lake_schedule(name, native.json_value(request.environ["wsgi.input"].read()))
        return json_response(_shown(scheduled.put(wanted)), headers=FRESH)

    @routes.delete("/models/<name>/schedule/predict", level=Scope.TRAIN, docs=_DELETE, audit="delete_lake_schedule")
    def delete(name: str) -> Response:
        scheduled.delete(name)
        return Response(status=204)

    @routes.put("/models/<name>/schedule/predict/run", level=Scope.PREDICT, docs=_REPORT, body=_BODY)
    def report(name: str) -> Response:
        run = lake_run_report(native.json_value(request.environ["wsgi.input"].read()))
        return json_response(_shown(scheduled.report(name, run)), headers=FRESH)

    return routes


def _shown(schedule: LakeSchedule) -> Mapping[str, object]:
    now, (source, target) = datetime.now(UTC), schedule.of_run()
    shown = {
        "model": schedule.model,
        **asdict(schedule),
        "due": schedule.is_due(now),
        "failed": schedule.has_failed(now),
        "run": {"source": source, "target": target},
    }
    return {name: value for name, value in shown.items() if name != "owner" or value}
