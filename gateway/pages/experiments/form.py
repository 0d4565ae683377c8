"""The form that starts an experiment: what it sends, as the body of the HTTP interface, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from contract.model.experiments import DAYS, LEVEL, ExperimentKind, ExperimentLimits, Requirement, loss_metrics
from contract.model.manifest import ModelManifest
from gateway.problems import Problem

_WRONG = {
    "share": "enter the share in %, above 0 and up to 100; a canary needs one, such as 5",
    "steps": "enter at most ten rising shares in %, below the last share, such as 1, 5, 25",
    "margin": "enter a number of 0 or more, or nothing",
    "level": "enter a chance in %, above 0 and up to 20",
    "agreement": "enter a share in %, above 0 and below 100",
    "failures": "enter a share in %, from 0 to 100",
    "slowdown": "enter a number from 1 to 1000",
    "distance": "enter a number from 0 to 1, or nothing",
}
"""What is said of a wrong entry where the interface takes fractions, or calls it otherwise."""
_DIVISORS = {"candidate": 1, "margin": 1, "days": 1, "share": 100, "level": 100, "agreement": 100}
_LIMITS = {"failures": 100, "slowdown": 1, "distance": 1}


@dataclass(frozen=True)
class ExperimentForm:
    """What can be chosen, and what was `entered`. `errors` are by field; `problem`: what else was wrong, or ''."""

    candidates: Sequence[int]
    metrics: Sequence[str]
    entered: Mapping[str, str]
    errors: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @classmethod
    def of(cls, current: ModelManifest, candidates: Sequence[int]) -> ExperimentForm:
        """Return an untouched form."""
        limits = ExperimentLimits()
        entered = {
            "candidate": str(candidates[0]),
            "kind": ExperimentKind.SHADOW,
            "share": "",
            "steps": "",
            "metric": "",
            "margin": "",
            "level": f"{100 * LEVEL:g}",
            "require": Requirement.NOT_WORSE,
            "promote": "1",
            "days": f"{DAYS:g}",
            "agreement": "",
            "failures": f"{100 * limits.failures:g}",
            "slowdown": f"{limits.slowdown:g}",
            "distance": "",
        }
        return cls(candidates, loss_metrics(current.signature), entered)

    @property
    def limits_wrong(self) -> bool:
        return not self.errors.keys().isdisjoint([*_LIMITS, "agreement"])

    def refused(self, entered: Mapping[str, str], problem: Problem) -> ExperimentForm:
        """Return the form with what was entered, and what is wrong with it."""
        every: Any = problem.members.get("errors") or []
        errors: dict[str, str] = {}
        for error in every:
            name = str(error["field"]).partition("[")[0].removeprefix("limits.")
            errors.setdefault(name, _WRONG.get(name, error["message"]))
        return replace(self, entered=entered, errors=errors, problem="" if errors else problem.detail)


def body_of(entered: Mapping[str, str]) -> dict[str, Any]:
    """Return the body. What is empty is left out, and what is no number is sent as it is, so that it is refused."""
    body: dict[str, Any] = {name: text for name, text in entered.items() if text}
    body |= {name: _number(body[name], divisor) for name, divisor in _DIVISORS.items() if name in body}
    if "steps" in body:
        body["steps"] = [_number(step, 100) for step in re.split(r"[\s,;]+", body["steps"])]
    for hidden in ("steps",) if entered["kind"] == ExperimentKind.SHADOW else ("agreement", "distance"):
        body.pop(hidden, None)
    body["limits"] = {name: _number(body.pop(name), divisor) for name, divisor in _LIMITS.items() if name in body}
    return {**body, "promote": entered["promote"] == "1"}


def _number(text: str, divisor: int) -> float | int | str:
    try:
        number = float(text.rstrip("% ") if divisor == 100 else text) / divisor
    except ValueError:
        return text.strip()
    return int(number) if number.is_integer() else number
