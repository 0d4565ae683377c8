"""What an import finds out about columns without a sample: nulls, booleans, kinds that nothing shows."""

from __future__ import annotations

import pickle
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from contract.model.manifest import InputFormat, ManifestDraft
from contract.model.signature import Field, Kind, RowFormat
from contract.rows.coercion import coerce
from contract.rows.instances import Grid, Records
from scoring.predict import predict
from tests.trainer.importing.imported import FRAME, TARGET, X, refusal, said, tried, y

BOOSTED = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=1)


def nullable(draft: ManifestDraft) -> list[bool]:
    return [field.nullable for field in draft.signature.inputs]


def answers(estimator: Any, draft: ManifestDraft, rows: Any) -> Any:
    return predict(estimator, draft, coerce(rows, draft.signature).rows).values


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        (BOOSTED, True),
        (GridSearchCV(BOOSTED, {"max_iter": [3]}, cv=2), True),
        (make_pipeline(StandardScaler(), BOOSTED), True),
        (DecisionTreeClassifier(), True),
        (RandomForestClassifier(n_estimators=3), True),
        (make_pipeline(StandardScaler(), LogisticRegression()), False),
        (LogisticRegression(), False),
    ],
    ids=lambda model: str(model)[:50],
)
def test_null_is_allowed_where_the_model_takes_nan(tmp_path: Path, model: Any, takes: bool) -> None:
    model.fit(X, y)
    draft = tried(tmp_path, model)
    assert nullable(draft) == [takes, takes]
    if takes:
        assert answers(model, draft, Grid(None, [[None, 30.0]])) == model.predict([[np.nan, 30.0]]).tolist()


def test_only_columns_that_work_with_null_may_be_null(tmp_path: Path) -> None:
    frame = FRAME.assign(plan=FRAME["plan"].fillna("plus"))
    columns = make_column_transformer((OneHotEncoder(sparse_output=False), ["plan"]), remainder="passthrough")
    draft = tried(tmp_path, make_pipeline(columns, BOOSTED).fit(frame, TARGET))
    assert {field.name: field.nullable for field in draft.signature.inputs} == {"age": True, "plan": False, "km": True}


