"""The kernels of versions: which steps of our own they know, and whether a version uses them (docs/adr/0038)."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator, MutableMapping
from operator import call
from typing import Any

import numpy as np
from modelgate_kernels import ModelKernel, compare, find
from modelgate_kernels.comparison import NOT_COVERED, Methods, at_thresholds, first_difference, on_golden_rows, revision
from modelgate_kernels.decoding import decoded_target
from modelgate_kernels.functions import add_function
from modelgate_kernels.table import add_composite

import modelgate_artifacts
from contract.model.manifest import Artifact, ArtifactDraft, Kernels, ManifestDraft, ModelManifest, Remark
from contract.model.signature import PREDICT, Signature
from modelgate_artifacts import DecodedTarget
from scoring.estimators import layout_of, prediction_methods
from scoring.held_objects import parts_in
from scoring.predict import Manifest, predict

log = logging.getLogger("scoring")

_TO_PUBLISH, _TO_LOAD = 20.0, 1.0
"""Most seconds of processor time that a comparison may take. One that takes longer finds no equality."""
_THRESHOLDS_TO_LOAD = 16
"""The rows at thresholds with which each ensemble of trees is compared when a version is loaded."""
_KERNELS, _INSTEAD = "Modelgate's own kernels", "so scikit-learn's own methods answer"
_UNLIKE = "kernels_unlike"
"""The code of the remark about a difference."""


def _days(moments: Any) -> Any:
    """Return what `modelgate_artifacts.days` returns for a DataFrame of these moments, an array of microseconds."""
    return moments.view("timedelta64[us]") / np.timedelta64(1, "D")


add_function(modelgate_artifacts.floats, makes_floats=True)
add_function(modelgate_artifacts.flat)
add_function(modelgate_artifacts.remainder)
add_function(modelgate_artifacts.days, _days, takes_moments=True)
add_composite(DecodedTarget, decoded_target)


def find_version_kernel(estimator: Any, signature: Signature, artifact: Artifact | ArtifactDraft) -> ModelKernel | None:
    """Return the kernel of a version's estimator; None if no part of it has one."""
    return find(estimator, layout_of(signature, artifact))


def compared(draft: ManifestDraft, estimator: Any) -> ManifestDraft:
    """Return the draft with what the comparison of its kernels has found. A difference is among the remarks."""
    kernel = find_version_kernel(estimator, draft.signature, draft.artifact)
    wrong = None
    if kernel:
        methods, parts = methods_of(draft.signature), parts_in(estimator)
        wrong = compare(kernel, draft.golden.rows, methods, parts, _TO_PUBLISH)
    kernels = Kernels(revision(), used=wrong is None) if kernel else None
    remarks = [remark for remark in draft.remarks if remark.code != _UNLIKE]  # of earlier comparisons
    if wrong and wrong != NOT_COVERED:
        text = f"{_KERNELS} {wrong}, {_INSTEAD} for this version; the answers are right, and take longer"
        remarks.append(Remark(text, _UNLIKE))
    artifact = dataclasses.replace(draft.artifact, kernels=kernels)
    return dataclasses.replace(draft, artifact=artifact, remarks=tuple(remarks))


def kernel_for(
    estimator: Any,
    manifest: ModelManifest,
    compared_before: MutableMapping[tuple[str, int], bool] | None = None,
    compare: Callable[[Callable[[], str | None]], str | None] = call,
) -> ModelKernel | None:
    """Return the kernel with which a loaded version predicts; None if it has none, or one that answers differently.
    Raises nothing.

    If other kernels or libraries were compared when the version was published, or none, these here are compared now.
    Each version is compared once: `compared_before` has the results by its name and number. Comparing asks the model;
    `compare` decides in which process.
    """
    kernels, key = manifest.artifact.kernels, (manifest.name, manifest.version)
    was_compared = kernels is not None and kernels.revision == revision()
    if kernels and was_compared and not kernels.used:
        return None
    kernel = find_version_kernel(estimator, manifest.signature, manifest.artifact)
    if kernel is None:
        return None
    kernel.context = {"model": manifest.name, "version": manifest.version}
    if was_compared:
        return kernel
    known = {} if compared_before is None else compared_before
    if key not in known:
        wrong = compare(lambda: first_difference(_quick_comparisons(kernel, manifest), _TO_LOAD))
        known[key] = wrong is None
        if wrong and wrong != NOT_COVERED:
            log.warning("%s %s, %s", _KERNELS, wrong, _INSTEAD, extra=kernel.context)
    return kernel if known[key] else None


def _quick_comparisons(kernel: ModelKernel, manifest: ModelManifest) -> Iterator[str | None]:
    """Yield what fewer comparisons find than `compare` makes. Loading a forest of 5 MB takes twice as long."""
    if not _repeats_golden_answers(kernel, manifest):  # as under another release of scikit-learn
        yield from on_golden_rows(kernel, manifest.golden.rows, methods_of(manifest.signature))
    yield from at_thresholds(parts_in(kernel.whole), _THRESHOLDS_TO_LOAD)


def _repeats_golden_answers(kernel: ModelKernel, manifest: Manifest) -> bool:
    """Return whether the kernel answers as the estimator did when the version was published, to the last digit."""
    golden = manifest.golden
    if not golden.rows:
        return False
    prediction = predict(kernel.whole, manifest, golden.rows, kernel)
    answers, expected = [prediction.values, prediction.probabilities], [golden.predictions, golden.probabilities]
    return not kernel.has_left_rows and json.dumps(answers) == json.dumps(expected)


def methods_of(signature: Signature) -> Methods:
    """Return the methods of a version that are asked together, and those that are asked alone."""
    return [
        prediction_methods(signature.output) if method.name == PREDICT.name else (method.name,)
        for method in signature.methods
    ]
