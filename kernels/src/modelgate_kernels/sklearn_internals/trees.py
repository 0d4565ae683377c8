"""The private names of scikit-learn's trees and their ensembles."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from modelgate_kernels.sklearn_internals import has_method

_HISTOGRAM_NODE = frozenset(
    (
        *("feature_idx", "num_threshold", "missing_go_to_left", "is_categorical", "bitset_idx"),
        *("is_leaf", "left", "right", "value"),
    )
)
"""Fields of a node of a HistGradientBoosting."""


@cache
def can_check_forest_rows() -> bool:
    """Return whether `forest_rows` works. Otherwise the forest's own methods have to predict."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    return all(has_method(kind, "_validate_X_predict", "X") for kind in (RandomForestClassifier, RandomForestRegressor))


def forest_rows(forest: Any, matrix: Any) -> Any:
    """Return the matrix as the trees of a forest take it. Raises what the forest's `predict` raises."""
    return forest._validate_X_predict(matrix)


@cache
def can_join_trees() -> bool:
    """Return whether `nodes_of` and `tree_of` work. Otherwise each tree has to be asked."""
    try:
        from sklearn.tree._tree import NODE_DTYPE, Tree
    except ImportError:
        return False
    fields = {"left_child", "right_child", "feature", "threshold", "missing_go_to_left"}
    return fields <= {*NODE_DTYPE.names} and callable(getattr(Tree, "apply", None))


def nodes_of(tree: Any) -> Any:
    """Return the nodes of a `tree_`, a structured array. A leaf has no `left_child`: it is -1."""
    return tree.__getstate__()["nodes"]


def tree_of(nodes: Any, columns: int) -> Any:
    """Return a tree with these nodes. Its `apply` returns the place of the leaf of each row, and takes float32."""
    from sklearn.tree._tree import Tree

    tree = Tree(columns, np.ones(1, dtype=np.intp), 1)
    values = np.zeros((len(nodes), 1, 1))
    tree.__setstate__({"max_depth": 0, "node_count": len(nodes), "nodes": nodes, "values": values})
    return tree


@cache
def can_add_trees() -> bool:
    """Return whether `add_trees` works. Otherwise each tree has to be asked."""
    try:
        from sklearn.ensemble._gradient_boosting import predict_stages
    except ImportError:
        return False
    return [*inspect.signature(predict_stages).parameters] == ["estimators", "X", "scale", "out"]


def add_trees(trees: Any, matrix: Any, scale: float, total: Any) -> None:
    """Add the answers of regression trees, times `scale`, to `total`, in their order. `trees` is stages × columns of
    `total`; `matrix` is rows × columns of float32, in C order and without NaN."""
    from sklearn.ensemble._gradient_boosting import predict_stages

    predict_stages(trees, matrix, scale, total)


def boosting_loss(estimator: Any) -> Any:
    """Return the loss of a fitted GradientBoosting. Raises AttributeError if it is unknown: then the estimator's own
    methods have to predict."""
    return estimator._loss


@cache
def can_start_boosting() -> bool:
    """Return whether `boosting_start` works. Otherwise GradientBoosting's own methods have to predict."""
    try:
        from sklearn.ensemble._gb import _init_raw_predictions
    except ImportError:
        return False
    return [*inspect.signature(_init_raw_predictions).parameters] == ["X", "estimator", "loss", "use_predict_proba"]


def boosting_start(estimator: Any, matrix: Any) -> Any:
    """Return what the trees of a GradientBoosting add to: rows × columns of the answer, from its `init_` estimator.
    `matrix` is rows × columns of float32."""
    from sklearn.ensemble._gb import _init_raw_predictions

    return _init_raw_predictions(matrix, estimator.init_, estimator._loss, is_classifier(estimator))


def isolation_depths(forest: Any) -> list[tuple[Any, Any]]:
    """Return for each tree of an IsolationForest the depths of its nodes, counted from 1, and the mean length of the
    paths below them. Raises AttributeError if they are unknown: then the forest's own methods have to predict."""
    return [*zip(forest._decision_path_lengths, forest._average_path_length_per_tree, strict=True)]


def isolation_mean(forest: Any) -> Any:
    """Return the mean length of a path in a tree with as many rows as those of an IsolationForest were fitted on, an
    array of one. Raises as `isolation_depths`."""
    from sklearn.ensemble._iforest import _average_path_length

    return _average_path_length([forest._max_samples])


@cache
def can_read_histogram_trees() -> bool:
    """Return whether `HistogramTrees` works. Otherwise the estimator's own methods have to predict."""
    try:
        from sklearn.ensemble._hist_gradient_boosting._predictor import _predict_from_raw_data
        from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
        from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
    except ImportError:
        return False
    parameters = ["nodes", "numeric_data", "raw_left_cat_bitsets", "known_cat_bitsets", "f_idx_map", "n_threads", "out"]
    return (
        [*inspect.signature(_predict_from_raw_data).parameters] == parameters
        and has_method(_BinMapper, "make_known_categories_bitsets")
        and {*PREDICTOR_RECORD_DTYPE.names} >= _HISTOGRAM_NODE
    )


class HistogramTrees:
    """What a fitted HistGradientBoosting predicts with."""

    def __init__(self, estimator: Any) -> None:
        from sklearn.ensemble._hist_gradient_boosting._predictor import _predict_from_raw_data

        self.trees: Sequence[Sequence[Any]] = estimator._predictors
        """Iterations × columns of the answer. Each has its `nodes`, a structured array, and the categories that go left
        at its nodes as bits, `raw_left_cat_bitsets`."""
        self.baseline = estimator._baseline_prediction
        """1 × columns of the answer: what the trees add to."""
        self.loss = estimator._loss
        self.preprocessor = estimator._preprocessor
        """The ColumnTransformer that encodes categories and puts their columns first, or None."""
        self._categories, self._categorical = estimator._bin_mapper.make_known_categories_bitsets()
        self._predict = _predict_from_raw_data

    def categories(self) -> Any:
        """Return the sorted categories of each categorical column, without NaN. The preprocessor is not None."""
        categories = self.preprocessor.named_transformers_["encoder"].categories_
        return [known[known == known] for known in categories]

    def known_categories(self, column: int) -> Any:
        """Return for each possible place of a category whether the trees know it: 256 of bool. The column is
        categorical."""
        bits = self._categories[self._categorical[column]]
        return np.unpackbits(bits.view(np.uint8), bitorder="little").astype(bool)

    def predict(self, nodes: Any, left_categories: Any, matrix: Any, out: Any) -> None:
        """Write the value of the leaf of each row to `out`. `matrix` is rows × columns of float64, after the
        preprocessor."""
        self._predict(nodes, matrix, left_categories, self._categories, self._categorical, 1, out)


def histogram_nodes(estimator: Any) -> list[Any]:
    """Return the nodes of each tree of a fitted HistGradientBoosting, as a structured array. None for other estimators,
    or if the nodes are unknown."""
    iterations = getattr(estimator, "_predictors", None)
    if not isinstance(iterations, list):
        return []
    nodes = [getattr(tree, "nodes", None) for trees in iterations for tree in trees]
    known = all(_HISTOGRAM_NODE.issubset(getattr(array, "dtype", np.dtype("f8")).names or ()) for array in nodes)
    return nodes if known else []
