"""The JSON schemas of the environment of a version, and of the state of a model after a change."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.http.operations import MOMENT, TEXT, Schema
from gateway.openapi.schema_parts import ANYTHING, BOOLEAN, INTEGER, array, map_of, nullable, record

ALIASES = map_of(INTEGER)
_STATE = {"name": TEXT, "versions": array(INTEGER), "aliases": ALIASES, "warnings": array(TEXT)}
ENVIRONMENT = nullable(
    record({"name": TEXT, "scikit_learn": nullable(TEXT), "unsupported_since": nullable(TEXT)}),
)
"""Where a version lives, if that is not today's environment."""

CHANGES: Mapping[str, Schema] = {
    "ModelState": record(_STATE, {"restorable_until": MOMENT}),
    "NewVersion": record(
        {"version": INTEGER, **_STATE}, {"promoted": BOOLEAN, "reason": nullable(TEXT), "verdict": TEXT}
    ),
    "Migration": record(
        {"version": INTEGER, **_STATE},
        {
            "rows": {**INTEGER, "description": "How many were tried."},
            "items": array(
                record(
                    {
                        "environment": nullable({**TEXT, "description": "null: today's."}),
                        "scikit_learn": nullable(TEXT),
                        "outcome": {**TEXT, "enum": ["identical", "differs", "does_not_answer"]},
                        "different": {**INTEGER, "description": "Rows that get other answers."},
                        "detail": TEXT,
                    }
                )
            ),
            "promoted": BOOLEAN,
            "reason": nullable(TEXT),
            "verdict": TEXT,
        },
    ),
    "MigrationRequest": record(
        {},
        {
            "from": {"type": ["integer", "string"], "description": "A version or an alias, by default current."},
            "to": {**TEXT, "description": "The environment to publish it in; `today`: today's."},
            "instances": array(ANYTHING, description="Rows to try it on, by default those that it was verified with."),
            "accept_differences": BOOLEAN,
        },
        additionalProperties=False,
    ),
}
