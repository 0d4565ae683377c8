"""Try a model: a form by its signature, or a CSV to drop, and the answer with its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, request

from contract.model.manifest import ModelManifest
from contract.rows.instances import Instances
from contract.work.api_keys import Scope
from contract.work.jobs import Job, Status
from gateway.http.clients import request_context
from gateway.http.exchange import caller, current, note_problem, noted
from gateway.http.forms import length_of
from gateway.http.problem_answers import problem_of
from gateway.http.rules import BodyLimit
from gateway.pages.api import Snippet, snippets
from gateway.pages.layout import asked_by_open_page, blueprint_of_pages, page
from gateway.pages.model_header import ModelHeader, sees_inputs
from gateway.pages.trying import form as try_form
from gateway.pages.trying.answers import MOST_ROWS, CsvAttempt, ShownAnswer, answer_to_csv, answer_to_row, uploaded_csv
from gateway.pages.trying.reasons import REFUSALS, WAIT, Explanation, Reasons
from gateway.problems import Problem
from gateway.problems.problem import missing_scope
from gateway.protocols import csv_rows
from gateway.serving.counterfactuals import Counterfactual, may_change
from gateway.serving.predicting import PredictionOptions, Predictor


@dataclass
class Attempt:
    """The row that a visitor has sent, with the answer or what is wrong with it. `errors` have the names of inputs.
    `is_remade`: the form was for another version, so nothing was predicted, and the `values` are to be checked.
    `is_draft`: it was sent because a value has changed, and not by the visitor. `why` and `otherwise` are None where
    the script of the page asks for them: then nobody waits for them to see the answer."""

    values: Mapping[str, str] = field(default_factory=dict)
    answer: ShownAnswer | None = None
    is_draft: bool = False
    why: Explanation | str | None = None
    otherwise: Counterfactual | str | None = None
    errors: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    is_remade: bool = False
    status: int = 200

    @property
    def has_reasons(self) -> bool:
        """Whether there is one answer, whose reasons the caller may learn."""
        job = self.answer.job if self.answer else None
        output: Any = job.output if job and job.status is Status.SUCCEEDED else None
        return output is not None and len(output["predictions"]) == 1 and sees_inputs(caller())


@dataclass(frozen=True)
class TryPages:
    """`rows`: the limit of a body of rows."""

    reasons: Reasons
    rows: BodyLimit

    @property
    def predictor(self) -> Predictor:
        return self.reasons.predictor

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("trying")

        @routes.get("/models/<name>/try", level=Scope.PREDICT, page=True)
        def form(name: str) -> Response:
            model = self._model(name, request.args.get("version", ""))
            return self._page(model, Attempt(try_form.example(model)))

        @routes.post("/models/<name>/try", level=Scope.PREDICT, page=True)
        def try_row(name: str) -> Response:
            model = self._model(name, request.form.get("version", ""))
            if not try_form.is_form_of(model):
                return self._page(model, Attempt(try_form.kept_values(model), is_remade=True))
            attempt = Attempt(try_form.sent_values(model), is_draft="draft" in request.args)
            if not attempt.is_draft:  # half of a value, which somebody goes on to enter, is no mistake of a client
                _note_request(model, _reference(name, request.form.get("version", "")))
            try:
                rows = try_form.row_of(model, attempt.values)
                attempt.answer = answer_to_row(self._predict(model, rows, made_up=attempt.is_draft), model.signature)
            except REFUSALS as error:
                problem = problem_of(error)
                if not attempt.is_draft:
                    note_problem(problem.code)
                _note(attempt, model, problem)
            if attempt.has_reasons and not asked_by_open_page(request.environ):
                attempt.why = self.reasons.why(model, attempt.values, request.form.get("class", ""))
                if may_change(model.signature):
                    attempt.otherwise = self.reasons.otherwise(model, attempt.values)
            return self._page(model, attempt)

        @routes.post("/models/<name>/try/why", level=Scope.PREDICT, page=True)
        def why(name: str) -> Response:
            model = self._explained(name)
            found = self.reasons.why(model, try_form.sent_values(model), request.form.get("class", ""))
            return page("trying/why.html", model=model, why=found)

        @routes.post("/models/<name>/try/otherwise", level=Scope.PREDICT, page=True)
        def otherwise(name: str) -> Response:
            model = self._explained(name)
            found = self.reasons.otherwise(model, try_form.sent_values(model))
            return page("trying/otherwise.html", model=model, otherwise=found)

        @routes.post("/models/<name>/try/file", level=Scope.PREDICT, page=True, body=self.rows)
        def try_file(name: str) -> Response:
            model = self._model(name, request.args.get("version", ""))
            upload = CsvAttempt()
            _note_request(model, _reference(name, request.args.get("version", "")))
            try:
                rows = csv_rows.read(uploaded_csv(upload), self.predictor.max_rows + 1)
                upload.answer = answer_to_csv(self._predict(model, rows), rows, model)
            except REFUSALS as error:
                problem = problem_of(error)
                note_problem(problem.code)
                upload.refuse(model, problem)
            return self._page(model, Attempt(try_form.example(model), status=upload.status), upload)

        return routes

    def _model(self, name: str, version: str) -> ModelManifest:
        """Return the version that was asked for, or the current one."""
        return self.predictor.model(_reference(name, version))

    def _explained(self, name: str) -> ModelManifest:
        """Return the version whose form was sent. Raises `Problem` for a caller who may not learn its inputs."""
        if not sees_inputs(caller()):
            raise missing_scope(caller(), Scope.READ)
        return self._model(name, request.form.get("form_version", ""))

    def _predict(self, model: ModelManifest, rows: Instances, *, made_up: bool = False) -> Job:
        options, context = PredictionOptions(wait=WAIT, made_up=made_up), request_context()
        job = self.predictor.predict(model, rows, length_of(request.environ), options, context)
        current().job_id = job.id
        return job

    def _page(self, model: ModelManifest, attempt: Attempt, upload: CsvAttempt | None = None) -> Response:
        key, repository = caller(), self.predictor.repository
        header = ModelHeader.of(repository, model.name, key)
        name = model.name if model.version == header.current else f"{model.name}@{model.version}"
        return page(
            "try.html",
            attempt.status,
            title=f"Try {model.name}",
            header=header,
            model=model,
            shown=sees_inputs(key),
            mode=try_form.entry_mode(model),
            fields=try_form.form_fields(model, attempt.values) if sees_inputs(key) else [],
            text=attempt.values.get("", ""),
            attempt=attempt,
            why=attempt.why,
            otherwise=attempt.otherwise,
            may_change=may_change(model.signature),
            upload=upload,
            versions=repository.versions(model.name)[::-1] if key.allows(Scope.READ) else [],
            snippets=_snippets(name, model, attempt.values if attempt.answer else try_form.example(model)),
        )


def _snippets(name: str, model: ModelManifest, values: Mapping[str, str]) -> list[Snippet]:
    """Return requests to `name` with the row that was sent, or with the example if it is none."""
    address = request.url_root.rstrip("/")
    try:
        return snippets(name, try_form.row_to_copy(model, values), address)
    except (ValueError, RecursionError):  # it is no JSON, too long to repeat, or nested without end
        return snippets(name, dict(model.example) if sees_inputs(caller()) else {}, address)


def _reference(name: str, version: str) -> str:
    return f"{name}@{version}" if version else name


def _note_request(model: ModelManifest, reference: str) -> None:
    """Note a request to the version of the form, which answers it even if a canary runs."""
    noted(model, reference)
    current().plain = False


def _note(attempt: Attempt, model: ModelManifest, problem: Problem) -> None:
    """Note what is wrong: beside its field where it has one, else above the form."""
    attempt.status = problem.status
    errors: Any = problem.members.get("errors") or []
    names = set(model.signature.names)
    for error in errors[:MOST_ROWS]:
        if error.get("field") in names and error.get("row") in (None, 0) and error["field"] not in attempt.errors:
            is_empty = not attempt.values.get(error["field"], "-").strip()
            attempt.errors[error["field"]] = "is empty; enter a value" if is_empty else error["message"]
    attempt.problems = [
        error["message"] if error.get("row") is None else f"row {error['row'] + 1}: {error['message']}"
        for error in errors[:MOST_ROWS]
        if error.get("field") not in attempt.errors or "" in attempt.values
    ] or ([] if attempt.errors else [problem.detail])
