"""The JSON schemas of what people say of a model, of the environment of a version, and of changes."""

from __future__ import annotations

from collections.abc import Mapping

from contract.model.about import LONGEST_DESCRIPTION, LONGEST_OWNER, MOST_TAGS, TAG
from contract.model.promotions import MOST_NOTE, PromotionEnding
from gateway.http.operations import MOMENT, TEXT, Schema
from gateway.openapi.schema_parts import ANYTHING, BOOLEAN, INTEGER, SCALAR, array, map_of, nullable, record, ref

ALIASES = map_of(INTEGER)
_STATE = {"name": TEXT, "versions": array(INTEGER), "aliases": ALIASES, "warnings": array(TEXT)}
ENVIRONMENT = nullable(
    record({"name": TEXT, "scikit_learn": nullable(TEXT), "unsupported_since": nullable(TEXT)}),
)
"""Where a version lives, if that is not today's environment."""

DECISION = record(
    {"label": SCALAR, "threshold": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}},
    description="`label` is answered if its probability is at least `threshold`, else the other class.",
)
"""From which probability on a version answers a class."""

_ABOUT = {"description": TEXT, "owner": TEXT, "tags": array(TEXT)}

CHANGES: Mapping[str, Schema] = {
    "About": record(_ABOUT),
    "AboutHistory": record(
        {**_ABOUT, "history": array(record({"at": MOMENT, "by": TEXT, "before": record({}, _ABOUT)}))}
    ),
    "AboutEdit": record(
        {},
        {
            "description": {**TEXT, "maxLength": LONGEST_DESCRIPTION},
            "owner": {**TEXT, "maxLength": LONGEST_OWNER},
            "tags": array({**TEXT, "pattern": f"^{TAG.pattern}$"}, description=f"At most {MOST_TAGS}."),
        },
        additionalProperties=False,
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
            "version": INTEGER,
            "unprotect": {**BOOLEAN, "description": "`true` in place of a version: to protect the model no more."},
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
