"""Predicts rows: values, probabilities and scores that JSON can hold; or what another method answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any

import numpy as np
from modelgate_kernels import ModelKernel

from contract.errors import Code, Failure
from contract.model.manifest import ManifestDraft, ModelManifest
from contract.model.signature import PREDICT, Output, OutputKind
from contract.row import Answer, Row
from scoring.answers import (
    InvalidAnswer,
    all_plain,
    answers_of,
    columns_of,
    decided,
    each_plain,
    probabilities_by_label,
    probability_columns,
    together,
    with_label_names,
)
from scoring.estimators import call_method, predict_rows

Manifest = ModelManifest | ManifestDraft
"""The manifest of a published version, or the draft of one that is not published yet."""

_SCORE = Output(OutputKind.NUMBER)
MOST_APART = 500
"""Rows of a table that are asked one by one, where that stands for the whole of it."""
_MAX_MESSAGE = 2000
"""Most characters of a model's exception that a failure quotes."""


@dataclass(slots=True)
class Prediction:
    """An answer for each row; with probabilities, numbers by class label for each row; with scores, one for each row.

    Not frozen: a scorer makes one for every job, and a frozen dataclass takes three times as long to make.
    """

    values: Sequence[Answer]
    probabilities: Sequence[Answer] | None
    warnings: list[str]
    scores: Sequence[Answer] | None = None


def predict(
    estimator: Any, manifest: Manifest, rows: Sequence[Row], kernel: ModelKernel | None = None, method: str = ""
) -> Prediction:
    """Return what a method answers, by default the first one of the signature: predictions, if the version has any.

    Raises `ModelgateError` (`model_error`) if the model raises, or does not answer each row as its signature says.
    Raises `MemoryError`.
    """
    (answer,) = _each(estimator, manifest, [rows], method or manifest.signature.methods[0].name, kernel)
    if isinstance(answer, InvalidAnswer):
        raise manifest.error(Code.MODEL_ERROR, str(answer)) from answer
    return answer


def predict_each(
    estimator: Any,
    manifest: Manifest,
    parts: Sequence[Sequence[Row]],
    method: str = PREDICT.name,
    kernel: ModelKernel | None = None,
) -> list[Prediction | Failure]:
    """Predict each of `parts` (the rows of one job) with one call of the method. Invalid answers fail their part alone.

    Raises what `predict` raises if the model raises, or answers another number of rows: it is unknown which part is to
    blame. If the rows of one part may change the answers to others (`alone`), each part gets a call of its own.
    """
    calls = [[part] for part in parts] if manifest.artifact.alone else [parts]
    answers = chain.from_iterable(_each(estimator, manifest, call, method, kernel) for call in calls)
    return [
        manifest.error(Code.MODEL_ERROR, str(answer)).failure if isinstance(answer, InvalidAnswer) else answer
        for answer in answers
    ]


def _each(
    estimator: Any, manifest: Manifest, parts: Sequence[Sequence[Row]], method: str, kernel: ModelKernel | None
) -> Sequence[Prediction | InvalidAnswer]:
    rows = parts[0] if len(parts) == 1 else list(chain.from_iterable(parts))
    signature, artifact = manifest.signature, manifest.artifact
    try:
        if method == PREDICT.name and signature.outputs:
            values, tables, scores = _returned(manifest, predict_rows, estimator, rows, signature, artifact, kernel)
            values = decided(values, tables, signature.output)
            return _predicted(values, tables, scores, signature.outputs, len(rows), _spans(parts))
        described = signature.method(method)
        if described is None:
            raise InvalidAnswer(f"has no {method[:64]!r}")
        values = _returned(manifest, call_method, estimator, rows, signature, artifact, method, kernel)
        answers = answers_of(values, described, signature, len(rows))
        return [Prediction(part := answers[span], None, _warnings(part)) for span in _spans(parts)]
    except InvalidAnswer as error:
        raise manifest.error(Code.MODEL_ERROR, str(error)) from error


def _predicted(
    values: Any, tables: Any, scores: Any, outputs: Sequence[Output], rows: int, spans: Sequence[slice]
) -> Sequence[Prediction | InvalidAnswer]:
    """Return the predictions of each part in what `predict_rows` has returned."""
    columns = columns_of(values, outputs, rows)
    converted = (all_plain(column, output) for column, output in zip(columns, outputs, strict=True))
    plain = [values for values in converted if values is not None]
    valid = len(plain) == len(outputs)
    if valid:
        whole = together(list(map(with_label_names, plain, outputs)), outputs)
        answers: list[Sequence[Answer] | InvalidAnswer] = [whole[span] for span in spans]
    else:
        answers = [_checked(columns, span, outputs) for span in spans]
    if all(isinstance(answer, InvalidAnswer) for answer in answers):
        return [answer for answer in answers if isinstance(answer, InvalidAnswer)]
    by_label = None if tables is None else probabilities_by_label(tables, outputs, rows)
    score = None if scores is None else each_plain(scores.tolist(), _SCORE)
    return [
        answer
        if isinstance(answer, InvalidAnswer)
        else Prediction(answer, by_label and by_label[span], [] if valid else _warnings(answer), score and score[span])
        for answer, span in zip(answers, spans, strict=True)
    ]


