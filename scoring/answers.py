"""What a model's methods return → answers that JSON can hold, one a row."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from contract.model.signature import AnswerForm, Method, Output, OutputKind, Signature
from contract.row import Answer, Value
from contract.wording import listed

_EXACT, _LONGEST = 2**53, 2**64
"""Whole numbers from the first on are no floats, which would round them, up to the 64 bits that NumPy has for them."""


class InvalidAnswer(ValueError):
    """A method returned what its form of answer cannot be; the message completes "the model …"."""


# What predict returns


def columns_of(values: Any, outputs: Sequence[Output], rows: int) -> list[Any]:
    """Return the predictions as one array of `rows` values for each output. Raises `InvalidAnswer`.

    `values` is what `predict` returned: an array of rows, or rows × outputs; a DataFrame, a dict of columns, or a dict
    for each row, with the names of the outputs.
    """
    if type(values) is np.ndarray and values.shape == (rows,) and len(outputs) == 1 and outputs[0].name is None:
        return [values]
    wanted = [output.name for output in outputs if output.name is not None]
    names, columns = named_columns(values, wanted)
    if names is not None and wanted:
        columns = _in_order(dict(zip(names, columns, strict=True)), wanted)
    if len(columns) != len(outputs) or any(column.shape != (rows,) for column in columns):
        raise InvalidAnswer(f"answered {rows} rows with {_shape_of(values)}")
    return columns


def named_columns(values: Any, expected: Sequence[str] = ()) -> tuple[list[str] | None, list[Any]]:
    """Return the names that predictions have, or None, and their columns as arrays. The `expected` names may be missing
    in dicts for each row, where other rows of a batch may have them."""
    if isinstance(values, pd.DataFrame):
        return [*map(str, values.columns)], [values.iloc[:, position].to_numpy() for position in range(values.shape[1])]
    if isinstance(values, Mapping):
        return [*map(str, values)], [_array(column) for column in values.values()]
    if records := _records_in(values):
        named = [{str(key): value for key, value in record.items()} for record in records]
        names = [*dict.fromkeys([*expected, *(name for record in named for name in record)])]
        return names, [_array([record.get(name) for record in named]) for name in names]
    table = as_array(values)
    return None, [table] if table.ndim == 1 else list(table.T) if table.ndim == 2 else []


def _in_order(columns: Mapping[str, Any], wanted: Sequence[str]) -> list[Any]:
    if columns.keys() != set(wanted):
        raise InvalidAnswer(f"answered with {listed(list(columns))}, and its outputs are {listed(wanted)}")
    return [columns[name] for name in wanted]


def _records_in(values: Any) -> Sequence[Mapping[str, Any]]:
    """Return a list or array of objects as a list, empty for anything else."""
    if isinstance(values, np.ndarray | pd.Series):
        values = values.tolist() if values.dtype == object and values.ndim == 1 else []
    is_list = isinstance(values, list | tuple)
    return list(values) if is_list and all(isinstance(value, Mapping) for value in values) else []


def _array(values: Any) -> Any:
    """Return the values of one column as an array that keeps the type of each."""
    return np.fromiter(values, object, len(values)) if isinstance(values, list | tuple) else np.asarray(values)


def as_array(values: Any) -> Any:
    """Return values as an array. NumPy alone would turn numbers beside texts into texts, and large whole numbers beside
    others into floats."""
    array = np.asarray(values)
    loses = array.dtype.kind in "US" or (array.dtype.kind == "f" and _has_long(array))
    if not loses or hasattr(values, "dtype"):
        return array
    return np.asarray(values.astype(object) if isinstance(values, pd.DataFrame) else values, dtype=object)


def _has_long(numbers: Any) -> bool:
    return bool((np.abs(numbers.astype(np.float64)) >= _EXACT).any())


def _shape_of(values: Any) -> str:
    return f"an array of the shape {np.shape(values)}"


def all_plain(values: Any, output: Output) -> list[Value] | None:
    """Return all values if their dtype says that they are valid; None if each has to be checked. Numbers are floats."""
    number = output.kind is OutputKind.NUMBER
    kind = values.dtype.kind
    if kind not in ("fiub" if number else "fiubU") or (kind == "f" and not np.isfinite(values).all()):
        return None
    if number and kind in "iu" and _has_long(values):
        return None
    plain: list[Value] = (values.astype(np.float64) if number else values).tolist()
    return plain


def each_plain(values: list[Any], output: Output) -> list[Value]:
    """Return the values as JSON has them, null for numbers that are not finite. Raises `InvalidAnswer` if one is of
    another type."""
    number = output.kind is OutputKind.NUMBER
    plain: list[Value] = []
    for value in values:
        # An array of objects keeps NumPy's own.
        value = value.item() if isinstance(value, np.generic) else value
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            plain.append(None)
        elif number and isinstance(value, int | float) and abs(value) <= sys.float_info.max:
            plain.append(value if isinstance(value, int) and _EXACT <= abs(value) < _LONGEST else float(value))
        elif not number and isinstance(value, str | int | float):
            plain.append(value)
        else:
            expected = "number" if number else "class that JSON can hold"
            raise InvalidAnswer(f"answered with a {type(value).__name__} instead of a {expected}")
    return plain


def decided(values: Any, tables: Any, output: Output) -> Any:
    """Return the predictions by the output's decision and its probabilities (rows × labels); without a decision,
    `values`. A probability that is no number decides nothing, and its prediction is null. Raises `InvalidAnswer`."""
    if (decision := output.decision) is None:
        return values
    if np.ndim(tables) != 2 or np.shape(tables)[1] != 2:
        raise InvalidAnswer(f"gave probabilities of the shape {np.shape(tables)} for 2 classes")
    labels = output.labels or ()
    column = labels.index(decision.label)
    either = np.array(
        [labels[1 - column], decision.label], dtype=None if type(labels[0]) is type(labels[1]) else object
    )
    probabilities = tables[:, column]
    answers = either[(probabilities >= decision.threshold).astype(int)]
    unknown = np.isnan(probabilities)
    return np.where(unknown, None, answers.astype(object)) if unknown.any() else answers


def with_label_names(values: list[Value], output: Output) -> list[Value]:
    """Return the predictions of one output with the names of its labels, where the signature gives them names."""
    if output.label_names is None:
        return values
    names = dict(zip(output.labels or (), output.label_names, strict=True))
    return [names.get(value, value) for value in values]


def together(columns: Sequence[Sequence[Answer]], outputs: Sequence[Output]) -> Sequence[Answer]:
    """Return the values of the only output, or an object of all outputs for each row."""
    if len(outputs) == 1 and outputs[0].name is None:
        return columns[0]
    names = [str(output.name) for output in outputs]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def probabilities_by_label(tables: Any, outputs: Sequence[Output], rows: int) -> list[Any]:
    """Return `numbers_by_label` of what `predict_proba` returned."""
    return numbers_by_label(_of_each_label(tables, outputs, rows), outputs, rows, "probabilities")


def probability_columns(tables: Any, outputs: Sequence[Output], rows: int) -> list[Any]:
    """Return what `predict_proba` returned as an array for each label of each output; NaN for what is not finite."""
    checked = _tables(_of_each_label(tables, outputs, rows), outputs, rows, "probabilities")
    return [np.where(np.isfinite(column), column, np.nan) for table in checked for column in table.T]


def _of_each_label(tables: Any, outputs: Sequence[Output], rows: int) -> Any:
    """Return the probabilities of all labels. Multi-label classifiers return rows × outputs: the probability of the
    second label of each. That of the first is what it lacks to 1."""
    several = len(outputs) > 1 and not isinstance(tables, list) and np.shape(tables) == (rows, len(outputs))
    if several and all(len(output.labels or ()) == 2 for output in outputs):
        return [np.column_stack([1 - column, column]) for column in np.asarray(tables, dtype=float).T]
    return tables


def numbers_by_label(tables: Any, outputs: Sequence[Output], rows: int, what: str) -> list[Any]:
    """Return for each row the numbers by class label, or by output and label. `tables` is rows × labels, or a list of
    arrays by output. Raises `InvalidAnswer`."""
    checked = _tables(tables, outputs, rows, what)
    return list(together(list(map(_by_label, checked, outputs)), outputs))


def _tables(tables: Any, outputs: Sequence[Output], rows: int, what: str) -> list[Any]:
    """Return rows × labels for each output. Raises `InvalidAnswer`."""
    tables = as_tables(tables)
    by_output: list[Any] = tables if isinstance(tables, list) else [tables]
    if len(by_output) != len(outputs):
        raise InvalidAnswer(f"gave {what} of {len(by_output)} outputs, and has {len(outputs)}")
    for table, output in zip(by_output, outputs, strict=True):
        if table.shape != (rows, len(output.shown_labels)):
            raise InvalidAnswer(f"gave {what} of the shape {table.shape} for {len(output.shown_labels)} classes")
    return by_output


def as_tables(tables: Any) -> Any:
    """Return rows × labels as an array of floats, or a list of arrays by output."""
    if isinstance(tables, list) and tables and np.ndim(tables[0]) == 2:
        return [np.asarray(table, dtype=float) for table in tables]
    return np.asarray(tables, dtype=float)


def _by_label(table: Any, output: Output) -> Sequence[Answer]:
    labels = [str(label) for label in output.shown_labels]
    return [dict(zip(labels, row, strict=True)) for row in _finite(table)]


# What other methods return


def answers_of(values: Any, method: Method, signature: Signature, rows: int) -> list[Any]:
    """Return a method's answer for each row. Raises `InvalidAnswer`."""
    outputs = signature.outputs
    if method.answer is AnswerForm.LABELS:
        if method.name == "predict_proba":
            return probabilities_by_label(values, outputs, rows)
        return numbers_by_label(values, outputs, rows, f"answers of {method.name}")
    if method.answer is AnswerForm.NEIGHBORS:
        distances, indices = (_matrix(part, rows, method) for part in values)
        pairs = zip(_finite(distances), indices.tolist(), strict=True)
        return [{"distances": far, "indices": near} for far, near in pairs]
    if method.answer is AnswerForm.NONZERO:
        return _nonzero(values, method, rows)
    if method.answer is AnswerForm.NUMBER:
        table = np.asarray(values)
        if table.shape not in ((rows,), (rows, 1)):
            raise InvalidAnswer(f"answered {rows} rows of {method.name} with {_shape_of(values)}")
        return _finite(table.reshape(rows))
    lists = _finite(_matrix(values, rows, method))
    if method.answer is AnswerForm.NUMBERS:
        return lists
    names = method.names or [output.name for output in outputs]
    if lists and len(lists[0]) != len(names):
        raise InvalidAnswer(f"answered {method.name} with {len(lists[0])} numbers a row, and has {len(names)} names")
    return [dict(zip(names, row, strict=True)) for row in lists]


