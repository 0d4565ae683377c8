"""What an import makes of columns that code of the user's own reads, without a sample: it tries numbers, words and
dates, and does not promote a guess."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from contract.model.signature import Kind
from contract.rows.coercion import coerce
from contract.rows.instances import Records
from scoring.predict import predict
from tests.trainer.importing.imported import refusal, tried
from trainer.importing.assumptions import undecided
from trainer.importing.trial import own_steps

ROWS = 60
TARGET = np.arange(ROWS) % 4 // 2
DAYS = pd.Series(pd.date_range("2021-01-01", periods=ROWS, freq="11D"))
FRAME = pd.DataFrame(
    {
        "opened": DAYS.dt.strftime("%Y-%m-%d"),
        "amount": np.arange(ROWS) * 7.5 + 1,
        "city": ["Bern", "Basel", "Genf"] * (ROWS // 3),
    }
)
RATES = {"Bern": 0.2, "Basel": 0.9}


def by_column(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda frame: pd.DataFrame({name: function(frame[name]) for name in frame})


month = by_column(lambda column: pd.to_datetime(column).dt.month)
month_or_0 = by_column(lambda column: pd.to_datetime(column, errors="coerce").dt.month.fillna(0))
month_of_date = by_column(lambda column: column.dt.month)
month_of_seconds = by_column(lambda column: pd.to_datetime(column, unit="s").dt.month)
month_of_text = by_column(lambda column: column.str[5:7].astype(int))
month_by_format = by_column(lambda column: [datetime.strptime(text, "%Y-%m-%d").month for text in column])
age = by_column(lambda column: (pd.Timestamp("2025-01-01") - pd.to_datetime(column)).dt.days)
nanoseconds = by_column(lambda column: column.astype("int64") // 10**9)
band = by_column(lambda column: pd.cut(column, [-np.inf, 50, 100, np.inf], labels=False))
filled = by_column(lambda column: column.fillna(0))
lower = by_column(lambda column: column.astype(str).str.lower())
rate = by_column(lambda column: column.map(RATES.get).fillna(0.5))
rate_of_map = by_column(lambda column: column.map({"Bern": 0.2}).fillna(0.5))
length = by_column(lambda column: column.astype(str).str.len())


class OfMonth(BaseEstimator):
    def fit(self, frame: Any, target: Any) -> OfMonth:
        self.feature_names_in_ = np.array(frame.columns, dtype=object)
        self.model_ = LogisticRegression().fit(self._matrix(frame), target)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, frame: Any) -> Any:
        return self.model_.predict(self._matrix(frame))

    def predict_proba(self, frame: Any) -> Any:
        return self.model_.predict_proba(self._matrix(frame))

    def _matrix(self, frame: Any) -> Any:
        return np.c_[pd.to_datetime(frame["opened"]).dt.month, np.asarray(frame["amount"], dtype=float)]


class Rates(BaseEstimator):
    """Remembers the words in a dict, as a target encoder written by hand does."""

    def fit(self, frame: Any, target: Any = None) -> Rates:
        self.rates_ = {name: dict(RATES) for name in frame}
        self.feature_names_in_ = np.array(frame.columns, dtype=object)
        return self

    def transform(self, frame: Any) -> Any:
        return np.c_[tuple(frame[name].map(rates).fillna(0.5) for name, rates in self.rates_.items())]


def with_step(step: Any, column: str, *after: Any) -> Any:
    step = step if hasattr(step, "transform") else FunctionTransformer(step)
    columns = make_column_transformer((make_pipeline(step, *after), [column]), (StandardScaler(), ["amount"]))
    return make_pipeline(columns, LogisticRegression())


def months(frame: Any) -> Any:
    return frame.assign(opened=pd.to_datetime(frame["opened"]).dt.month)


@pytest.mark.parametrize(
    ("model", "column", "kind"),
    [
        (with_step(month, "opened"), "opened", Kind.DATETIME),
        (with_step(month, "opened", OneHotEncoder()), "opened", Kind.DATETIME),
        (with_step(month_or_0, "opened"), "opened", Kind.DATETIME),
        (with_step(month_of_text, "opened"), "opened", Kind.STRING),
        (with_step(month_by_format, "opened"), "opened", Kind.STRING),
        (with_step(age, "opened"), "opened", Kind.DATETIME),
        (make_pipeline(FunctionTransformer(months), LogisticRegression()), "opened", Kind.DATETIME),
        (OfMonth(), "opened", Kind.DATETIME),
        (with_step(Rates(), "city"), "city", Kind.STRING),
        (with_step(lower, "city", OneHotEncoder(handle_unknown="ignore")), "city", Kind.STRING),
        (with_step(np.log1p, "amount"), "amount", Kind.NUMBER),
        (with_step(band, "amount", OneHotEncoder()), "amount", Kind.NUMBER),
        (with_step(filled, "amount", StandardScaler()), "amount", Kind.NUMBER),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_kind_that_a_step_of_ones_own_reads_is_found_by_trying(
    tmp_path: Path, model: Any, column: str, kind: Kind
) -> None:
    frame = FRAME[list(dict.fromkeys([column, "amount"]))]
    model.fit(frame, TARGET)
    draft = tried(tmp_path, cloudpickle.dumps(model))
    assert {field.name: field.kind for field in draft.signature.inputs} == {"amount": Kind.NUMBER, column: kind}
    assert not undecided(draft.remarks)
    rows = coerce(Records(frame.to_dict("records")), draft.signature).rows
    assert predict(model, draft, rows).values == model.predict(frame).tolist()


def test_a_step_that_reads_no_texts_gets_dates(tmp_path: Path) -> None:
    frame = FRAME[["opened", "amount"]].assign(opened=DAYS)
    draft = tried(tmp_path, cloudpickle.dumps(with_step(month_of_date, "opened").fit(frame, TARGET)))
    assert draft.signature.inputs[0].kind is Kind.DATETIME
    assert not undecided(draft.remarks)


@pytest.mark.parametrize(
    ("step", "column", "values"),
    [
        (length, "city", FRAME["city"]),
        (rate_of_map, "city", FRAME["city"]),
        (month_of_seconds, "opened", DAYS.astype("int64") // 10**9),
        (nanoseconds, "opened", DAYS),
    ],
    ids=["length", "rate_of_map", "month_of_seconds", "nanoseconds"],
)
def test_a_step_that_takes_several_kinds_leaves_the_column_undecided_until_there_is_a_sample(
    tmp_path: Path, step: Any, column: str, values: Any
) -> None:
    frame = FRAME[[column, "amount"]].assign(**{column: values})
    model = cloudpickle.dumps(with_step(step, column).fit(frame, TARGET))
    draft = tried(tmp_path, model)
    assert undecided(draft.remarks)
    assert any(
        warning.startswith(f"the type of '{column}' is unknown, and its own code takes several, so numbers are assumed")
        for warning in draft.warnings
    )
    assert not undecided(tried(tmp_path, model, frame.to_csv(index=False)).remarks)


def test_a_column_that_a_step_of_ones_own_never_reads_is_undecided(tmp_path: Path) -> None:
    model = FunctionTransformer(lambda frame: frame[["amount"]])
    draft = tried(
        tmp_path, cloudpickle.dumps(make_pipeline(model, LogisticRegression()).fit(FRAME[["city", "amount"]], TARGET))
    )
    assert undecided(draft.remarks)
    assert "the type of 'city' is unknown, and its own code takes several" in " ".join(draft.warnings)


def test_more_columns_than_are_tried_one_by_one_are_numbers(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(own_steps.MOST_COLUMNS + 1)]
    frame = pd.DataFrame(np.random.default_rng(0).random((ROWS, len(names))), columns=names)
    model = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()).fit(frame, TARGET)
    draft = tried(tmp_path, cloudpickle.dumps(model))
    assert {field.kind for field in draft.signature.inputs} == {Kind.NUMBER}


FLAGS = pd.DataFrame({"a": np.arange(ROWS) / 7, "b": np.arange(ROWS) % 3 > 0, "k": np.arange(ROWS) % 4})
TABLE = np.array([3.0, 5.0, 7.0, 9.0])


@pytest.mark.parametrize(
    ("function", "kinds", "waits"),
    [
        (lambda X: np.c_[X["a"], (~X["b"]).astype(int)], "number boolean number", True),
        (lambda X: np.c_[X["a"], X["b"] & (X["a"] > 3)], "number boolean number", True),
        (lambda X: np.c_[X["a"], (X["b"] | (X["a"] > 3)).astype(float)], "number boolean number", True),
        (lambda X: np.c_[X["a"], X["a"].where(X["b"], 0)], "number boolean number", False),
        (lambda X: np.c_[X["a"], [1 if flag is True else 0 for flag in X["b"].astype(object)]], None, False),
        (lambda X: np.c_[X["a"], TABLE[X["k"]]], "number number integer", False),
        (lambda X: np.c_[X["a"], X["k"] // 2], "number number number", False),
        (lambda X: np.c_[X["a"], TABLE[X["k"]], (~X["b"]).astype(int)], None, True),
    ],
    ids=itertools.count(),
)
def test_booleans_and_integers_are_tried_column_by_column(
    tmp_path: Path, function: Any, kinds: str | None, waits: bool
) -> None:
    names = [name for name in FLAGS if name in function.__code__.co_consts]
    model = make_pipeline(FunctionTransformer(function), LogisticRegression()).fit(FLAGS[names], TARGET)
    draft = tried(tmp_path, cloudpickle.dumps(model))
    assert draft.signature.inputs[0].kind is Kind.NUMBER
    if kinds:
        expected = dict(zip(FLAGS, kinds.split(), strict=True))
        assert {field.name: field.kind for field in draft.signature.inputs} == {name: expected[name] for name in names}
        rows = coerce(Records(FLAGS[names].to_dict("records")), draft.signature).rows
        assert predict(model, draft, rows).values == model.predict(FLAGS[names]).tolist()
    assert undecided(draft.remarks) is waits


def test_an_array_whose_step_takes_integers_alone_waits_for_a_person(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(lambda X: np.c_[X[:, 0], ~X[:, 1]]), LogisticRegression())
    draft = tried(tmp_path, cloudpickle.dumps(model.fit(np.c_[range(ROWS), TARGET], TARGET)))
    assert undecided(draft.remarks) and "integers are assumed" in " ".join(draft.warnings)


class Calls(BaseEstimator):
    """Makes features of a table, and holds a model that was fitted on these."""

    def fit(self, frame: Any, target: Any) -> Calls:
        self.model_ = LogisticRegression().fit(self._features(frame), target)
        return self

    def predict(self, frame: Any) -> Any:
        return self.model_.predict(self._features(frame))

    def _features(self, frame: Any) -> Any:
        per_day = frame["amount"] / frame["calls"]
        return pd.DataFrame({"basel": (frame["city"] == "Basel").astype(int), "per_day": per_day})


class CallsAndAmount(Calls):
    def _features(self, frame: Any) -> Any:
        return super()._features(frame).assign(amount=frame["amount"])


CALLS = FRAME[["city", "amount"]].assign(calls=np.arange(ROWS) % 7 + 1)
CHURNED = np.where(CALLS["amount"] / CALLS["calls"] > 40, "yes", "no")


@pytest.mark.parametrize("beside", [{}, {"churned": CHURNED}], ids=["inputs", "target"])
@pytest.mark.parametrize(
    "model", [Calls(), CallsAndAmount(), make_pipeline(Calls())], ids=["others", "overlap", "pipeline"]
)
def test_a_class_that_makes_the_features_of_its_model_takes_the_columns_of_the_sample(
    tmp_path: Path, model: Any, beside: dict[str, Any]
) -> None:
    model.fit(CALLS, CHURNED)
    saved = cloudpickle.dumps(model)
    assert "add a CSV sample" in refusal(tmp_path, saved)
    draft = tried(tmp_path, saved, CALLS.assign(**beside).to_csv(index=False))
    assert {field.name: field.kind for field in draft.signature.inputs} == {
        "city": Kind.STRING,
        "amount": Kind.NUMBER,
        "calls": Kind.NUMBER,
    }
    assert draft.remarks[0].text.startswith("its inputs are the columns of its sample: 'city', 'amount', 'calls'; if")
    rows = coerce(Records(CALLS.to_dict("records")), draft.signature).rows
    assert predict(model, draft, rows).values == model.predict(CALLS).tolist()


def test_a_sample_with_features_beside_the_columns_of_which_they_are_made_is_taken(tmp_path: Path) -> None:
    model = Calls().fit(CALLS, CHURNED)
    rows = CALLS.assign(**model._features(CALLS)).to_csv(index=False)
    assert "calls" in tried(tmp_path, cloudpickle.dumps(model), rows).signature.names
