"""The JSON schemas of the prediction log, and of failed requests."""

from __future__ import annotations

from collections.abc import Mapping

from contract.model.model_health import HealthState
from contract.model.model_settings import LONGEST_COLUMN, MOST_DAYS, MOST_LEFT_OUT
from contract.work.observation import MOST_OUTCOMES
from gateway.http.operations import COUNT, MOMENT, TEXT, Schema
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
    text,
)
from gateway.protocols.outcomes import LONGEST, MOST_ROW

_METRICS: Mapping[str, Schema] = {
    "metrics": map_of(ref("MeasuredMetric")),
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
        "versions": array(ref("FailuresOfVersion")),
        "keys": array(ref("FailuresOfKey")),
        "example": {"description": "A row of such a request, with a description in place of each value; else null."},
    }
)
LOG: Mapping[str, Schema] = {
    "FailureCause": _FAILURE,
    "FailuresOfKey": record({"name": nullable(TEXT), "owner": nullable(TEXT), "count": INTEGER}),
    "FailuresOfVersion": record({"version": nullable(VERSION), "count": INTEGER}),
    "Failures": record(
        {
            "since": {**MOMENT, "description": "From when on requests are counted: the beginning of an hour."},
            "requests": {**INTEGER, "description": "All requests, also those that did not fail."},
            "items": array(ref("FailureCause")),
        }
    ),
    "Logging": record({"share": NUMBER, "leave_out": array(TEXT), "keep_days": INTEGER}),
    "LoggingChange": record(
        {"share": {"type": "number", "minimum": 0, "maximum": 1}},
        {
            "leave_out": array(text(LONGEST_COLUMN), maxItems=MOST_LEFT_OUT),
            "keep_days": {**COUNT, "maximum": MOST_DAYS},
        },
        additionalProperties=False,
    ),
    "LoggedModel": record({"name": TEXT, "version": INTEGER, "alias": nullable(TEXT)}),
    "LoggedPrediction": record(
        {
            "time": {**MOMENT, "description": "When the request was accepted."},
            "model": ref("LoggedModel"),
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
                ref("Degradation"),
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
    "Degradation": record({"finding": TEXT, "raised": MOMENT, "ended": nullable(MOMENT)}),
    "DriftAlarm": record(
        {
            "column": TEXT,
            "output": {**BOOLEAN, "description": "It is what the model answers."},
            "since": ref("DriftStart"),
            "raised": ref("DriftStart"),
            "p_value": {**NUMBER, "description": "It holds however often one looks, and for all columns together."},
            "sizes": ref("DriftSizes"),
            "rows": {**INTEGER, "description": "Since the change."},
            "bins": array(ref("DriftBin")),
            "quartiles": ref("DriftQuartiles"),
        }
    ),
    "DriftBin": record({"label": TEXT, "training": NUMBER, "now": NUMBER}),
    "DriftQuartiles": record({"training": nullable(array(ANYTHING)), "now": nullable(array(ANYTHING))}),
    "DriftSizes": record({"psi": NUMBER, "wasserstein": NUMBER, "nulls": NUMBER}),
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
    "EstimatedMetric": record({"value": NUMBER, "low": NUMBER, "high": NUMBER, "rows": INTEGER}),
    "MeasuredCalibration": record(
        {
            "label": ANYTHING,
            **dict.fromkeys(("predicted", "observed", "low", "high"), array(NUMBER)),
            "rows": array(INTEGER),
            "gap": NUMBER,
            "p_value": NUMBER,
        }
    ),
    "MeasuredMetric": record({"value": NUMBER, "low": NUMBER, "high": NUMBER, "outcomes": INTEGER}),
    "MeasuredPeriod": record({"start": MOMENT, "predictions": INTEGER, "outcomes": INTEGER, **_METRICS}),
    "MeasuredPromise": record(
        {
            "metric": TEXT,
            "promised": NUMBER,
            "low": NUMBER,
            "high": NUMBER,
            "p_value": NUMBER,
            "worse": {**BOOLEAN, "description": "It is worse than the report promised."},
        }
    ),
    "MeasuredSlice": record(
        {
            "name": TEXT,
            "outcomes": INTEGER,
            "loss": NUMBER,
            "elsewhere": NUMBER,
            "p_value": {**NUMBER, "description": "Corrected for the number of slices."},
            **_METRICS,
        }
    ),
    "Outcome": {"oneOf": [ref("OutcomeOfJob"), ref("OutcomeOfId")]},
    "OutcomeId": {"oneOf": [INTEGER, text(LONGEST)], "description": "The caller's id (`id_field`) of the rows."},
    "OutcomeOfId": record(
        {
            "id": ref("OutcomeId"),
            "outcome": ref("Label"),
        },
        {"at": {**MOMENT, "description": "Only of the rows with this id that were accepted before."}},
        additionalProperties=False,
    ),
    "OutcomeOfJob": record(
        {
            "job": {**text(64), "description": "The job that has answered, whose row it is of."},
            "outcome": ref("Label"),
        },
        {"row": {"type": "integer", "minimum": 0, "maximum": MOST_ROW, "default": 0}},
        additionalProperties=False,
    ),
    "Label": {"oneOf": [text(LONGEST), NUMBER, BOOLEAN], "description": "What came true."},
    "Outcomes": array(
        ref("Outcome"),
        minItems=1,
        maxItems=MOST_OUTCOMES,
        description="As `text/csv`, a file with these members as its columns is taken, too.",
    ),
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
                    **map_of(ref("EstimatedMetric")),
                    "description": "What the probabilities say before outcomes come, if only the inputs have changed.",
                }
            ),
            "headline": {**TEXT, "description": "The metric of the report."},
            **_METRICS,
            "promise": nullable(ref("MeasuredPromise")),
            "period": {**TEXT, "enum": ["hour", "day", "week", "month"]},
            "periods": array(ref("MeasuredPeriod")),
            "slices": array(ref("MeasuredSlice")),
            "calibration": nullable(ref("MeasuredCalibration")),
            "reason": {**TEXT, "description": "Why nothing is measured."},
        },
        "required": ["name", "version", "predictions", "outcomes"],
        "additionalProperties": False,
    },
}
