"""Kernels of encoders of categories: a dictionary for each column, where scikit-learn sorts and searches."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from modelgate_kernels.kernel import NotCovered, Transform

_WHOLE_IN_FLOATS = 2**53
"""Up to here, float64 holds every whole number."""
_NONE = -1
"""Stands for a category without a column: it is dropped, or unknown and ignored."""


class _Codes(dict[Any, Any]):
    """The codes of a column's categories, and of others: `unknown`, or none if that raises an error (None)."""

    def __init__(self, categories: Sequence[Any], codes: Iterable[Any], unknown: Any) -> None:
        super().__init__(zip(categories, codes, strict=True))
        self._unknown = unknown
        self._nan = next((code for category, code in self.items() if category != category), unknown)

    def __missing__(self, value: Any) -> Any:
        code = self._nan if value != value else self._unknown
        if code is None or value in (math.inf, -math.inf):
            raise NotCovered
        return code


class _Columns:
    """Finds the codes of a matrix of objects, or of numbers like the categories."""

    def __init__(self, encoder: Any, codes: Sequence[Iterable[Any]], unknown: Sequence[Any]) -> None:
        self._types = {np.dtype(object), _dtype(encoder)}
        if all(map(_are_small, encoder.categories_)):
            self._types |= {np.dtype(np.float64), np.dtype(np.float32), np.dtype(np.int64)}
        categories = [values.tolist() for values in encoder.categories_]
        self._codes = [_Codes(*column).__getitem__ for column in zip(categories, codes, unknown, strict=True)]

    def codes(self, matrix: Any, dtype: Any) -> Any:
        """Return columns × rows of `dtype`."""
        if type(matrix) is not np.ndarray or matrix.ndim != 2 or matrix.dtype not in self._types:
            raise NotCovered
        columns = matrix.T.tolist()
        return np.array([list(map(*pair)) for pair in zip(self._codes, columns, strict=True)], dtype=dtype)


def _one_hot_encoder(encoder: Any) -> Transform:
    sparse_encoder = copy.copy(encoder)
    sparse_encoder.sparse_output = True  # each category has a row: a dense matrix could be huge
    hot = _of_every_category(sparse_encoder)
    codes, infrequent = _hot_columns(encoder, hot), getattr(encoder, "infrequent_categories_", None)
    by_column = [codes[: len(values), column].tolist() for column, values in enumerate(encoder.categories_)]
    unknown: list[int | None] = [None if encoder.handle_unknown == "error" else _NONE] * len(by_column)
    if infrequent and encoder.handle_unknown in ("infrequent_if_exist", "warn"):
        for column, rare in enumerate(infrequent):
            if rare is not None:
                places = encoder.categories_[column].tolist()
                unknown[column] = by_column[column][places.index(rare.tolist()[0])]
    columns, width = _Columns(encoder, by_column, unknown), hot.shape[1]

    def dense(matrix: Any) -> Any:
        codes = columns.codes(matrix, np.intp)
        encoded = np.zeros((len(matrix), width), dtype=encoder.dtype)
        places = codes + np.arange(0, encoded.size, width) if len(matrix) > 1 else codes
        known = codes != _NONE
        encoded.reshape(-1)[places if np.count_nonzero(known) == known.size else places[known]] = 1
        return encoded

    def sparse(matrix: Any) -> Any:
        codes = np.ascontiguousarray(columns.codes(matrix, hot.indices.dtype).T)
        known = codes != _NONE
        starts = np.zeros(len(matrix) + 1, dtype=hot.indptr.dtype)
        np.cumsum(np.count_nonzero(known, axis=1), out=starts[1:])
        data = np.ones(starts[-1], dtype=encoder.dtype)
        return type(hot)((data, codes[known], starts), shape=(len(matrix), width))

    return sparse if encoder.sparse_output else dense


def _hot_columns(encoder: Any, hot: Any) -> Any:
    """Return the place of the 1 in each row of `hot`, for each column of categories: rows × columns."""
    rare = getattr(encoder, "infrequent_categories_", None) or [None] * len(encoder.categories_)
    dropped = [None] * len(rare) if encoder.drop_idx_ is None else encoder.drop_idx_
    widths = [
        len(categories) - (0 if together is None else len(together) - 1) - (drop is not None)
        for categories, together, drop in zip(encoder.categories_, rare, dropped, strict=True)
    ]
    if sum(widths) != hot.shape[1]:
        raise ValueError("the widths of the columns do not add up")
    codes = np.full((hot.shape[0], len(widths)), _NONE)
    rows = np.repeat(np.arange(hot.shape[0]), np.diff(hot.indptr))
    codes[rows, np.searchsorted(np.cumsum(widths), hot.indices, side="right")] = hot.indices
    return codes


def _ordinal_encoder(encoder: Any) -> Transform:
    encoded = _of_every_category(copy.copy(encoder))
    by_column = [encoded[: len(values), column].tolist() for column, values in enumerate(encoder.categories_)]
    unknown = encoder.unknown_value if encoder.handle_unknown == "use_encoded_value" else None
    columns = _Columns(encoder, by_column, [unknown] * len(by_column))

    def transform(matrix: Any) -> Any:
        return np.ascontiguousarray(columns.codes(matrix, encoder.dtype).T)

    return transform


def _of_every_category(encoder: Any) -> Any:
    """Return what a copy of an encoder answers for each category of each column. In row 2 all columns have their
    category 2, or their first if they have fewer."""
    encoder.__dict__.pop("feature_names_in_", None)  # it would warn that an array has no names
    matrix = np.empty((max(map(len, encoder.categories_)), len(encoder.categories_)), dtype=_dtype(encoder))
    for column, categories in enumerate(encoder.categories_):
        matrix[:, column] = categories[0]
        matrix[: len(categories), column] = categories
    return encoder.transform(matrix)


def _dtype(encoder: Any) -> Any:
    """Return the dtype of all categories; object for text, or if the columns differ."""
    types = {categories.dtype for categories in encoder.categories_}
    only = types.pop() if len(types) == 1 else np.dtype(object)
    return np.dtype(object) if only.kind in "US" else only


def _are_small(categories: Any) -> bool:
    """Return whether they are numbers that all types of numbers hold alike, so that it does not matter in which type
    they are compared."""
    return categories.dtype.kind in "if" and not (np.abs(categories) > _WHOLE_IN_FLOATS).any()


TRANSFORMS: Mapping[type, Callable[[Any], Transform | None]] = {
    OneHotEncoder: _one_hot_encoder,
    OrdinalEncoder: _ordinal_encoder,
}
