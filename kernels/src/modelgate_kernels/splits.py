"""Reads the splits of trees, also of those that scikit-learn, XGBoost and LightGBM boost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from modelgate_kernels.sklearn_internals.trees import histogram_nodes


@dataclass(frozen=True)
class Tree:
    """The nodes of a tree: `left` and `right` are those to which a split at `thresholds` of `columns` leads. The column
    of a leaf is negative."""

    columns: Any
    thresholds: Any
    left: Any
    right: Any

    @cached_property
    def splits(self) -> Any:
        """The places of the nodes that split."""
        return np.flatnonzero(self.columns >= 0)


def trees_of(estimator: Any) -> list[Tree]:
    """Return the trees of a tree, or of an ensemble of trees; none for others."""
    library = type(estimator).__module__.partition(".")[0]
    if library == "xgboost":
        return _of_xgboost(estimator)
    if library == "lightgbm":
        return _of_lightgbm(estimator)
    histograms = histogram_nodes(estimator)
    if histograms:
        return [_of_histogram(nodes) for nodes in histograms]
    members = members_of(estimator)
    columns = getattr(estimator, "estimators_features_", [None] * len(members))  # those that each member gets
    trees = [
        _of_tree(member.tree_, subset)
        for member, subset in zip(members, columns, strict=True)
        if hasattr(member, "tree_")
    ]
    # The trees of a chain also split by what the trees before them answer.
    return [tree for tree in trees if tree.columns.max() < estimator.n_features_in_]


def members_of(estimator: Any) -> list[Any]:
    """Return the fitted estimators of an ensemble; for others, the estimator itself."""
    members = getattr(estimator, "estimators_", [estimator])
    return list(members.flat) if isinstance(members, np.ndarray) else list(members)


def _of_tree(tree: Any, subset: Any | None) -> Tree:
    columns = tree.feature if subset is None else np.where(tree.feature >= 0, np.asarray(subset)[tree.feature], -1)
    return Tree(columns, tree.threshold, tree.children_left, tree.children_right)


def _of_histogram(nodes: Any) -> Tree:
    # A split by categories has no threshold; the number of a category stands for it.
    thresholds = np.where(nodes["is_categorical"], np.arange(len(nodes)) % 8, nodes["num_threshold"])
    columns = np.where(nodes["is_leaf"], -1, nodes["feature_idx"].astype(np.intp))
    return Tree(columns, thresholds, nodes["left"].astype(np.intp), nodes["right"].astype(np.intp))


def _of_xgboost(estimator: Any) -> list[Tree]:
    booster = json.loads(estimator.get_booster().save_raw("json"))["learner"]["gradient_booster"]
    trees = booster.get("gbtree", booster)["model"].get("trees", [])  # gbtree, or dart; a linear one has none
    read = []
    for tree in trees:
        left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
        columns = np.where(left >= 0, tree["split_indices"], -1)
        read.append(Tree(columns, np.array(tree["split_conditions"], dtype=np.float64), left, right))
    return read


def _of_lightgbm(estimator: Any) -> list[Tree]:
    trees = []
    for text in estimator.booster_.model_to_string().split("\nTree=")[1:]:
        lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        if lines.get("split_feature"):
            columns, left, right = (_integers(lines[name]) for name in ("split_feature", "left_child", "right_child"))
            thresholds = np.array(lines["threshold"].split(), dtype=np.float64)
            leaves = int(lines["num_leaves"])  # a child -1 is leaf 0, and so on; leaves come after the splits
            trees.append(
                Tree(
                    np.concatenate([columns, np.full(leaves, -1)]),
                    np.concatenate([thresholds, np.zeros(leaves)]),
                    *(np.where(child >= 0, child, len(columns) + ~child) for child in (left, right)),
                )
            )
    return trees


def _integers(text: str) -> Any:
    return np.array(text.split(), dtype=np.intp)
