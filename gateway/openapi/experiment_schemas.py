"""The JSON schemas of experiments."""

from __future__ import annotations

from collections.abc import Mapping

from contract.model.experiments import Decision, Ending, ExperimentKind, Requirement
from gateway.http.operations import MOMENT, TEXT, Schema
from gateway.openapi.schema_parts import BOOLEAN, NUMBER, OBJECT, OWNER, VERSION, array, nullable, record, ref
from gateway.protocols.experiments import HIGHEST_LEVEL, LARGEST_MARGIN, METRICS, MOST_DAYS, MOST_STEPS, SLOWEST

_SHARE: Schema = {**NUMBER, "exclusiveMinimum": 0, "maximum": 1}
_PART: Schema = {**NUMBER, "minimum": 0, "maximum": 1}
_MEMBERS: Mapping[str, Schema] = {
    "metric": {**nullable({**TEXT, "enum": list(METRICS)}), "description": "By default the first that fits."},
    "share": {**_SHARE, "description": "Of the logged requests (shadow), or of the callers (canary)."},
    "steps": array(_SHARE, maxItems=MOST_STEPS, description="Rising shares of a canary, before `share`."),
    "margin": nullable(
        {
            **NUMBER,
            "minimum": 0,
            "maximum": LARGEST_MARGIN,
            "description": "By how much the mean loss may be worse; by default 0.01, of an absolute error a"
            " hundredth of the range of the answers.",
        }
    ),
    "level": {**NUMBER, "exclusiveMinimum": 0, "maximum": HIGHEST_LEVEL, "description": "The chance of a wrong end."},
    "require": {**TEXT, "enum": list(Requirement)},
    "promote": {**BOOLEAN, "description": "Whether the candidate becomes current if it passes."},
    "agreement": nullable(
        {
            **NUMBER,
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 1,
            "description": "Promotes a shadow without outcomes if so many answers agree.",
        }
    ),
    "days": {**NUMBER, "exclusiveMinimum": 0, "maximum": MOST_DAYS},
    "limits": ref("ExperimentLimits"),
}
_PLAN = record({"kind": {**TEXT, "enum": list(ExperimentKind)}}, _MEMBERS, additionalProperties=False)
_DECISION = nullable({**TEXT, "enum": list(Decision)})
_SAID: Mapping[str, Schema] = {"reason": TEXT, "missing": TEXT, "changed_at": MOMENT, "figures": OBJECT}
_FINDINGS = record({"experiment": TEXT, "decision": _DECISION, **_SAID})

EXPERIMENTS: Mapping[str, Schema] = {
    "Experiment": record(
        {
            "id": TEXT,
            "baseline": {**VERSION, "description": "The version that was current when it began."},
            "candidate": VERSION,
            "plan": ref("ExperimentPlan"),
            "started_at": MOMENT,
            "until": MOMENT,
            "share": {**NUMBER, "description": "That of now."},
            "share_since": MOMENT,
            "started_by": {**TEXT, "description": "The name of the key, or nothing."},
            "ending": {**nullable({**TEXT, "enum": list(Ending)}), "description": "Null while it runs."},
            "ended_at": nullable(MOMENT),
            "reason": TEXT,
            "figures": OBJECT,
        },
        {"findings": nullable(ref("ExperimentFindings")), **OWNER},
    ),
    "ExperimentFindings": _FINDINGS,
    "ExperimentLimits": record(
        {},
        {
            "failures": _PART,
            "slowdown": {**NUMBER, "minimum": 1, "maximum": SLOWEST},
            "distance": nullable(_PART),
        },
    ),
    "ExperimentPlan": _PLAN,
    "ExperimentList": record({"items": array(ref("Experiment"))}),
    "NewExperiment": record(
        {"candidate": VERSION, "kind": {**TEXT, "enum": list(ExperimentKind)}},
        {**_MEMBERS, "until": {**MOMENT, "description": "Instead of `days`."}},
        additionalProperties=False,
    ),
}
