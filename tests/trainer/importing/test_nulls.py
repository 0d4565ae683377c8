"""What a null is to an estimator: None, NaN or pandas' NA. An import looks, tries and compares; it never guesses."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelgate.publishing import nulls_of, sample_of
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - it makes IterativeImputer importable
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, TargetEncoder

from contract.model.manifest import ArtifactFormat, ManifestDraft
from contract.model.signature import Kind
from contract.rows.coercion import coerce
from contract.rows.instances import Records
from scoring.kernels import find_version_kernel
from scoring.predict import predict
from trainer.importing import Refused
from trainer.importing.contents.file_contents import FileContents
from trainer.importing.inputs import sample
from trainer.importing.trial.trial import try_model

nan, NA, DAY = float("nan"), pd.NA, pd.Timestamp("2024-02-03")
DAY_UTC = DAY.tz_localize("UTC")
COLUMNS: Mapping[str, pd.Series] = {
    "texts and None": pd.Series(["a", "b", None, "a", "b"], dtype=object),
    "texts and NaN": pd.Series(["a", "b", nan, "a", "b"], dtype=object),
    "texts, None and NaN": pd.Series(["a", "b", None, nan, "b"], dtype=object),
    "str": pd.Series(["a", "b", None, "a", "b"], dtype="str"),
    "string and NA": pd.Series(["a", "b", None, "a", "b"], dtype="string"),
    "category": pd.Series(["a", "b", None, "a", "b"], dtype="category"),
    "floats and NaN": pd.Series([1.5, 2.5, nan, 1.5, 2.5]),
    "floats and None": pd.Series([1.5, 2.5, None, 1.5, 2.5], dtype=object),
    "floats, None and NaN": pd.Series([1.5, 2.5, None, nan, 2.5], dtype=object),
    "Float64 and NA": pd.Series([1.5, 2.5, None, 1.5, 2.5], dtype="Float64"),
    "integers and None": pd.Series([3, 2, None, 3, 2], dtype=object),
    "integers and NaN": pd.Series([3, 2, nan, 3, 2], dtype=object),
    "Int64 and NA": pd.Series([3, 2, None, 3, 2], dtype="Int64"),
    "booleans and None": pd.Series([True, False, None, True, False], dtype=object),
    "booleans and NaN": pd.Series([True, False, nan, True, False], dtype=object),
    "booleans, None and NaN": pd.Series([True, False, None, nan, False], dtype=object),
    "boolean and NA": pd.Series([True, False, None, True, False], dtype="boolean"),
    "dates and NaT": pd.Series([DAY, DAY + pd.Timedelta("9D"), None, DAY, DAY]),
    "dates and None": pd.Series([DAY, DAY + pd.Timedelta("9D"), None, DAY, DAY], dtype=object),
    "dates and NaN": pd.Series([DAY, DAY + pd.Timedelta("9D"), nan, DAY, DAY], dtype=object),
    "dates and NA": pd.Series([DAY, DAY + pd.Timedelta("9D"), NA, DAY, DAY], dtype=object),
    "dates with a zone and None": pd.Series([DAY_UTC, DAY_UTC + pd.Timedelta("9D"), None, DAY_UTC], dtype=object),
}


class Nulls(TransformerMixin, BaseEstimator):
    """Tells the nulls apart, as a class of a user's own with `is None` does."""

    def fit(self, X: Any, y: Any = None) -> Nulls:
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        told = {type(None): 1.0, type(NA): 2.0, type(pd.NaT): 3.0, float: 4.0}
        return np.array([[told[type(value)] if is_null(value) else 0.0] for value in X.iloc[:, 0].tolist()])


def is_null(value: Any) -> bool:
    return value is None or value is NA or value is pd.NaT or value != value


def _as_texts(X: Any) -> Any:
    return X.astype(str)


def _without_none(X: Any) -> Any:
    return X.astype(object).map(lambda value: "?" if value is None else str(value))


def _hot() -> Any:
    return OneHotEncoder(handle_unknown="ignore")


