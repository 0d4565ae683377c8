"""The JSON schemas of scheduled predictions of a data lake."""

from __future__ import annotations

from collections.abc import Mapping

from broker.state.lake_schedules import RunStatus
from gateway.http.operations import MOMENT, TEXT, Schema
from gateway.openapi.schema_parts import BOOLEAN, INTEGER, OWNER, array, nullable, record, ref, text
from gateway.protocols.lake_schedules import LONGEST_ERROR, LONGEST_URL, MOST_ROWS, SCHEMES

_URL: Schema = {**text(LONGEST_URL), "pattern": f"^(?:{'|'.join(SCHEMES)})"}
_COUNT: Schema = {**INTEGER, "minimum": 0, "maximum": MOST_ROWS}
_LAKE_SCHEDULE: tuple[Mapping[str, Schema], Mapping[str, Schema]] = (
    {
        "cron": {**TEXT, "examples": ["30 2 * * *"]},
        "source": {**_URL, "examples": ["s3://lake/{date}/*.parquet"]},
        "target": {**_URL, "examples": ["s3://lake/scored/{date}/"]},
    },
    {"method": {**text(64), "default": "predict"}, "strict": BOOLEAN},
)
_LAKE_RUN: tuple[Mapping[str, Schema], Mapping[str, Schema]] = (
    {"due": {**MOMENT, "description": "`next_run` of the schedule."}, "status": {**TEXT, "enum": list(RunStatus)}},
    {"objects": _COUNT, "rows": _COUNT, "errors": _COUNT, "error": nullable(text(LONGEST_ERROR))},
)

LAKE_SCHEDULES: Mapping[str, Schema] = {
    "LakeRunReport": record(_LAKE_RUN[0], _LAKE_RUN[1], additionalProperties=False),
    "LakeSchedule": record(
        {
            "model": TEXT,
            "reference": TEXT,
            **_LAKE_SCHEDULE[0],
            **_LAKE_SCHEDULE[1],
            "next_run": MOMENT,
            "due": BOOLEAN,
            "failed": {**BOOLEAN, "description": "Also if nothing is heard of a run that is due."},
            "run": ref("LakeRun"),
            "last_run": nullable(ref("PastLakeRun")),
        },
        OWNER,
    ),
    "LakeRun": record({"source": TEXT, "target": TEXT}, description="Those of the run at `next_run`."),
    "PastLakeRun": record({**_LAKE_RUN[0], **_LAKE_RUN[1], "reported_at": MOMENT}),
    "LakeScheduleList": record({"items": array(ref("LakeSchedule"))}),
    "NewLakeSchedule": record(*_LAKE_SCHEDULE, additionalProperties=False),
}
