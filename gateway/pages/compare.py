"""Two versions beside each other: what changed, metrics, curves, and rows on which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Response, request

from contract.model.manifest import ModelManifest
from contract.model.signature import OutputKind, RowFormat
from contract.rows.instances import Grid
from contract.work.api_keys import Scope
from contract.work.jobs import Status
from gateway.http.clients import further_context, request_context
from gateway.http.exchange import caller
from gateway.pages.changes import changes
from gateway.pages.charts.curves import Curves, curves_of
from gateway.pages.layout import blueprint_of_pages, page
from gateway.pages.model_header import ModelHeader
from gateway.pages.same_rows import SameRows, facts_of
from gateway.pages.version_pages import offered
from gateway.problems import Problem, ProblemCode
from gateway.serving.model_versions import check_model, resolve
from gateway.serving.predicting import PredictionOptions, Predictor

WAIT = 20.0
"""Seconds that a page waits for the answer of each version: a worker may have to load it first."""


@dataclass(frozen=True)
class Difference:
    """A row on which two versions answer differently. `by`: how much more the second one answers, if both estimate a
    number."""

    values: Sequence[Any]
    before: Any
    now: Any
    by: float | None


@dataclass(frozen=True)
class Differences:
    """How the answers of two versions to the same `rows` differ. `items` is None before they are asked. `reason`: why
    they cannot be asked, or did not answer, or ''."""

    rows: Sequence[Sequence[Any]] = ()
    items: Sequence[Difference] | None = None
    reason: str = ""


@dataclass(frozen=True)
class ComparePages:
    predictor: Predictor

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("compare")

        @routes.get("/models/<name>/compare", level=Scope.READ, page=True)
        def compare(name: str) -> Response:
            first, second = self._versions(name)
            return self._page(name, first, second, _asked(first, second))

        # A form, because it makes jobs.
        @routes.post("/models/<name>/compare", level=Scope.PREDICT, page=True)
        def differ(name: str) -> Response:
            if not caller().allows(Scope.READ):
                raise Problem(ProblemCode.MISSING_SCOPE, "comparing versions needs the scope read besides predict")
            first, second = self._versions(name)
            return self._page(name, first, second, self._differences(first, second))

        return routes

    def _versions(self, name: str) -> tuple[ModelManifest, ModelManifest]:
        repository = self.predictor.repository
        check_model(repository, name)
        older, newer = offered(repository, name)
        a, b = request.args.get("a") or str(older), request.args.get("b") or str(newer)
        first, second = (repository.manifest(*resolve(repository, f"{name}@{version}")) for version in (a, b))
        return first, second

    def _page(self, name: str, first: ModelManifest, second: ModelManifest, differences: Differences) -> Response:
        repository, key = self.predictor.repository, caller()
        a, b = first.version, second.version
        facts = {version: facts_of(repository, name, version) for version in (a, b)}
        same_rows = SameRows.of(repository, name, a, b) if a != b else None
        names = list(first.signature.names)
        return page(
            "compare.html",
            title=f"{name}: versions {a} and {b}",
            header=ModelHeader.of(repository, name, key),
            first=first,
            second=second,
            versions=repository.versions(name)[::-1],
            same_rows=same_rows,
            changes=changes(first, second, facts),
            curves=curves_of(same_rows, request.args.get("class", "")) if same_rows else Curves(),
            facts=facts,
            differences=differences,
            names=names,
            columns=_strongest_first(names, facts[b]),
        )

    def _differences(self, first: ModelManifest, second: ModelManifest) -> Differences:
        """Send the golden rows of both versions to both, and return where the answers differ, by the size of the
        difference if they are numbers."""
        differences = _asked(first, second)
        if differences.reason:
            return differences
        contexts = (request_context(), further_context())
        answers: list[Any] = []
        for model, context in zip((first, second), contexts, strict=True):
            options, size = PredictionOptions(wait=WAIT), request.content_length or 0
            job = self.predictor.predict(model, Grid(None, differences.rows), size, options, context)
            if job.status is not Status.SUCCEEDED or job.output is None:
                why = job.error.message if job.error else f"it is {job.status} after {WAIT:g} s"
                return replace(differences, reason=f"Version {model.version} did not answer: {why}.")
            answers.append(job.output["predictions"])
        numeric = _estimates(first) and _estimates(second)
        items = [
            Difference(row, before, now, now - before if numeric else None)
            for row, before, now in zip(differences.rows, answers[0], answers[1], strict=True)
            if before != now
        ]
        return replace(differences, items=sorted(items, key=lambda item: -abs(item.by or 0)))


def _asked(first: ModelManifest, second: ModelManifest) -> Differences:
    """Return the rows that both versions can be asked: the golden ones of both."""
    if first.signature.names != second.signature.names or first.signature.format is not second.signature.format:
        return Differences(reason="They take different inputs, so no row can be sent to both.")
    if first.signature.format is RowFormat.RECORDS:
        return Differences(reason="Models that take records cannot be compared row by row here.")
    rows = [list(row) for row in dict.fromkeys(map(tuple, (*first.golden.rows, *second.golden.rows)))]
    return Differences(rows, reason="" if rows else "Neither was published with rows to try.")


def _estimates(model: ModelManifest) -> bool:
    """Return whether each answer is a number, and no class that is written as one."""
    return [output.kind for output in model.signature.outputs] == [OutputKind.NUMBER]


def _strongest_first(names: Sequence[str], facts: Mapping[str, Any]) -> list[str]:
    """Return the names of the inputs, those first that matter most according to the report of a version."""
    measured = [column["name"] for column in facts.get("importance", {}).get("columns", ())]
    strongest = [name for name in measured if name in names]
    return [*strongest, *(name for name in names if name not in strongest)]