@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("imputed", [True, False])
@pytest.mark.parametrize(
    ("values", "kind", "remedy"),
    [
        ((date(2024, 1, 2), date(2024, 5, 6)), "date", "X['c'] = pd.to_datetime(X['c'])"),
        ((Decimal("0.1"), Decimal("0.3")), "Decimal", "X['c'] = X['c'].astype(float)"),
        ((pd.Interval(0, 3), pd.Interval(3, 6)), "Interval", "X['c'] = X['c'].astype(str)"),
        ((pd.Period("2024-01"), pd.Period("2024-02")), "Period", "X['c'] = X['c'].astype(str)"),
        ((pd.Timedelta("1D"), pd.Timedelta("2D")), "Timedelta", "X['c'] = X['c'].astype(str)"),
        ((b"a", b"b"), "bytes", "X['c'] = X['c'].astype(str)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_encoder_of_values_that_no_request_holds_is_refused(
    tmp_path: Path, values: tuple[Any, ...], kind: str, remedy: str, imputed: bool, sampled: bool
) -> None:
    """One that ignores others would take each value of a request for another one, and answer all alike."""
    column = pd.Series([*values, None] * 8, dtype=object) if imputed else pd.Series([*values] * 8)
    frame, hot = pd.DataFrame({"c": column}), OneHotEncoder(handle_unknown="ignore")
    encoder = make_pipeline(SimpleImputer(strategy="most_frequent", missing_values=None), hot) if imputed else hot
    model = make_pipeline(make_column_transformer((encoder, ["c"])), LogisticRegression())
    model.fit(frame, np.arange(len(frame)) % 2)
    said = refusal(tmp_path, model, frame.to_csv(index=False) if sampled else None)
    assert said.startswith(f"encodes values of the type {kind} in 'c', and no request holds such values;")
    assert said.endswith(f", with {remedy}, and fit it again")


@pytest.mark.parametrize("sampled", [True, False])
def test_an_encoder_of_numbers_in_a_column_of_objects_is_refused_with_a_remedy(tmp_path: Path, sampled: bool) -> None:
    frame = pd.DataFrame({"c": pd.Series([1, 2, 3] * 8, dtype=object), "k": np.arange(24.0)})

    def model(X: pd.DataFrame) -> Any:
        encoder = make_column_transformer((OneHotEncoder(), ["c"]), remainder="passthrough")
        return make_pipeline(encoder, LogisticRegression()).fit(X, np.arange(24) % 2)

    said = refusal(tmp_path, model(frame), frame.to_csv(index=False) if sampled else None)
    assert "numbers in a column of objects" in said and said.endswith("fit it on X.infer_objects()")
    assert tried(tmp_path, model(frame.infer_objects()), frame.to_csv(index=False)).signature.names == ("c", "k")


@pytest.mark.parametrize("scaler", [None, StandardScaler(), MinMaxScaler()], ids=str)
def test_booleans_of_get_dummies_are_true_or_1(tmp_path: Path, scaler: Any) -> None:
    frame = pd.get_dummies(pd.DataFrame({"km": [10.0, 20.0, 30.0, 40.0] * 5, "plan": ["a", "b", "b", "a"] * 5}))
    assert frame["plan_a"].dtype == bool
    model = make_pipeline(scaler, LogisticRegression()).fit(frame, TARGET)
    draft = tried(tmp_path, model)
    expected = model.predict(frame[:2]).tolist()
    for true, false in ((True, False), (1, 0), ("True", "False")):
        rows = [{"km": 10, "plan_a": true, "plan_b": false}, {"km": 20, "plan_a": false, "plan_b": true}]
        assert answers(model, draft, Records(rows)) == expected
    km = draft.signature.inputs[0]
    assert km.guessed is (scaler is None or draft.golden.rows[0][0] <= 1)
    with_sample = tried(tmp_path, model, "km,plan_a,plan_b\n10,1,0\n20,0,1\n")
    assert [field.guessed for field in with_sample.signature.inputs] == [False, True, True]


def test_a_csv_finds_names_with_blanks_around_them(tmp_path: Path) -> None:
    frame = pd.DataFrame({" a ": X[:, 0], "B ": X[:, 1]})
    model = LogisticRegression().fit(frame, y)
    for draft in (tried(tmp_path, model), tried(tmp_path, model, "a,B\n1,2\n3,4\n")):
        assert draft.signature.names == (" a ", "B ")
        assert answers(model, draft, Grid(["A", "B"], [["1", "2"]], separator=",")) == [0]


def test_an_isotonic_regression_takes_one_column(tmp_path: Path) -> None:
    model = IsotonicRegression(out_of_bounds="clip").fit(X[:, :1], y)
    assert len(tried(tmp_path, model).signature.inputs) == 1


def ages(frame: Any) -> Any:
    return frame.assign(born=(pd.Timestamp("2024-01-01") - frame["born"]).dt.days)


def ages_in_utc(frame: Any) -> Any:
    return frame.assign(born=(pd.Timestamp("2024-01-01", tz="UTC") - frame["born"]).dt.days)


PEOPLE = pd.DataFrame({"born": pd.to_datetime(["1990-05-17", "2001-06-18", "1970-01-01", "1988-08-08"] * 5), "km": 1.0})
BORN = "born,km\n1990-05-17,1\n2001-06-18,1\n"


@pytest.mark.parametrize("sample", [None, BORN])
def test_dates_without_a_zone_reach_the_model_as_it_was_fitted(tmp_path: Path, sample: str | None) -> None:
    model = make_pipeline(
        make_column_transformer((FunctionTransformer(ages), ["born"]), remainder="passthrough"), LogisticRegression()
    ).fit(PEOPLE, TARGET)
    draft = tried(tmp_path, cloudpickle.dumps(model), sample)
    assert draft.signature.inputs[0] == Field("born", Kind.DATETIME, naive=True)
    rows = [{"born": "1990-05-17", "km": 1}, {"born": "2001-06-18T02:00:00+02:00", "km": 1}]
    assert answers(model, draft, Records(rows)) == model.predict(PEOPLE[:2]).tolist()
    assert ManifestDraft.loads(draft.dumps()).signature == draft.signature
    if sample is None:
        assert "the type of 'born' is unknown, so dates are assumed; if they are numbers or words," in draft.warnings[1]


def test_dates_with_a_zone_reach_the_model_as_it_was_fitted(tmp_path: Path) -> None:
    people = PEOPLE.assign(born=PEOPLE["born"].dt.tz_localize("UTC"))
    model = make_pipeline(FunctionTransformer(ages_in_utc), LogisticRegression()).fit(people, TARGET)
    draft = tried(tmp_path, cloudpickle.dumps(model), BORN)
    assert draft.signature.inputs[0] == Field("born", Kind.DATETIME)
    assert answers(model, draft, Records([{"born": "1990-05-17", "km": 1}])) == model.predict(people[:1]).tolist()


def first_words(frame: Any) -> Any:
    return frame["note"].str.split().str[0]


def test_words_are_assumed_where_the_model_takes_neither_numbers_nor_dates(tmp_path: Path) -> None:
    frame = pd.DataFrame({"note": ["win money", "meet me", "win cash", "see you"] * 5})
    model = make_pipeline(FunctionTransformer(first_words), CountVectorizer(), LogisticRegression()).fit(frame, TARGET)
    draft = tried(tmp_path, cloudpickle.dumps(model))
    assert draft.signature.inputs == (Field("note", Kind.STRING),)
    assert draft.warnings[0].startswith("the type of 'note' is unknown, so words are assumed; if they are numbers or d")
    assert answers(model, draft, Records([{"note": "win now"}])) == model.predict(pd.DataFrame({"note": ["win now"]}))


def records(frame: Any) -> Any:
    return frame.to_dict("records")


def test_a_dict_vectorizer_shows_the_columns_of_the_table_before_it(tmp_path: Path) -> None:
    frame = pd.DataFrame({"city": ["Rome", "Oslo"] * 10, "visits": range(20)})
    model = make_pipeline(FunctionTransformer(records), DictVectorizer(), LogisticRegression()).fit(frame, TARGET)
    draft = tried(tmp_path, cloudpickle.dumps(model))
    assert draft.signature.inputs == (Field("city", Kind.STRING), Field("visits", Kind.NUMBER))
    assert {row[0] for row in draft.golden.rows} == {"Rome", "Oslo"}
    assert answers(model, draft, Records([{"city": "Rome", "visits": 3}])) == [model.predict(frame[:1])[0]]


def doubled(frame: Any) -> Any:
    return frame[[2, 0]] * 2


def test_a_step_that_takes_columns_by_their_numbers_gets_a_numbered_data_frame(tmp_path: Path) -> None:
    frame = pd.DataFrame(np.arange(60.0).reshape(20, 3))
    model = make_pipeline(FunctionTransformer(doubled), LogisticRegression()).fit(frame, TARGET)
    saved = cloudpickle.dumps(model)
    for draft in (tried(tmp_path, saved), tried(tmp_path, saved, "0,1,2\n1.5,2.5,3\n4,5,6\n")):
        assert draft.artifact.input_format is InputFormat.NUMBERED
        rows = frame[:5].to_numpy().tolist()
        assert answers(model, draft, Grid(None, rows)) == model.predict(frame[:5]).tolist()
    assert draft.signature.names == ("0", "1", "2")


CATEGORIES = pd.DataFrame(
    {
        "plan": pd.Categorical(["a", "b", "c", "a"] * 5),
        "size": pd.Categorical([1, 2, 3, 1] * 5),
        "km": np.arange(20.0),
    }
)


@pytest.mark.parametrize(
    "model",
    [
        HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype", min_samples_leaf=1),
        make_pipeline(
            make_column_transformer((OneHotEncoder(), ["plan", "size"]), remainder="passthrough"), LogisticRegression()
        ),
        make_pipeline(
            make_column_transformer(
                (OrdinalEncoder(), make_column_selector(dtype_include="category")), remainder="passthrough"
            ),
            DecisionTreeClassifier(),
        ),
    ],
    ids=lambda model: str(model)[:30],
)
def test_columns_of_pandas_categories_take_their_words_and_numbers(tmp_path: Path, model: Any) -> None:
    model.fit(CATEGORIES, TARGET)
    draft = tried(tmp_path, model)
    rows = CATEGORIES.astype(object).to_dict("records")
    assert answers(model, draft, Records(rows)) == model.predict(CATEGORIES).tolist()


def ratios(matrix: Any) -> Any:
    return matrix[:, :1] / matrix[:, 1:]


def test_a_model_that_divides_by_a_column_is_tried_with_other_numbers_than_0(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(ratios), LogisticRegression()).fit(X + 1, y)
    draft = tried(tmp_path, cloudpickle.dumps(model.set_params(functiontransformer__validate=True).fit(X + 1, y)))
    assert answers(model, draft, Grid(None, [[3.0, 4.0]])) == model.predict([[3.0, 4.0]]).tolist()


@pytest.mark.parametrize("unknown", ["ignore", "error"])
def test_words_that_begin_with_a_blank_are_warned_of_since_a_csv_drops_it(tmp_path: Path, unknown: str) -> None:
    frame = pd.DataFrame({"work": [" Private", " State"] * 10, "plan": ["a", "b "] * 10})
    model = make_pipeline(OneHotEncoder(handle_unknown=unknown), LogisticRegression()).fit(frame, TARGET)
    (warning,) = tried(tmp_path, model).warnings
    assert warning.startswith("it knows words of 'work' that begin with a blank, such as ' State': send them with")


class Wrapper:
    """A class of one's own around a model, or a vectorizer and a model."""

    def __init__(self, model: Any, vectorizer: Any = None) -> None:
        self.vectorizer = vectorizer
        self.model = model

    def predict(self, rows: Any) -> Any:
        return self.model.predict(self.vectorizer.transform(rows) if self.vectorizer else rows)


def test_a_wrapper_takes_the_columns_of_what_it_holds(tmp_path: Path) -> None:
    draft = tried(tmp_path, cloudpickle.dumps(Wrapper(LogisticRegression().fit(FRAME[["km"]], TARGET))))
    assert draft.signature.names == ("km",)
    assert draft.artifact.input_format is InputFormat.DATAFRAME
    assert said(draft) == (
        "its columns are unknown, so those of the LogisticRegression in it are assumed; if it takes others, import it"
        " again with a sample",
    )
    texts = ["win money", "see you"] * 10
    vectorizer = CountVectorizer().fit(texts)
    wrapper = Wrapper(LogisticRegression().fit(vectorizer.transform(texts), TARGET), vectorizer)
    assert tried(tmp_path, cloudpickle.dumps(wrapper)).signature.format is RowFormat.TEXTS


class Mean:
    """A class of one's own with models in a list."""

    def __init__(self, *models: Any) -> None:
        self.models = models

    def predict(self, rows: Any) -> Any:
        return np.mean([model.predict(rows) for model in self.models], axis=0)


def test_a_wrapper_takes_the_columns_of_the_models_in_its_list(tmp_path: Path) -> None:
    first, other = LogisticRegression().fit(X, y), LogisticRegression(C=0.1).fit(X, y)
    assert tried(tmp_path, cloudpickle.dumps(Mean(first, other))).signature.names == ("x0", "x1")
    narrow = LogisticRegression().fit(X[:, :1], y)
    assert "does not know how many columns it takes" in refusal(tmp_path, cloudpickle.dumps(Mean(first, narrow)))


def test_a_transformer_alone_may_answer_null_where_it_gets_one(tmp_path: Path) -> None:
    scaler = StandardScaler().fit(X)
    draft = tried(tmp_path, scaler)
    assert nullable(draft) == [True, True]
    (answer,) = answers(scaler, draft, Grid(None, [[None, 3.0]]))
    assert answer == {"x0": None, "x1": scaler.transform([[0.0, 3.0]])[0, 1]}


KINDS = pd.DataFrame({"a": np.arange(60) / 7, "k": list("xyz") * 20, "b": [True, False, False] * 20})
BY_NAME = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=1, categorical_features=["k"])
BY_DTYPE = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=1, categorical_features="from_dtype")
PASSED = make_column_transformer(
    (StandardScaler(), ["a"]), ("passthrough", ["k", "b"]), verbose_feature_names_out=False
).set_output(transform="pandas")


