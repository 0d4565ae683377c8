"""A request for an experiment in JSON, and the plan of one that a training ends in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from contract.json_objects import BOOLEAN, Errors, ListOf, Object, Rule, WrongValue, chain, is_number, made_by, one_of
from contract.model.experiments import (
    OF_CLASSES,
    OF_NUMBERS,
    OF_PROBABILITIES,
    ExperimentKind,
    ExperimentLimits,
    ExperimentPlan,
    Requirement,
)
from contract.retention import DAY
from contract.wording import shown
from gateway.problems import ProblemCode
from gateway.problems.problem import invalid, read_body
from gateway.protocols.parameters import utc

METRICS = (*OF_CLASSES, *OF_PROBABILITIES, *OF_NUMBERS)
MOST_STEPS, MOST_DAYS, HIGHEST_LEVEL, SLOWEST, LARGEST_MARGIN = 10, 365, 0.2, 1e3, 1e12


def experiment_request(body: object, now: datetime) -> tuple[int, ExperimentPlan, datetime | None]:
    """Return the candidate, the plan, and when it is over if the body says that. Raises `Problem` with every error."""
    members, errors = read_body(body, _BODY, ProblemCode.INVALID_BODY)
    candidate, until = members.pop("candidate", 0), members.pop("until", None)
    if until is not None and "days" in members:
        errors.add("until", "ambiguous", "until and days both say when it is over; send one of them")
    if until is not None and not now < until <= now + timedelta(days=MOST_DAYS):
        message = f"until must be a time to come, within {MOST_DAYS} days; it is {now:%Y-%m-%dT%H:%M:%SZ} now"
        errors.add("until", "out_of_range", message)
    plan = _plan("", members, errors)
    if plan is None or errors.total:
        raise invalid(ProblemCode.INVALID_BODY, errors)
    if until is not None:
        plan = replace(plan, days=round((until - now).total_seconds() / DAY, 3))
    return candidate, plan, until


def read_plan(field: str, value: Any, errors: Errors) -> ExperimentPlan | None:
    """Read the plan of an experiment that is a member of something else."""
    return _plan(f"{field}.", _PLAN(field, value, errors), errors)


def _plan(prefix: str, members: Mapping[str, Any], errors: Errors) -> ExperimentPlan | None:
    """Return the plan with these members, or None with the errors if they do not fit each other."""
    before, kind, share = errors.total, members.get("kind"), members.get("share", 1.0)
    steps = members.get("steps", ())
    if kind is ExperimentKind.CANARY:
        if "share" not in members and not any(error.field == f"{prefix}share" for error in errors.first):
            message = "share is missing: which share of the callers gets the candidate, such as 0.05"
            errors.add(f"{prefix}share", "missing_field", message)
        if "agreement" in members:
            message = "agreement is for a shadow: the two versions of a canary answer different requests"
            errors.add(f"{prefix}agreement", "not_taken", message)
        if (limits := members.get("limits")) and limits.distance is not None:
            message = "distance is for a shadow: the two versions of a canary answer different requests"
            errors.add(f"{prefix}limits.distance", "not_taken", message)
        if not all(one < next_one for one, next_one in pairwise((*steps, share))):
            errors.add(f"{prefix}steps", "not_rising", f"steps must rise, and stay below share, {share:g}")
    elif kind is ExperimentKind.SHADOW and steps:
        errors.add(f"{prefix}steps", "not_taken", "steps are for a canary: nobody gets an answer of a shadow")
    if "agreement" in members and members.get("require") is Requirement.BETTER:
        message = "agreement promotes what answers the same, which is not better; leave it or require out"
        errors.add(f"{prefix}agreement", "not_taken", message)
    return None if kind is None or errors.total > before else ExperimentPlan(**members)


def _moment(value: object) -> datetime:
    """Return a time in UTC. Raises `WrongValue`."""
    if time := utc(value):
        return time
    message = f"until must be a time with its zone, such as 2026-01-02T03:04:05Z; it is {shown(value)}"
    raise WrongValue("not_a_time", message)


def _number(least: float, most: float, *, above: bool = False) -> Rule:
    bounds = f"above {least:g} and at most {most:g}" if above else f"from {least:g} to {most:g}"
    return Rule(
        lambda value: is_number(value) and (least < value if above else least <= value) and value <= most,
        "out_of_range",
        f"{{field}} must be a number {bounds}; it is {{value}}",
    )


_UNKNOWN = ("unknown_key", "{name} is not a key of an experiment{hint}; the keys are {known}")
_SHARE = _number(0, 1, above=True)
_MEMBERS: Mapping[str, Any] = {
    "kind": chain(
        one_of([*ExperimentKind], "unknown_kind", "{field} must be one of {known}; it is {value}{near}"),
        made_by(ExperimentKind),
    ),
    "metric": one_of(METRICS, "unknown_metric", "{field} must be one of {known}; it is {value}{near}"),
    "share": _SHARE,
    "steps": chain(
        ListOf(_SHARE, f"{{field}} must be a list of at most {MOST_STEPS} shares", most=MOST_STEPS), made_by(tuple)
    ),
    "margin": _number(0, LARGEST_MARGIN),
    "level": _number(0, HIGHEST_LEVEL, above=True),
    "require": chain(
        one_of([*Requirement], "unknown_value", "{field} must be one of {known}; it is {value}{near}"),
        made_by(Requirement),
    ),
    "promote": BOOLEAN,
    "agreement": Rule(
        lambda value: is_number(value) and 0 < value < 1,
        "out_of_range",
        "{field} must be a number above 0 and below 1, such as 0.99: nothing can show that all answers are the same;"
        " it is {value}",
    ),
    "days": _number(0, MOST_DAYS, above=True),
    "limits": chain(
        Object(
            {"failures": _number(0, 1), "slowdown": _number(1, SLOWEST), "distance": _number(0, 1)},
            ("unknown_key", "{name} is not a key of {what}{hint}; the keys are {known}"),
        ),
        made_by(lambda limits: ExperimentLimits(**limits)),
    ),
}
_PLAN = Object(_MEMBERS, _UNKNOWN, required=("kind",))
_CANDIDATE = Rule(
    lambda value: type(value) is int and 1 <= value < 10**9,
    "not_a_version",
    "{field} must be the number of a version, such as 5; it is {value}",
)
_BODY = Object(
    {"candidate": _CANDIDATE, "until": made_by(_moment), **_MEMBERS}, _UNKNOWN, required=("candidate", "kind")
)
