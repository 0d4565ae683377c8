"""Transforms columns of rows as a `ColumnTransformer` transforms their DataFrame or array, to the last bit.

For a small batch, scikit-learn spends most of the time on finding columns by name, tasks for joblib and checks: 2.4 ms
for two transformers of twelve columns.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from modelgate_kernels import sklearn_internals
from modelgate_kernels.columns import (
    ColumnReader,
    Columns,
    array_dtype,
    array_reader,
    cell_dtype,
    frame_reader,
    frame_types,
    makes_floats,
    series_reader,
)
from modelgate_kernels.functions import is_identity
from modelgate_kernels.joining import join, weighted
from modelgate_kernels.kernel import Transform, known_type
from modelgate_kernels.layout import InputFormat, Kind, Layout
from modelgate_kernels.pipelines import is_passthrough
from modelgate_kernels.table import find_transform


@dataclass(frozen=True)
class _Part:
    """The columns of one transformer, and the transforms that they pass one after the other."""

    read: ColumnReader
    transforms: Sequence[Transform]
    weight: float | None

    def transform(self, columns: Columns) -> Any:
        block = self.read(columns)
        for transform in self.transforms:
            block = transform(block)
        return weighted(block, self.weight)


def columns_transform(transformer: Any, layout: Layout) -> ColumnReader | None:
    """Return what transforms columns as a ColumnTransformer transforms their DataFrame or array; None if it is not
    known to answer the same."""
    by_part = _places(transformer, layout) if sklearn_internals.returns_arrays(transformer) else None
    if by_part is None:
        return None
    weights, as_sparse = transformer.transformer_weights or {}, getattr(transformer, "sparse_output_", False)
    find_reader = _reader_of_frame if layout.input_format == InputFormat.DATAFRAME else _reader_of_array
    parts: list[_Part] = []
    for name, inner, named in transformer.transformers_:
        if (isinstance(inner, str) and inner == "drop") or not by_part[name]:
            continue
        steps, weight = list(_steps(inner)), weights.get(name)
        if not as_sparse and weight is None:
            steps[-1:] = map(_dense, steps[-1:])
        kernels = [find_transform(step) for step in steps]
        first = steps[0] if steps else None
        read, is_array = find_reader(by_part[name], named, first, all(kernels[:1]), layout)
        if kernels and not is_array:
            kernels[0] = None
        transforms = [step_kernel or step.transform for step_kernel, step in zip(kernels, steps, strict=True)]
        parts.append(_Part(read, transforms, weight))
    return (lambda columns: join([part.transform(columns) for part in parts], as_sparse)) if parts else None


def _places(transformer: Any, layout: Layout) -> Mapping[str, Sequence[int]] | None:
    """Return the places in a row of the columns of each part; None if they are unknown."""
    places_by_part = sklearn_internals.column_places(transformer)
    names = getattr(transformer, "feature_names_in_", None)
    if places_by_part is None or (names is None) != (layout.input_format == InputFormat.ARRAY):
        return None
    if names is None:
        if any(isinstance(named, slice) for _, _, named in transformer.transformers_):
            return None  # views have another order
        return {name: list(places) for name, places in places_by_part.items()}
    places = {field.name: index for index, field in enumerate(layout.columns)}
    try:
        return {name: [places[names[index]] for index in indices] for name, indices in places_by_part.items()}
    except KeyError:
        return None


def _reader_of_frame(
    places: Sequence[int], named: Any, first: Any, has_kernel: bool, layout: Layout
) -> tuple[ColumnReader, bool]:
    """Return a reader of what `first` gets of a DataFrame, and whether it is an array or a list instead: only its
    kernel takes that. One column named alone is a Series."""
    fields, numbers = [layout.columns[index] for index in places], layout.dtype
    if np.isscalar(named):
        if has_kernel and fields[0].kind == Kind.STRING:
            return itemgetter(places[0]), True
        return series_reader(places[0], fields[0], numbers), False
    types = frame_types(fields, numbers)
    dtype = array_dtype(types, first) if has_kernel else None
    if dtype is None:
        return frame_reader(places, fields, numbers), False
    return array_reader(places, fields, types, dtype), True


def _reader_of_array(
    places: Sequence[int], named: Any, first: Any, has_kernel: bool, layout: Layout
) -> tuple[ColumnReader, bool]:
    """Return the same for an array. One column named alone is an array of one dimension."""
    dtype, fields = cell_dtype(layout.columns, layout.dtype), [layout.columns[index] for index in places]
    if np.isscalar(named):
        if has_kernel and dtype is object:
            return itemgetter(places[0]), True
        read = array_reader(places, fields, [dtype], dtype)
        return (lambda columns: read(columns)[:, 0]), True
    if dtype is object and makes_floats(first) and has_kernel:
        return array_reader(places, [], [], np.float64), True
    return array_reader(places, fields, [dtype] * len(places), dtype), True


def _dense(step: Any) -> Any:
    """Return an encoder whose output is what its own becomes in a dense matrix."""
    if known_type(step) is not OneHotEncoder:
        return step
    encoder = copy.copy(step)
    encoder.sparse_output = False
    return encoder


def _steps(transformer: Any) -> Iterator[Any]:
    """Yield the transformers of a pipeline, also of those within, that do something."""
    if known_type(transformer) is Pipeline:
        for _, step in transformer.steps:
            yield from _steps(step)
    elif not is_passthrough(transformer) and not is_identity(transformer):
        yield transformer
