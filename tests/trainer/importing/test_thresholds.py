"""A threshold beside a model is applied, or the file is refused; other objects are named."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn import model_selection
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from scoring.artifacts import unpack
from scoring.predict import Prediction, predict
from trainer.importing import Refused
from trainer.importing.assumptions import undecided
from trainer.importing.trial.examine import Examined, examine

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 2))
WORDS = np.where(X[:, 0] + RNG.normal(size=80) > 0, "yes", "no")
CLASSIFIER = LogisticRegression().fit(X, WORDS)
POSITIVE = CLASSIFIER.predict_proba(X)[:, 1]


def examined(tmp_path: Path, saved: Any) -> Examined:
    (tmp_path / "file").write_bytes(saved if isinstance(saved, bytes) else pickle.dumps(saved))
    return examine("m", tmp_path / "file", None)


def answer(tmp_path: Path, saved: Any) -> tuple[Prediction, tuple[str, ...]]:
    """Return the prediction of a worker with the published artifact, and the warnings."""
    result = examined(tmp_path, saved)
    artifact = result.artifact or (tmp_path / "file").read_bytes()
    return predict(joblib.load(io.BytesIO(artifact)), result.draft, X.tolist()), result.draft.warnings


@pytest.mark.parametrize(
    "saved",
    [
        {"model": CLASSIFIER, "threshold": 0.2},
        {"model": CLASSIFIER, "best_threshold": np.float64(0.2)},
        {"clf": CLASSIFIER, "meta": {"decisionThreshold": np.array(0.2)}},
    ],
)
def test_the_threshold_decides_and_the_probabilities_stay(tmp_path: Path, saved: Any) -> None:
    prediction, warnings = answer(tmp_path, saved)
    assert prediction.values == np.where(POSITIVE >= 0.2, "yes", "no").tolist()
    assert [row["yes"] for row in prediction.probabilities or ()] == POSITIVE.tolist()
    assert warnings[0].startswith("it predicts 'yes' if its probability is at least 0.2, and otherwise 'no'")


def test_a_pipeline_with_a_threshold_keeps_its_columns(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, WORDS)
    draft = examined(tmp_path, {"model": model, "features": ["a", "b"], "cutoff": 0.7}).draft
    assert draft.signature.names == ("a", "b")
    assert len(draft.warnings) == 1


@pytest.mark.parametrize("dumps", [pickle.dumps, skops.io.dumps])
def test_a_threshold_is_applied_by_a_class_of_ours_before_scikit_learn_1_5(
    tmp_path: Path, dumps: Callable[[Any], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(model_selection, "FixedThresholdClassifier")
    result = examined(tmp_path, dumps({"model": CLASSIFIER, "threshold": 0.2}))
    assert result.artifact
    prediction = predict(unpack(result.artifact, result.draft.artifact.format), result.draft, X.tolist())
    assert prediction.values == np.where(POSITIVE >= 0.2, "yes", "no").tolist()
    assert [row["yes"] for row in prediction.probabilities or ()] == POSITIVE.tolist()


def test_a_threshold_in_a_skops_file_is_served_too(tmp_path: Path) -> None:
    result = examined(tmp_path, skops.io.dumps({"model": CLASSIFIER, "threshold": 0.9}))
    loaded = skops.io.loads(result.artifact)
    assert loaded.predict(X).tolist() == np.where(POSITIVE >= 0.9, "yes", "no").tolist()


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        ({"model": CLASSIFIER, "threshold": 20}, "with 'threshold', which is not a number from 0 to 1 (20); put"),
        ({"model": CLASSIFIER, "thresholds": [0.1, 0.2]}, "not a number from 0 to 1 (a list of 2 values); put"),
        ({"model": CLASSIFIER, "threshold": True}, "not a number from 0 to 1 (true); put"),
        ({"model": CLASSIFIER, "threshold": 0.1, "cut_off": 0.2}, "several thresholds ('threshold', 'cut_off')"),
        ({"model": LogisticRegression().fit(X, np.arange(80) % 3), "threshold": 0.2}, "of 3 classes with 'threshold'"),
        ({"model": LinearRegression().fit(X, X), "threshold": 0.2}, "holds a model without classes with 'threshold'"),
        ({"model": SVC().fit(X, WORDS), "threshold": 0.2}, "wrap the model in a CalibratedClassifierCV"),
        ({"model": CLASSIFIER, "prepare": np.log}, "with a model and a function ('prepare'), which would not be used"),
    ],
)
def test_a_threshold_that_cannot_be_served_is_refused(tmp_path: Path, saved: Any, said: str) -> None:
    with pytest.raises(Refused) as refused:
        examined(tmp_path, saved)
    assert said in str(refused.value)


def test_other_objects_beside_a_model_are_named(tmp_path: Path) -> None:
    saved = {
        "model": CLASSIFIER,
        "columns": ["a", "b"],
        "classes": ["no", "yes"],
        "made": "in May",
        "threshold": None,
        "threshold_metric": "f1",
        "scorer": make_scorer(f1_score),
        "labels": {0: "bad", 1: "good"},
        "medians": {"a": 0.1},
    }
    draft = examined(tmp_path, saved).draft
    (warning,) = draft.warnings
    assert warning.startswith(
        "the file has 'labels', 'medians' beside the model, which Modelgate does not use: put every step"
    )
    assert undecided(draft.remarks)


REGRESSION = LinearRegression().fit(X, X[:, 0])
MAY_CHANGE_ANSWERS: dict[str, Any] = {
    "target_transform": "log1p",
    "targetTransform": "cube root",
    "target": "np.log1p",
    "transform": "sqrt",
    "log_target": True,
    "preprocessing": "standardize",
    "scaling": "minmax",
    "normalize": True,
    "inverse": "exp",
    "boxcox_lambda": 0.3,
    "lambda": 0.4,
    "y_mean": 12.0,
    "y_std": np.float64(3),
    "offset": 3,
    "scaler_mean": np.zeros(2),
    "std": [1.0, 2.0],
    "train_mean": pd.Series([1.0, 2.0]),
    "mu": X.mean(axis=0),
    "medians": {"a": 0.1},
    "fill_values": {"age": 3},
    "label_map": {0: "no", 1: "yes"},
    "class_names": ["no", "yes"],
    "stop_words": ["the", "a", "an"],
    "config": {"target_transform": "log1p"},
    "meta": {"preprocessing": {"log_target": True}},
    "cleaner": io.StringIO(),
}
FACTS: dict[str, Any] = {
    "version": "1.2",
    "sklearn_version": "1.9.1",
    "author": "me",
    "date": "2024-01-01",
    "trained_at": pd.Timestamp("2024-01-01"),
    "description": "log1p of the price",
    "notes": "we scaled it",
    "model_name": "LogisticRegression",
    "target": "price",
    "metrics": {"mae": 0.3, "mean_error": 2},
    "accuracy": 0.9,
    "mean_absolute_error": 0.3,
    "cv_scores": [0.1, 0.2],
    "scorer": make_scorer(f1_score),
    "params": {"normalize": True},
    "best_params": {"scale": 2},
    "hyperparameters": {"lambda": 2},
    "reg_lambda": 1.0,
    "learning_rate": 0.1,
    "random_state": 42,
    "test_size": 0.2,
    "feature_importances": [0.3, 0.7],
    "columns": ["a", "b"],
    "X_train": X,
    "y_test": [1.0, 2.0],
    "encoding": "utf-8",
    "log_file": "a.log",
    "target_transform": None,
    "transform": "none",
    "log_target": False,
    "meta": {"version": 2, "accuracy": 0.9},
}


@pytest.mark.parametrize(("known", "waits"), [(MAY_CHANGE_ANSWERS, True), (FACTS, False)])
def test_what_may_change_answers_beside_a_model_waits_for_a_person_and_facts_do_not(
    tmp_path: Path, known: dict[str, Any], waits: bool
) -> None:
    for key, part in known.items():
        draft = examined(tmp_path, cloudpickle.dumps({"model": REGRESSION, key: part})).draft
        assert undecided(draft.remarks) is waits, (key, draft.warnings)
        assert draft.warnings == () or waits, (key, draft.warnings)


def test_words_for_the_classes_of_a_model_wait_for_a_person(tmp_path: Path) -> None:
    model = LogisticRegression().fit(X, (X[:, 0] > 0).astype(int))
    for key, part in {"target_names": np.array(["no", "yes"]), "mapping": {"no": 0, "yes": 1}}.items():
        assert undecided(examined(tmp_path, {"model": model, key: part}).draft.remarks)
    assert not undecided(examined(tmp_path, {"model": model, "classes": [0, 1]}).draft.remarks)


def test_scikit_learns_own_thresholds_are_served(tmp_path: Path) -> None:
    fixed = FixedThresholdClassifier(CLASSIFIER, threshold=0.2, pos_label="yes").fit(X, WORDS)
    tuned = TunedThresholdClassifierCV(LogisticRegression(), cv=2, scoring="balanced_accuracy").fit(X, WORDS)
    for model in (fixed, tuned):
        prediction, warnings = answer(tmp_path, model)
        assert (prediction.values, warnings) == (model.predict(X).tolist(), ())
        assert [row["yes"] for row in prediction.probabilities or ()] == model.predict_proba(X)[:, 1].tolist()
