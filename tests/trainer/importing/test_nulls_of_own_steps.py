"""What an import decides of nulls if code of a user answers them: in columns, rows and records, or alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelgate.publishing import nulls_of, sample_of
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.feature_extraction import DictVectorizer
from sklearn.pipeline import make_pipeline

from contract.model.manifest import ArtifactFormat, ManifestDraft
from contract.model.signature import Kind, Null
from trainer.importing import Refused
from trainer.importing.contents.file_contents import FileContents
from trainer.importing.inputs import sample
from trainer.importing.trial.trial import try_model

FRAME = pd.DataFrame({"a": [1.5, 2.5, 3.5], "b": [1.0, 2.0, 3.0], "c": [4.0, 5.0, 6.0]})
NULL_IN_A_IS_REFUSED = "null in 'a' is refused: the model answers None, NaN and pandas' NA differently"


class TakesNan(RegressorMixin, BaseEstimator):
    """Says that it takes NaN, and predicts the sum of the numbers that `told` makes of each cell."""

    def __init__(self, told: Callable[[Any, Any], float]) -> None:
        """`told` gets the column's name or number, and the cell."""
        self.told = told

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[no-untyped-call]
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: Any = None) -> TakesNan:
        self.n_features_in_ = X.shape[1]
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.array(X.columns, dtype=object)
        return self

    def predict(self, X: Any) -> Any:
        rows = pd.DataFrame(X).astype(object).iterrows()
        return np.array([sum(self.told(column, value) for column, value in row.items()) for _, row in rows])


class InfersDtypes(TakesNan):
    """pandas makes NaN of a None beside a float, and keeps one that is alone."""

    def predict(self, X: Any) -> Any:
        return super().predict(X.infer_objects())


class AnswersIfBIsLarge(TakesNan):
    def predict(self, X: Any) -> Any:
        return np.where(X["b"] > 100, super().predict(X), 0.0)


class AddsIfObjects(TakesNan):
    def predict(self, X: Any) -> Any:
        return super().predict(X) + 1000 * (X["a"].dtype == object)


class RaisesForObjects(TakesNan):
    def predict(self, X: Any) -> Any:
        if X["a"].dtype in (object, "boolean"):
            raise TypeError("a holds objects")
        return super().predict(X)


def number(_: Any, value: Any) -> float:
    """A null counts as 0."""
    return 0.0 if is_null(value) else 1.0 if isinstance(value, pd.Timestamp) else float(value)


def null_of_a_by_type(column: Any, value: Any) -> float:
    by_type = {type(None): 100.0, type(pd.NA): 200.0, float: 300.0, type(pd.NaT): 400.0}
    return by_type[type(value)] if is_null(value) and column in ("a", 0) else number(column, value)


def nan_and_nat_of_a(column: Any, value: Any) -> float:
    if column == "a" and (value is None or value is pd.NA):
        raise TypeError("neither NaN nor NaT")
    return null_of_a_by_type(column, value)


def null_of_b_raises(column: Any, value: Any) -> float:
    if is_null(value) and column == "b":
        raise ValueError("b is null")
    return null_of_a_by_type(column, value)


def null_of_a_is_passed_on(column: Any, value: Any) -> float:
    return float("nan") if is_null(value) and column in ("a", 0) else number(column, value)


def only_none_is_a_number(column: Any, value: Any) -> float:
    return float("nan") if is_null(value) and value is not None else number(column, value)


def only_nan_is_a_number(_: Any, value: Any) -> float:
    return float(np.nan_to_num(float(value)))


def none_is_a_rounding_away(column: Any, value: Any) -> float:
    return 1e-12 if value is None else number(column, value)


