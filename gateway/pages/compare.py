"""Two to five versions beside each other: what changed, metrics, curves, and rows on which they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Response, request

from contract.model.manifest import ModelManifest
from contract.model.signature import Field, OutputKind, RowFormat
from contract.model.signature_changes import decided
from contract.model.version_metrics import headline_first
from contract.rows.instances import Grid
from contract.wording import kind_in_words, listed, metric_in_words, number
from contract.work.api_keys import Scope
from contract.work.jobs import Status
from gateway.http.clients import further_context, request_context
from gateway.http.exchange import caller
from gateway.pages.charts.curves import Curves, curves_of
from gateway.pages.layout import blueprint_of_pages, page
from gateway.pages.model_header import ModelHeader, answer_of
from gateway.pages.same_rows import SameRows, facts_of
from gateway.pages.version_pages import offered
from gateway.pages.wording import count, trained_on
from gateway.problems import Problem, ProblemCode
from gateway.serving.model_versions import check_model, resolve
from gateway.serving.predicting import PredictionOptions, Predictor

NOTHING = "–"
MOST_COMPARED = 5
_MOST_INPUTS = 30
"""Changed inputs that the page shows."""

WAIT = 20.0
"""Seconds that a page waits for the answer of each version: a worker may have to load it first."""


@dataclass(frozen=True)
class Change:
    """`what` in each version; `NOTHING` where a version has none."""

    what: str
    values: Sequence[str]


@dataclass(frozen=True)
class Changes:
    """`main`: what they predict and from which inputs, the estimator, the rows, and parameters that all have.

    `one_sided`: parameters that not all versions have, mostly because its estimator is another one. `inputs_left_out`:
    how many changed inputs `main` leaves out.
    """

    main: list[Change]
    one_sided: list[Change]
    inputs_left_out: int


@dataclass(frozen=True)
class Difference:
    """A row to which versions give different `answers`. `by`: how much more the last one answers than the first, if
    all estimate a number."""

    values: Sequence[Any]
    answers: Sequence[Any]
    by: float | None


@dataclass(frozen=True)
class Differences:
    """How the answers of versions to the same `rows` differ. `items` is None before they are asked. `reason`: why
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
            models = self._versions(name)
            return self._page(name, models, _asked(models))

        # A form, because it makes jobs.
        @routes.post("/models/<name>/compare", level=Scope.PREDICT, page=True)
        def differ(name: str) -> Response:
            if not caller().allows(Scope.READ):
                raise Problem(ProblemCode.MISSING_SCOPE, "comparing versions needs the scope read besides predict")
            models = self._versions(name)
            return self._page(name, models, self._differences(models))

        return routes

    def _versions(self, name: str) -> list[ModelManifest]:
        """Return the versions that the address names, or else two that are worth comparing. Raises `Problem`."""
        repository = self.predictor.repository
        check_model(repository, name)
        older, newer = offered(repository, name)
        pair = [request.args.get("a") or str(older), request.args.get("b") or str(newer)]
        wanted = request.args.getlist("v") or pair
        if not 2 <= len(wanted) <= MOST_COMPARED:
            chosen = count(len(wanted), "version")
            detail = f"{chosen} cannot be compared; choose two to {MOST_COMPARED}, such as ?v=1&v=2"
            raise Problem(ProblemCode.INVALID_PARAMETER, detail)
        return [repository.manifest(*resolve(repository, f"{name}@{version}")) for version in wanted]

    def _page(self, name: str, models: Sequence[ModelManifest], differences: Differences) -> Response:
        repository, key = self.predictor.repository, caller()
        versions = list(dict.fromkeys(model.version for model in models))
        facts = {version: facts_of(repository, name, version) for version in versions}
        same_rows = SameRows.of(repository, name, *versions) if len(versions) == len(models) else None
        names = list(models[0].signature.names)
        return page(
            "compare.html",
            title=f"{name}: versions {listed_versions(versions)}",
            header=ModelHeader.of(repository, name, key),
            models=models,
            versions=repository.versions(name)[::-1],
            same_rows=same_rows,
            changes=changes(models, facts, measured=bool(same_rows and same_rows.metrics)),
            curves=curves_of(same_rows, request.args.get("class", "")) if same_rows else Curves(),
            differences=differences,
            names=names,
            columns=_strongest_first(names, facts[models[-1].version]),
        )

    def _differences(self, models: Sequence[ModelManifest]) -> Differences:
        """Send the golden rows of all versions to each, and return where the answers differ, by the size of the
        difference if they are numbers."""
        differences = _asked(models)
        if differences.reason:
            return differences
        answers: list[Any] = []
        for at, model in enumerate(models):
            context = further_context() if at else request_context()
            options, size = PredictionOptions(wait=WAIT), request.content_length or 0
            job = self.predictor.predict(model, Grid(None, differences.rows), size, options, context)
            if job.status is not Status.SUCCEEDED or job.output is None:
                why = job.error.message if job.error else f"it is {job.status} after {WAIT:g} s"
                return replace(differences, reason=f"Version {model.version} did not answer: {why}.")
            answers.append(job.output["predictions"])
        numeric = all(map(_estimates, models))
        items = [
            Difference(row, given, given[-1] - given[0] if numeric else None)
            for row, *given in zip(differences.rows, *answers, strict=True)
            if any(answer != given[0] for answer in given)
        ]
        return replace(differences, items=sorted(items, key=lambda item: -abs(item.by or 0)))


