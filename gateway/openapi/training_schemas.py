"""The JSON schemas of requests for trainings and schedules."""

from __future__ import annotations

from collections.abc import Mapping

from contract.work.training import ACCEPTABLE, KINDS, MOST_OUTCOME_ROWS, ColumnUse, Task
from gateway.http.operations import TEXT, Schema
from gateway.openapi.experiment_schemas import PLAN
from gateway.openapi.schema_parts import BOOLEAN, FILE, INTEGER, NUMBER, OBJECT, array, map_of, nullable, record, ref

_TRAINING: Mapping[str, Schema] = {
    "recipe": TEXT,
    "parameters": OBJECT,
    "target": {**TEXT, "description": "The column to predict."},
    "features": array(TEXT, description="The columns to learn from."),
    "id_field": {**TEXT, "description": "The column that answers repeat."},
    "kinds": {
        **map_of({**TEXT, "enum": list(KINDS)}),
        "description": "The kinds of columns; others are inferred.",
    },
    "data": {
        "oneOf": [
            record({"path": TEXT}, description="A file below DATA_DIR."),
            {**TEXT, "enum": ["outcomes"], "description": "What came true of the newest logged predictions."},
            record({"outcomes": {**INTEGER, "minimum": 1, "maximum": MOST_OUTCOME_ROWS}}, description="Of so many."),
        ]
    },
    "alias": {**TEXT, "default": "current"},
    "gate": record(
        {},
        {
            "metric": TEXT,
            "floor": NUMBER,
            "margin": NUMBER,
            "require_comparison": BOOLEAN,
            "experiment": {**PLAN, "description": "The version is tried beside the current one before it is promoted."},
        },
    ),
    "accept": array({"type": "string", "enum": list(ACCEPTABLE)}),
    "notes": TEXT,
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
    "NewSchedule": record(
        {"cron": {**TEXT, "examples": ["0 3 * * 1", "@alarm"]}},
        {"request": ref("TrainingRequest")},
        additionalProperties=False,
    ),
    "TrainingForm": record({}, {"file": FILE, "request": {**TEXT, "description": "The other keys as JSON."}}),
    "TrainingPreview": record(
        {
            "source": TEXT,
            "rows": {**INTEGER, "description": "The rows that were read."},
            "complete": {**BOOLEAN, "description": "Whether these are all rows."},
            "columns": array(_COLUMN),
            "target": {**TEXT, "description": "The requested one, or a suggestion."},
            "task": nullable({**TEXT, "enum": list(Task)}),
            "problems": array(TEXT, description="Why the training would fail; empty if nothing is in its way."),
            "remarks": array(TEXT),
        }
    ),
    "TrainingRequest": record({}, _TRAINING, additionalProperties=False),
}
