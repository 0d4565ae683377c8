"""Exact Shapley values of linear models and of sums of trees, without a row of the model for each coalition.

Only where each column of the final estimator's matrix is known to come from one input: `transform` of `_BY_COLUMN`
makes it of that column alone, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Any, NamedTuple

import numpy as np
from modelgate_kernels.functions import is_identity, known_function
from modelgate_kernels.kernel import known_type
from modelgate_kernels.pipelines import is_passthrough, parts_of
from modelgate_kernels.sklearn_internals.trees import histogram_nodes
from sklearn import ensemble, feature_extraction, impute, linear_model, preprocessing, svm, tree
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.pipeline import FeatureUnion, Pipeline

from scoring.estimators import prepare
from scoring.explain.games import Columns
from scoring.files.answers import Scorable
from scoring.files.plan import Steps

_BY_COLUMN = frozenset(
    {
        *(preprocessing.StandardScaler, preprocessing.MinMaxScaler, preprocessing.MaxAbsScaler),
        *(preprocessing.RobustScaler, preprocessing.PowerTransformer, preprocessing.QuantileTransformer),
        *(preprocessing.OneHotEncoder, preprocessing.OrdinalEncoder, preprocessing.KBinsDiscretizer),
        *(impute.SimpleImputer, impute.MissingIndicator, feature_extraction.text.HashingVectorizer),
        *(feature_extraction.text.CountVectorizer, feature_extraction.text.TfidfVectorizer),
    }
)
_LINEAR = frozenset(
    {
        *(linear_model.LinearRegression, linear_model.Ridge, linear_model.RidgeCV, linear_model.Lasso),
        *(linear_model.LassoCV, linear_model.ElasticNet, linear_model.ElasticNetCV, linear_model.BayesianRidge),
        *(linear_model.HuberRegressor, linear_model.SGDRegressor, svm.LinearSVR),
    }
)
_LINEAR_DECISIONS = frozenset(
    {
        *(svm.LinearSVC, linear_model.RidgeClassifier, linear_model.RidgeClassifierCV),
        *(linear_model.Perceptron, linear_model.PassiveAggressiveClassifier, linear_model.SGDClassifier),
    }
)
_SINGLE = frozenset(
    {tree.DecisionTreeClassifier, tree.DecisionTreeRegressor, tree.ExtraTreeClassifier, tree.ExtraTreeRegressor}
)
_FORESTS = frozenset(
    {
        *(ensemble.RandomForestClassifier, ensemble.RandomForestRegressor),
        *(ensemble.ExtraTreesClassifier, ensemble.ExtraTreesRegressor),
    }
)
_IDENTITY = ("squared_error", "absolute_error", "quantile")
"""The losses of HistGradientBoosting whose answer is the sum of its trees."""
_MOST_NODES, _MOST_CELLS = 100_000, 2_000_000
"""Nodes of all trees, and cells of the rows that show where columns come from: with 100 background rows those of 141
inputs. Larger models take seconds; they are asked as any other."""


class _Tree(NamedTuple):
    """The nodes of a tree, an array each. A row goes to `left` unless its `feature` is above `threshold`; `nan_left`:
    also if that is missing. A leaf has no `left` (-1 or 0), and adds its `value` to the answer."""

    left: Any
    right: Any
    feature: Any
    threshold: Any
    nan_left: Any
    value: Any


def contributions(model: Scorable, game: Columns, label: int | None) -> Steps[Any] | None:
    """Return the work that finds the contributions to a number, or to the probability of the class with the number
    `label` or the decision about it; None if the structure of the model is not known to allow that."""
    (count, players), (transformers, final) = game.differ.shape, parts_of(model.estimator)
    if count * players**2 > _MOST_CELLS or not all(map(_is_by_column, transformers)):
        return None
    trees, coefficients = _trees_of(final, label), _coefficients(final, label)
    if not trees and coefficients is None:
        return None
    # The background rows; these with the value in x of one player each; and x.
    present = np.vstack([np.eye(players + 1, players, -1, dtype=bool).repeat(count, axis=0), np.ones(players, bool)])
    rows = game.rows(np.arange(len(present)) % count, present)
    _, matrix = next(prepare(model.estimator, rows, model.manifest.signature, model.manifest.artifact))
    try:
        matrix = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float64)
    except (TypeError, ValueError):  # texts, which HistGradientBoosting takes
        return None
    x, (background, *changed) = matrix[-1], matrix[:-1].reshape(players + 1, count, -1)
    differs = [((one != background) & ~(np.isnan(one) & np.isnan(background))).any(axis=0) for one in changed]
    # A column that no input changes alone is the same in all mixtures of these rows.
    owners = np.where(np.any(differs, axis=0), np.argmax(differs, axis=0), players)
    if coefficients is not None:
        return _of_linear(coefficients, background, x, owners, players)
    if type(final) is not ensemble.HistGradientBoostingRegressor:
        background, x = background.astype(np.float32), x.astype(np.float32)  # as these trees read them
    return _of_trees(trees, background, x, owners, players)


def _is_by_column(step: Any) -> bool:
    if is_passthrough(step) or is_identity(step) or (isinstance(step, str) and step == "drop"):
        return True
    kind = known_type(step)
    if kind is preprocessing.FunctionTransformer:
        return known_function(step.func) is not None or isinstance(step.func, np.ufunc)
    if kind in (Pipeline, FeatureUnion, ColumnTransformer):
        parts = step.steps if kind is Pipeline else getattr(step, "transformers_", None) or step.transformer_list
        return all(_is_by_column(part[1]) for part in parts)
    return kind in _BY_COLUMN


def _coefficients(final: Any, label: int | None) -> Any:
    """Return those of a linear answer, or decision about a class; None if there are none."""
    if known_type(final) not in (_LINEAR if label is None else _LINEAR_DECISIONS):
        return None
    first, *others = np.atleast_2d(final.coef_)
    if label is None:
        return None if others else first
    return [first, *others][label] if others else first * (1 if label else -1)


def _of_linear(coefficients: Any, background: Any, x: Any, owners: Any, players: int) -> Steps[Any]:
    yield 0
    return np.bincount(owners, coefficients * (x - background.mean(axis=0)), players + 1)[:players]


def _of_trees(trees: Sequence[_Tree], background: Any, x: Any, owners: Any, players: int) -> Steps[Any]:
    total = np.zeros(players + 1)
    for one in trees:
        total += _of_tree(one, background, x, owners, players)
        yield 0
    return total[:players]


def _of_tree(one: _Tree, background: Any, x: Any, owners: Any, players: int) -> Any:
    """Return the mean contributions to one tree.

    A leaf gets the mixed rows in which each player on its path has a value that leads there: its own in x for the `a`
    players of which only that does, the one in the background row for the `b` of which only that does. Such a game is
    worth value · (a−1)! b! / (a+b)! to each of the first, and −value · a! (b−1)! / (a+b)! to each of the others.
    """
    if not (paths := _paths(one)):
        return np.zeros(players + 1)
    by_player = np.lexsort((owners[one.feature[paths[1]]], paths[0]))
    leaves, nodes, goes_left = (column[by_player] for column in paths)
    player = owners[one.feature[nodes]]
    firsts = np.flatnonzero(np.diff(leaves, prepend=-1) | np.diff(player, prepend=-1))
    of_x, of_background = (
        np.logical_and.reduceat(_goes_left(one, nodes, rows) == goes_left[:, np.newaxis], firsts)
        for rows in (x[np.newaxis], background)
    )
    player, leaves = player[firsts], leaves[firsts]
    starts = np.flatnonzero(np.diff(leaves, prepend=-1))
    only_x, only_background = of_x & ~of_background, ~of_x & of_background
    a, b = (np.add.reduceat(only, starts, dtype=np.intp) for only in (only_x, only_background))
    reached = np.logical_and.reduceat(of_x | of_background, starts)
    value = np.where(reached, one.value[leaves[starts]][:, np.newaxis], 0.0)
    shares = _shares(int((a + b).max()))
    of_leaf = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(leaves)))
    gains = np.where(only_x, (value * shares[a, b])[of_leaf], 0).sum(axis=1)
    losses = np.where(only_background, (value * shares[b, a])[of_leaf], 0).sum(axis=1)
    return np.bincount(player, gains - losses, players + 1) / len(background)


def _goes_left(one: _Tree, nodes: Any, rows: Any) -> Any:
    """Return for each of these nodes × rows whether the row goes left there."""
    values = rows[:, one.feature[nodes]].T
    return np.where(np.isnan(values), one.nan_left[nodes][:, np.newaxis], values <= one.threshold[nodes][:, np.newaxis])


def _paths(one: _Tree) -> Sequence[Any]:
    """Return the nodes on the paths to all leaves: the leaf, the node, and whether the path goes left there; nothing
    for a tree of one leaf."""
    inner = np.flatnonzero(one.left > 0)
    parents, is_left = np.full(len(one.left), -1), np.zeros(len(one.left), bool)
    parents[one.left[inner]] = parents[one.right[inner]] = inner
    is_left[one.left[inner]] = True
    leaves = at = np.setdiff1d(np.arange(len(parents)), inner)
    steps = []
    while (going := parents[at] >= 0).any():
        leaves, at = leaves[going], at[going]
        steps.append((leaves, parents[at], is_left[at]))
        at = parents[at]
    return list(map(np.concatenate, zip(*steps, strict=True)))


def _shares(most: int) -> Any:
    """Return (a−1)! b! / (a+b)! for each a and b that are at most `most` together; 0 where a is 0."""
    together = range(most + 1)
    return np.array([[1 / (a * comb(a + b, a)) if 0 < a <= most - b else 0.0 for b in together] for a in together])


def _trees_of(final: Any, label: int | None) -> Sequence[_Tree]:
    """Return trees whose values add up to the answer but for a constant; none if there are no such, or too many."""
    kind, trees = known_type(final), list[_Tree]()
    if kind in _SINGLE and final.n_outputs_ == 1:
        trees = [_tree(final, label)]
    elif kind in _FORESTS and final.n_outputs_ == 1:
        trees = [_tree(member, label, 1 / len(final.estimators_)) for member in final.estimators_]
    elif kind is ensemble.GradientBoostingRegressor and (final.init == "zero" or type(final.init_) is DummyRegressor):
        trees = [_tree(member, None, final.learning_rate) for member in final.estimators_[:, 0]]
    elif kind is ensemble.HistGradientBoostingRegressor and final.loss in _IDENTITY:
        trees = [_Tree(*(nodes[name] for name in _NODE)) for nodes in histogram_nodes(final)]
        trees = [] if any(nodes["is_categorical"].any() for nodes in histogram_nodes(final)) else trees
    return trees if sum(len(one.left) for one in trees) <= _MOST_NODES else []


_NODE = ("left", "right", "feature_idx", "num_threshold", "missing_go_to_left", "value")


def _tree(estimator: Any, label: int | None, scale: float = 1.0) -> _Tree:
    """Return a tree; its values are shares of classes, which before scikit-learn 1.3 were numbers of rows."""
    nodes, values = estimator.tree_, estimator.tree_.value[:, 0]
    value = values[:, 0] if label is None else values[:, label] / values.sum(axis=1)
    nan_left = getattr(nodes, "missing_go_to_left", np.zeros(len(value)))
    return _Tree(
        nodes.children_left, nodes.children_right, nodes.feature, nodes.threshold, nan_left.astype(bool), scale * value
    )