def _asked(models: Sequence[ModelManifest]) -> Differences:
    """Return the rows that all versions can be asked: the golden ones of each."""
    first = models[0].signature
    if any((model.signature.names, model.signature.format) != (first.names, first.format) for model in models):
        return Differences(reason="They take different inputs, so no row can be sent to all.")
    if first.format is RowFormat.RECORDS:
        return Differences(reason="Models that take records cannot be compared row by row here.")
    rows = [list(row) for row in dict.fromkeys(tuple(row) for model in models for row in model.golden.rows)]
    return Differences(rows, reason="" if rows else "None was published with rows to try.")


def listed_versions(versions: Sequence[int]) -> str:
    *others, last = map(str, versions)
    return f"{', '.join(others)} and {last}" if others else last


def _estimates(model: ModelManifest) -> bool:
    """Return whether each answer is a number, and no class that is written as one."""
    return [output.kind for output in model.signature.outputs] == [OutputKind.NUMBER]


def _strongest_first(names: Sequence[str], facts: Mapping[str, Any]) -> list[str]:
    """Return the names of the inputs, those first that matter most according to the report of a version."""
    measured = [column["name"] for column in facts.get("importance", {}).get("columns", ())]
    strongest = [name for name in measured if name in names]
    return [*strongest, *(name for name in names if name not in strongest)]


def changes(models: Sequence[ModelManifest], facts: Mapping[int, Mapping[str, Any]], *, measured: bool) -> Changes:
    """Return what differs. `facts`: those of the reports, by version. The headline metric of each on its own test is
    part of it, unless they were `measured` on the same rows."""
    inputs = list(_differing("input ", [{f.name: _holds(f) for f in model.signature.inputs} for model in models]))
    parameters = list(_differing("", [{n: str(v) for n, v in model.parameters.items()} for model in models]))
    quality = [{} if measured else _quality(model, facts[model.version]) for model in models]
    described = [_described(model, facts[model.version]) for model in models]
    shared = [change for change in parameters if NOTHING not in change.values]
    main = [*_differing("", quality), *_differing("", described), *inputs[:_MOST_INPUTS], *shared]
    return Changes(main, [p for p in parameters if p not in shared], max(0, len(inputs) - _MOST_INPUTS))


def _quality(model: ModelManifest, facts: Mapping[str, Any]) -> dict[str, str]:
    headline = headline_first(model.metrics, facts["headline"])[:1]
    return {f"{metric_in_words(name)}, each on its own test": number(model.metrics[name]) for name in headline}


def _described(model: ModelManifest, facts: Mapping[str, Any]) -> dict[str, str]:
    described = {
        "predicts": " · ".join(filter(None, (model.training_data.target, answer_of(model.signature)))),
        "decides": decided(model.signature.output) if model.signature.outputs and model.signature.output.labels else "",
        "recipe": model.recipe,
        "estimator": _estimator(facts),
        "trained on": trained_on(model.training_data),
        "column of ids": model.signature.id_field,
    }
    return {what: text for what, text in described.items() if text}


def _estimator(facts: Mapping[str, Any]) -> str:
    """Return the candidate that the training chose, or '' if the report does not say."""
    candidates = facts.get("candidates")
    items = candidates.get("items", ()) if isinstance(candidates, Mapping) else ()
    return next((str(item["name"]) for item in items if item.get("chosen")), "")


def _holds(field: Field) -> str:
    """Return what an input holds, in words."""
    values = "" if field.categories is None else f": {listed(field.categories, 5)}"
    return f"{kind_in_words(field.kind)}{values}{', may be empty' if field.nullable else ''}"


def _differing(prefix: str, described: Sequence[Mapping[str, str]]) -> Iterator[Change]:
    for name in dict.fromkeys(name for one in described for name in one):
        values = [one.get(name, NOTHING) for one in described]
        if any(value != values[0] for value in values):
            yield Change(prefix + name, values)
