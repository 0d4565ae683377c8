"""Compares the kernels of a version with its estimator, bit for bit, on rows of its own. Without equal answers it has
no kernels."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from functools import cache, partial
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from contract.jobs import ColumnarRows, Row
from contract.manifest import Kernels, ManifestDraft, ModelManifest
from contract.signature import PREDICT
from scoring.estimators import ask, call_method, kernel_answers, predict_rows
from scoring.held_objects import parts_in
from scoring.kernels.edge_rows import edge_rows
from scoring.kernels.kernel import Kernel, NotCovered
from scoring.kernels.model_kernel import ModelKernel, find_model_kernel
from scoring.kernels.same import same
from scoring.kernels.splits import members_of
from scoring.kernels.table import find_kernel
from scoring.kernels.thresholds import threshold_rows
from scoring.predict import predict

log = logging.getLogger("scoring")

_TO_PUBLISH, _TO_LOAD = 20.0, 1.0
"""Most seconds of processor time that a comparison may take. One that takes longer finds no equality."""
_ALONE = 5
"""Golden rows that are also compared alone."""
_MOST_ENSEMBLES = 20
"""Most parts of an estimator that are compared at the thresholds of their trees."""
_THRESHOLDS_TO_LOAD = 16
"""The rows at thresholds with which each of them is compared when a version is loaded."""
_KERNELS, _INSTEAD = "Modelgate's own kernels", "so scikit-learn's own methods answer"
_NOT_COVERED = "do not cover the golden rows"
"""Then the version is as one without kernels, and nobody is warned."""
_METHODS = ("predict", "predict_proba", "decision_function")
_LIBRARIES = ("scikit-learn", "numpy", "scipy", "xgboost", "lightgbm")

_HERE = Path(__file__).parent

Manifest = ModelManifest | ManifestDraft
Ask = Callable[[Any], Any]


def compared(draft: ManifestDraft, estimator: Any) -> ManifestDraft:
    """Return the draft with what the comparison of its kernels has found. A difference is among the warnings."""
    kernel = find_model_kernel(estimator, draft.signature, draft.artifact)
    wrong = _difference(_comparisons(estimator, kernel, draft), _TO_PUBLISH) if kernel else None
    found = Kernels(revision(), used=wrong is None) if kernel else None
    told = [warning for warning in draft.warnings if not warning.startswith(_KERNELS)]  # of earlier comparisons
    if wrong and wrong != _NOT_COVERED:
        told.append(f"{_KERNELS} {wrong}, {_INSTEAD} for this version; the answers are right, and take longer")
    artifact = dataclasses.replace(draft.artifact, kernels=found)
    return dataclasses.replace(draft, artifact=artifact, warnings=tuple(told))


def kernel_for(
    estimator: Any, manifest: ModelManifest, compared_before: MutableMapping[tuple[str, int], bool] | None = None
) -> ModelKernel | None:
    """Return the kernel with which a loaded version predicts; None if it has none, or one that answers differently.
    Raises nothing.

    If other kernels or libraries were compared when the version was published, or none, these here are compared now.
    Each version is compared once: `compared_before` has the results by its name and number.
    """
    found, key = manifest.artifact.kernels, (manifest.name, manifest.version)
    was_compared = found is not None and found.revision == revision()
    if found and was_compared and not found.used:
        return None
    kernel = find_model_kernel(estimator, manifest.signature, manifest.artifact)
    if kernel is None:
        return None
    kernel.context = {"model": manifest.name, "version": manifest.version}
    if was_compared:
        return kernel
    known = {} if compared_before is None else compared_before
    if key not in known:
        wrong = _difference(_quick_comparisons(estimator, kernel, manifest), _TO_LOAD)
        known[key] = wrong is None
        if wrong and wrong != _NOT_COVERED:
            log.warning("%s %s, %s", _KERNELS, wrong, _INSTEAD, extra=kernel.context)
    return kernel if known[key] else None


@cache
def revision() -> str:
    """Identify the kernels here, and the libraries with which they are compared."""
    digest = hashlib.sha256()
    for file in sorted([*_HERE.glob("*.py"), *(_HERE.parent / "sklearn_internals").glob("*.py")]):
        digest.update(file.read_bytes())
    for library in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            digest.update(f"{library} {metadata.version(library)} ".encode())
    return digest.hexdigest()[:16]


def _difference(comparisons: Iterator[str | None], seconds: float) -> str | None:
    """Return the first difference that the comparisons find. They have so many `seconds`."""
    until = time.thread_time() + seconds
    try:
        with warnings.catch_warnings(action="ignore"):
            for wrong in comparisons:
                if wrong:
                    return wrong
                if time.thread_time() > until:
                    return f"take over {seconds:.0f} s to compare"
    except Exception as error:
        return f"cannot be compared ({type(error).__name__}: {error})"
    return None


def _comparisons(estimator: Any, kernel: ModelKernel, manifest: Manifest) -> Iterator[str | None]:
    """Yield what each comparison finds: the rest of a sentence about the kernels, or None."""
    yield from _on_golden_rows(estimator, kernel, manifest)
    edges = edge_rows(manifest.signature, manifest.golden.rows)
    for own, other in methods_of(estimator, kernel, manifest):
        # One row that is refused or left hides the answers to others.
        for some in (
            edges,
            *([edge] for edge in edges[:: 1 if _outcome(own, edges)[1] or _outcome(other, edges)[1] else 4]),
        ):
            yield _unlike(own, other, some, "rows with nulls, unknown words or extreme numbers", may_leave=True)
    for part, own_kernel in ensembles(estimator):
        matrix = threshold_rows(part)
        for rows in () if matrix is None else (matrix, np.asfortranarray(matrix)):
            yield from _on_matrix(part, own_kernel, rows, _METHODS)


def _quick_comparisons(estimator: Any, kernel: ModelKernel, manifest: Manifest) -> Iterator[str | None]:
    """Yield the same of fewer comparisons. Loading a forest of 5 MB takes twice as long as these."""
    if not _repeats_golden_answers(estimator, kernel, manifest):  # as under another release of scikit-learn
        yield from _on_golden_rows(estimator, kernel, manifest)
    for part, own_kernel in ensembles(estimator):
        matrix = threshold_rows(part, _THRESHOLDS_TO_LOAD)
        if matrix is not None:
            most_telling = "predict_proba" if hasattr(part, "predict_proba") else "predict"
            yield from _on_matrix(part, own_kernel, matrix, [most_telling])


def _repeats_golden_answers(estimator: Any, kernel: ModelKernel, manifest: Manifest) -> bool:
    """Return whether the kernel answers as the estimator did when the version was published, to the last digit."""
    golden = manifest.golden
    found = predict(estimator, manifest, golden.rows, kernel) if golden.rows else None
    expected = json.dumps([golden.predictions, golden.probabilities])
    return (
        found is not None and not kernel.has_left_rows and json.dumps([found.values, found.probabilities]) == expected
    )


def _on_golden_rows(estimator: Any, kernel: ModelKernel, manifest: Manifest) -> Iterator[str | None]:
    """Yield the differences on golden rows, by row, by column, and alone. The kernel may leave none of them to the
    estimator, or it would take longer than without."""
    rows = manifest.golden.rows
    if not rows:
        yield "have no golden rows to be compared on"
    by_column = ColumnarRows([*zip(*rows, strict=True)])
    for own, other in methods_of(estimator, kernel, manifest):
        for some in (rows, by_column, *(rows[place : place + 1] for place in range(min(_ALONE, len(rows))))):
            yield _unlike(own, other, some, "a golden row alone" if len(some) == 1 else "the golden rows")


def methods_of(estimator: Any, kernel: ModelKernel, manifest: Manifest) -> Iterator[tuple[Ask, Ask]]:
    """Yield functions of rows: each method of the signature, asked of the estimator, and of the kernel."""
    signature, artifact = manifest.signature, manifest.artifact
    for method in signature.methods:
        if method.name == PREDICT.name:
            own: Ask = partial(predict_rows, estimator, signature=signature, artifact=artifact)
            yield own, partial(kernel_answers, kernel, output=signature.output)
        else:
            own = partial(call_method, estimator, signature=signature, artifact=artifact, method=method.name)
            yield own, partial(_method_of_kernel, kernel, method.name)


def _method_of_kernel(kernel: ModelKernel, method: str, rows: Sequence[Row]) -> Any:
    return ask(kernel.estimator, kernel.matrix(rows), method)


def ensembles(estimator: Any) -> Iterator[tuple[Any, Kernel]]:
    """Yield the trees and ensembles of trees that have a kernel, with their kernels; not the trees of an ensemble."""
    parts = list(parts_in(estimator))
    members = {id(tree) for part in parts for tree in members_of(part) if hasattr(tree, "tree_") and tree is not part}
    found = ((part, find_kernel(part)) for part in parts if id(part) not in members)
    yield from islice(((part, kernel) for part, kernel in found if kernel), _MOST_ENSEMBLES)


def _on_matrix(part: Any, kernel: Kernel, matrix: Any, methods: Sequence[str]) -> Iterator[str | None]:
    what = f"rows at the thresholds of its {type(part).__name__}"
    for name in methods:
        if hasattr(part, name):
            yield _unlike(getattr(part, name), partial(answer_of, kernel, name), matrix, what, may_leave=True)


def answer_of(kernel: Kernel, method: str, matrix: Any) -> Any:
    return getattr(kernel, method)(kernel.raw(matrix))


def _unlike(own: Ask, other: Ask, rows: Any, what: str, may_leave: bool = False) -> str | None:
    """Return how a kernel's answers (`other`) are unlike those of the estimator; None if they are the same. What the
    estimator refuses, the kernel has to leave to it; other rows only if it `may_leave` them."""
    if not len(rows):
        return None
    expected, refused = _outcome(own, rows)
    found, left = _outcome(other, rows)
    if left and (refused or may_leave):
        return None
    if left:
        return _NOT_COVERED if isinstance(left, NotCovered) else f"raise {type(left).__name__} for {what}"
    if refused:
        return f"accept {what}"
    return None if same(found, expected) else f"answer {what} differently"


def _outcome(ask: Ask, rows: Any) -> tuple[Any, Exception | None]:
    try:
        return ask(rows), None
    except Exception as error:
        return None, error
