"""The JSON schemas of the prediction log."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.http.operations import MOMENT, TEXT, Schema
from gateway.openapi.schema_parts import (
    ANYTHING,
    BOOLEAN,
    INTEGER,
    NUMBER,
    array,
    map_of,
    nullable,
    page_of,
    record,
    ref,
)

LOG: Mapping[str, Schema] = {
    "Logging": record({"share": NUMBER, "leave_out": array(TEXT), "keep_days": INTEGER}),
    "LoggedPrediction": record(
        {
            "time": {**MOMENT, "description": "When the request was accepted."},
            "model": record({"name": TEXT, "version": INTEGER, "alias": nullable(TEXT)}),
            "job": TEXT,
            "row": {**INTEGER, "description": "Its number in the request, from 0."},
            "id": nullable(TEXT),
            "request_id": TEXT,
            "owner": nullable(TEXT),
            "inputs": {**ANYTHING, "description": "By name, as the model got them; null where they are left out."},
            "left_out": array(TEXT),
            "prediction": ANYTHING,
            "probabilities": nullable(map_of(NUMBER)),
            "warnings": array(TEXT),
            "milliseconds": NUMBER,
        }
    ),
    "LogPage": page_of(ref("LoggedPrediction")),
    "Deleted": record({"deleted": INTEGER}),
    "Health": record(
        {
            "name": TEXT,
            "version": INTEGER,
            "rows": {**INTEGER, "description": "The logged rows that were watched."},
            "watched": array(TEXT, description="The inputs, and the prediction."),
            "alarms": array(ref("DriftAlarm")),
            "reason": nullable({**TEXT, "description": "Why nothing is watched."}),
        }
    ),
    "DriftAlarm": record(
        {
            "column": TEXT,
            "output": {**BOOLEAN, "description": "It is what the model answers."},
            "since": ref("DriftStart"),
            "raised": ref("DriftStart"),
            "p_value": {**NUMBER, "description": "It holds however often one looks, and for all columns together."},
            "sizes": record({"psi": NUMBER, "wasserstein": NUMBER, "nulls": {"type": "number"}}),
            "rows": {**INTEGER, "description": "Since the change."},
            "bins": array(record({"label": TEXT, "training": NUMBER, "now": NUMBER})),
            "quartiles": record({"training": nullable(array(ANYTHING)), "now": nullable(array(ANYTHING))}),
        }
    ),
    "DriftStart": record({"row": INTEGER, "time": MOMENT}),
}
