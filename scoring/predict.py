"""Estimator and rows → plain predictions and probabilities, which JSON can hold."""

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
"""A version is tried before it is published, too."""

_LONGEST = 2000
"""Characters of a model's own exception that are kept."""


@dataclass(slots=True)
class Prediction:
    """One value a row; with probabilities, one mapping of label (as text) to probability a row."""

    values: list[Value]
    probabilities: list[Mapping[str, float | None]] | None
    warnings: list[str]


def predict(estimator: Any, manifest: Manifest, rows: Sequence[Row]) -> Prediction:
    """Raises `ModelgateError` (`model_error`) with the model's own exception, or when it answers with
    anything but one number or class a row. Raises `MemoryError`."""
    (answer,) = predict_each(estimator, manifest, [rows])
    if isinstance(answer, Failure):
        raise ModelgateError(answer.code, answer.message, **answer.details)
    return answer


def predict_each(estimator: Any, manifest: Manifest, parts: Sequence[Sequence[Row]]) -> list[Prediction | Failure]:
    """For each of `parts` (rows that belong together) what `predict` would answer or raise, from one call of the model.

    Raises as `predict` does when the model raises, or when it answers with another number of rows: then nobody
    knows whose rows are to blame.
    """
    rows = parts[0] if len(parts) == 1 else list(chain.from_iterable(parts))
    signature = manifest.signature
    try:
        values, table = predict_rows(estimator, rows, signature, manifest.artifact)
    except MemoryError:
        raise
    except Exception as error:
        raise manifest.error(Code.MODEL_ERROR, f"raised {_said(error)}", exception=type(error).__name__) from error
    if values.shape != (len(rows),):
        raise manifest.error(Code.MODEL_ERROR, f"answered with the shape {values.shape} to {len(rows)} rows")
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
    """Where the rows of each part stand among all rows."""
    ends = list(accumulate(map(len, parts), initial=0))
    return [slice(begin, end) for begin, end in pairwise(ends)]


def _said(error: Exception) -> str:
    try:
        text = str(error)
    except Exception as another:
        text = f"(its text cannot be had: {type(another).__name__})"
    # JSON in UTF-8 holds no lone surrogates, and a job in Redis is no place for a whole table.
    return f"{type(error).__name__}: {text[:_LONGEST]}".encode(errors="backslashreplace").decode()


def join(parts: Sequence[Prediction]) -> Prediction:
    """The prediction for all rows of `parts` together."""
    if len(parts) == 1:
        return parts[0]
    values = list(chain.from_iterable(part.values for part in parts))
    tables = [part.probabilities for part in parts if part.probabilities is not None]
    return Prediction(values, list(chain.from_iterable(tables)) if tables else None, _warnings(values))


def _all_plain(values: Any, manifest: Manifest) -> list[Value] | None:
    """All values at once where their type leaves no doubt; None where each has to be looked at."""
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
