"""The import finds what a model changes of its process, and says it."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from sklearn import get_config, set_config  # type: ignore[attr-defined]
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from scoring.process_state import ProcessState
from tests.trainer.importing.imported import X, tried
from trainer.importing.trial.examine import examine

MESSAGE = (
    "its code changes NumPy's error handling (np.seterr) for its whole process. Modelgate puts it back and scores no"
    " other model in that process, so requests may have to wait for a new one; take it out of the code"
)


def by_value(step: Any) -> bytes:
    model = make_pipeline(FunctionTransformer(), LinearRegression()).fit(X, X[:, 0])
    model[0].func = step
    cloudpickle.register_pickle_by_value(__import__(__name__, fromlist=["x"]))
    try:
        return bytes(cloudpickle.dumps(model))
    finally:
        cloudpickle.unregister_pickle_by_value(__import__(__name__, fromlist=["x"]))


def sets_numpy(data: Any) -> Any:
    np.seterr(all="raise")
    return data


def sets_sklearn(data: Any) -> Any:
    set_config(transform_output="pandas")
    return data


def seeds(data: Any) -> Any:
    np.random.seed(1)
    return data


def draws(data: Any) -> Any:
    return data + 0 * np.random.random(len(data))[:, None] * random.random()


class SetsWhenLoaded(LinearRegression):
    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        sys.setrecursionlimit(9000)


def test_a_change_at_predict_is_recorded_with_its_remedy(tmp_path: Path) -> None:
    before = ProcessState()
    draft = tried(tmp_path, by_value(sets_numpy))
    before.put_back()
    assert draft.artifact.changes == ("NumPy's error handling (np.seterr)",)
    assert draft.warnings[-1] == MESSAGE
    assert draft.remarks[-1].code == "changes_process"


def test_a_change_at_loading_is_recorded(tmp_path: Path) -> None:
    before = ProcessState()
    model = SetsWhenLoaded().fit(X, X[:, 0])
    draft = tried(tmp_path, cloudpickle.dumps(model))
    before.put_back()
    assert draft.artifact.changes == ("the recursion limit (sys.setrecursionlimit)",)


@pytest.mark.usefixtures("compares_kernels")
def test_a_changed_configuration_keeps_no_kernel_from_being_compared(tmp_path: Path) -> None:
    before = ProcessState()
    draft = tried(tmp_path, by_value(sets_sklearn))
    before.put_back()
    assert draft.artifact.changes == ("scikit-learn's configuration (set_config)",)
    assert get_config()["transform_output"] == "default"
    assert draft.artifact.kernels


SEEDED = ("the random state (random.seed, np.random.seed)",)


@pytest.mark.parametrize(("step", "changes"), [(seeds, SEEDED), (draws, ())])
def test_only_a_seed_changes_the_random_state(tmp_path: Path, step: Any, changes: tuple[str, ...]) -> None:
    assert tried(tmp_path, by_value(step)).artifact.changes == changes


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), LinearRegression()),
        make_pipeline(IterativeImputer(sample_posterior=True), LinearRegression()),
    ],
)
def test_estimators_of_scikit_learn_change_nothing(tmp_path: Path, model: Any) -> None:
    draft = tried(tmp_path, model.fit(X, X[:, 0]))
    assert draft.artifact.changes == ()
    assert "changes" not in draft.dumps()


def test_what_the_script_beside_a_pickle_does_when_it_runs_is_not_the_models(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(
        b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x08__main__\x94\x8c\x05Twice\x94\x93\x94)\x81\x94."
    )
    (tmp_path / "model.py").write_text(
        "import warnings\nwarnings.filterwarnings('ignore', module='nowhere')\n\nclass Twice:\n"
        "    n_features_in_ = 1\n    def predict(self, X):\n        return X[:, 0] * 2\n"
    )
    before = ProcessState()
    draft = examine("m", tmp_path / "model.pkl", None, code=tmp_path / "model.py").draft
    assert draft.artifact.changes == ()
    assert before.put_back() == ()
