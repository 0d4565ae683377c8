"""Models of other libraries than scikit-learn. Those of a library that is not installed are left out."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.qa.zoo.specimens import Saved, Specimen

LIBRARIES = ("xgboost", "lightgbm", "catboost", "statsmodels", "imblearn", "category_encoders")
"""The packages, by the names under which they are imported."""

ROWS, NEW = 300, slice(300, 360)

_rng = np.random.default_rng(11)
X = _rng.normal(size=(360, 4)).round(3)
BINARY = (X[:, 0] + X[:, 1] * X[:, 2] + _rng.normal(scale=0.3, size=360) > 0).astype(int)
THREE = BINARY + (X[:, 3] > 0.5)
AMOUNT = X[:, 0] * 3 + X[:, 1] ** 2
WORDS = np.array(["no", "yes"])[BINARY]
COUNT = np.abs(AMOUNT).astype(int)
GROUPS = np.repeat(np.arange(30), 10)
NUMBERS = pd.DataFrame(X, columns=["loan amount", "age", "km", "rate"])
TABLE = pd.DataFrame(
    {
        "loan amount": X[:, 0],
        "age": _rng.integers(18, 80, 360),
        "city": _rng.choice(["Rome", "Oslo", "Łódź"], 360),
        "zip": _rng.integers(1, 6, 360),
        "paid": X[:, 1] > 0,
    }
)
CATEGORIES = TABLE.astype({"city": "category", "zip": "category"})
IN_ASCII = CATEGORIES.assign(city=CATEGORIES["city"].cat.rename_categories({"Łódź": "Lodz"}))
WITH_NAN = NUMBERS.mask(_rng.random(NUMBERS.shape) < 0.15)
ROW_WITH_NAN = X.copy()
ROW_WITH_NAN[::5, 1] = np.nan


_ENCODERS = (
    "BackwardDifferenceEncoder BaseNEncoder BinaryEncoder CatBoostEncoder CountEncoder GLMMEncoder GrayEncoder"
    " HashingEncoder HelmertEncoder JamesSteinEncoder LeaveOneOutEncoder MEstimateEncoder OneHotEncoder OrdinalEncoder"
    " PolynomialEncoder QuantileEncoder RankHotEncoder SumEncoder TargetEncoder WOEEncoder"
)
"""Those of category_encoders."""


@dataclass
class Answering:
    """Answers as the owner of the model asks it."""

    predict: Callable[[Any], Any]


def specimens() -> Iterator[Specimen]:
    for library, make_specimens in _OF_LIBRARY.items():
        if importlib.util.find_spec(library):
            yield from make_specimens()


def fitted(name: str, make: Callable[[], Any], rows: Any = X, target: Any = BINARY, **known: Any) -> Specimen:
    """A specimen of an estimator that `fit` takes; `known` are other fields of the specimen."""
    sample = known.pop("sample", None)
    fit = known.pop("fit", {})

    def saved() -> Saved:
        return Saved(make().fit(rows[:ROWS], target[:ROWS], **fit), rows[NEW], sample=sample)

    return Specimen(name, saved, **known)


def _xgboost() -> Iterator[Specimen]:
    import xgboost
    from xgboost import XGBClassifier, XGBRanker, XGBRegressor, XGBRFClassifier

    few: dict[str, Any] = {"n_estimators": 8, "max_depth": 3, "n_jobs": 2}
    yield fitted("XGBClassifier", lambda: XGBClassifier(**few))
    yield fitted("XGBClassifier on a frame", lambda: XGBClassifier(**few), NUMBERS, THREE)
    yield fitted("XGBClassifier with NaN", lambda: XGBClassifier(**few), WITH_NAN)
    yield fitted("XGBClassifier with booleans", lambda: XGBClassifier(**few), TABLE[["age", "paid"]])
    yield fitted("XGBClassifier with missing=-1", lambda: XGBClassifier(missing=-1, **few), np.abs(X).round(1), THREE)
    yield fitted("XGBClassifier with categories", lambda: XGBClassifier(enable_categorical=True, **few), IN_ASCII)
    yield fitted(
        "XGBClassifier with categories beyond ASCII",
        lambda: XGBClassifier(enable_categorical=True, **few),
        CATEGORIES,
        refused="keeps only a part of those",
    )
    yield fitted("XGBRegressor", lambda: XGBRegressor(**few), NUMBERS, AMOUNT)
    yield fitted("XGBRegressor of two", lambda: XGBRegressor(**few), X, np.column_stack([AMOUNT, X[:, 2]]))
    yield fitted("XGBClassifier of two labels", lambda: XGBClassifier(**few), X, (X[:, :2] > 0).astype(int))
    yield fitted("XGBRegressor dart", lambda: XGBRegressor(booster="dart", **few), X, AMOUNT)
    yield fitted("XGBRegressor linear", lambda: XGBRegressor(booster="gblinear", n_estimators=8), X, AMOUNT)
    yield fitted(
        "XGBRegressor quantiles",
        lambda: XGBRegressor(objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9], **few),
        X,
        AMOUNT,
    )
    yield fitted("XGBRanker", lambda: XGBRanker(**few), X, BINARY, fit={"qid": GROUPS})
    yield fitted("XGBRFClassifier", lambda: XGBRFClassifier(**few))
    yield fitted("scaler + XGBClassifier", lambda: make_pipeline(StandardScaler(), XGBClassifier(**few)), NUMBERS)
    yield fitted("imputer + XGBRegressor", lambda: make_pipeline(SimpleImputer(), XGBRegressor(**few)), WITH_NAN, COUNT)
    yield fitted(
        "columns + XGBClassifier",
        lambda: make_pipeline(
            make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough"), XGBClassifier(**few)
        ),
        TABLE,
    )
    yield fitted("search of XGBClassifier", lambda: GridSearchCV(XGBClassifier(**few), {"max_depth": [1, 2]}), NUMBERS)

    def booster(name: str, rows: Any, target: Any, **parameters: Any) -> Specimen:
        def matrix(rows: Any) -> Any:
            return xgboost.DMatrix(rows, enable_categorical=True)

        def saved() -> Saved:
            data = xgboost.DMatrix(rows[:ROWS], target[:ROWS], enable_categorical=True)
            thing = xgboost.train({"max_depth": 3, "nthread": 2, **parameters}, data, 8)
            return Saved(thing, rows[NEW], Answering(lambda rows: thing.predict(matrix(rows))))

        return Specimen(f"Booster of XGBoost {name}", saved)

    yield booster("binary", X, BINARY, objective="binary:logistic")
    yield booster("on a frame", NUMBERS, AMOUNT)
    yield booster("softprob", NUMBERS, THREE, objective="multi:softprob", num_class=3)
    yield booster("softmax", X, THREE, objective="multi:softmax", num_class=3)
    yield booster("with categories", IN_ASCII, BINARY, objective="binary:logistic")
    yield booster("with NaN", WITH_NAN, AMOUNT)


def _lightgbm() -> Iterator[Specimen]:
    import lightgbm
    from lightgbm import LGBMClassifier, LGBMRanker, LGBMRegressor

    few: dict[str, Any] = {"n_estimators": 8, "num_leaves": 7, "n_jobs": 2, "verbose": -1}
    yield fitted("LGBMClassifier", lambda: LGBMClassifier(**few))
    yield fitted("LGBMClassifier on a frame", lambda: LGBMClassifier(**few), NUMBERS, THREE)
    yield fitted("LGBMClassifier of words", lambda: LGBMClassifier(**few), NUMBERS, WORDS)
    yield fitted("LGBMClassifier with NaN", lambda: LGBMClassifier(**few), WITH_NAN)
    yield fitted("LGBMClassifier with booleans", lambda: LGBMClassifier(**few), TABLE[["age", "paid"]])
    yield fitted("LGBMClassifier with categories", lambda: LGBMClassifier(**few), CATEGORIES)
    yield fitted("LGBMRegressor", lambda: LGBMRegressor(**few), NUMBERS, AMOUNT)
    yield fitted("LGBMRegressor with a sample", lambda: LGBMRegressor(**few), NUMBERS, AMOUNT, sample=_csv(NUMBERS))
    yield fitted("LGBMRegressor quantile", lambda: LGBMRegressor(objective="quantile", alpha=0.9, **few), X, AMOUNT)
    yield fitted("LGBMRanker", lambda: LGBMRanker(**few), X, BINARY, fit={"group": [10] * 30})
    yield fitted("scaler + LGBMClassifier", lambda: make_pipeline(StandardScaler(), LGBMClassifier(**few)), NUMBERS)
    yield fitted(
        "search of LGBMRegressor", lambda: GridSearchCV(LGBMRegressor(**few), {"num_leaves": [3, 5]}), X, AMOUNT
    )

    def booster(name: str, rows: Any, target: Any, **parameters: Any) -> Specimen:
        def saved() -> Saved:
            data = lightgbm.Dataset(rows[:ROWS], target[:ROWS])
            return Saved(
                lightgbm.train({"num_leaves": 7, "verbose": -1, "num_threads": 2, **parameters}, data, 8), rows[NEW]
            )

        return Specimen(f"Booster of LightGBM {name}", saved)

    yield booster("binary", X, BINARY, objective="binary")
    yield booster("on a frame", NUMBERS, AMOUNT)
    yield booster("multiclass", NUMBERS, THREE, objective="multiclass", num_class=3)
    yield booster("with categories", CATEGORIES, BINARY, objective="binary")
    yield booster("with NaN", WITH_NAN, AMOUNT)


def _catboost() -> Iterator[Specimen]:
    from catboost import CatBoost, CatBoostClassifier, CatBoostRanker, CatBoostRegressor, Pool

    few: dict[str, Any] = {
        "iterations": 8,
        "depth": 3,
        "verbose": False,
        "allow_writing_files": False,
        "thread_count": 2,
    }
    words = TABLE.assign(text=np.where(X[:, 2] > 0, "good day", "a bad day"))
    yield fitted("CatBoostClassifier", lambda: CatBoostClassifier(**few))
    yield fitted("CatBoostClassifier on a frame", lambda: CatBoostClassifier(**few), NUMBERS, THREE)
    yield fitted("CatBoostClassifier of words", lambda: CatBoostClassifier(**few), NUMBERS, WORDS)
    yield fitted("CatBoostClassifier of booleans", lambda: CatBoostClassifier(**few), NUMBERS, BINARY > 0)
    yield fitted("CatBoostClassifier with NaN", lambda: CatBoostClassifier(**few), WITH_NAN)
    yield fitted("CatBoostClassifier with words", lambda: CatBoostClassifier(cat_features=["city"], **few), TABLE)
    yield fitted(
        "CatBoostClassifier with numbered categories",
        lambda: CatBoostClassifier(cat_features=["city", "zip"], **few),
        TABLE[["city", "zip", "age"]],
        THREE,
    )
    yield fitted(
        "CatBoostClassifier with text",
        lambda: CatBoostClassifier(text_features=["text"], **few),
        words[["age", "text"]],
    )
    yield fitted("CatBoostRegressor", lambda: CatBoostRegressor(**few), NUMBERS, AMOUNT)
    yield fitted(
        "CatBoostRegressor MultiQuantile",
        lambda: CatBoostRegressor(loss_function="MultiQuantile:alpha=0.1,0.5,0.9", **few),
        NUMBERS,
        AMOUNT,
    )
    yield fitted(
        "CatBoostRegressor MultiRMSE",
        lambda: CatBoostRegressor(loss_function="MultiRMSE", **few),
        X,
        np.column_stack([AMOUNT, X[:, 2]]),
    )
    yield fitted(
        "CatBoostRegressor with uncertainty",
        lambda: CatBoostRegressor(loss_function="RMSEWithUncertainty", **few),
        X,
        AMOUNT,
    )
    yield fitted(
        "CatBoostClassifier MultiLogloss",
        lambda: CatBoostClassifier(loss_function="MultiLogloss", **few),
        X,
        (X[:, :2] > 0).astype(int),
    )
    yield fitted("CatBoostRanker", lambda: CatBoostRanker(**few), X, BINARY, fit={"group_id": GROUPS})
    yield fitted(
        "scaler + CatBoostClassifier", lambda: make_pipeline(StandardScaler(), CatBoostClassifier(**few)), NUMBERS
    )

    def of_pool() -> Saved:
        pool = Pool(TABLE[:ROWS], AMOUNT[:ROWS], cat_features=["city", "zip"])
        return Saved(CatBoost({**few, "loss_function": "RMSE"}).fit(pool), TABLE[NEW])

    yield Specimen("CatBoost of a Pool", of_pool)


def _statsmodels() -> Iterator[Specimen]:
    import statsmodels.api as sm
    import statsmodels.formula.api as smf
    from statsmodels.tsa.arima.model import ARIMA
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    table = TABLE.rename(columns={"loan amount": "loan"}).assign(y=BINARY, amount=AMOUNT, count=COUNT, three=THREE)

    def formula(name: str, fit: Callable[[Any, str], Any], text: str, columns: str, **known: Any) -> Specimen:
        return Specimen(
            f"{name} by formula",
            lambda: Saved(fit(table[:ROWS], text).fit(disp=0), table[columns.split()][NEW]),
            **known,
        )

    def on_arrays(
        name: str, kind: Any, target: Any, rows: Any = X, constant: bool = True, bare: bool = False
    ) -> Specimen:
        def with_constant(rows: Any) -> Any:
            return sm.add_constant(rows, has_constant="add") if constant else rows

        def saved() -> Saved:
            thing = kind(target[:ROWS], with_constant(rows[:ROWS])).fit()
            if bare:
                thing.remove_data()
            return Saved(thing, rows[NEW], Answering(lambda rows: thing.predict(with_constant(rows))))

        return Specimen(name, saved)

    yield formula(
        "OLS", lambda data, text: smf.ols(text, data), "amount ~ np.log(age) + C(city) + loan:age", "loan age city"
    )
    yield formula("OLS of booleans", lambda data, text: smf.ols(text, data), "amount ~ paid * loan", "loan paid")
    yield formula(
        "OLS with standardize",
        lambda data, text: smf.ols(text, data),
        "amount ~ standardize(loan) + bs(age, df=4)",
        "age loan",
    )
    yield formula("Logit", lambda data, text: smf.logit(text, data), "y ~ loan + city", "loan city")
    yield formula("MNLogit", lambda data, text: smf.mnlogit(text, data), "three ~ loan + age", "loan age")
    yield formula(
        "GLM", lambda data, text: smf.glm(text, data, family=sm.families.Poisson()), "count ~ loan + C(zip)", "loan zip"
    )
    yield formula("WLS", lambda data, text: smf.wls(text, data, weights=data["age"]), "amount ~ loan", "loan")
    yield on_arrays("OLS", sm.OLS, AMOUNT)
    yield on_arrays("OLS on a frame", sm.OLS, AMOUNT, NUMBERS)
    yield on_arrays("OLS without data", sm.OLS, AMOUNT, bare=True)
    yield on_arrays("OLS without a constant", sm.OLS, AMOUNT, constant=False)
    yield on_arrays("Logit", sm.Logit, BINARY, NUMBERS)
    yield on_arrays("Probit", sm.Probit, BINARY)
    yield on_arrays("Poisson", sm.Poisson, COUNT)
    yield on_arrays("MNLogit", sm.MNLogit, THREE, NUMBERS)
    yield on_arrays("QuantReg", sm.QuantReg, AMOUNT, NUMBERS)
    yield on_arrays("RLM", sm.RLM, AMOUNT)
    forecasts = "forecasts what comes after the rows that it was fitted on"
    yield Specimen("ARIMA", lambda: Saved(ARIMA(AMOUNT).fit(), X), refused=forecasts)
    yield Specimen("ExponentialSmoothing", lambda: Saved(ExponentialSmoothing(AMOUNT).fit(), X), refused=forecasts)


def _imblearn() -> Iterator[Specimen]:
    from imblearn.ensemble import BalancedBaggingClassifier, BalancedRandomForestClassifier, EasyEnsembleClassifier
    from imblearn.over_sampling import SMOTE, RandomOverSampler
    from imblearn.pipeline import make_pipeline as with_samplers
    from imblearn.under_sampling import RandomUnderSampler

    forest: dict[str, Any] = {"n_estimators": 5, "random_state": 0}
    yield fitted("SMOTE + LogisticRegression", lambda: with_samplers(SMOTE(random_state=0), LogisticRegression()))
    yield fitted(
        "scaler + SMOTE + LogisticRegression",
        lambda: with_samplers(StandardScaler(), SMOTE(random_state=0), LogisticRegression()),
        NUMBERS,
        WORDS,
    )
    yield fitted(
        "sampler + columns + LogisticRegression",
        lambda: with_samplers(
            RandomOverSampler(random_state=0),
            make_column_transformer((OneHotEncoder(), ["city"]), (StandardScaler(), ["age"])),
            LogisticRegression(),
        ),
        TABLE,
    )
    yield fitted(
        "undersampler + LogisticRegression",
        lambda: with_samplers(RandomUnderSampler(random_state=0), LogisticRegression()),
        NUMBERS,
    )
    yield fitted("BalancedRandomForestClassifier", lambda: BalancedRandomForestClassifier(**forest), NUMBERS)
    yield fitted("BalancedBaggingClassifier", lambda: BalancedBaggingClassifier(**forest))
    yield fitted("EasyEnsembleClassifier", lambda: EasyEnsembleClassifier(**forest))


def _category_encoders() -> Iterator[Specimen]:
    import category_encoders

    words = TABLE[["city", "loan amount", "zip"]]
    nulls = words.assign(city=words["city"].where(X[:, 2] < 0.5))
    for name in _ENCODERS.split():
        encoder = getattr(category_encoders, name)
        yield fitted(
            f"{name} of category_encoders",
            lambda encoder=encoder: make_pipeline(encoder(), LogisticRegression()),
            words,
        )
    yield fitted(
        "TargetEncoder of numbered categories",
        lambda: make_pipeline(category_encoders.TargetEncoder(cols=["zip", "city"]), LogisticRegression()),
        words,
    )
    yield fitted(
        "HashingEncoder of numbered categories",
        lambda: make_pipeline(
            category_encoders.HashingEncoder(cols=["zip"], max_process=1), StandardScaler(), LogisticRegression()
        ),
        words[["zip", "loan amount"]],
    )
    yield fitted(
        "TargetEncoder with nulls",
        lambda: make_pipeline(category_encoders.TargetEncoder(), LogisticRegression()),
        nulls,
    )
    yield fitted(
        "OrdinalEncoder that raises",
        lambda: make_pipeline(category_encoders.OrdinalEncoder(handle_unknown="error"), LogisticRegression()),
        words,
    )
    yield fitted(
        "columns of category_encoders",
        lambda: make_pipeline(
            make_column_transformer((category_encoders.TargetEncoder(), ["city"]), remainder="passthrough"),
            LogisticRegression(),
        ),
        words,
    )


def _csv(rows: pd.DataFrame) -> str:
    return rows[:20].to_csv(index=False)


_OF_LIBRARY: dict[str, Callable[[], Iterator[Specimen]]] = {
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
    "statsmodels": _statsmodels,
    "imblearn": _imblearn,
    "category_encoders": _category_encoders,
}