@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize(
    ("model", "dtypes"),
    [
        (BY_NAME, {}),
        (BY_DTYPE, {"k": "category", "b": "category"}),
        (make_pipeline(BY_NAME), {}),
        (make_pipeline(PASSED, BY_NAME), {}),
        (CalibratedClassifierCV(BY_DTYPE, cv=2), {"k": "category"}),
        (VotingClassifier([("h", BY_NAME)], voting="soft"), {}),
    ],
    ids=["names", "dtypes", "pipeline", "columns", "calibrated", "voting"],
)
def test_boosting_shows_which_columns_are_categories_and_which_are_numbers(
    tmp_path: Path, model: Any, dtypes: dict[str, Any], sampled: bool
) -> None:
    frame = KINDS.astype(dtypes)
    model.fit(frame, (KINDS["a"] > 4) ^ (KINDS["k"] == "x"))
    draft = tried(tmp_path, pickle.dumps(model), KINDS.to_csv(index=False) if sampled else None)
    assert [field.kind for field in draft.signature.inputs] == [Kind.NUMBER, Kind.STRING, Kind.NUMBER]
    assert not draft.remarks
    rows = [*KINDS.itertuples(index=False), (1.5, "never seen", True), (1.5, None, False)]
    records = coerce(Grid(None, [list(row) for row in rows]), draft.signature)
    known = predict(model, draft, records.rows).probabilities
    last = pd.DataFrame([(1.5, None, True), (1.5, None, False)], columns=list(KINDS)).astype(
        {name: frame[name].dtype for name in KINDS}
    )
    own = np.concatenate([model.predict_proba(frame), model.predict_proba(last)])
    assert [list(answer.values()) for answer in known or ()] == own.tolist()