def predict_apart(estimator: Any, manifest: Manifest, rows: Sequence[Row]) -> Sequence[Answer]:
    """Return the values that `predict` answers to rows of different requests, of the first rows alone if each has to be
    asked by itself. Raises as `predict`."""
    parts = [[row] for row in rows[:MOST_APART]] if manifest.artifact.alone else [rows]
    return list(chain.from_iterable(predict(estimator, manifest, part).values for part in parts))


def predict_columns(
    estimator: Any, manifest: Manifest, rows: Sequence[Row], kernel: ModelKernel | None = None
) -> list[Sequence[Any]]:
    """Return the columns of `contract.rows.answer_columns` that `predict` adds; probabilities and scores as arrays,
    where NaN is null. It makes no object for a row, which is most of the time of a linear model. Raises as
    `predict`."""
    signature = manifest.signature
    outputs = signature.outputs
    values, tables, scores = _returned(manifest, predict_rows, estimator, rows, signature, manifest.artifact, kernel)
    try:
        columns = columns_of(decided(values, tables, signature.output), outputs, len(rows))
        plain = [
            each_plain(column.tolist(), output) if (valid := all_plain(column, output)) is None else valid
            for column, output in zip(columns, outputs, strict=True)
        ]
        added = [] if tables is None else probability_columns(tables, outputs, len(rows))
    except InvalidAnswer as error:
        raise manifest.error(Code.MODEL_ERROR, str(error)) from error
    if scores is not None:
        added.append(np.where(np.isfinite(scores), scores, np.nan))
    return [*map(with_label_names, plain, outputs), *added]


def _returned(manifest: Manifest, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function that asks the model. Raises `ModelgateError` (`model_error`) with what the model raises."""
    try:
        return function(*arguments)
    except MemoryError:
        raise
    except Exception as error:
        raise manifest.error(Code.MODEL_ERROR, f"raised {_described(error)}", exception=type(error).__name__) from error


def _checked(columns: Sequence[Any], span: slice, outputs: Sequence[Output]) -> Sequence[Answer] | InvalidAnswer:
    """Return the predictions of one part, each checked; or why one of them is invalid."""
    try:
        plain = [each_plain(column[span].tolist(), output) for column, output in zip(columns, outputs, strict=True)]
    except InvalidAnswer as error:
        return error
    return together(list(map(with_label_names, plain, outputs)), outputs)


def _spans(parts: Sequence[Sequence[Row]]) -> list[slice]:
    """Return where the rows of each part are among all rows."""
    ends = list(accumulate(map(len, parts), initial=0))
    return [slice(begin, end) for begin, end in pairwise(ends)]


def _described(error: Exception) -> str:
    try:
        text = str(error)
    except Exception as another:
        text = f"(its message cannot be read: {type(another).__name__})"
    # JSON in UTF-8 holds no lone surrogates, and a job in Redis should not quote a whole table.
    return f"{type(error).__name__}: {text[:_MAX_MESSAGE]}".encode(errors="backslashreplace").decode()


def join(parts: Sequence[Prediction]) -> Prediction:
    """Return one prediction for the rows of all `parts`."""
    if len(parts) == 1:
        return parts[0]
    values = list(chain.from_iterable(part.values for part in parts))
    tables = [part.probabilities for part in parts if part.probabilities is not None]
    scores = [part.scores for part in parts if part.scores is not None]
    return Prediction(
        values,
        list(chain.from_iterable(tables)) if tables else None,
        _warnings(values),
        list(chain.from_iterable(scores)) if scores else None,
    )


def _warnings(answers: Sequence[Answer]) -> list[str]:
    lost = [index for index, answer in enumerate(answers) if _has_null(answer)]
    if not lost:
        return []
    shown = ", ".join(map(str, lost[:10])) + (", …" if len(lost) > 10 else "")
    return [f"{len(lost)} of {len(answers)} predictions are not finite numbers and are null: rows {shown}"]


def _has_null(answer: Answer) -> bool:
    if isinstance(answer, Mapping | list):
        return any(map(_has_null, answer.values() if isinstance(answer, Mapping) else answer))
    return answer is None
