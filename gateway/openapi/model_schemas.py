"""The JSON schemas of what people say of a model, of the environment of a version, and of changes."""

from __future__ import annotations

from collections.abc import Mapping

from contract.model.about import LONGEST_DESCRIPTION, LONGEST_OWNER, MOST_TAGS, TAG
from contract.model.model_settings import PROTECTED, WARN_UNUSUAL
from contract.model.promotions import MOST_NOTE, PromotionEnding
from gateway.http.operations import MOMENT, TEXT, Schema, matching
from gateway.openapi.schema_parts import (
    ANYTHING,
    BOOLEAN,
    ENVIRONMENT_NAME,
    INTEGER,
    SCALAR,
    VERSION,
    array,
    map_of,
    nullable,
    record,
    ref,
)

ALIASES = map_of(INTEGER)
_STATE = {"name": TEXT, "versions": array(INTEGER), "aliases": ALIASES, "warnings": array(TEXT)}
ENVIRONMENT = nullable(ref("Environment"))
"""Where a version lives, if that is not today's environment."""

_DECISION = record(
    {"label": SCALAR, "threshold": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}},
    description="`label` is answered if its probability is at least `threshold`, else the other class.",
)
"""From which probability on a version answers a class."""

_ABOUT = {"description": TEXT, "owner": TEXT, "tags": array(TEXT)}

CHANGES: Mapping[str, Schema] = {
    "Decision": _DECISION,
    "Environment": record({"name": TEXT, "scikit_learn": nullable(TEXT), "unsupported_since": nullable(TEXT)}),
    "About": record(_ABOUT),
    "AboutHistory": record({**_ABOUT, "history": array(ref("AboutChange"))}),
    "AboutBefore": record({}, _ABOUT),
    "AboutChange": record({"at": MOMENT, "by": TEXT, "before": ref("AboutBefore")}),
    "AboutEdit": record(
        {},
        {
            "description": {**TEXT, "maxLength": LONGEST_DESCRIPTION},
            "owner": {**TEXT, "maxLength": LONGEST_OWNER},
            "tags": array(matching(TAG), maxItems=MOST_TAGS),
        },
        additionalProperties=False,
    ),
    "Restoration": record({}, {"version": VERSION}, additionalProperties=False),
    "SettingsChange": record(
        {}, dict.fromkeys((WARN_UNUSUAL, PROTECTED), BOOLEAN), additionalProperties=False, minProperties=1
    ),
    "ModelState": record(_STATE, {"restorable_until": MOMENT, "promotion": ref("Promotion")}),
    "Promotion": record(
        {
            "id": TEXT,
            "version": {**nullable(INTEGER), "description": "Null: to unprotect the model."},
            "asker": {**TEXT, "description": "An owner, or what asks by itself, such as `a training of ann`."},
            "asked_at": MOMENT,
            "note": TEXT,
            "ending": {**nullable({**TEXT, "enum": list(PromotionEnding)}), "description": "Null while it waits."},
            "ended_at": nullable(MOMENT),
            "decided_by": TEXT,
        },
        {"warnings": array(TEXT)},
    ),
    "PromotionList": record({"protected": BOOLEAN, "items": array(ref("Promotion"))}),
    "NewPromotion": record(
        {},
        {
            "version": VERSION,
            "unprotect": {
                **BOOLEAN,
                "enum": [True],
                "description": "In place of a version: to protect the model no more.",
            },
            "note": {**TEXT, "maxLength": MOST_NOTE},
        },
        additionalProperties=False,
    ),
    "NewVersion": record(
        {"version": INTEGER, **_STATE}, {"promoted": BOOLEAN, "reason": nullable(TEXT), "verdict": TEXT}
    ),
    "Migration": record(
        {"version": INTEGER, **_STATE},
        {
            "rows": {**INTEGER, "description": "How many were tried."},
            "items": array(ref("MigrationTrial")),
            "promoted": BOOLEAN,
            "reason": nullable(TEXT),
            "verdict": TEXT,
        },
    ),
    "MigrationTrial": record(
        {
            "environment": nullable({**TEXT, "description": "null: today's."}),
            "scikit_learn": nullable(TEXT),
            "outcome": {**TEXT, "enum": ["identical", "differs", "does_not_answer"]},
            "different": {**INTEGER, "description": "Rows that get other answers."},
            "detail": TEXT,
        }
    ),
    "MigrationRequest": record(
        {},
        {
            "from": ref("VersionOrAlias"),
            "to": {**ENVIRONMENT_NAME, "description": "The environment to publish it in; `today`: today's."},
            "instances": array(ANYTHING, minItems=1, description="By default those that it was verified with."),
            "accept_differences": BOOLEAN,
        },
        additionalProperties=False,
    ),
}