TRANSFORMERS: Mapping[str, Callable[[], Any]] = {
    "OneHotEncoder": _hot,
    "OneHotEncoder that refuses others": OneHotEncoder,
    "OrdinalEncoder": lambda: make_pipeline(OrdinalEncoder(encoded_missing_value=-1), _hot()),
    "TargetEncoder": lambda: TargetEncoder(cv=2),
    "constant": lambda: make_pipeline(SimpleImputer(strategy="constant"), _hot()),
    "most frequent": lambda: make_pipeline(SimpleImputer(strategy="most_frequent"), _hot()),
    "most frequent for None": lambda: make_pipeline(
        SimpleImputer(strategy="most_frequent", missing_values=None), _hot()
    ),
    "most frequent for NA": lambda: make_pipeline(SimpleImputer(strategy="most_frequent", missing_values=NA), _hot()),
    "median": lambda: SimpleImputer(strategy="median", add_indicator=True),
    "a class of one's own": Nulls,
    "astype(str)": lambda: make_pipeline(FunctionTransformer(_as_texts), _hot()),
    "is None": lambda: make_pipeline(FunctionTransformer(_without_none), _hot()),
    "isna": lambda: FunctionTransformer(lambda X: X.isna().astype(float)),
}


@functools.cache
def fitted(kind: str, transformer: str) -> tuple[Any, pd.DataFrame] | None:
    """The pipeline and the rows that it was fitted on; None if scikit-learn does not fit it."""
    column = COLUMNS[kind]
    X = pd.DataFrame({"c": pd.concat([column] * 4, ignore_index=True).astype(column.dtype)})
    X["n"] = np.arange(len(X)) % 3 / 10
    y = np.where([is_null(value) for value in X["c"].astype(object)], 1, np.arange(len(X)) % 7 == 0).astype(int)
    encoded = make_column_transformer((TRANSFORMERS[transformer](), ["c"]), remainder="passthrough")
    model = make_pipeline(encoded, LogisticRegression())
    try:
        model.fit(X, y).predict(X[:3])
    except (ValueError, TypeError):
        return None
    return model, X


def imported(model: Any, X: pd.DataFrame, *, told: bool) -> ManifestDraft:
    """The draft of an import with the rows of X as a sample; `told`: the client says what its nulls are."""
    rows = sample.read(io.BytesIO(sample_of(X) or b""), nulls_of(X) if told else None)
    return try_model("m", FileContents(model), rows, ArtifactFormat.CLOUDPICKLE)


def served(model: Any, draft: ManifestDraft, X: pd.DataFrame) -> Any:
    """The probabilities for rows of JSON, one row at a time, which the kernel of the version gives if it has one."""
    used = draft.artifact.kernels and draft.artifact.kernels.used
    kernel = find_version_kernel(model, draft.signature, draft.artifact) if used else None
    table = []
    records = [dict(zip(X.columns, map(as_json, row), strict=True)) for row in X.astype(object).to_numpy()]
    for record in records:
        answer = predict(model, draft, coerce(Records([record]), draft.signature).rows, kernel)
        table += [list(row.values()) for row in answer.probabilities or ()]  # type: ignore[union-attr]
    return np.array(table)


def as_json(value: Any) -> Any:
    if is_null(value):
        return None
    return value.isoformat() if isinstance(value, pd.Timestamp) else value


def nulls_by_kind(X: pd.DataFrame) -> dict[str, list[int]]:
    """The row numbers of each kind of null."""
    numbers_by_kind: dict[str, list[int]] = {}
    for number, value in enumerate(X["c"].astype(object)):
        if is_null(value):
            numbers_by_kind.setdefault(type(value).__name__, []).append(number)
    return numbers_by_kind


NOT_SLOW = (
    *("texts, None and NaN", "string and NA", "category", "floats, None and NaN", "Int64 and NA"),
    *("booleans, None and NaN", "boolean and NA", "dates and NaT", "dates and NA", "dates with a zone and None"),
)
"""Columns that stand for the others where the client says what the nulls are: then nothing is tried to find out."""
TOLD = [pytest.param(kind, True, marks=[] if kind in NOT_SLOW else [pytest.mark.slow]) for kind in COLUMNS]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "told"), [*((kind, False) for kind in COLUMNS), *TOLD])
def test_a_null_is_answered_as_in_ones_own_process_or_refused_with_the_reason(kind: str, told: bool) -> None:
    right = 0
    for name in TRANSFORMERS:
        if kind.startswith("dates") and name == "median":
            continue  # how dates are read as numbers is no matter of nulls
        if (made := fitted(kind, name)) is None:
            continue
        model, X = made
        try:
            draft = imported(model, X[:10], told=told)
        except Refused as refused:
            pytest.fail(f"{name}: {refused}")
        field, warnings = draft.signature.inputs[0], " ".join(draft.warnings)
        expected, whole = model.predict_proba(X), [n for n, c in enumerate(X["c"][:5].astype(object)) if not is_null(c)]
        np.testing.assert_allclose(served(model, draft, X.iloc[whole]), expected[whole], rtol=1e-9, err_msg=name)
        if not field.nullable:
            assert not told, name
            assert "null in 'c' is refused: the model answers None, NaN and pandas' NA differently" in warnings, name
            continue
        holes = {null: rows[:1] for null, rows in nulls_by_kind(X).items()}
        same = [
            null
            for null, rows in holes.items()
            if np.allclose(served(model, draft, X.iloc[rows]), model.predict_proba(X.iloc[rows]), rtol=1e-9)
        ]
        assert same, name
        if len(same) < len(holes):
            assert "a null in 'c' reaches the model as" in warnings, name
        right += 1
    assert right > 1


