"""The kernel of a whole version: from the rows of its signature to the answers of its estimator."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sklearn import get_config  # type: ignore[attr-defined]

from contract.jobs import Row
from contract.manifest import Artifact, ArtifactDraft
from contract.signature import Output, Signature
from scoring.compatibility import SKLEARN_VERSION
from scoring.kernels.kernel import Delegating, InnerKernels, Kernel, OwnMethods, Transform
from scoring.kernels.pipelines import is_passthrough, parts_of
from scoring.kernels.rows import Batch, BatchReader, Readers
from scoring.kernels.table import COMPARED_WITH, find_composite, find_kernel, find_transform, kernel_of
from scoring.sklearn_internals import returns_arrays

log = logging.getLogger("scoring")


@dataclass
class ModelKernel:
    """`matrix_of` makes the matrix that the methods of the final `estimator` take; `kernel` takes a batch. `context` is
    logged: the model and its version."""

    matrix_of: BatchReader
    estimator: Any
    kernel: Kernel
    context: Mapping[str, object] = field(default_factory=dict)
    has_left_rows: bool = False

    def matrix(self, rows: Sequence[Row]) -> Any:
        """Return the matrix that the methods of the final estimator take."""
        return self.matrix_of(Batch(rows))

    def answers(self, rows: Sequence[Row], output: Output) -> tuple[Any, Any, Any]:
        """Return what `predict` returns and, as far as `output` has them (else None), `predict_proba` and
        `decision_function`. May raise anything: then the estimator itself has to answer."""
        raw = self.kernel.raw(Batch(rows))
        return (
            self.kernel.predict(raw),
            self.kernel.predict_proba(raw) if output.probabilities else None,
            self.kernel.decision_function(raw) if output.scores else None,
        )

    def log_left_rows(self, error: Exception) -> None:
        """Log, once, that the estimator has answered rows for which the kernel has raised `error`."""
        if not self.has_left_rows:
            self.has_left_rows = True
            what = "scikit-learn's own methods answer rows that the kernels of this version leave to them: %s"
            log.info(what, type(error).__name__, extra=self.context)


def find_model_kernel(estimator: Any, signature: Signature, artifact: Artifact | ArtifactDraft) -> ModelKernel | None:
    """Return the kernel of a version's estimator. None if no part of it has one, or under a release or setting of
    scikit-learn with which no kernel was compared."""
    config, release = get_config(), ".".join(SKLEARN_VERSION.split(".")[:2])
    if config["enable_metadata_routing"] or config["transform_output"] != "default" or release not in COMPARED_WITH:
        return None
    readers = Readers(signature, artifact)
    kernel, (_, final) = _kernel_of_rows(readers, estimator), parts_of(estimator)
    if not isinstance(kernel, _ReadingKernel):
        return ModelKernel(readers.matrix, final, kernel)
    return ModelKernel(kernel.matrix, final, kernel) if kernel.is_covered else None


class _ReadingKernel(Delegating):
    """A kernel that takes a batch: `read` makes a matrix of it, which passes all `transforms` and then the kernel
    `inner`. `is_covered` says whether any of them does without scikit-learn's methods."""

    def __init__(self, read: BatchReader, transforms: Sequence[Transform], inner: Kernel, is_covered: bool) -> None:
        super().__init__(inner)
        self._read = read
        self._transforms = transforms
        self.is_covered = is_covered

    def matrix(self, batch: Batch) -> Any:
        """Return the matrix that the final estimator takes."""
        matrix = self._read(batch)
        for transform in self._transforms:
            matrix = transform(matrix)
        return matrix

    def raw(self, batch: Batch) -> Any:
        return self._inner.raw(self.matrix(batch))


def _kernel_of_rows(readers: Readers, estimator: Any) -> Kernel:
    """Return the kernel of an estimator that was fitted on a version's rows. It takes a batch."""
    transformers, final = parts_of(estimator)
    inner = InnerKernels(of_member=partial(_kernel_of_rows, readers), of_final=kernel_of)
    composite = None if transformers else find_composite(final, inner)
    return composite or _reading_kernel(readers, transformers, final)


def _reading_kernel(readers: Readers, transformers: Sequence[Any], final: Any) -> _ReadingKernel:
    """Return the kernel of a pipeline that was fitted on a version's rows; `transformers` may be empty."""
    if not all(map(returns_arrays, transformers)):
        return _ReadingKernel(readers.matrix, [each.transform for each in transformers], OwnMethods(final), False)
    read = readers.transformed(transformers[0]) if transformers else None
    waiting = transformers[1:] if read else transformers
    found, kernel = [find_transform(each) for each in waiting], find_kernel(final)
    is_covered = bool(read or kernel or any(found))
    if read is None:
        takes_arrays = found[0] is not None if found else kernel is not None and kernel.takes_arrays
        first = (*waiting, final)[0]
        read = readers.array(None if is_passthrough(first) else first) if takes_arrays else readers.matrix
    if read is None:  # no array has the same values, so the first estimator gets the DataFrame
        read, found[:1], kernel = readers.matrix, [None] * len(found[:1]), kernel if found else None
    transforms = [own or each.transform for own, each in zip(found, waiting, strict=True)]
    return _ReadingKernel(read, transforms, kernel or OwnMethods(final), is_covered)
