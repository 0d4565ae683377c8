"""Kernels of XGBoost and LightGBM, where these are installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelgate_kernels.kernel import NotCovered
from modelgate_kernels.table import find_kernel
from sklearn.datasets import make_classification

from kernels.tests.compare import Case, assert_same

X, y = make_classification(400, 6, n_informative=4, n_classes=3, random_state=1)
X[:, 3] = X[:, 3].round(1)
GAPS = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
SINGLE = X.astype(np.float32)
FRAME = pd.DataFrame(X, columns=list("abcdef"))
WORDS = np.array(["no", "perhaps", "yes"])[y]
AMOUNT = X[:, 0] * y


def fitted(estimator: Any, target: Any, rows: Any = X, **fit: Any) -> tuple[Any, Any]:
    return estimator.fit(rows, target, **fit), np.asarray(rows)


def _xgboost() -> Iterator[Case]:
    from xgboost import XGBClassifier, XGBRegressor

    few: dict[str, Any] = {"n_estimators": 6, "max_depth": 3, "n_jobs": 1}
    held = {"eval_set": [(X[:100], y[:100])], "verbose": False}
    yield Case("XGBoost, two classes", lambda: fitted(XGBClassifier(**few), y > 1))
    yield Case("XGBoost, three classes", lambda: fitted(XGBClassifier(**few), y, GAPS))
    undecided = XGBClassifier(base_score=0.5, min_child_weight=1e9, **few)
    yield Case("undecided XGBoost", lambda: fitted(undecided, np.arange(400) % 2))
    yield Case("XGBoost on a frame", lambda: fitted(XGBClassifier(**few), y, FRAME))
    yield Case("XGBoost of float32", lambda: fitted(XGBClassifier(**few), y > 1, SINGLE))
    yield Case("XGBoost that takes -1 as missing", lambda: fitted(XGBClassifier(missing=-1, **few), y, X.round()))
    yield Case(
        "XGBoost that stopped early",
        lambda: fitted(XGBClassifier(early_stopping_rounds=1, learning_rate=2.5, **few), y, **held),
    )
    yield Case("XGBoost, dart", lambda: fitted(XGBClassifier(booster="dart", rate_drop=0.5, **few), y))
    yield Case("XGBoost of numbers", lambda: fitted(XGBRegressor(**few), AMOUNT, GAPS))
    yield Case("XGBoost of counts", lambda: fitted(XGBRegressor(objective="count:poisson", **few), y))


def _lightgbm() -> Iterator[Case]:
    from lightgbm import LGBMClassifier, LGBMRegressor, early_stopping

    few: dict[str, Any] = {"n_estimators": 6, "num_leaves": 7, "n_jobs": 1, "verbose": -1}
    stop = {"eval_set": [(X[:100], y[:100])], "callbacks": [early_stopping(1, verbose=False)]}
    yield Case("LightGBM, two classes", lambda: fitted(LGBMClassifier(**few), y > 1))
    yield Case("LightGBM, three classes", lambda: fitted(LGBMClassifier(**few), WORDS, GAPS))
    yield Case("LightGBM on a frame", lambda: fitted(LGBMClassifier(**few), WORDS, FRAME))
    yield Case("LightGBM of float32", lambda: fitted(LGBMClassifier(**few), WORDS, SINGLE))
    yield Case("LightGBM that stopped early", lambda: fitted(LGBMClassifier(learning_rate=3.0, **few), y, **stop))
    eager = {"pred_early_stop": True, "pred_early_stop_freq": 1, "pred_early_stop_margin": 0.1, **few}
    yield Case("LightGBM that stops its predictions early", lambda: fitted(LGBMClassifier(**eager), y > 1))
    yield Case("LightGBM, one against all", lambda: fitted(LGBMClassifier(objective="multiclassova", **few), y))
    yield Case("LightGBM of numbers", lambda: fitted(LGBMRegressor(**few), AMOUNT, GAPS))
    yield Case("LightGBM of counts", lambda: fitted(LGBMRegressor(objective="poisson", **few), y))


CASES = [*(_xgboost() if find_spec("xgboost") else ()), *(_lightgbm() if find_spec("lightgbm") else ())]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_model_of_another_library_answers_the_same(case: Case) -> None:
    assert_same(case, 200)


def test_categories_have_no_kernel() -> None:
    xgboost, lightgbm = pytest.importorskip("xgboost"), pytest.importorskip("lightgbm")
    words = FRAME.assign(word=pd.Series(WORDS, dtype="category"))
    for estimator in (
        xgboost.XGBClassifier(n_estimators=2, enable_categorical=True),
        lightgbm.LGBMClassifier(n_estimators=2, verbose=-1),
    ):
        assert find_kernel(estimator.fit(words, y)) is None


def test_settings_that_change_answers_have_no_kernel() -> None:
    xgboost, lightgbm = pytest.importorskip("xgboost"), pytest.importorskip("lightgbm")
    for unusual in (
        xgboost.XGBRegressor(booster="gblinear", n_estimators=2),
        xgboost.XGBClassifier(objective="multi:softmax", n_estimators=2),
        lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, predict_raw_score=True),
    ):
        assert find_kernel(unusual.fit(X, y)) is None


def test_several_labels_are_left_to_xgboost() -> None:
    xgboost = pytest.importorskip("xgboost")
    kernel = find_kernel(xgboost.XGBClassifier(n_estimators=2).fit(X, np.column_stack([y > 0, y > 1])))
    assert kernel
    with pytest.raises(NotCovered):
        kernel.raw(X)


def test_a_release_that_was_never_compared_has_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    xgboost, lightgbm = pytest.importorskip("xgboost"), pytest.importorskip("lightgbm")
    for library, kind in ((xgboost, xgboost.XGBClassifier), (lightgbm, lightgbm.LGBMClassifier)):
        estimator = kind(n_estimators=2).fit(X, y)
        assert find_kernel(estimator)
        monkeypatch.setattr(library, "__version__", "99.0")
        assert find_kernel(estimator) is None


def test_the_libraries_are_never_imported() -> None:
    pytest.importorskip("xgboost")
    code = "import sys, modelgate_kernels.table; print({'xgboost', 'lightgbm'} & {*sys.modules})"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "set()"