def _matrix(values: Any, rows: int, method: Method) -> Any:
    """Return rows × numbers, or with more dimensions; objects where words are among the numbers."""
    table = as_array(values.toarray() if hasattr(values, "toarray") else values)
    table = table[np.newaxis] if table.ndim == rows == 1 else table  # SparsePCA drops the dimension of a single row
    if table.ndim < 2 or table.shape[0] != rows or table.dtype.kind not in "fiubOU":
        raise InvalidAnswer(f"answered {rows} rows of {method.name} with {_shape_of(values)} of {table.dtype}")
    return table


def _nonzero(values: Any, method: Method, rows: int) -> list[Any]:
    if not hasattr(values, "tocsr") or values.shape[0] != rows:
        raise InvalidAnswer(f"answered {rows} rows of {method.name} with {_shape_of(values)}")
    values = values.tocsr()
    values.sum_duplicates()
    names: Any = method.names or range(values.shape[1])
    if len(names) != values.shape[1]:
        raise InvalidAnswer(f"answered {method.name} with {values.shape[1]} numbers a row, and has {len(names)} names")
    numbers, positions, ends = _finite(values.data), values.indices.tolist(), values.indptr.tolist()
    return [
        {str(names[column]): number for column, number in zip(positions[a:b], numbers[a:b], strict=True) if number != 0}
        for a, b in pairwise(ends)
    ]


def _finite(table: Any) -> list[Any]:
    """Return an array as lists, with None for numbers that are not finite."""
    if table.dtype.kind == "O":
        table = np.frompyfunc(_plain, 1, 1)(table)
    elif table.dtype.kind == "f":
        table = table.astype(np.float64, copy=False)
        if not (finite := np.isfinite(table)).all():
            table = np.where(finite, table, None)
    values: list[Any] = table.tolist()
    return values


def _plain(value: Any) -> Value:
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, str | int | float) else str(value)
