"""Compares a kernel with its estimator, bit for bit, on rows of the caller and on rows of its own."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache, partial
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from modelgate_kernels.edge_rows import edge_rows
from modelgate_kernels.kernel import Kernel, NotCovered
from modelgate_kernels.layout import Row
from modelgate_kernels.model_kernel import METHODS, ModelKernel, own_answers
from modelgate_kernels.pipelines import parts_of
from modelgate_kernels.same import same
from modelgate_kernels.splits import members_of
from modelgate_kernels.table import find_kernel
from modelgate_kernels.thresholds import threshold_rows

_SECONDS = 20.0
_ALONE = 5
"""Golden rows that are also compared alone."""
_MOST_ENSEMBLES = 20
"""Most parts of an estimator that are compared at the thresholds of their trees."""
_LIBRARIES = ("scikit-learn", "numpy", "scipy", "xgboost", "lightgbm")

NOT_COVERED = "do not cover the golden rows"
"""What `compare` returns of kernels that are of no use for such rows, and not wrong."""

Ask = Callable[[Any], Any]
Methods = Sequence[Sequence[str]]
"""The methods that are asked together, and those that are asked alone."""


class RowsByColumn(list[Row]):
    """Rows that also have their columns, as large batches are held."""

    def __init__(self, rows: Iterable[Row]) -> None:
        super().__init__(rows)
        self.columns = [*zip(*self, strict=True)]


def compare(
    kernel: ModelKernel,
    golden: Sequence[Row],
    methods: Methods | None = None,
    parts: Iterable[Any] | None = None,
    seconds: float = _SECONDS,
) -> str | None:
    """Return how a kernel's answers differ from its estimator's, as the rest of a sentence about kernels; None if it
    may be used.

    Compares `methods`, or each of `METHODS` alone that the estimator has, on all `golden` rows, single ones, rows at
    the edges of the layout, and rows at the thresholds of trees and their ensembles in `parts` of the estimator: those
    of its pipeline, unless they are given. A comparison that takes more `seconds` of processor time finds no equality.
    """
    transformers, final = parts_of(kernel.whole)
    parts = [*transformers, final] if parts is None else parts
    if methods is None:
        methods = [(method,) for method in METHODS if hasattr(kernel.whole, method)]
    return first_difference(_comparisons(kernel, golden, methods, parts), seconds)


@cache
def revision() -> str:
    """Identify the kernels here, and the libraries with which they are compared."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    for library in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            digest.update(f"{library} {metadata.version(library)} ".encode())
    return digest.hexdigest()[:16]


def first_difference(comparisons: Iterator[str | None], seconds: float) -> str | None:
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


def _comparisons(
    kernel: ModelKernel, golden: Sequence[Row], methods: Methods, parts: Iterable[Any]
) -> Iterator[str | None]:
    """Yield what each comparison finds: the rest of a sentence about the kernels, or None."""
    yield from on_golden_rows(kernel, golden, methods)
    edges = edge_rows(kernel.layout, golden)
    for estimator_answers, other in method_pairs(kernel, methods):
        # One row that is refused or left hides the answers to others.
        for some in (
            edges,
            *(
                [edge]
                for edge in edges[:: 1 if _outcome(estimator_answers, edges)[1] or _outcome(other, edges)[1] else 4]
            ),
        ):
            yield _unlike(
                estimator_answers, other, some, "rows with nulls, unknown words or extreme numbers", may_leave=True
            )
    for part, of_part in ensembles(parts):
        matrix = threshold_rows(part)
        for rows in () if matrix is None else (matrix, np.asfortranarray(matrix)):
            yield from _on_matrix(part, of_part, rows, METHODS)


def on_golden_rows(kernel: ModelKernel, golden: Sequence[Row], methods: Methods) -> Iterator[str | None]:
    """Yield the differences on golden rows, by row, by column, and alone. The kernel may leave none of them to the
    estimator, or it would take longer than without."""
    if not golden:
        yield "have no golden rows to be compared on"
    for estimator_answers, other in method_pairs(kernel, methods):
        for some in (
            golden,
            RowsByColumn(golden),
            *(golden[start : start + 1] for start in range(len(golden))[:_ALONE]),
        ):
            yield _unlike(estimator_answers, other, some, "a golden row alone" if len(some) == 1 else "the golden rows")


def at_thresholds(parts: Iterable[Any], count: int) -> Iterator[str | None]:
    """Yield the differences of the most telling method at so many thresholds of each ensemble of trees."""
    for part, kernel in ensembles(parts):
        matrix = threshold_rows(part, count)
        if matrix is not None:
            most_telling = "predict_proba" if hasattr(part, "predict_proba") else "predict"
            yield from _on_matrix(part, kernel, matrix, [most_telling])


def method_pairs(kernel: ModelKernel, methods: Methods) -> Iterator[tuple[Ask, Ask]]:
    """Yield for each group of methods how the estimator answers rows, and how the kernel does."""
    for together in methods:
        estimator_answers = partial(own_answers, kernel.whole, layout=kernel.layout, methods=together)
        yield estimator_answers, partial(kernel.answers, methods=together)


def ensembles(parts: Iterable[Any]) -> Iterator[tuple[Any, Kernel]]:
    """Yield the trees and ensembles of trees that have a kernel, with their kernels; not the trees of an ensemble."""
    parts = list(parts)
    members = {id(tree) for part in parts for tree in members_of(part) if hasattr(tree, "tree_") and tree is not part}
    with_kernels = ((part, find_kernel(part)) for part in parts if id(part) not in members)
    yield from islice(((part, kernel) for part, kernel in with_kernels if kernel), _MOST_ENSEMBLES)


def _on_matrix(part: Any, kernel: Kernel, matrix: Any, methods: Sequence[str]) -> Iterator[str | None]:
    what = f"rows at the thresholds of its {type(part).__name__}"
    for name in methods:
        if hasattr(part, name):
            yield _unlike(getattr(part, name), partial(answer_of, kernel, name), matrix, what, may_leave=True)


def answer_of(kernel: Kernel, method: str, matrix: Any) -> Any:
    return getattr(kernel, method)(kernel.raw(matrix))


def _unlike(estimator_answers: Ask, other: Ask, rows: Any, what: str, may_leave: bool = False) -> str | None:
    """Return how a kernel's answers (`other`) are unlike those of the estimator; None if they are the same. What the
    estimator refuses, the kernel has to leave to it; other rows only if it `may_leave` them."""
    if not len(rows):
        return None
    expected, refused = _outcome(estimator_answers, rows)
    answer, left = _outcome(other, rows)
    if left and (refused or may_leave):
        return None
    if left:
        return NOT_COVERED if isinstance(left, NotCovered) else f"raise {type(left).__name__} for {what}"
    if refused:
        return f"accept {what}"
    return None if same(answer, expected) else f"answer {what} differently"


def _outcome(ask: Ask, rows: Any) -> tuple[Any, Exception | None]:
    try:
        return ask(rows), None
    except Exception as error:
        return None, error
