"""Asks an estimator, or its kernel, for the answers of its methods."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from modelgate_kernels import Layout, ModelKernel, own_answers, predict
from modelgate_kernels.matrix import to_matrix
from modelgate_kernels.model_kernel import last_steps, matrix_answers

from contract.model.manifest import Artifact, ArtifactDraft, ManifestDraft, ModelManifest
from contract.model.signature import PREDICT, Output, Signature
from contract.row import Row
from scoring.answers import as_array, as_tables, decided


def layout_of(signature: Signature, artifact: Artifact | ArtifactDraft) -> Layout:
    """Return what kernels know of a version's rows."""
    return Layout(signature.inputs, artifact.input_format, artifact.input_dtype)


def prediction_methods(output: Output) -> Sequence[str]:
    """Return the methods of scikit-learn that make one prediction."""
    wanted = (PREDICT.name, True), ("predict_proba", output.probabilities), ("decision_function", output.scores)
    return [name for name, is_wanted in wanted if is_wanted]


def predict_rows(
    estimator: Any,
    rows: Sequence[Row],
    signature: Signature,
    artifact: Artifact | ArtifactDraft,
    kernel: ModelKernel | None = None,
) -> tuple[Any, Any, Any]:
    """Return what `predict` returns and, as far as the signature has them (else None), `predict_proba` and
    `decision_function`. Raises what they raise."""
    methods = prediction_methods(signature.output)
    answers = _answers(estimator, rows, layout_of(signature, artifact), methods, kernel)
    by_method = dict(zip(methods, answers, strict=True))
    values = _as_values(by_method[PREDICT.name])
    tables = _as_tables(by_method["predict_proba"], values) if "predict_proba" in by_method else None
    return values, tables, _as_scores(by_method["decision_function"]) if "decision_function" in by_method else None


def call_method(
    estimator: Any,
    rows: Sequence[Row],
    signature: Signature,
    artifact: Artifact | ArtifactDraft,
    method: str,
    kernel: ModelKernel | None = None,
) -> Any:
    """Return what a method of the estimator returns. Raises what it raises."""
    return _answers(estimator, rows, layout_of(signature, artifact), [method], kernel)[0]


def _answers(
    estimator: Any, rows: Sequence[Row], layout: Layout, methods: Sequence[str], kernel: ModelKernel | None
) -> list[Any]:
    return predict(kernel, rows, methods) if kernel else own_answers(estimator, rows, layout, methods)


def prepare(
    estimator: Any, rows: Sequence[Row], signature: Signature, artifact: Artifact | ArtifactDraft, count: int = 1
) -> Iterator[tuple[Any, Any]]:
    """Yield the final estimator of a pipeline and the matrix that a method takes, for `count` methods. Raises what the
    steps raise."""
    matrix = partial(to_matrix, rows, signature.inputs, artifact.input_format, artifact.input_dtype)
    return last_steps(estimator, matrix, count)


def predict_matrix(estimator: Any, matrix: Any, manifest: ManifestDraft | ModelManifest) -> tuple[Any, Any]:
    """Return the predictions for a matrix of rows, under the decision of the only output, and what `predict_proba`
    returns if it has probabilities (else None). Each row is asked as a request of its own if that matters (`alone`).
    Raises what they raise."""
    output = manifest.signature.output
    if manifest.artifact.alone and len(matrix) > 1:
        rows = matrix.iloc if hasattr(matrix, "iloc") else matrix
        answers = [predict_matrix(estimator, rows[place : place + 1], manifest) for place in range(len(matrix))]
        every, shares = ([*parts] for parts in zip(*answers, strict=True))
        return np.concatenate(every), np.concatenate(shares) if output.probabilities else None
    methods = [PREDICT.name, "predict_proba"][: 1 + output.probabilities]
    answer, *more = matrix_answers(estimator, partial(copy.deepcopy, matrix), methods)
    values = _as_values(answer)
    tables = _as_tables(more[0], values) if more else None
    return decided(values, tables, output), tables


def _as_values(values: Any) -> Any:
    """Return predictions as an array, of one dimension if there is one a row; a DataFrame or dict as it is."""
    if (type(values) is np.ndarray and values.ndim == 1) or isinstance(values, pd.DataFrame | Mapping):
        return values
    values = values.toarray() if hasattr(values, "toarray") else as_array(values)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _as_tables(tables: Any, values: Any) -> Any:
    """Return probabilities as rows × labels, or as a list of arrays by output."""
    tables = as_tables(tables)
    only = isinstance(tables, list) and len(tables) == np.ndim(values) == 1
    return tables[0] if only else tables


def _as_scores(scores: Any) -> Any:
    return np.ravel(np.asarray(scores, dtype=float))
