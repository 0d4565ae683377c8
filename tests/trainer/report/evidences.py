"""Evidence for reports of an estimator, fitted as the trainer does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from modelgate_kernels.matrix import to_matrix
from sklearn.model_selection import train_test_split

from contract.model.manifest import (
    Artifact,
    ArtifactDraft,
    ArtifactFormat,
    InputFormat,
    ManifestDraft,
    ModelManifest,
    TrainingData,
)
from contract.model.signature import Field, Output, OutputKind, Signature
from contract.row import Row, Value
from scoring.artifacts import library_versions
from tests.support import numbers
from trainer.report.evidence import Evidence
from trainer.tables.training_rows import take_rows
from trainer.training.fitting import evaluate


def evidence_of(
    estimator: Any,
    rows: Sequence[Row],
    targets: Sequence[Value],
    inputs: Sequence[Field] | None = None,
    *,
    input_format: InputFormat = InputFormat.ARRAY,
    test_rows: Sequence[int] | None = None,
    draft: dict[str, Any] | None = None,
    **more: Any,
) -> Evidence:
    """`estimator` fitted on three quarters of the rows and tested on the others, or on `test_rows`."""
    inputs = tuple(inputs or numbers(*(f"x{index}" for index in range(len(rows[0])))))
    X, y = to_matrix(rows, inputs, input_format), np.array(targets)
    order = np.arange(len(rows))
    fit_on, test_on = (order, order[test_rows]) if test_rows else train_test_split(order, random_state=42)
    take = partial(take_rows, X)
    estimator.fit(take(fit_on), y[fit_on])
    classes = getattr(estimator, "classes_", None)
    kind = OutputKind.NUMBER if classes is None else OutputKind.CLASS
    labels = None if classes is None else tuple(classes.tolist())
    output = Output(kind, labels, hasattr(estimator, "predict_proba"))
    facts: dict[str, Any] = {
        "name": "model",
        "recipe": "tabular",
        "artifact": ArtifactDraft(ArtifactFormat.JOBLIB, input_format),
        "signature": Signature(inputs, (output,)),
        "training_data": TrainingData("CSV file model.csv", len(rows), "cd" * 32),
        "example": dict(zip((field.name for field in inputs), rows[0], strict=False)),
        "parameters": {"alpha": 1.0, "steps": None},
    }
    if "metrics" not in (draft or {}):
        facts["metrics"] = evaluate(estimator, take(test_on), y[test_on], ManifestDraft(**facts), held_out=True)
    return Evidence(
        draft=ManifestDraft(**{**facts, **(draft or {})}),
        estimator=estimator,
        rows=rows,
        targets=targets,
        X_test=take(test_on),
        y_test=y[test_on],
        tested_on=test_on.tolist(),
        **{"held_out": True, **more},
    )


def published(evidence: Evidence, version: int = 3) -> ModelManifest:
    """The manifest of the version that `evidence` is about."""
    draft = evidence.draft
    artifact = Artifact("model.joblib", ArtifactFormat.JOBLIB, draft.artifact.input_format, 1234, "ab" * 32)
    return draft.publish(version, "2026-01-02T03:04:05.000006Z", artifact, library_versions())