@pytest.mark.parametrize("kind", [kind for kind in COLUMNS if kind.startswith("dates") and kind != "dates and NA"])
def test_an_encoder_of_dates_shows_without_a_sample_that_they_are_dates(kind: str) -> None:
    right = 0
    for name in ("OneHotEncoder", "OneHotEncoder that refuses others", "OrdinalEncoder", "TargetEncoder", "constant"):
        if (made := fitted(kind, name)) is None:
            continue
        model, X = made
        draft = try_model("m", FileContents(model), None, ArtifactFormat.CLOUDPICKLE)
        rows = X.iloc[[n for n, c in enumerate(X["c"][:5]) if draft.signature.inputs[0].nullable or not is_null(c)]]
        np.testing.assert_allclose(served(model, draft, rows), model.predict_proba(rows), rtol=1e-9, err_msg=name)
        right += 1
    assert right


def test_dates_in_nanoseconds_are_dates_to_an_encoder_and_no_integers() -> None:
    model = make_pipeline(_hot(), LogisticRegression())
    X = pd.DataFrame({"c": pd.to_datetime(["2024-02-03", "2024-02-12"] * 6).astype("M8[ns]")})
    model.fit(X, [0, 1] * 6)
    draft = try_model("m", FileContents(model), None, ArtifactFormat.CLOUDPICKLE)
    assert (draft.signature.inputs[0].kind, draft.warnings) == (Kind.DATETIME, ())
    np.testing.assert_allclose(served(model, draft, X[:2]), model.predict_proba(X[:2]), rtol=1e-9)


@pytest.mark.parametrize("encoder", [OneHotEncoder, _hot, lambda: TargetEncoder(cv=2)])
@pytest.mark.parametrize("word", ["None", "NA", "nan", ""])
def test_a_word_in_the_clients_rows_that_would_be_a_null_in_a_csv_stays_a_word(word: str, encoder: Any) -> None:
    """As `fillna("None")` makes it. A column may hold both."""
    rows = pd.DataFrame({"c": ["a", word, "b", word, "a", "b"] * 4, "d": ["a", word, None, word, "a", None] * 4})
    y = [0, 1, 0, 1, 0, 0] * 4
    model = make_pipeline(encoder(), LogisticRegression(C=100)).fit(rows, y)
    draft = imported(model, rows, told=True)
    assert [field.nullable for field in draft.signature.inputs] == [False, True]
    np.testing.assert_allclose(served(model, draft, rows), model.predict_proba(rows), rtol=1e-9)
    assert sample.read(io.BytesIO(sample_of(rows) or b"")).cells("c")[1] is None  # a file does not say it


GAPS = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
GAPS = GAPS.mask(np.random.default_rng(1).random(GAPS.shape) < 0.2)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("model", [LinearRegression(), LogisticRegression()], ids=["numbers", "classes"])
def test_nulls_that_are_replaced_by_random_numbers_are_refused_with_that_reason(model: Any, told: bool) -> None:
    drawing = make_pipeline(IterativeImputer(sample_posterior=True, random_state=0), model)
    draft = imported(drawing.fit(GAPS, np.arange(60) % 2), GAPS, told=told)
    assert [(remark.code, remark.fields) for remark in draft.remarks] == [("random_nulls", ("a", "b", "c"))]
    assert "sample_posterior=False" in draft.remarks[0].text
    assert not any(field.nullable for field in draft.signature.inputs)
    assert not any(None in row for row in draft.golden.rows)
    with pytest.raises(Refused, match=r"no sample row without a null .* draws random numbers"):
        imported(drawing, GAPS[GAPS.isna().any(axis=1)], told=told)


def test_a_model_that_draws_its_answers_is_refused_with_that_reason() -> None:
    whole = GAPS.fillna(0)
    with pytest.raises(Refused, match="answers the same rows differently each time, since it draws random numbers"):
        imported(DummyClassifier(strategy="uniform").fit(whole, np.arange(60) % 2), whole, told=False)
    seeded = DummyClassifier(strategy="uniform", random_state=0).fit(whole, np.arange(60) % 2)
    assert imported(seeded, whole, told=False).golden.rows
