"""The JSON schemas of the prediction log, and of failed requests."""

from __future__ import annotations

from collections.abc import Mapping

from contract.model.model_health import HealthState
from gateway.http.operations import MOMENT, TEXT, Schema
from gateway.openapi.schema_parts import (
    ANYTHING,
    BOOLEAN,
    INTEGER,
    NUMBER,
    VERSION,
    array,
    map_of,
    nullable,
    page_of,
    record,
    ref,
)

_METRICS: Mapping[str, Schema] = {
    "metrics": map_of(record({"value": NUMBER, "low": NUMBER, "high": NUMBER, "outcomes": INTEGER})),
    "not_measured": {**map_of(TEXT), "description": "Why there is no such metric."},
}

_FAILURE: Schema = record(
    {
        "code": {**TEXT, "description": "Of the problem, or of the failure of the job."},
        "field": {**nullable(TEXT), "description": "Null for one that the model lacks, and for whole rows."},
        "field_code": nullable(TEXT),
        "message": TEXT,
        "count": INTEGER,
        "share": {**NUMBER, "description": "Of all requests."},
        "first_at": MOMENT,
        "last_at": MOMENT,
        "versions": array(record({"version": nullable(VERSION), "count": INTEGER})),
        "keys": array(record({"name": nullable(TEXT), "owner": nullable(TEXT), "count": INTEGER})),
        "example": {"description": "A row of such a request, with a description in place of each value; else null."},
    }
)
LOG: Mapping[str, Schema] = {
    "Failures": record(
        {
            "since": {**MOMENT, "description": "From when on requests are counted: the beginning of an hour."},
            "requests": {**INTEGER, "description": "All requests, also those that did not fail."},
            "items": array(_FAILURE),
        }
    ),
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
            "state": {**TEXT, "enum": list(HealthState)},
            "findings": array(TEXT, description="What was found, a sentence each, the worst first."),
            "rows": {**INTEGER, "description": "The logged rows that were watched."},
            "watched": array(TEXT, description="The inputs, and the prediction."),
            "alarms": array(ref("DriftAlarm")),
            "history": array(ref("PastAlarm"), description="The alarms so far, the newest first."),
            "degraded": array(
                record({"finding": TEXT, "raised": MOMENT, "ended": nullable(MOMENT)}),
                description="When it was worse than its report promised, the newest first.",
            ),
            "refused": array(ref("RefusedField"), description="For what requests of a key are refused."),
            "profile": nullable(
                {
                    **TEXT,
                    "enum": ["training", "first_rows"],
                    "description": "What rows are compared with: those of the training or of an import's sample, or the"
                    " first 1,000 that were logged.",
                }
            ),
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
    "RefusedField": record(
        {
            "field": {**TEXT, "description": "Empty for names that the model does not have."},
            "owner": {**TEXT, "description": "The owner of the key; empty: none."},
            "requests": {**INTEGER, "description": "Those that were refused for it in the last hour."},
            "share": {**NUMBER, "description": "Of the model's requests in it."},
            "since": MOMENT,
        }
    ),
    "PastAlarm": record(
        {"column": TEXT, "output": BOOLEAN, "raised": ref("DriftStart"), "ended": nullable(ref("DriftStart"))}
    ),
    "DriftStart": record({"row": INTEGER, "time": MOMENT}),
    "KeptOutcomes": record({"new": INTEGER, "corrected": INTEGER, "repeated": INTEGER}),
    "MeasuredOutcomes": {
        "type": "object",
        "properties": {
            "name": TEXT,
            "version": INTEGER,
            "predictions": {**INTEGER, "description": "The logged rows."},
            "outcomes": {**INTEGER, "description": "Those of which it is known what came true, and that are measured."},
            "unknown": {**INTEGER, "description": "Outcomes of the model that are of no logged row."},
            "unread": {**map_of(INTEGER), "description": "Outcomes that are no label or no number, and how many."},
            "unusable": {**INTEGER, "description": "Rows whose prediction is no label or no finite number."},
            "estimated": nullable(
                {
                    **map_of(record({"value": NUMBER, "low": NUMBER, "high": NUMBER, "rows": INTEGER})),
                    "description": "What the probabilities say before outcomes come, if only the inputs have changed.",
                }
            ),
            "headline": {**TEXT, "description": "The metric of the report."},
            **_METRICS,
            "promise": nullable(
                record(
                    {
                        "metric": TEXT,
                        "promised": NUMBER,
                        "low": NUMBER,
                        "high": NUMBER,
                        "p_value": NUMBER,
                        "worse": {**BOOLEAN, "description": "It is worse than the report promised."},
                    }
                )
            ),
            "period": {"enum": ["hour", "day", "week", "month"]},
            "periods": array(record({"start": MOMENT, "predictions": INTEGER, "outcomes": INTEGER, **_METRICS})),
            "slices": array(
                record(
                    {
                        "name": TEXT,
                        "outcomes": INTEGER,
                        "loss": NUMBER,
                        "elsewhere": NUMBER,
                        "p_value": {**NUMBER, "description": "Corrected for the number of slices."},
                        **_METRICS,
                    }
                )
            ),
            "calibration": nullable(
                record(
                    {
                        "label": ANYTHING,
                        **dict.fromkeys(("predicted", "observed", "low", "high"), array(NUMBER)),
                        "rows": array(INTEGER),
                        "gap": NUMBER,
                        "p_value": NUMBER,
                    }
                )
            ),
            "reason": {**TEXT, "description": "Why nothing is measured."},
        },
        "required": ["name", "version", "predictions", "outcomes"],
        "additionalProperties": False,
    },
}
