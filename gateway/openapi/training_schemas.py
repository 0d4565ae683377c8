"""The JSON schemas of requests for trainings and schedules."""

from __future__ import annotations

from collections.abc import Mapping

from contract.json_objects import MAX_NAME
from contract.model.repository import CURRENT
from contract.work.training import ACCEPTABLE, KINDS, MOST_OUTCOME_ROWS, ColumnUse, Task
from gateway.http.operations import FILE, TEXT, Schema
from gateway.openapi.schema_parts import (
    ALIAS,
    BOOLEAN,
    INTEGER,
    NUMBER,
    OBJECT,
    array,
    map_of,
    nullable,
    record,
    ref,
    text,
)
from gateway.protocols.training_requests import MAX_FEATURES, MAX_NOTES, MAX_PATH, OUTCOMES

_TRAINING: Mapping[str, Schema] = {
    "recipe": TEXT,
    "parameters": OBJECT,
    "target": {**text(MAX_NAME), "description": "The column to predict."},
    "features": array(text(MAX_NAME), minItems=1, maxItems=MAX_FEATURES, description="The columns to learn from."),
    "id_field": {**text(MAX_NAME), "description": "The column that answers repeat."},
    "kinds": {
        **map_of({**TEXT, "enum": list(KINDS)}),
        "description": "The kinds of columns; others are inferred.",
    },
    "data": ref("TrainingData"),
    "alias": {**ALIAS, "default": CURRENT},
    "gate": ref("Gate"),
    "accept": array({"type": "string", "enum": list(ACCEPTABLE)}),
    "notes": text(MAX_NOTES, 0),
}
_COLUMN = record(
    {
        "name": TEXT,
        "use": {**TEXT, "enum": list(ColumnUse)},
        "kind": nullable({**TEXT, "enum": list(KINDS)}),
        "nullable": BOOLEAN,
        "categories": nullable(array(TEXT)),
        "samples": array(TEXT, description="The most frequent values."),
        "different": {**INTEGER, "description": "How many different values it has."},
        "nulls": {**INTEGER, "description": "Rows in which it is null."},
        "remarks": array(TEXT),
        "bounds": nullable(array(NUMBER, description="The least and the greatest of its numbers.")),
        "histogram": nullable(
            array(INTEGER, description="The rows in equal intervals between the bounds; without these, of each sample.")
        ),
    }
)

TRAININGS: Mapping[str, Schema] = {
    "Gate": record(
        {},
        {
            "metric": text(MAX_NAME),
            "floor": NUMBER,
            "margin": {**NUMBER, "minimum": 0},
            "require_comparison": BOOLEAN,
            "experiment": ref("ExperimentPlan"),
        },
        description="`experiment`: the version is tried beside the current one before it is promoted.",
    ),
    "LoggedRows": record(
        {"outcomes": {**INTEGER, "minimum": 1, "maximum": MOST_OUTCOME_ROWS}},
        description="What came true of so many of the newest logged predictions.",
        additionalProperties=False,
    ),
    "NewSchedule": record(
        {"cron": {**TEXT, "examples": ["0 3 * * 1", "@alarm"]}},
        {"request": ref("TrainingRequest")},
        additionalProperties=False,
    ),
    "PreviewColumn": _COLUMN,
    "TrainingData": {
        "oneOf": [ref("TrainingFile"), ref("LoggedRows"), {**TEXT, "enum": [OUTCOMES]}],
        "description": "`outcomes`: what came true of the newest logged predictions.",
    },
    "TrainingFile": record(
        {"path": {**text(MAX_PATH), "description": "Of a file below DATA_DIR."}}, additionalProperties=False
    ),
    "TrainingForm": record(
        {},
        {
            "file": FILE,
            "request": {**TEXT, "description": "What else there is to say, as the JSON of a `TrainingRequest`."},
        },
    ),
    "TrainingPreview": record(
        {
            "source": TEXT,
            "rows": {**INTEGER, "description": "The rows that were read."},
            "complete": {**BOOLEAN, "description": "Whether these are all rows."},
            "columns": array(ref("PreviewColumn")),
            "target": {**text(MAX_NAME), "description": "The requested one, or a suggestion."},
            "task": nullable({**TEXT, "enum": list(Task)}),
            "problems": array(TEXT, description="Why the training would fail; empty if nothing is in its way."),
            "remarks": array(TEXT),
        }
    ),
    "TrainingRequest": record({}, _TRAINING, additionalProperties=False),
}
