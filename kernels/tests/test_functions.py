"""FunctionTransformers of functions that a user has added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelgate_kernels import column_transformers, find
from modelgate_kernels.functions import add_function, known_function
from modelgate_kernels.same import same
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

TABLE = pd.DataFrame(
    {
        "a": [1.5, 2.5, -3.0, 0.25],
        "b": [1, 5, 2, 7],
        "day": pd.to_datetime(
            ["2026-01-02", "2026-03-04T05:06:07.000008", None, "1999-12-31"], utc=True, format="ISO8601"
        ).as_unit("us"),
    }
)
ROWS = [
    [1.5, 1, "2026-01-02T00:00:00+00:00"],
    [2.5, 5, "2026-03-04T05:06:07.000008+00:00"],
    [-3.0, 2, None],
    [0.25, 7, "1999-12-31T00:00:00+00:00"],
]


def as_floats(X: Any) -> Any:
    return np.asarray(X, dtype=np.float64)


def first(X: Any, times: int = 1) -> Any:
    return np.asarray(X)[:, :1] * times


def days(X: Any) -> Any:
    moments = X.sub(pd.Timestamp(0, tz="UTC")).div(pd.Timedelta(days=1))
    return np.nan_to_num(np.asarray(moments, dtype=np.float64))


def days_of_array(moments: Any) -> Any:
    return np.nan_to_num(moments.view("timedelta64[us]") / np.timedelta64(1, "D"))


def unknown(X: Any) -> Any:
    return np.asarray(X, dtype=np.float64) + 1


add_function(as_floats, makes_floats=True)
add_function(first)
add_function(days, days_of_array, takes_moments=True)


@pytest.mark.parametrize(
    ("function", "arguments", "columns", "from_array"),
    [
        (as_floats, {}, ["a", "b"], True),
        (first, {"times": 3}, ["b"], True),
        (first, {}, ["b", "a"], False),  # an array holds b as float, and a DataFrame of one row might not
        (days, {}, ["day"], True),
        (unknown, {}, ["a", "b"], False),
    ],
    ids=["floats of two types", "arguments", "two types", "moments", "unknown"],
)
def test_an_added_function_answers_the_same_from_arrays_as_from_a_dataframe(
    function: Callable[..., Any],
    arguments: dict[str, Any],
    columns: list[str],
    from_array: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transformer = make_column_transformer((FunctionTransformer(function, kw_args=arguments), columns))
    pipeline = make_pipeline(transformer, LinearRegression()).fit(TABLE, [1.0, 2.0, 3.0, 4.0])
    frames = []
    right = column_transformers.frame_reader
    monkeypatch.setattr(column_transformers, "frame_reader", lambda *of: frames.append(of) or right(*of))
    kernel = find(pipeline, TABLE)
    assert kernel
    assert bool(frames) != from_array
    for rows, table in ((ROWS, TABLE), (ROWS[1:2], TABLE[1:2])):
        assert same(kernel.matrix(rows), transformer.transform(table))
        assert same(kernel.answers(rows, ["predict"]), [pipeline.predict(table)])


def test_a_function_that_validates_still_refuses_rows() -> None:
    transformer = make_column_transformer((FunctionTransformer(as_floats, validate=True), ["a", "b"])).fit(TABLE)
    pipeline = make_pipeline(transformer, LinearRegression()).fit(TABLE, [1.0, 2.0, 3.0, 4.0])
    kernel = find(pipeline, TABLE)
    assert kernel
    assert same(kernel.matrix(ROWS), transformer.transform(TABLE))
    with pytest.raises(ValueError, match="NaN"):
        kernel.matrix([[None, 1, None]])


def test_functions_are_told_apart_by_identity() -> None:
    known = known_function(days)
    assert known is not None and known.takes_moments and not known.makes_floats
    assert known_function(unknown) is None
    assert known_function([]) is None  # a callable need not be hashable
