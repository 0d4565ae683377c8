"""The page Decision of a version: what each threshold finds and misses of the tested rows, and the form that saves one
as a new version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from contract.model.manifest import ModelManifest
from contract.model.signature_changes import decided
from contract.model.thresholds import counts_at, known_counts
from contract.row import Value
from contract.wording import clean, shown
from contract.work.api_keys import Scope
from contract.work.training import RepositoryAction, RepositoryCommand
from gateway.http.exchange import caller, current
from gateway.pages.layout import blueprint_of_pages, page, see
from gateway.pages.model_header import ModelHeader
from gateway.pages.same_rows import facts_of
from gateway.problems import Problem, ProblemCode
from gateway.protocols.signature_edits import check_edits
from gateway.serving.model_versions import ModelChanges, manifest_of

_MOST_COST = 1e12


@dataclass(frozen=True)
class DecisionPages:
    changes: ModelChanges

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("decision")

        @routes.get("/models/<name>/versions/<version>/decision", level=Scope.READ, page=True)
        def show(name: str, version: str) -> Response:
            model = manifest_of(self.changes.repository, name, version)
            facts = facts_of(self.changes.repository, name, model.version)
            known, label, today = known_counts(facts), None, None
            if known and model.signature.output.decidable:
                label, today = _label(model, facts), _today(model, facts)
            miss, false_alarm = (_number(key, _MOST_COST) for key in ("miss", "false_alarm"))
            costs = (miss or 0.0, false_alarm or 0.0)
            threshold = _number("threshold", 1) or (today or 0.5)
            return page(
                "decision.html",
                title=f"{name} version {model.version}: decision",
                header=ModelHeader.of(self.changes.repository, name, caller()),
                model=model,
                label=label,
                tested=facts.get("tested"),
                decides=decided(model.signature.output) if model.signature.outputs else "",
                threshold=threshold,
                counts=counts_at(known, threshold),
                now=None if today is None else counts_at(known, today),
                costs=costs,
                best=min(known, key=lambda counts: counts.cost(*costs)) if known and any(costs) else None,
            )

        @routes.post(
            "/models/<name>/versions/<version>/decision", level=Scope.PUBLISH, page=True, audit="edit_signature"
        )
        def save(name: str, version: str) -> Response:
            model = manifest_of(self.changes.repository, name, version)
            decision = {"label": request.form.get("label", ""), "threshold": _float(request.form.get("threshold", ""))}
            edits = {"outputs": [{"decision": decision}]}
            check_edits(model, edits)
            command = RepositoryCommand(RepositoryAction.EDIT_SIGNATURE, name, version=model.version, edits=edits)
            number = current().version = self.changes.run(command)["version"]
            return see(f"/ui/models/{name}/versions/{number}")

        return routes


def _label(model: ModelManifest, facts: Mapping[str, Any]) -> Value:
    """Return the class whose thresholds the report knows, as answers have it; None if the model has none like it."""
    output, label = model.signature.output, facts["answers"]["thresholds"].get("label")
    pairs = zip(output.labels or (), output.shown_labels, strict=True)
    return next((name for known, name in pairs if clean(known) == label), None)


def _today(model: ModelManifest, facts: Mapping[str, Any]) -> float | None:
    """Return the threshold by which the version decides for that class; None if it has none."""
    thresholds, decision = facts["answers"]["thresholds"], model.signature.output.decision
    if decision:
        return decision.threshold if clean(decision.label) == thresholds.get("label") else None
    items = thresholds.get("items", ())
    return next((item["threshold"] for item in items if item.get("served")), None)


def _number(name: str, most: float) -> float | None:
    """Return a number of the query above 0; None without one. Raises `Problem`."""
    text = request.args.get(name, "").strip()
    if not text:
        return None
    value = _float(text)
    if not isinstance(value, float) or not 0 <= value <= most or (name == "threshold" and not 0 < value < 1):
        allowed = "between 0 and 1, such as 0.2" if name == "threshold" else f"from 0 to {most:g}"
        raise Problem(ProblemCode.INVALID_PARAMETER, f"{name} must be a number {allowed}, not {shown(text)}")
    return value


def _float(text: str) -> float | str:
    """Return a number, or the text if it is none."""
    try:
        return float(text)
    except ValueError:
        return text
