"""Rows are transformed as a ColumnTransformer transforms their DataFrame, to the last bit."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from modelgate_kernels import find, predict
from modelgate_kernels.column_transformers import columns_transform
from modelgate_kernels.comparison import RowsByColumn
from modelgate_kernels.kernel import NotCovered
from modelgate_kernels.layout import Column, InputFormat, Kind, Layout, Row, Value
from modelgate_kernels.matrix import by_column, to_matrix
from scipy import sparse
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

COLUMNS = (
    Column("age", Kind.NUMBER, nullable=True),
    Column("job", Kind.STRING, nullable=True),
    Column("income", Kind.NUMBER, nullable=True),
    Column("children", Kind.INTEGER),
    Column("region", Kind.STRING, nullable=True),
    Column("owner", Kind.BOOLEAN),
)
LAYOUT = Layout(COLUMNS)
NUMBERS, WORDS = ["income", "age"], ["region", "job"]


def made_up(count: int, seed: int, *, nulls: bool = True) -> list[Row]:
    draw = random.Random(seed)

    def or_null(value: Value) -> Value:
        return None if draw.random() < 0.1 * nulls else value

    return [
        (
            or_null(draw.uniform(18, 90)),
            or_null(draw.choice(["nurse", "smith", "clerk", ""])),
            or_null(draw.lognormvariate(8, 1)),
            draw.randrange(5),
            or_null(draw.choice(["north", "süd"])),
            draw.random() < 0.5,
        )
        for _ in range(count)
    ]


def assert_same_matrix(matrix: Any, expected: Any, where: str = "") -> None:
    """Compare two matrices bit for bit, with their places in memory."""
    assert type(matrix) is type(expected), where
    assert (matrix.dtype, matrix.shape) == (expected.dtype, expected.shape), where
    if sparse.issparse(expected):
        assert matrix.format == expected.format, where
        for name in ("data", "indices", "indptr"):
            assert_same_matrix(getattr(matrix, name), getattr(expected, name), f"{where} {name}")
        return
    orders = [(array.flags.c_contiguous, array.flags.f_contiguous) for array in (matrix, expected)]
    assert orders[0] == orders[1], where
    if expected.dtype == object:
        assert list(map(repr, matrix.ravel())) == list(map(repr, expected.ravel())), where
    else:
        assert matrix.tobytes() == expected.tobytes(), where


def transform_rows(transformer: Any, rows: Sequence[Row], layout: Layout = LAYOUT) -> Any:
    transform = columns_transform(transformer, layout)
    return transform and transform(by_column(rows))


def fitted(transformer: Any) -> Any:
    nulls = not isinstance(transformer.transformers[0][1], CountVectorizer)
    return transformer.fit(to_matrix(made_up(200, 1, nulls=nulls), COLUMNS, InputFormat.DATAFRAME))


MEAN, FREQUENT = SimpleImputer(), SimpleImputer(strategy="most_frequent")


@pytest.mark.parametrize("count", [1, 2, 50])
@pytest.mark.parametrize(
    "transformer",
    [
        make_column_transformer((MEAN, NUMBERS), (make_pipeline(FREQUENT, OneHotEncoder()), WORDS)),
        make_column_transformer((SimpleImputer(add_indicator=True), NUMBERS), (OneHotEncoder(), WORDS)),
        make_column_transformer((make_pipeline(MEAN, StandardScaler(), MinMaxScaler()), NUMBERS), ("drop", WORDS)),
        make_column_transformer((make_pipeline(MEAN, RobustScaler()), ["age"]), (MaxAbsScaler(), ["children"])),
        make_column_transformer((MEAN, ["children", "age"]), ("passthrough", ["income"]), remainder="drop"),
        make_column_transformer((FREQUENT, ["children"]), (MEAN, NUMBERS), ("passthrough", ["children"])),
        make_column_transformer((make_pipeline(FREQUENT, OrdinalEncoder()), WORDS), (MEAN, [0, 2])),
        make_column_transformer((OrdinalEncoder(encoded_missing_value=-2), slice("region", "region")), (MEAN, NUMBERS)),
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["job"]), sparse_threshold=1.0),
        make_column_transformer((SimpleImputer(strategy="constant", fill_value="?"), WORDS), (FREQUENT, NUMBERS)),
        make_column_transformer((OneHotEncoder(sparse_output=False), [*WORDS, "children", "owner"]), (MEAN, NUMBERS)),
        make_column_transformer((make_pipeline(MEAN, StandardScaler()), ["age", "children", "owner"])),
        make_column_transformer((FunctionTransformer(np.log1p), ["children"]), (FunctionTransformer(np.abs), NUMBERS)),
        ColumnTransformer(
            [("numbers", MEAN, NUMBERS), ("words", OneHotEncoder(sparse_output=False), WORDS)],
            transformer_weights={"numbers": 0.3, "words": 2},
        ),
        make_column_transformer((CountVectorizer(), "region"), (make_pipeline(MEAN, StandardScaler()), NUMBERS)),
        make_column_transformer((KBinsDiscretizer(quantile_method="averaged_inverted_cdf"), ["children"])),
        make_column_transformer((StandardScaler().set_output(transform="pandas"), NUMBERS), (MEAN, NUMBERS)),
        make_column_transformer((OrdinalEncoder(), ["owner", "children"])),
    ],
)
def test_rows_are_transformed_as_their_dataframe_is(transformer: ColumnTransformer, count: int) -> None:
    fitted(transformer)
    for seed in range(2, 6):
        rows = made_up(count, seed, nulls=not isinstance(transformer.transformers[0][1], CountVectorizer))
        expected = transformer.transform(to_matrix(rows, COLUMNS, InputFormat.DATAFRAME))
        with warnings.catch_warnings(action="error"):
            transformed = transform_rows(transformer, rows)
        assert transformed is not None
        assert_same_matrix(transformed, expected)


@pytest.mark.parametrize("names", [["income"], ["income", "age"], ["income", "children"]])
def test_32_bit_numbers_are_transformed_as_their_dataframe_is(names: list[str]) -> None:
    rows = made_up(50, 2)
    frame = to_matrix(rows, COLUMNS, InputFormat.DATAFRAME, "float32")
    transformer = make_column_transformer((make_pipeline(SimpleImputer(), StandardScaler()), names)).fit(frame)
    transformed = transform_rows(transformer, rows, Layout(COLUMNS, dtype="float32"))
    assert_same_matrix(transformed, transformer.transform(frame))


def test_the_kernel_leaves_an_unknown_category_that_raises_to_the_encoder() -> None:
    transformer = fitted(make_column_transformer((OneHotEncoder(), ["job"])))
    with pytest.raises(NotCovered):
        transform_rows(transformer, [(1.0, "astronaut", 2.0, 3, "north", True)])


def test_a_transformer_that_returns_dataframes_gets_a_dataframe() -> None:
    transformer = make_column_transformer((SimpleImputer(), NUMBERS)).set_output(transform="pandas")
    assert transform_rows(fitted(transformer), made_up(3, 2)) is None


def test_a_transformer_keeps_the_names_of_its_columns() -> None:
    transformer = fitted(make_column_transformer((MEAN, NUMBERS), (OneHotEncoder(), ["job"])))
    transform_rows(transformer, made_up(3, 2))
    assert list(transformer.transformers_[0][1].feature_names_in_) == NUMBERS
    assert list(transformer.transformers_[1][1].feature_names_in_) == ["job"]


def test_a_pipeline_of_a_column_transformer_answers_as_from_its_dataframe() -> None:
    rows, labels = made_up(200, 1), ["a", "b"] * 100
    frame = to_matrix(rows, COLUMNS, InputFormat.DATAFRAME)
    for sparse_threshold in (0, 1):
        transformer = make_column_transformer(
            (make_pipeline(MEAN, StandardScaler()), [*NUMBERS, "children"]),
            (OneHotEncoder(handle_unknown="ignore"), WORDS),
            sparse_threshold=sparse_threshold,
        )
        pipeline = make_pipeline(transformer, LogisticRegression()).fit(frame, labels)
        kernel = find(pipeline, LAYOUT)
        assert kernel
        for some in (rows, rows[:1], rows[3:9], RowsByColumn(rows)):
            matrix = to_matrix(some, COLUMNS, InputFormat.DATAFRAME)
            assert_same_matrix(kernel.matrix(some), transformer.transform(matrix))
            values, tables = predict(kernel, some, ["predict", "predict_proba"])
            assert values.tolist() == pipeline.predict(matrix).tolist()
            assert tables.tobytes() == pipeline.predict_proba(matrix).tobytes()
