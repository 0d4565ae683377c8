"""A file of another scikit-learn that would answer differently here is refused."""

from __future__ import annotations

import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cross_decomposition import CCA, PLSCanonical, PLSRegression
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree

from contract.model.environments import remedy
from scoring.compatibility import SKLEARN_VERSION, incompatibility, record_versions
from scoring.held_objects import parts_in

PICKLES = Path(__file__).parent.parent / "trainer/importing/pickles"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
y = (X[:, 0] > 0).astype(int)
WEIGHTS = RNG.uniform(0, 1, len(y)) / len(y)
FOREST = RandomForestClassifier(2, max_depth=2, random_state=0)
TREE = DecisionTreeClassifier(max_depth=2)


def with_counts(estimator: Any) -> Any:
    """Return `estimator` as before scikit-learn 1.4: with the weights of the samples in each node."""

    class Counts(pickle.Pickler):
        def reducer_override(self, thing: Any) -> Any:
            if not isinstance(thing, Tree):
                return NotImplemented
            make, arguments, state = thing.__reduce__()
            weights = thing.weighted_n_node_samples[:, None, None]
            return make, arguments, {**state, "values": state["values"] * weights}

    buffer = io.BytesIO()
    Counts(buffer).dump(estimator)
    return pickle.loads(buffer.getvalue())


HOLDING_TREES = {
    "a tree": TREE,
    "a forest": FOREST,
    "extra trees": ExtraTreesClassifier(2, max_depth=2),
    "boosted": AdaBoostClassifier(TREE, n_estimators=2),
    "bagged": BaggingClassifier(TREE, n_estimators=2),
    "voting": VotingClassifier([("a", LogisticRegression()), ("b", TREE)], voting="soft"),
    "stacked": StackingClassifier([("a", FOREST)], LogisticRegression(), cv=2),
    "calibrated": CalibratedClassifierCV(FOREST, cv=2),
    "searched in a pipeline": GridSearchCV(make_pipeline(StandardScaler(), FOREST), {}, cv=2),
    "where boosting begins": GradientBoostingClassifier(n_estimators=1, init=FOREST),
}


@pytest.mark.parametrize("kind", HOLDING_TREES)
def test_trees_with_counts_are_found_wherever_they_are(kind: str) -> None:
    estimator = HOLDING_TREES[kind].fit(X, y)
    assert incompatibility(estimator, []) is None
    said = incompatibility(with_counts(estimator), ["1.3.2"])
    assert said == (
        f"was made with scikit-learn 1.3.2: its classification trees hold counts, which {SKLEARN_VERSION} takes for"
        f" fractions, and its answers would be wrong; {remedy(['1.3.2'], SKLEARN_VERSION)}"
    )


def test_weights_of_samples_leave_fractions() -> None:
    for weights in (WEIGHTS, np.where(y, 0.0, 1.0), np.full(len(y), 1e-9)):
        assert incompatibility(DecisionTreeClassifier(class_weight="balanced").fit(X, y, weights), []) is None
    both = np.c_[y, np.arange(len(y)) % 3]
    assert incompatibility(DecisionTreeClassifier().fit(X, both), []) is None


def test_weights_that_add_up_to_one_in_the_root_do_not_hide_counts() -> None:
    tree = with_counts(DecisionTreeClassifier(max_depth=1).fit(X, y, np.full(len(y), 1 / len(y))))
    assert tree.tree_.value[0].sum() == pytest.approx(1)
    assert incompatibility(tree, []) is not None


def test_regression_trees_may_hold_any_values() -> None:
    assert incompatibility(RandomForestRegressor(2).fit(X, 100 * X[:, 0]), []) is None
    assert incompatibility(GradientBoostingClassifier(n_estimators=2).fit(X, y), []) is None


class Wrapped:
    """A custom class around a model."""

    def __init__(self, model: Any) -> None:
        self.models = {"a": [model]}

    def predict(self, matrix: Any) -> Any:
        return self.models["a"][0].predict(matrix)


def test_a_model_inside_a_custom_class_is_found() -> None:
    forest = FOREST.fit(X, y)
    assert forest in list(parts_in(Wrapped(forest)))
    assert incompatibility(Wrapped(with_counts(forest)), []) is not None


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("forest-1.3.2.joblib", "its classification trees hold counts"),
        ("boosting-1.3.2.pkl", "its trees were boosted by an algorithm (SAMME.R) that"),
        ("least-squares-1.3.2.pkl", "its coefficients are those of scaled columns, which"),
        ("words-1.3.2.pkl", "its TF-IDF weights are where"),
    ],
)
def test_files_of_releases_before_1_4_are_recognized(file: str, said: str) -> None:
    with record_versions() as made_with:
        estimator = joblib.load(PICKLES / file)
    assert made_with == ["1.3.2"]
    if file.startswith("boosting"):  # which has trees, too
        estimator.estimators_ = []
    assert f"was made with scikit-learn 1.3.2: {said}" in str(incompatibility(estimator, made_with))


def test_a_pls_of_this_release_is_accepted() -> None:
    for estimator in (PLSRegression(), PLSRegression(scale=False), PLSCanonical(1), CCA(1)):
        assert incompatibility(estimator.fit(X * [1, 10, 100], y), []) is None
    assert incompatibility(PLSRegression(), []) is None


def test_a_file_of_this_release_names_no_other_release() -> None:
    with warnings.catch_warnings(), record_versions() as made_with:
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(LogisticRegression()))
    assert made_with == []
