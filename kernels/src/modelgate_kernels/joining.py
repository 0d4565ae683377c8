"""The kernel of `FeatureUnion`, and what joins the outputs of transformers side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import FeatureUnion

from modelgate_kernels.functions import is_identity
from modelgate_kernels.kernel import NotCovered, Transform
from modelgate_kernels.pipelines import is_passthrough

TransformOf = Callable[[Any], Transform | None]
"""Returns the kernel of an inner transformer, or None."""


def join(blocks: Sequence[Any], as_sparse: bool) -> Any:
    """Return the columns of all blocks, each of the same rows, as a `ColumnTransformer` joins them."""
    if not as_sparse:
        return np.concatenate([block.toarray() if is_sparse(block) else block for block in blocks], axis=1)
    arrays = [block if is_sparse(block) else np.asarray(block) for block in blocks]
    if any(array.dtype.kind not in "fiub" for array in arrays):
        raise NotCovered
    if all(map(_is_plain, arrays)) and any(map(is_sparse, arrays)):
        return _join_sparse(arrays)
    return sparse.hstack(arrays).tocsr()  # type: ignore[no-untyped-call]


def _is_plain(block: Any) -> bool:
    if block.dtype not in (np.float64, np.float32, np.int64):
        return False
    return not is_sparse(block) or (block.format == "csr" and block.has_canonical_format)


def _join_sparse(blocks: Sequence[Any]) -> Any:
    """Return what SciPy's `hstack` does, which makes three copies of all values and sorts them."""
    parts = [
        (block.data, block.indices, np.diff(block.indptr)) if is_sparse(block) else _nonzero(block) for block in blocks
    ]
    size = sum(len(data) for data, _, _ in parts)
    data = np.empty(size, dtype=np.result_type(*(block.dtype for block in blocks)))
    indices, starts = np.empty(size, dtype=np.int32), np.zeros(len(parts[0][2]) + 1, dtype=np.int32)
    np.cumsum(sum(counts for _, _, counts in parts), out=starts[1:])
    width, begin = 0, starts[:-1].copy()
    for block, (values, columns, counts) in zip(blocks, parts, strict=True):
        # Each row of the block goes to where the row's values of the blocks before it end.
        places = np.arange(len(values)) + np.repeat(begin - (np.cumsum(counts) - counts), counts)
        data[places], indices[places] = values, columns + width
        begin += counts
        width += block.shape[1]
    kind = next(type(block) for block in blocks if is_sparse(block))
    return kind((data, indices, starts), shape=(len(begin), width))


def _nonzero(array: Any) -> tuple[Any, Any, Any]:
    """Return the values other than 0, row by row, their columns, and how many each row has."""
    mask = array != 0
    return array[mask], mask.nonzero()[1], np.count_nonzero(mask, axis=1)


def is_sparse(matrix: Any) -> bool:
    return hasattr(matrix, "toarray")


def _feature_union(union: Any, transform_of: TransformOf) -> Transform | None:
    weights = union.transformer_weights or {}
    members: list[tuple[Transform, float | None]] = []
    for name, transformer in union.transformer_list:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        whole = _identity if is_passthrough(transformer) or is_identity(transformer) else transform_of(transformer)
        if whole is None:
            return None  # it may want a DataFrame
        members.append((whole, weights.get(name)))

    def transform(matrix: Any) -> Any:
        blocks = [weighted(whole(matrix), weight) for whole, weight in members]
        if any(block.ndim != 2 for block in blocks):
            raise NotCovered
        return join(blocks, any(map(is_sparse, blocks)))

    return transform if members else None


def weighted(block: Any, weight: float | None) -> Any:
    """Return the output of a transformer times its weight, if it has one."""
    return block if weight is None else block * weight


def _identity(matrix: Any) -> Any:
    return matrix


TRANSFORMS: Mapping[type, Callable[[Any, TransformOf], Transform | None]] = {FeatureUnion: _feature_union}
