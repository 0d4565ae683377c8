"""Rows are transformed as a ColumnTransformer transforms their DataFrame, to the last bit."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from contract.jobs import Row, Value
from contract.manifest import Field, InputDtype, InputFormat, Kind, Output, OutputKind, Signature
from scoring.columns import transform_rows
from scoring.matrix import to_matrix

SIGNATURE = Signature(
    (
        Field("age", Kind.NUMBER, nullable=True),
        Field("job", Kind.STRING, nullable=True),
        Field("income", Kind.NUMBER, nullable=True),
        Field("children", Kind.INTEGER),
        Field("region", Kind.STRING, nullable=True),
        Field("owner", Kind.BOOLEAN),
    ),
    Output(OutputKind.CLASS),
)
NUMBERS, WORDS = ["income", "age"], ["region", "job"]


def made_up(count: int, seed: int) -> list[Row]:
    draw = random.Random(seed)

    def or_null(value: Value) -> Value:
        return None if draw.random() < 0.1 else value

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


def fitted(transformer: Any) -> Any:
    return transformer.fit(to_matrix(made_up(200, 1), SIGNATURE, InputFormat.DATAFRAME))


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
    ],
)
def test_rows_are_transformed_as_their_dataframe_is(transformer: ColumnTransformer, count: int) -> None:
    fitted(transformer)
    for seed in range(2, 6):
        rows = made_up(count, seed)
        expected = transformer.transform(to_matrix(rows, SIGNATURE, InputFormat.DATAFRAME))
        with warnings.catch_warnings(action="error"):
            found = transform_rows(transformer, rows, SIGNATURE)
        assert found is not None
        assert sparse.issparse(found) == sparse.issparse(expected)
        if sparse.issparse(found):
            found, expected = found.toarray(), expected.toarray()
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("names", [["income"], ["income", "age"]])
def test_32_bit_numbers_are_transformed_as_their_dataframe_is(names: list[str]) -> None:
    rows = made_up(50, 2)
    frame = to_matrix(rows, SIGNATURE, InputFormat.DATAFRAME, InputDtype.FLOAT32)
    transformer = make_column_transformer((make_pipeline(SimpleImputer(), StandardScaler()), names)).fit(frame)
    expected, found = transformer.transform(frame), transform_rows(transformer, rows, SIGNATURE, InputDtype.FLOAT32)
    assert found is not None and found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    beside_whole = make_column_transformer((SimpleImputer(), [*names, "children"])).fit(frame)
    assert transform_rows(beside_whole, rows, SIGNATURE, InputDtype.FLOAT32) is None


def test_an_unknown_category_raises_the_same_as_from_a_dataframe() -> None:
    transformer = fitted(make_column_transformer((OneHotEncoder(), ["job"])))
    rows = [(1.0, "astronaut", 2.0, 3, "north", True)]
    with pytest.raises(ValueError, match="unknown categor") as own:
        transformer.transform(to_matrix(rows, SIGNATURE, InputFormat.DATAFRAME))
    with pytest.raises(ValueError, match="unknown categor") as here:
        transform_rows(transformer, rows, SIGNATURE)
    assert str(here.value) == str(own.value)


@pytest.mark.parametrize(
    "transformer",
    [
        make_column_transformer((KBinsDiscretizer(quantile_method="averaged_inverted_cdf"), ["children"])),
        make_column_transformer((SimpleImputer(), NUMBERS)).set_output(transform="pandas"),
        make_column_transformer((StandardScaler().set_output(transform="pandas"), NUMBERS)),
        make_column_transformer((OrdinalEncoder(), ["owner", "children"])),
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["age", "children"])),
        make_column_transformer((FREQUENT, ["job", "age"])),
    ],
)
def test_a_transformer_that_might_answer_otherwise_gets_a_dataframe(transformer: ColumnTransformer) -> None:
    assert transform_rows(fitted(transformer), made_up(3, 2), SIGNATURE) is None


def test_only_column_transformers_are_replaced() -> None:
    assert transform_rows(LogisticRegression(), made_up(3, 2), SIGNATURE) is None


def test_a_transformer_keeps_the_names_of_its_columns() -> None:
    transformer = fitted(make_column_transformer((MEAN, NUMBERS)))
    transform_rows(transformer, made_up(3, 2), SIGNATURE)
    assert list(transformer.transformers_[0][1].feature_names_in_) == NUMBERS
