"""What an import finds in models of other libraries. `make zoo` compares their answers."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from contract.model.manifest import InputFormat
from contract.model.signature import Kind
from scoring.artifacts import use_one_thread
from tests.trainer.importing.imported import refusal, tried

rng = np.random.default_rng(3)
X = rng.normal(size=(120, 2))
FRAME = pd.DataFrame({"loan amount": X[:, 0], "paid": X[:, 1] > 0, "city": rng.choice(["Rome", "Oslo"], 120)})
CATEGORIES = FRAME.astype({"city": "category"})
y = (X[:, 0] + (FRAME["city"] == "Rome") > 0.5).astype(int).to_numpy()


@pytest.mark.parametrize("booster", ["gbtree", "dart"])
def test_xgboost_says_what_its_columns_hold(tmp_path: Path, booster: str) -> None:
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBClassifier(n_estimators=3, enable_categorical=True, booster=booster).fit(CATEGORIES, y)
    draft = tried(tmp_path, model)
    assert [(f.name, f.kind, f.nullable, f.categories) for f in draft.signature.inputs] == [
        ("loan amount", Kind.NUMBER, True, None),
        ("paid", Kind.BOOLEAN, True, None),
        ("city", Kind.STRING, True, None),
    ]
    assert draft.example["city"] == "Oslo"
    assert draft.artifact.input_format is InputFormat.DATAFRAME


def test_xgboost_without_categories_gets_an_array_and_all_its_methods_answer(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    for booster in ("gbtree", "dart"):
        model = xgboost.XGBClassifier(n_estimators=3, booster=booster).fit(FRAME[["loan amount", "paid"]], y)
        draft = tried(tmp_path, model)
        if booster == "gbtree":
            assert draft.artifact.input_format is InputFormat.ARRAY
        assert [method.name for method in draft.signature.methods] == ["predict", "predict_proba", "apply"]
        assert draft.warnings == ()


def test_categories_that_xgboost_has_cut_off_are_refused(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    rows = CATEGORIES.assign(city=CATEGORIES["city"].cat.rename_categories({"Rome": "Łódź"}))
    said = refusal(tmp_path, xgboost.XGBClassifier(n_estimators=3, enable_categorical=True).fit(rows, y))
    assert "has categories of 'city' with other letters than a to z" in said


def test_the_classes_of_a_native_booster_are_its_outputs(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    classes = y + (X[:, 1] > 0)
    many = {"objective": "multi:softprob", "num_class": 3}
    draft = tried(tmp_path, xgboost.train(many, xgboost.DMatrix(X, classes), 3))
    assert [output.name for output in draft.signature.outputs] == ["0", "1", "2"]
    assert draft.warnings == ()


@pytest.mark.parametrize("sample", [None, FRAME[["loan amount", "paid"]].astype(float)[:5].to_csv(index=False)])
def test_a_name_with_a_blank_that_lightgbm_has_changed_may_be_written_either_way(
    tmp_path: Path, sample: str | None
) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(FRAME[["loan amount", "paid"]], y)
    field = tried(tmp_path, model, sample).signature.inputs[0]
    assert {field.name, *field.aliases} == {"loan amount", "loan_amount"}
    assert field.name == ("loan_amount" if sample is None else "loan amount")


def test_lightgbm_that_does_not_tell_its_categories_is_refused(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    rows = CATEGORIES.assign(zone=rng.integers(5, size=120))
    for named in (["paid", "zone"], ["zone"]):
        model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(rows, y, categorical_feature=named)
        assert "does not tell which 1 of its columns" in refusal(tmp_path, model)


def test_the_categories_that_lightgbm_has_found_are_said(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    draft = tried(tmp_path, lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(CATEGORIES, y))
    assert [f.kind for f in draft.signature.inputs] == [Kind.NUMBER, Kind.NUMBER, Kind.STRING]
    assert draft.warnings[0].startswith("'city' is taken for what had the dtype category")


def test_numbered_categories_of_lightgbm_are_numbers(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    rows = FRAME[["paid"]].assign(zone=rng.integers(5, size=120))
    draft = tried(
        tmp_path, lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(rows, y, categorical_feature=["zone"])
    )
    assert [f.kind for f in draft.signature.inputs] == [Kind.NUMBER, Kind.NUMBER]


def test_catboost_says_which_columns_are_categories_and_computes_in_one_thread(tmp_path: Path) -> None:
    catboost = pytest.importorskip("catboost")
    model = catboost.CatBoostClassifier(
        iterations=3, verbose=False, allow_writing_files=False, cat_features=["city"], thread_count=4
    ).fit(FRAME, y)
    draft = tried(tmp_path, model)
    assert [(f.name, f.kind, f.nullable) for f in draft.signature.inputs] == [
        ("loan amount", Kind.NUMBER, True),
        ("paid", Kind.NUMBER, True),
        ("city", Kind.STRING, False),
    ]
    loaded: Any = pickle.loads(pickle.dumps(model))
    use_one_thread(loaded)
    assert loaded.predict_proba.keywords == {"thread_count": 1}
    assert (loaded.predict_proba(FRAME) == model.predict_proba(FRAME)).all()
    pickle.dumps(loaded)


def test_catboost_inside_a_model_of_scikit_learn_is_served(tmp_path: Path) -> None:
    catboost = pytest.importorskip("catboost")
    member = catboost.CatBoostClassifier(iterations=3, verbose=False, allow_writing_files=False)
    draft = tried(tmp_path, CalibratedClassifierCV(member, cv=2).fit(X, y))
    assert draft.signature.output.probabilities


def test_an_ensemble_that_has_its_names_from_lightgbm_is_asked_with_the_names_of_its_rows(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    members = [("a", LogisticRegression()), ("b", lightgbm.LGBMClassifier(n_estimators=3, verbose=-1))]
    model = StackingClassifier(members, LogisticRegression(), cv=2).fit(FRAME[["loan amount", "paid"]], y)
    assert list(model.feature_names_in_) == ["loan_amount", "paid"]
    assert tried(tmp_path, model).signature.names == ("loan amount", "paid")


def test_a_native_booster_beside_its_scaler_is_served(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    scaler = StandardScaler().fit(X)
    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(scaler.transform(X), y), 3)
    draft = tried(tmp_path, {"scaler": scaler, "model": booster})
    row = np.array([draft.golden.rows[0]])
    assert draft.golden.predictions[0] == booster.predict(xgboost.DMatrix(scaler.transform(row)))[0]


def test_vectors_of_catboost_are_refused(tmp_path: Path) -> None:
    catboost = pytest.importorskip("catboost")
    rows = pd.DataFrame({"km": X[:, 0], "words": list(rng.normal(size=(120, 3)))})
    model = catboost.CatBoostClassifier(
        iterations=3, verbose=False, allow_writing_files=False, embedding_features=["words"]
    )
    assert "takes vectors in 'words'" in refusal(tmp_path, model.fit(rows, y))


def test_the_inputs_of_a_formula_are_its_variables(tmp_path: Path) -> None:
    formulas = pytest.importorskip("statsmodels.formula.api")
    table = FRAME.rename(columns={"loan amount": "loan"}).assign(y=y, unused=1)
    draft = tried(tmp_path, formulas.ols("y ~ np.log(loan + 9) * paid + C(city)", table).fit())
    assert [(f.name, f.kind, f.categories) for f in draft.signature.inputs] == [
        ("loan", Kind.NUMBER, None),
        ("paid", Kind.BOOLEAN, None),
        ("city", Kind.STRING, tuple(table["city"].unique())),
    ]


@pytest.mark.parametrize("bare", [True, False])
def test_statsmodels_gets_the_constant_that_it_was_fitted_on(tmp_path: Path, bare: bool) -> None:
    statsmodels = pytest.importorskip("statsmodels.api")
    results = statsmodels.OLS(y, statsmodels.add_constant(X)).fit()
    if bare:
        results.remove_data()
    draft = tried(tmp_path, results)
    assert [f.name for f in draft.signature.inputs] == ["x0", "x1"]
    assert draft.warnings == (
        "it was fitted on a constant beside its inputs (add_constant); Modelgate adds it, and rows have none",
    )


def test_an_encoder_of_category_encoders_says_what_it_encodes(tmp_path: Path) -> None:
    encoders = pytest.importorskip("category_encoders")
    rows = FRAME[["city", "loan amount"]].assign(zone=rng.integers(3, size=120))
    model = make_pipeline(encoders.TargetEncoder(cols=["city", "zone"]), LogisticRegression()).fit(rows, y)
    draft = tried(tmp_path, model)
    assert [(f.name, f.kind) for f in draft.signature.inputs] == [
        ("city", Kind.STRING),
        ("loan amount", Kind.NUMBER),
        ("zone", Kind.INTEGER),
    ]
    assert draft.example["city"] in ("Rome", "Oslo")


def test_a_pipeline_with_samplers_takes_what_follows_them(tmp_path: Path) -> None:
    pytest.importorskip("imblearn")
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.pipeline import make_pipeline as with_samplers

    columns = make_column_transformer((OneHotEncoder(), ["city"]), ("passthrough", ["loan amount"]))
    model = with_samplers(RandomOverSampler(random_state=0), columns, LogisticRegression()).fit(FRAME, y)
    draft = tried(tmp_path, model)
    fields = {f.name: (f.kind, f.categories) for f in draft.signature.inputs}
    assert fields["city"] == (Kind.STRING, ("Oslo", "Rome"))


def test_a_model_of_a_time_series_is_refused(tmp_path: Path) -> None:
    arima = pytest.importorskip("statsmodels.tsa.arima.model")
    assert "is a model of a time series (ARIMAResultsWrapper)" in refusal(tmp_path, arima.ARIMA(X[:, 0]).fit())
