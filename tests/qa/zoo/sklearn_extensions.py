"""Models of libraries that build on scikit-learn, and of others within its models. Those of a library that is not
installed are left out."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from tests.qa.zoo.other_libraries import AMOUNT, CATEGORIES, NUMBERS, TABLE, X, fitted
from tests.qa.zoo.specimens import Specimen


def specimens() -> Iterator[Specimen]:
    for library, make_specimens in _OF_LIBRARY.items():
        if importlib.util.find_spec(library):
            yield from make_specimens()


def _mlxtend() -> Iterator[Specimen]:
    from mlxtend.classifier import StackingClassifier, StackingCVClassifier
    from mlxtend.regressor import StackingRegressor

    members = [DecisionTreeClassifier(max_depth=3, random_state=0), LogisticRegression()]
    yield fitted("StackingClassifier of mlxtend", lambda: StackingClassifier(members, LogisticRegression()))
    yield fitted(
        "StackingCVClassifier of mlxtend",
        lambda: StackingCVClassifier(members, LogisticRegression(), random_state=0),
        NUMBERS,
    )
    yield fitted("StackingRegressor of mlxtend", lambda: StackingRegressor([LinearRegression()], Ridge()), X, AMOUNT)


def _feature_engine() -> Iterator[Specimen]:
    from feature_engine import encoding, imputation

    words = TABLE[["city", "loan amount"]].astype({"city": object})
    nulls = words.mask(np.random.default_rng(2).random(words.shape) < 0.15)
    for name in ("OrdinalEncoder", "OneHotEncoder", "MeanEncoder", "CountFrequencyEncoder", "WoEEncoder"):
        encoder = getattr(encoding, name)(**({"encoding_method": "arbitrary"} if name == "OrdinalEncoder" else {}))
        yield fitted(
            f"{name} of feature_engine",
            lambda encoder=encoder: make_pipeline(encoder, LogisticRegression()),
            words,
        )
    yield fitted(
        "imputers of feature_engine",
        lambda: make_pipeline(
            imputation.MeanMedianImputer(),
            imputation.CategoricalImputer(),
            encoding.OneHotEncoder(),
            LogisticRegression(),
        ),
        nulls,
    )


def _quantile_forest() -> Iterator[Specimen]:
    from quantile_forest import RandomForestQuantileRegressor

    for quantiles in (None, [0.1, 0.5, 0.9]):
        yield fitted(
            f"RandomForestQuantileRegressor of {quantiles or 'the mean'}",
            lambda quantiles=quantiles: RandomForestQuantileRegressor(8, default_quantiles=quantiles, random_state=0),
            NUMBERS,
            AMOUNT,
        )


def _lightgbm() -> Iterator[Specimen]:
    from lightgbm import LGBMClassifier, LGBMRegressor

    few: dict[str, Any] = {"n_estimators": 8, "num_leaves": 7, "verbose": -1}
    members = [("a", LogisticRegression()), ("b", LGBMClassifier(**few))]
    yield fitted("stack with LGBMClassifier", lambda: StackingClassifier(members, LogisticRegression(), cv=2), NUMBERS)
    yield fitted("votes with LGBMClassifier", lambda: VotingClassifier(members, voting="soft"), NUMBERS)
    yield fitted(
        "search of LGBMClassifier with categories",
        lambda: GridSearchCV(LGBMClassifier(**few), {"num_leaves": [3, 5]}),
        CATEGORIES,
    )
    yield fitted(
        "LGBMRegressor for two targets",
        lambda: MultiOutputRegressor(LGBMRegressor(**few)),
        NUMBERS,
        np.column_stack([AMOUNT, X[:, 2]]),
    )


def _catboost() -> Iterator[Specimen]:
    from catboost import CatBoostClassifier

    few: dict[str, Any] = {"iterations": 8, "depth": 3, "verbose": False, "allow_writing_files": False}
    yield fitted(
        "calibrated CatBoostClassifier", lambda: CalibratedClassifierCV(CatBoostClassifier(**few), cv=2), NUMBERS
    )


_OF_LIBRARY: dict[str, Callable[[], Iterator[Specimen]]] = {
    "mlxtend": _mlxtend,
    "feature_engine": _feature_engine,
    "quantile_forest": _quantile_forest,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
}