def is_null(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or value != value


def imported(model: Any, rows: str | pd.DataFrame | None = None) -> ManifestDraft:
    """The draft of an import without a sample, with a CSV, or with the rows and nulls that a client sends."""
    file = rows.encode() if isinstance(rows, str) else rows is not None and sample_of(rows)
    nulls = nulls_of(rows) if isinstance(rows, pd.DataFrame) else None
    read = sample.read(io.BytesIO(file), nulls) if file else None
    return try_model("m", FileContents(model), read, ArtifactFormat.CLOUDPICKLE)


def warnings(draft: ManifestDraft) -> str:
    return " ".join(draft.warnings)


def nullable(draft: ManifestDraft) -> list[str]:
    return [field.name for field in draft.signature.inputs if field.nullable]


def test_a_null_that_is_refused_stays_so_if_the_estimator_says_that_it_takes_nan() -> None:
    draft = imported(TakesNan(null_of_a_by_type).fit(FRAME[["c", "b", "a"]]))
    assert nullable(draft) == ["c", "b"]
    assert NULL_IN_A_IS_REFUSED in warnings(draft)


def test_a_column_that_raises_for_null_hides_no_other() -> None:
    draft = imported(TakesNan(null_of_b_raises).fit(FRAME))
    assert nullable(draft) == ["c"]
    assert NULL_IN_A_IS_REFUSED in warnings(draft)


def test_a_null_for_which_no_number_is_predicted_is_refused() -> None:
    assert nullable(imported(TakesNan(null_of_a_is_passed_on).fit(FRAME))) == ["b", "c"]


def test_a_null_that_alone_gets_a_number_is_the_one() -> None:
    draft = imported(TakesNan(only_none_is_a_number).fit(FRAME))
    assert [field.null for field in draft.signature.inputs] == [Null.NONE] * 3
    assert nullable(draft) == ["a", "b", "c"]


def test_nulls_whose_answers_are_equal_up_to_rounding_are_one() -> None:
    draft = imported(TakesNan(none_is_a_rounding_away).fit(FRAME))
    assert nullable(draft) == ["a", "b", "c"]


def test_a_null_that_is_another_in_a_row_alone_is_refused() -> None:
    draft = imported(InfersDtypes(nan_and_nat_of_a).fit(FRAME), "a,b,c\n1.5,1,4\n,2,5\n2.5,3,6\n")
    assert NULL_IN_A_IS_REFUSED in warnings(draft)


def test_a_null_that_only_a_row_of_the_sample_tells_apart_is_refused() -> None:
    rows = "a,b,c\n" + "1.5,1,4\n" * 6 + ",1000,4\n"
    assert NULL_IN_A_IS_REFUSED in warnings(imported(AnswersIfBIsLarge(null_of_a_by_type).fit(FRAME), rows))


def test_numbers_with_null_are_floats_unless_they_cannot_be() -> None:
    rows = "a,b,c\n1.5,1,4\n,2,5\n2.5,3,6\n"
    draft = imported(AddsIfObjects(only_nan_is_a_number).fit(FRAME), rows)
    assert (nullable(draft)[:1], draft.signature.inputs[0].null) == (["a"], Null.NAN)


def test_booleans_with_null_are_floats_if_they_can_be_nothing_else() -> None:
    rows = "a,b,c\ntrue,1,4\n,2,5\nfalse,3,6\n"
    draft = imported(RaisesForObjects(number).fit(FRAME), rows)
    assert (draft.signature.inputs[0].kind, draft.signature.inputs[0].null) == (Kind.BOOLEAN, Null.NAN)
    assert nullable(draft)[:1] == ["a"]


def test_nulls_among_dates_that_are_told_apart_are_refused() -> None:
    rows = "a,b,c\n2024-02-03,1,4\n,2,5\n2024-02-04,3,6\n"
    draft = imported(TakesNan(nan_and_nat_of_a).fit(FRAME), rows)
    assert draft.signature.inputs[0].kind is Kind.DATETIME
    assert NULL_IN_A_IS_REFUSED in warnings(draft)


def test_a_sample_may_have_a_null_in_each_row() -> None:
    draft = imported(TakesNan(number).fit(FRAME), "a,b,c\n,1,4\n2.5,,5\n3.5,2,\n")
    assert nullable(draft) == ["a", "b", "c"]


def test_a_sample_may_keep_one_row_without_the_nulls_that_are_refused() -> None:
    draft = imported(TakesNan(null_of_a_by_type).fit(FRAME), "a,b,c\n1.5,1,4\n,2,5\n")
    assert draft.golden.rows == ((1.5, 1.0, 4.0), (1.5, 1.0, 4.0))
    assert "a" not in nullable(draft)


def test_a_sample_of_refused_nulls_alone_says_which() -> None:
    with pytest.raises(Refused, match="no sample row without a null that it cannot be tried with: null in 'a'"):
        imported(TakesNan(null_of_a_by_type).fit(FRAME), "a,b,c\n,1,4\n,2,5\n")


def test_an_array_that_held_several_nulls_gets_the_first_of_them_and_a_warning() -> None:
    rows = pd.DataFrame({"a": [1.5, None, float("nan"), 2.5], "b": [1.0, 2.0, 3.0, 4.0]}, dtype=object)
    draft = imported(TakesNan(null_of_a_by_type).fit(rows.to_numpy()), rows)
    assert draft.signature.inputs[0].null is Null.NONE
    assert "a null in 'a' reaches the model as None" in warnings(draft)


@pytest.mark.parametrize(("told", "columns"), [(number, ["a", "b"]), (null_of_a_is_passed_on, ["b"])])
def test_a_null_in_a_record_is_refused_if_no_number_is_predicted(told: Any, columns: list[str]) -> None:
    model = make_pipeline(DictVectorizer(sparse=False), TakesNan(told))
    assert nullable(imported(model.fit([{"a": 1.5, "b": 1.0}, {"a": 2.5, "b": 2.0}]))) == columns
