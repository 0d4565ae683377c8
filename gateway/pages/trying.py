"""Try a model: a form by its signature, or a CSV to drop, and the answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, cast
from urllib.parse import quote

from flask import Blueprint, Response, request
from redis.exceptions import RedisError
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from contract.answer_columns import answer_names
from contract.errors import InvalidInstances
from contract.instances import Instances, Records
from contract.jobs import Job, Status
from contract.keys import Scope
from contract.manifest import ModelManifest
from contract.signature import PREDICT, Field, Kind, RowFormat
from gateway.clients import request_context
from gateway.exchange import caller, current
from gateway.forms import length_of
from gateway.pages.layout import blueprint_of_pages, page, see
from gateway.pages.model_header import ModelHeader, sees_inputs
from gateway.pages.snippets import Snippet, snippets
from gateway.problems import Problem, problem_of
from gateway.protocols import csv_answers, csv_rows, native
from gateway.refusals import Refusal
from gateway.rules import BodyLimit, Level
from gateway.serving.predicting import PredictionOptions, Predictor

WAIT = 10.0
"""Seconds that a page waits for the answer."""
MOST_FIELDS = 200
"""A model with more inputs gets one box for the row as JSON, instead of a field for each."""
MOST_ROWS, MOST_CLASSES = 50, 20
"""Rows and classes that a page shows."""
MOST_SENT = 20_000
"""Characters of a row of JSON that is repeated in the requests to copy."""
_MOST_BYTES = 4 * 1024 * 1024
"""The largest CSV of answers, in bytes, that a page carries for the download."""


@dataclass(frozen=True)
class ClassProbability:
    """The probability of a class."""

    label: str
    value: float


@dataclass(frozen=True)
class Answer:
    """What the page shows of a job. `rows`: some of the rows of a CSV, with the names of their `columns`. `csv`: the
    whole CSV of answers as base64, unless it is too large."""

    job: Job
    text: str = ""
    probabilities: Sequence[ClassProbability] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    csv: str = ""


@dataclass
class Attempt:
    """The row that a visitor has sent, with the answer or what is wrong with it. `errors` have the names of inputs."""

    values: Mapping[str, str] = field(default_factory=dict)
    answer: Answer | None = None
    errors: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    status: int = 200


@dataclass(frozen=True)
class TryPages:
    """`rows`: the limit of a body of rows."""

    predictor: Predictor
    rows: BodyLimit

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("trying")

        # Any key: one that may not predict is sent to what it may read.
        @routes.get("/models/<name>", level=Level.OWN, page=True)
        def form(name: str) -> Response:
            if not caller().allows(Scope.PREDICT):
                return see(f"/ui/models/{quote(name)}/versions")
            model = self._model(name, request.args.get("version", ""))
            return self._page(model, Attempt(_example(model)))

        @routes.post("/models/<name>/try", level=Level.PREDICT, page=True)
        def try_row(name: str) -> Response:
            model = self._model(name, request.form.get("version", ""))
            attempt = Attempt(_values(model))
            self._attempt(model, attempt, lambda: _row(model, attempt.values), as_csv=False)
            return self._page(model, attempt)

        @routes.post("/models/<name>/try-file", level=Level.PREDICT, page=True, body=self.rows)
        def try_file(name: str) -> Response:
            model = self._model(name, request.args.get("version", ""))
            attempt = Attempt(_example(model))
            self._attempt(model, attempt, lambda: csv_rows.read(_file(), self.predictor.max_rows + 1), as_csv=True)
            return self._page(model, attempt)

        return routes

    def _model(self, name: str, version: str) -> ModelManifest:
        return self.predictor.model(f"{name}@{version}" if version else name)

    def _attempt(self, model: ModelManifest, attempt: Attempt, read: Callable[[], Instances], *, as_csv: bool) -> None:
        """Read the rows and predict. Note the answer, or what is wrong, in the attempt."""
        exchange = current()
        exchange.model, exchange.version = model.name, model.version
        try:
            rows = read()
            options, context = PredictionOptions(wait=WAIT), request_context(request.environ)
            job = self.predictor.predict(model, rows, length_of(request.environ), options, context)
        except (InvalidInstances, Problem, Refusal, RedisError) as error:
            _note(attempt, model, problem_of(error))
            return
        exchange.job_id = job.id
        attempt.answer = _of_rows(job, rows, model) if as_csv else _of_row(job)

    def _page(self, model: ModelManifest, attempt: Attempt) -> Response:
        key, repository = caller(), self.predictor.repository
        shown = sees_inputs(key)
        values = [attempt.values.get(one.name, "") for one in model.signature.inputs]
        header = ModelHeader.of(repository, model.name, key)
        name = model.name if model.version == header.current else f"{model.name}@{model.version}"
        return page(
            "try.html",
            attempt.status,
            title=f"Try {model.name}",
            header=header,
            model=model,
            shown=shown,
            mode=_mode(model, shown),
            fields=list(zip(model.signature.inputs, values, strict=True)) if shown else [],
            text=attempt.values.get("", ""),
            attempt=attempt,
            versions=repository.versions(model.name)[::-1] if key.allows(Scope.READ) else [],
            snippets=_snippets(name, model, attempt.values),
            most_rows=MOST_ROWS,
        )


def _mode(model: ModelManifest, shown: bool) -> str:
    """Return how a row is entered: by `fields`, as a `text`, or as `json`."""
    signature = model.signature
    if signature.format is RowFormat.TEXTS:
        return "text"
    return (
        "fields" if shown and signature.format is RowFormat.TABLE and len(signature.inputs) <= MOST_FIELDS else "json"
    )


def _example(model: ModelManifest) -> dict[str, str]:
    """Return the example of the model: a text for each input, and under '' the whole row as JSON, or as its text."""
    shown = dict(model.example) if sees_inputs(caller()) else {}
    if model.signature.format is RowFormat.TEXTS:
        return {"": str(next(iter(shown.values()), ""))}
    texts = {name: _text(value) for name, value in shown.items()}
    return {**texts, "": json.dumps(shown, indent=2, ensure_ascii=False) if shown else "{}"}


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _values(model: ModelManifest) -> dict[str, str]:
    """Return the fields of the form. They are named by number, since the name of an input may be anything."""
    if "row" in request.form or not sees_inputs(caller()):
        return {"": request.form.get("row", "")}
    inputs = model.signature.inputs
    return {one.name: request.form.get(f"input-{place}", "") for place, one in enumerate(inputs)}


def _row(model: ModelManifest, values: Mapping[str, str]) -> Instances:
    if "" in values and model.signature.format is RowFormat.TEXTS:
        return Records([{model.signature.names[0]: values[""]}])
    if "" in values:
        return native.read(values[""].encode(), model.signature)
    return Records([{name: value if value.strip() else None for name, value in values.items()}])


def _snippets(name: str, model: ModelManifest, values: Mapping[str, str]) -> list[Snippet]:
    """Return requests to `name` with the row that was sent, or with the example if it is none."""
    address = request.url_root.rstrip("/")
    try:
        return snippets(name, _sent(model, values), address)
    except (ValueError, RecursionError):  # it is no JSON, too long to repeat, or nested without end
        return snippets(name, dict(model.example) if sees_inputs(caller()) else {}, address)


def _sent(model: ModelManifest, values: Mapping[str, str]) -> object:
    """Return the row for the snippets: with numbers where the text is one. Raises `ValueError` if it is no JSON, or too
    long."""
    if model.signature.format is RowFormat.TEXTS:
        return values.get("", "")
    if set(values) == {""}:
        if len(values[""]) > MOST_SENT:
            raise ValueError(f"the row has more than {MOST_SENT} characters")
        return json.loads(values[""])
    return {one.name: _typed(one, values.get(one.name, "")) for one in model.signature.inputs}


def _typed(one: Field, text: str) -> object:
    if not text.strip():
        return None
    try:
        if one.kind in (Kind.NUMBER, Kind.INTEGER):
            return json.loads(text)
    except ValueError:
        return text
    return text == "true" if one.kind is Kind.BOOLEAN and text in ("true", "false") else text


def _file() -> bytes:
    """Return the file in the body. Raises `Problem` (422) without one."""
    length, body = length_of(request.environ), cast(Any, request.environ["wsgi.input"])
    _, options = parse_options_header(request.environ.get("CONTENT_TYPE"))
    parser = FormDataParser(stream_factory=cast(Any, lambda **_: BytesIO()), max_form_parts=2, silent=False)
    try:
        _, _, files = parser.parse(body, "multipart/form-data", length, options)
    except (ValueError, RequestEntityTooLarge) as error:
        raise Problem(400, "malformed_body", f"the form cannot be read: {error}") from error
    file = next(iter(files.values()), None)
    if file is None or not file.filename:
        raise Problem(422, "no_rows", "no file was chosen; choose a CSV with a header and rows")
    return bytes(file.read())


def _note(attempt: Attempt, model: ModelManifest, problem: Problem) -> None:
    """Note what is wrong: beside its field where it has one, else above the form."""
    attempt.status = problem.status
    errors: Any = problem.members.get("errors") or []
    names = set(model.signature.names)
    for error in errors[:MOST_ROWS]:
        if error.get("field") in names and error.get("row") in (None, 0) and error["field"] not in attempt.errors:
            attempt.errors[error["field"]] = error["message"]
    attempt.problems = [
        error["message"] if error.get("row") is None else f"row {error['row'] + 1}: {error['message']}"
        for error in errors[:MOST_ROWS]
        if error.get("field") not in attempt.errors or "" in attempt.values
    ] or ([] if attempt.errors else [problem.detail])


def _of_row(job: Job) -> Answer:
    """Return the answer to one row."""
    if job.status is not Status.SUCCEEDED or job.output is None:
        return Answer(job)
    output: Mapping[str, Any] = job.output
    given = (output.get("probabilities") or [None])[0]
    found: list[ClassProbability] = []
    if isinstance(given, dict) and all(isinstance(value, (int, float)) for value in given.values()):
        found = sorted((ClassProbability(*item) for item in given.items()), key=lambda one: -one.value)
    return Answer(job, _shown(output["predictions"][0]), found[:MOST_CLASSES])


def _of_rows(job: Job, rows: Instances, model: ModelManifest) -> Answer:
    """Return the answer to the rows of a CSV."""
    if job.status is not Status.SUCCEEDED:
        return Answer(job)
    written = csv_answers.write(job, rows, model.signature, PREDICT.name, escape=True)
    lines = csv_rows.read(written, MOST_ROWS)
    columns, cells = list(getattr(lines, "columns", None) or ()), lines.rows
    added = len(answer_names(model.signature, PREDICT.name, ()))
    order = [*range(len(columns) - added, len(columns)), *range(len(columns) - added)]  # the answers come first
    return Answer(
        job,
        columns=[columns[place] for place in order],
        rows=[[_shown(cast(Any, row)[place]) for place in order] for row in cells],
        csv=base64.b64encode(written).decode() if len(written) <= _MOST_BYTES else "",
    )


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return "–" if value is None else str(value)
