"""The JSON schemas of traffic over time."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.http.operations import MOMENT, TEXT, Schema
from gateway.openapi.schema_parts import INTEGER, NUMBER, array, nullable, record, ref
from gateway.serving.model_events import EventKind

_POINT: Mapping[str, Schema] = {
    "requests": {**INTEGER, "description": "Requests for predictions."},
    "refused": {**INTEGER, "description": "Those that were answered with a status of 400 or above."},
    "failed": {**INTEGER, "description": "Predictions that failed or expired."},
    "rows": {**INTEGER, "description": "Scored rows."},
    "refused_rows": {**INTEGER, "description": "Refused rows of files."},
    "waiting": {**INTEGER, "description": "The most predictions that waited at once."},
    "oldest_seconds": {**NUMBER, "description": "The longest that one had waited."},
    **{
        f"p{share}": {
            **nullable(NUMBER),
            "description": f"Seconds within which {share} % of the answers with predictions came, as a bound of the"
            " buckets; the last one also stands for longer. Null without any.",
        }
        for share in (50, 95, 99)
    },
}
_TRAFFIC: Mapping[str, Schema] = {
    "period": {
        **TEXT,
        "description": "That of a range is the one with the shortest steps that goes back to its start.",
    },
    "step": {**INTEGER, "description": "The seconds of a point."},
    "total": ref("TrafficSums"),
    "points": array(ref("TrafficPoint")),
}
_EVENT: Mapping[str, Schema] = {
    "at": MOMENT,
    "kind": {**TEXT, "enum": list(EventKind)},
    "text": TEXT,
    "by": {**nullable(TEXT), "description": "The name of the key, for admins."},
    "job": {**nullable(TEXT), "description": "That of a failed training."},
}
TRAFFIC: Mapping[str, Schema] = {
    "ModelEvent": record(_EVENT),
    "ModelTraffic": record({**_TRAFFIC, "events": array(ref("ModelEvent"))}),
    "Traffic": record(_TRAFFIC),
    "TrafficPoint": record({"start": MOMENT, **_POINT}),
    "TrafficSums": record(_POINT),
}
