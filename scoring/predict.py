"""Predicts rows: values and probabilities that JSON can hold."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any, cast

import numpy as np

from contract.errors import Code, Failure, ModelgateError
from contract.jobs import Row, Value
from contract.manifest import ManifestDraft, ModelManifest, OutputKind
from scoring.estimators import predict_rows

Manifest = ModelManifest | ManifestDraft
"""The manifest of a published version, or the draft of one that is not published yet."""

_MAX_MESSAGE = 2000
"""Most characters of a model's exception that a failure quotes."""


@dataclass(slots=True)
class Prediction:
    """A value for each row, and, with probabilities, a mapping of label (as text) to probability for each row.

    Not frozen: a scorer makes one for every job, and a frozen dataclass takes three times as long to make.
    """

    values: list[Value]
    probabilities: list[Mapping[str, float | None]] | None
    warnings: list[str]


def predict(estimator: Any, manifest: Manifest, rows: Sequence[Row]) -> Prediction:
    """Predict rows. Raises `ModelgateError` (`model_error`) if the model raises, or does not answer each row with one
    number or class. Raises `MemoryError`."""
    (answer,) = predict_each(estimator, manifest, [rows])
    if isinstance(answer, Failure):
        raise ModelgateError(answer.code, answer.message, **answer.details)
    return answer


def predict_each(estimator: Any, manifest: Manifest, parts: Sequence[Sequence[Row]]) -> list[Prediction | Failure]:
    """Predict each of `parts` (the rows of one job) with one call of the model. Invalid answers fail their part alone.

    Raises what `predict` raises if the model raises, or answers another number of rows: it is unknown which part is to
    blame.
    """
    rows = parts[0] if len(parts) == 1 else list(chain.from_iterable(parts))
    signature = manifest.signature
    try:
        values, table = predict_rows(estimator, rows, signature, manifest.artifact)
    except MemoryError:
        raise
    except Exception as error:
        raise manifest.error(Code.MODEL_ERROR, f"raised {_described(error)}", exception=type(error).__name__) from error
    if values.shape != (len(rows),):
        raise manifest.error(Code.MODEL_ERROR, f"answered {len(rows)} rows with an array of the shape {values.shape}")
    plain, spans = _all_plain(values, manifest), _spans(parts)
    answers = [_each_plain(values[span].tolist(), manifest) if plain is None else plain[span] for span in spans]
    if all(isinstance(answer, Failure) for answer in answers):
        return cast(list[Prediction | Failure], answers)
    tables = None if table is None else _probabilities(table, manifest, len(rows))
    return [
        answer
        if isinstance(answer, Failure)
        else Prediction(answer, tables and tables[span], _warnings(answer) if plain is None else [])
        for answer, span in zip(answers, spans, strict=True)
    ]


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
    return Prediction(values, list(chain.from_iterable(tables)) if tables else None, _warnings(values))


def _all_plain(values: Any, manifest: Manifest) -> list[Value] | None:
    """Return all values if their dtype says that they are valid; None if each has to be checked."""
    number = manifest.signature.output.kind is OutputKind.NUMBER
    kind = values.dtype.kind
    if kind not in ("fiub" if number else "fiubU") or (kind == "f" and not np.isfinite(values).all()):
        return None
    plain: list[Value] = (values.astype(np.float64) if number else values).tolist()
    return plain


def _each_plain(values: list[Any], manifest: Manifest) -> list[Value] | Failure:
    """Return the values as JSON has them, null for what is not a finite number; a failure if one is of another type."""
    number = manifest.signature.output.kind is OutputKind.NUMBER
    expected = "number" if number else "class that JSON can hold"
    plain: list[Value] = []
    for value in values:
        # An array of objects keeps NumPy's own.
        value = value.item() if isinstance(value, np.generic) else value
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            plain.append(None)
        elif number and isinstance(value, int | float) and abs(value) <= sys.float_info.max:
            plain.append(float(value))
        elif not number and isinstance(value, str | int | float):
            plain.append(value)
        else:
            what = f"answered with a {type(value).__name__} instead of a {expected}"
            return manifest.error(Code.MODEL_ERROR, what).failure
    return plain


def _warnings(plain: Sequence[Value]) -> list[str]:
    lost = [index for index, value in enumerate(plain) if value is None]
    if not lost:
        return []
    shown = ", ".join(map(str, lost[:10])) + (", …" if len(lost) > 10 else "")
    return [f"{len(lost)} of {len(plain)} predictions are not finite numbers and are null: rows {shown}"]


def _probabilities(table: Any, manifest: Manifest, rows: int) -> list[Mapping[str, float | None]]:
    labels = [str(label) for label in manifest.signature.output.labels or ()]
    if table.shape != (rows, len(labels)):
        raise manifest.error(
            Code.MODEL_ERROR, f"gave probabilities of the shape {table.shape} for {len(labels)} classes"
        )
    if np.isfinite(table).all():
        return [dict(zip(labels, row, strict=True)) for row in table.tolist()]
    return [
        {label: p if math.isfinite(p) else None for label, p in zip(labels, row, strict=True)} for row in table.tolist()
    ]
