"""Makes the matrices that the first kernels of an estimator take, from rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sklearn.compose import ColumnTransformer

from modelgate_kernels.column_transformers import columns_transform
from modelgate_kernels.columns import array_dtype, array_reader, frame_types
from modelgate_kernels.functions import MOMENT
from modelgate_kernels.kernel import known_type
from modelgate_kernels.layout import InputFormat, Layout, Row
from modelgate_kernels.matrix import by_column, to_array, to_matrix

RowReader = Callable[[Sequence[Row]], Any]
"""Makes a matrix of rows."""


class Batch:
    """Rows, and the matrices made of them, which the members of a composite share."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._made: dict[RowReader, Any] = {}

    def made_by(self, read: RowReader) -> Any:
        """Return what `read` makes of the rows. It is called once."""
        if read not in self._made:
            self._made[read] = read(self._rows)
        return self._made[read]


BatchReader = Callable[[Batch], Any]
"""Returns the matrix of a batch's rows as a transformer or an estimator takes it."""


class Readers:
    """Finds the readers for estimators that were fitted on rows of a layout."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._read_matrix = self._matrix_reader(layout.input_format)
        self._array_readers: dict[Any, RowReader] = {}

    def matrix(self, batch: Batch) -> Any:
        """Return the matrix that any estimator takes."""
        return batch.made_by(self._read_matrix)

    def array(self, first: Any) -> BatchReader | None:
        """Return a reader for a kernel that takes an array where its estimator, the `first` to see the rows, was fitted
        on a DataFrame, or a list where it was fitted on a Series of texts. None if no array has the same values."""
        columns, input_format = self._layout.columns, self._layout.input_format
        if input_format == InputFormat.SERIES:
            return self._shared(InputFormat.TEXTS, self._matrix_reader(InputFormat.TEXTS))
        if input_format not in (InputFormat.DATAFRAME, InputFormat.NUMBERED):
            return self.matrix
        types = frame_types(columns, self._layout.dtype)
        dtype, names = array_dtype(types, first), getattr(first, "feature_names_in_", None)
        if dtype is None or (names is not None and [*names] != [column.name for column in columns]):
            return None
        if dtype in (object, MOMENT):
            read = array_reader(range(len(types)), columns, types, dtype)
            return self._shared(dtype, lambda rows: read(by_column(rows)))
        # In the order in which pandas makes an array of a DataFrame: the last bit of a product depends on it.
        return self._shared(dtype, partial(to_array, dtype=dtype, order="F"))

    def _matrix_reader(self, input_format: str) -> RowReader:
        return partial(to_matrix, columns=self._layout.columns, input_format=input_format, dtype=self._layout.dtype)

    def _shared(self, kind: Any, read: RowReader) -> BatchReader:
        """Return a reader of a batch that is the same for all arrays of a kind, so that a batch makes only one."""
        read = self._array_readers.setdefault(kind, read)
        return lambda batch: batch.made_by(read)

    def transformed(self, first: Any) -> BatchReader | None:
        """Return a reader that also does the work of the `first` transformer; None if that takes a matrix as others
        do."""
        if known_type(first) is not ColumnTransformer:
            return None
        transform = columns_transform(first, self._layout)
        return transform and (lambda batch: transform(batch.made_by(by_column)))
