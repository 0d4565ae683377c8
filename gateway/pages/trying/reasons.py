"""What the page to try a model says of the answer to a row: why it is this one, and what would change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import request
from redis.exceptions import RedisError

from contract.errors import InvalidInstances
from contract.model.manifest import ModelManifest
from contract.model.signature import RowFormat, Signature
from contract.row import Row
from contract.rows.answer_columns import unnamed
from contract.rows.coercion import coerce
from contract.rows.instances import Grid, Instances
from contract.work.explanations import ExplainRequest
from contract.work.jobs import Job
from gateway.http.clients import further_context
from gateway.http.forms import length_of
from gateway.http.problem_answers import problem_of
from gateway.pages.charts.waterfall import Waterfall, waterfall_of
from gateway.pages.trying.form import row_of
from gateway.problems import Problem
from gateway.serving.counterfactuals import Counterfactual, find_counterfactual
from gateway.serving.predicting import PredictionOptions, Predictor

WAIT = 10.0
"""Seconds that a page waits for the answer."""
REFUSALS = (InvalidInstances, Problem, RedisError)
"""What a page shows beside its form, and not as an error page."""


@dataclass(frozen=True)
class Explanation:
    """What the model `said`, as a `waterfall`, too. `chosen`: the class that was asked for, or ''."""

    said: Mapping[str, Any]
    waterfall: Waterfall
    chosen: str
    warnings: Sequence[str]


@dataclass(frozen=True)
class Reasons:
    """Methods return a text that says why there is nothing, where there is nothing."""

    predictor: Predictor

    def why(self, model: ModelManifest, values: Mapping[str, str], label: str) -> Explanation | str:
        """Explain the answer to what was entered, or that for the class `label`."""
        try:
            rows = row_of(model, values)
            options = PredictionOptions(wait=WAIT, explain=ExplainRequest(label=label or None))
            job = self._succeeded(model, rows, options)
            said = _output(job)["predictions"][0]
            waterfall = waterfall_of(said, _by_name(model.signature, _first(model, rows)))
        except REFUSALS as error:
            return problem_of(error).sentence()
        return Explanation(said, waterfall, label, job.warnings)

    def otherwise(self, model: ModelManifest, values: Mapping[str, str]) -> Counterfactual | str:
        """Return what would change the answer to what was entered. The model answers with a class (`may_change`)."""

        def predict(rows: Sequence[Row]) -> Mapping[str, Any]:
            output = _output(self._succeeded(model, Grid(None, rows), PredictionOptions(wait=WAIT, made_up=True)))
            return {name: unnamed(output.get(name), model.signature) for name in ("predictions", "probabilities")}

        if model.profile is None:
            return f"nothing says what the training of version {model.version} saw"
        try:
            row = _first(model, row_of(model, values))
            return find_counterfactual(model.signature, model.profile, row, predict)
        except REFUSALS as error:
            return problem_of(error).sentence()

    def _succeeded(self, model: ModelManifest, rows: Instances, options: PredictionOptions) -> Job:
        """Return a job that has succeeded. Raises as `Predictor` does."""
        size = len(rows.rows) * length_of(request.environ)
        job = self.predictor.predict(model, rows, size, options, further_context())
        return self.predictor.succeeded(job, WAIT)


def _output(job: Job) -> Mapping[str, Any]:
    return job.output or {}


def _first(model: ModelManifest, rows: Instances) -> Row:
    return coerce(rows, model.signature).rows[0]


def _by_name(signature: Signature, row: Row) -> Mapping[str, Any]:
    """Return the values of a row by name; nothing for a text, whose words have the contributions."""
    if signature.format is RowFormat.TABLE:
        return dict(zip(signature.names, row, strict=True))
    return row[0] if signature.format is RowFormat.RECORDS else {}
