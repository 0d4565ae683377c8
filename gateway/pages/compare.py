"""Two versions beside each other: metrics, parameters, curves, and rows on which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from contract.instances import Grid
from contract.jobs import Status
from contract.keys import Scope
from contract.manifest import ModelManifest
from contract.signature import RowFormat
from gateway.clients import request_context
from gateway.exchange import caller
from gateway.pages.layout import blueprint_of_pages, page
from gateway.pages.model_header import ModelHeader
from gateway.pages.versions import compared, facts_of
from gateway.problems import Problem
from gateway.rules import Level
from gateway.serving.models import check_model, resolve
from gateway.serving.predicting import PredictionOptions, Predictor

WAIT = 20.0
"""Seconds that a page waits for the answer of each version: a worker may have to load it first."""

_CURVES = {"roc": ("ROC", "false positive rate", "true positive rate")} | {
    "precision_recall": ("Precision and recall", "recall", "precision")
}


@dataclass(frozen=True)
class Difference:
    """A row on which two versions answer differently."""

    values: Sequence[Any]
    before: Any
    now: Any


@dataclass(frozen=True)
class Differences:
    """How the answers of two versions to the same `rows` differ. `reason`: why they could not be asked, or ''."""

    rows: int = 0
    items: Sequence[Difference] = ()
    reason: str = ""


@dataclass(frozen=True)
class ComparePages:
    predictor: Predictor

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("compare")

        @routes.get("/models/<name>/compare", level=Level.READ, page=True)
        def compare(name: str) -> Response:
            return self._page(name, *self._versions(name), None)

        # A form, because it makes jobs.
        @routes.post("/models/<name>/compare", level=Level.PREDICT, page=True)
        def differ(name: str) -> Response:
            if not caller().allows(Scope.READ):
                raise Problem(403, "missing_scope", "comparing versions needs the scope read besides predict")
            one, other = self._versions(name)
            return self._page(name, one, other, self._differences(one, other))

        return routes

    def _versions(self, name: str) -> tuple[ModelManifest, ModelManifest]:
        repository = self.predictor.repository
        check_model(repository, name)
        newest = repository.versions(name)[-2:]
        a, b = request.args.get("a") or str(newest[0]), request.args.get("b") or str(newest[-1])
        one, other = (repository.manifest(*resolve(repository, f"{name}@{version}")) for version in (a, b))
        return one, other

    def _page(self, name: str, one: ModelManifest, other: ModelManifest, found: Differences | None) -> Response:
        repository, key = self.predictor.repository, caller()
        facts = [facts_of(repository, name, version) for version in (one.version, other.version)]
        return page(
            "compare.html",
            title=f"{name}: versions {one.version} and {other.version}",
            header=ModelHeader.of(repository, name, key),
            one=one,
            other=other,
            versions=repository.versions(name)[::-1],
            metrics=compared(repository, name, one.version, other.version),
            parameters=_parameters(one.parameters, other.parameters),
            curves=_curves(facts),
            facts=facts,
            found=found,
            names=one.signature.names,
        )

    def _differences(self, one: ModelManifest, other: ModelManifest) -> Differences:
        """Send the golden rows of both versions to both, and return where the answers differ."""
        if one.signature.names != other.signature.names or one.signature.format is not other.signature.format:
            return Differences(reason="They take different inputs, so no row can be sent to both.")
        if one.signature.format is RowFormat.RECORDS:
            return Differences(reason="Models that take records cannot be compared row by row here.")
        rows = [list(row) for row in dict.fromkeys(map(tuple, (*one.golden.rows, *other.golden.rows)))]
        if not rows:
            return Differences(reason="Neither was published with rows to try.")
        answers = []
        for model in (one, other):
            context = request_context(request.environ)
            if model is other:  # two jobs answer this request
                context.job_id = f"{context.job_id[:-1]}x"
            options, size = PredictionOptions(wait=WAIT), request.content_length or 0
            job = self.predictor.predict(model, Grid(None, rows), size, options, context)
            if job.status is not Status.SUCCEEDED or job.output is None:
                why = job.error.message if job.error else f"it is {job.status} after {WAIT:g} s"
                return Differences(reason=f"Version {model.version} did not answer: {why}.")
            answers.append(job.output["predictions"])
        items = [Difference(row, *pair) for row, pair in zip(rows, zip(*answers, strict=True), strict=True)]
        return Differences(len(rows), [item for item in items if item.before != item.now])


def _parameters(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the parameters that differ."""
    one, other = _flat(before), _flat(now)
    names = sorted({*one, *other})
    return [(n, one.get(n, "–"), other.get(n, "–")) for n in names if one.get(n) != other.get(n)]


def _flat(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in parameters.items()}


def _curves(facts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the curves of the first class that both versions have, as points of an SVG of 100 by 100."""
    found = []
    for kind, (title, x_label, y_label) in _CURVES.items():
        curves = [_first_curve(one, kind) for one in facts]
        if all(curves):
            found.append({"title": title, "x": x_label, "y": y_label, "curves": curves})
    return found


def _first_curve(facts: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    answers = facts.get("answers")
    curves = answers.get(kind, {}).get("curves") if isinstance(answers, dict) else None
    if not curves:
        return None
    curve = curves[0]
    points = " ".join(f"{100 * x:.1f},{100 - 100 * y:.1f}" for x, y in zip(curve["x"], curve["y"], strict=True))
    return {"points": points, "area": curve["area"], "label": curve["label"]}
