"""Adapters around models of other libraries; scikit-learn's estimators stand for those here."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression

from modelgate_artifacts import WithCategories, WithConstant, XGBoostModel

rng = np.random.default_rng(5)
FRAME = pd.DataFrame(
    {
        "km": rng.normal(size=80),
        "city": pd.Categorical(rng.choice(["Rome", "Oslo", "Bonn"], 80), categories=["Rome", "Oslo", "Bonn"]),
        "zone": pd.Categorical(rng.choice([7, 3], 80), categories=[7, 3]),
    }
)
TARGET = ((FRAME["city"] == "Oslo") ^ (FRAME["zone"] == 7) ^ (FRAME["km"] > 1)).map({True: "yes", False: "no"})
PLAIN = pd.DataFrame({"km": FRAME["km"], "city": list(FRAME["city"]), "zone": FRAME["zone"].astype(float)})


@pytest.fixture(scope="module")
def boosted() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=9, min_samples_leaf=3).fit(FRAME, TARGET)


@pytest.fixture(scope="module")
def adapter(boosted: HistGradientBoostingClassifier) -> WithCategories:
    adapter: WithCategories = pickle.loads(
        pickle.dumps(WithCategories(boosted, {1: ["Rome", "Oslo", "Bonn"], 2: [7, 3]}))
    )
    return adapter


def test_plain_values_get_the_answers_of_their_categories(
    boosted: HistGradientBoostingClassifier, adapter: WithCategories
) -> None:
    for rows in (slice(None), slice(0, 1)):  # one row has one category
        assert (adapter.predict(PLAIN[rows]) == boosted.predict(FRAME[rows])).all()
        assert (adapter.predict_proba(PLAIN[rows]) == boosted.predict_proba(FRAME[rows])).all()


def test_a_value_that_is_no_category_is_missing(
    boosted: HistGradientBoostingClassifier, adapter: WithCategories
) -> None:
    missing = FRAME.assign(city=pd.Categorical([None] * 80, categories=["Rome", "Oslo", "Bonn"]))
    assert (adapter.predict_proba(PLAIN.assign(city="Paris")) == boosted.predict_proba(missing)).all()
    assert (adapter.predict_proba(PLAIN.assign(city=np.nan)) == boosted.predict_proba(missing)).all()


def test_an_adapter_has_what_its_estimator_has_learnt_and_no_other_methods(
    boosted: HistGradientBoostingClassifier, adapter: WithCategories
) -> None:
    assert adapter.classes_ is adapter.estimator.classes_
    assert list(adapter.classes_) == ["no", "yes"]
    assert hasattr(adapter, "decision_function")
    assert not hasattr(adapter, "transform")
    assert not hasattr(adapter, "n_jobs")


@pytest.mark.parametrize("named", [True, False])
def test_a_constant_is_put_where_the_model_was_fitted_on_it(named: bool) -> None:
    frame = pd.DataFrame({"km": rng.normal(size=30), "const": 1.0, "age": rng.normal(size=30)})
    whole = frame if named else np.ascontiguousarray(frame)
    results = LinearRegression(fit_intercept=False).fit(whole, rng.normal(size=30))
    rows = frame[["km", "age"]]
    predictions = WithConstant(results, 1).predict(rows if named else rows.to_numpy())
    assert (predictions == results.predict(whole)).all()
    assert list(rows.columns) == ["km", "age"]


@pytest.mark.parametrize("named", [True, False])
def test_a_booster_of_xgboost_answers_as_from_a_dmatrix(named: bool) -> None:
    xgboost = pytest.importorskip("xgboost")
    rows = FRAME[["km"]].assign(age=rng.normal(size=80))
    matrix = xgboost.DMatrix(rows if named else rows.to_numpy(), (TARGET == "yes").astype(int))
    booster = xgboost.train({"objective": "binary:logistic"}, matrix, 5)
    predictions = XGBoostModel(pickle.loads(pickle.dumps(booster))).predict(rows.to_numpy())
    assert (predictions == booster.predict(matrix)).all()
