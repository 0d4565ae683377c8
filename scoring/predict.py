"""Estimator and rows → plain predictions and probabilities, which JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.errors import Code, ModelgateError
from contract.jobs import Row, Value
from contract.manifest import ModelManifest, OutputKind
from scoring.matrix import to_matrix


@dataclass(frozen=True)
class Prediction:
    """One value a row; with probabilities, one mapping of label (as text) to probability a row."""

    values: list[Value]
    probabilities: list[Mapping[str, float | None]] | None
    warnings: list[str]


def predict(estimator: Any, manifest: ModelManifest, rows: Sequence[Row]) -> Prediction:
    """Raises `ModelgateError` (`model_error`) with the model's own exception, or when it answers with
    anything but one number or class a row."""
    signature = manifest.signature
    try:
        matrix = to_matrix(rows, signature, manifest.artifact.input_format)
        values = np.asarray(estimator.predict(matrix))
        table = np.asarray(estimator.predict_proba(matrix), dtype=float) if signature.output.probabilities else None
    except Exception as error:
        raise _model_error(
            manifest, f"raised {type(error).__name__}: {error}", exception=type(error).__name__
        ) from error
    if values.shape != (len(rows),):
        raise _model_error(manifest, f"answered with the shape {values.shape} to {len(rows)} rows")
    plain, warnings = _plain(values.tolist(), manifest)
    return Prediction(plain, None if table is None else _probabilities(table, manifest, len(rows)), warnings)


def _plain(values: list[Any], manifest: ModelManifest) -> tuple[list[Value], list[str]]:
    """What JSON can hold, and a warning about what is null because it is no finite number."""
    number = manifest.signature.output.kind is OutputKind.NUMBER
    expected = "number" if number else "class that JSON can hold"
    plain: list[Value] = []
    for value in values:
        # An array of objects keeps NumPy's own.
        value = value.item() if isinstance(value, np.generic) else value
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            plain.append(None)
        elif number and isinstance(value, int | float):
            plain.append(float(value))
        elif not number and isinstance(value, str | int | float):
            plain.append(value)
        else:
            raise _model_error(manifest, f"answered with a {type(value).__name__} instead of a {expected}")
    lost = [index for index, value in enumerate(plain) if value is None]
    if not lost:
        return plain, []
    shown = ", ".join(map(str, lost[:10])) + (", …" if len(lost) > 10 else "")
    return plain, [f"{len(lost)} of {len(plain)} predictions are not finite numbers and are null: rows {shown}"]


def _probabilities(table: Any, manifest: ModelManifest, rows: int) -> list[Mapping[str, float | None]]:
    labels = [str(label) for label in manifest.signature.output.labels or ()]
    if table.shape != (rows, len(labels)):
        raise _model_error(manifest, f"gave probabilities of the shape {table.shape} for {len(labels)} classes")
    return [
        {label: p if math.isfinite(p) else None for label, p in zip(labels, row, strict=True)} for row in table.tolist()
    ]


def _model_error(manifest: ModelManifest, what: str, **details: object) -> ModelgateError:
    return ModelgateError(
        Code.MODEL_ERROR,
        f"version {manifest.version} of the model {manifest.name!r} {what}",
        model=manifest.name,
        version=manifest.version,
        **details,
    )
