"""Which trees have their leaves looked up, and for which batches; `test_boosting` compares the answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from modelgate_kernels import leaf_masks
from modelgate_kernels.leaf_masks import LeafMasks, _grouped
from modelgate_kernels.sklearn_internals.trees import HistogramTrees
from sklearn.ensemble import HistGradientBoostingRegressor

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(3000, 16))
INDICATORS = np.column_stack([RANDOM.integers(0, 2, (3000, 8)), X[:, 0].clip(-1, 1).round(1)])[:, [0, 8, *range(1, 8)]]
WIDE = RANDOM.normal(size=(3000, 61))


def fitted(rows: Any = X, **parameters: Any) -> HistGradientBoostingRegressor:
    target = rows[:, ::2].sum(axis=1) + np.sin(3 * rows[:, 1])
    return HistGradientBoostingRegressor(**{"max_iter": 4, "random_state": 0, **parameters}).fit(rows, target)


def masks_of(rows: Any = X, **parameters: Any) -> LeafMasks | None:
    return LeafMasks.of(HistogramTrees(fitted(rows, **parameters)))


@pytest.mark.parametrize("parameters", [{}, {"max_iter": 200}, {"max_leaf_nodes": 64}, {"max_leaf_nodes": 8}])
def test_leaves_of_usual_trees_are_looked_up(parameters: dict[str, Any]) -> None:
    assert masks_of(**parameters) is not None


@pytest.mark.parametrize(
    ("rows", "parameters"),
    [
        pytest.param(X, {"max_leaf_nodes": 65}, id="more leaves than bits"),
        pytest.param(WIDE, {"max_leaf_nodes": 14, "max_iter": 40}, id="many columns for few splits"),
        pytest.param(X[:300], {"max_leaf_nodes": 60, "max_iter": 400, "min_samples_leaf": 1}, id="too much memory"),
        pytest.param(np.ones((300, 16)), {}, id="no splits"),
    ],
)
def test_these_trees_are_asked_one_by_one(rows: Any, parameters: dict[str, Any]) -> None:
    assert masks_of(rows, **parameters) is None


def test_a_batch_pays_from_a_few_rows_on() -> None:
    masks = masks_of(max_iter=100)
    assert masks is not None
    assert [masks.pays_for(X[:rows]) for rows in (1, 6, 7, 3000)] == [False, False, True, True]
    odd = masks_of(X[:, :15], max_iter=100)
    assert odd is not None
    assert [odd.pays_for(X[:rows]) for rows in (5, 6)] == [False, True]


def test_wide_trees_of_many_splits_are_looked_up() -> None:
    assert masks_of(WIDE, max_leaf_nodes=40, max_iter=40) is not None


@pytest.mark.parametrize("trees", [40, 100, 200])
def test_columns_of_few_ranges_are_looked_up_together_in_128_kb(trees: int) -> None:
    masks = masks_of(INDICATORS, max_iter=trees)
    assert masks is not None
    sizes = [table.nbytes for table in masks._masks]
    assert 1 < len(sizes) < 9 and max(sizes) <= 2**17
    assert min(3 * size for size in sizes[:-1]) > 2**17  # the next column has two values and NaN


def test_columns_that_just_fit_are_looked_up_together() -> None:
    edges = {0: np.zeros(2), 1: np.zeros(2)}
    assert [*map(list, _grouped(edges, 2**13))] == [[0, 1]]
    assert [*map(list, _grouped(edges, 2**13 + 1))] == [[0], [1]]


def test_trees_of_one_column_are_looked_up() -> None:
    masks = masks_of(np.where(np.arange(16) == 0, X, 0))
    assert masks is not None and masks._ranges._columns == [0]


def test_trees_that_just_take_the_memory_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = masks_of()
    assert masks is not None
    size = sum(table.nbytes for table in masks._masks)
    for most, looked_up in ((size, True), (size - 1, False)):
        monkeypatch.setattr(leaf_masks, "_MOST_BYTES", most)
        assert (masks_of() is not None) == looked_up


def test_trees_that_just_have_the_splits_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = HistogramTrees(fitted(max_leaf_nodes=9, max_iter=40))
    masks = LeafMasks.of(trees)
    assert masks is not None
    most = len(masks._ranges._columns) / 8
    for columns, looked_up in ((most, True), (most - 0.001, False)):
        monkeypatch.setattr(leaf_masks, "_COLUMNS_OF_A_SPLIT", columns)
        assert (LeafMasks.of(trees) is not None) == looked_up


def test_few_rows_at_once_have_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf_masks, "_AT_ONCE", 1)
    estimator = fitted(max_iter=100)
    masks = LeafMasks.of(HistogramTrees(estimator))
    assert masks is not None
    for rows in range(2, 12):
        assert masks.total(X[:rows])[:, 0].tobytes() == estimator.predict(X[:rows]).tobytes(), rows
