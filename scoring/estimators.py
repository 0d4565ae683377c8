"""Asks an estimator, or its kernel, for the answers of its methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn import get_config  # type: ignore[attr-defined]

from contract.jobs import Row
from contract.manifest import Artifact, ArtifactDraft
from contract.signature import Output, Signature
from scoring.answers import as_array, as_tables
from scoring.kernels.model_kernel import ModelKernel
from scoring.kernels.pipelines import parts_of
from scoring.matrix import to_matrix


def predict_rows(
    estimator: Any,
    rows: Sequence[Row],
    signature: Signature,
    artifact: Artifact | ArtifactDraft,
    kernel: ModelKernel | None = None,
) -> tuple[Any, Any, Any]:
    """Return what `predict` returns and, as far as the signature has them (else None), `predict_proba` and
    `decision_function`. Raises what they raise."""
    output, left = signature.output, None
    if kernel:
        try:
            return kernel_answers(kernel, rows, output)
        except MemoryError:
            raise
        except Exception as error:
            left = error
    final, matrix = prepare(estimator, rows, signature, artifact)
    values, tables = predict_matrix(final, matrix, output.probabilities)
    scores = _as_scores(final.decision_function(matrix)) if output.scores else None
    if kernel and left:
        kernel.log_left_rows(left)
    return values, tables, scores


def kernel_answers(kernel: ModelKernel, rows: Sequence[Row], output: Output) -> tuple[Any, Any, Any]:
    """Return what a kernel answers, as `predict_rows`. May raise anything: then the estimator has to answer, or raises
    an error of its own."""
    values, tables, scores = kernel.answers(rows, output)
    return _as_values(values), None if tables is None else _as_tables(tables, values), _as_scores(scores)


def call_method(
    estimator: Any,
    rows: Sequence[Row],
    signature: Signature,
    artifact: Artifact | ArtifactDraft,
    method: str,
    kernel: ModelKernel | None = None,
) -> Any:
    """Return what another method of the estimator returns. Raises what it raises."""
    left = None
    if kernel:
        try:
            return ask(kernel.estimator, kernel.matrix(rows), method)
        except MemoryError:
            raise
        except Exception as error:
            left = error
    answer = ask(*prepare(estimator, rows, signature, artifact), method)
    if kernel and left:
        kernel.log_left_rows(left)
    return answer


def ask(estimator: Any, matrix: Any, method: str) -> Any:
    """Return what a method besides `predict` of a prepared estimator returns. Raises what it raises."""
    names = getattr(estimator, "feature_names_in_", None)
    if isinstance(matrix, np.ndarray) and names is not None:  # only the predictions of XGBoost do without
        matrix = pd.DataFrame(matrix, columns=names)
    return getattr(estimator, method)(matrix)


def prepare(
    estimator: Any, rows: Sequence[Row], signature: Signature, artifact: Artifact | ArtifactDraft
) -> tuple[Any, Any]:
    """Return the final estimator of a pipeline and the matrix that its methods take. Raises what the steps raise."""
    return _last_step(estimator, to_matrix(rows, signature, artifact.input_format, artifact.input_dtype))


def predict_matrix(estimator: Any, matrix: Any, probabilities: bool) -> tuple[Any, Any]:
    """Return what `predict` and, if asked for, `predict_proba` return (else None), for a matrix of `scoring.matrix`.
    Raises what they raise."""
    estimator, matrix = _last_step(estimator, matrix)
    values = _as_values(estimator.predict(matrix))
    return values, _as_tables(estimator.predict_proba(matrix), values) if probabilities else None


def _last_step(estimator: Any, matrix: Any) -> tuple[Any, Any]:
    """Return the final estimator of a pipeline and the transformed matrix, which `predict` and `predict_proba` would
    each make for themselves."""
    if get_config()["enable_metadata_routing"]:
        return estimator, matrix
    transformers, final = parts_of(estimator)
    for transformer in transformers:
        matrix = transformer.transform(matrix)
    return final, matrix


def _as_values(values: Any) -> Any:
    """Return predictions as an array, of one dimension if there is one a row; a DataFrame or dict as it is."""
    if (type(values) is np.ndarray and values.ndim == 1) or isinstance(values, pd.DataFrame | Mapping):
        return values
    values = values.toarray() if hasattr(values, "toarray") else as_array(values)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _as_tables(tables: Any, values: Any) -> Any:
    """Return probabilities as rows × labels, or as a list of such by output."""
    tables = as_tables(tables)
    only = isinstance(tables, list) and len(tables) == np.ndim(values) == 1
    return tables[0] if only else tables


def _as_scores(scores: Any) -> Any:
    return None if scores is None else np.ravel(np.asarray(scores, dtype=float))
