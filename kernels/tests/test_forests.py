"""Kernels of forests."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from modelgate_kernels.forests import MANY
from modelgate_kernels.same import same
from modelgate_kernels.table import find_kernel
from modelgate_kernels.threads import ROWS_A_THREAD, use_threads
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)

from kernels.tests.compare import Case, assert_same

X, y = make_classification(400, 6, n_informative=4, n_classes=3, random_state=1)
X[:, 3] = X[:, 3].round(1)
WORDS = np.array(["no", "perhaps", "yes"])[y]
AMOUNT = X[:, 0] * y
GAPS = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
SINGLE = X.astype(np.float32)


def fitted(estimator: Any, target: Any, rows: Any = X) -> tuple[Any, Any]:
    return estimator.fit(rows, target), rows


def undecided() -> tuple[Any, Any]:
    """Return an isolation forest whose decision about its first row is 0, which is just no outlier."""
    forest = IsolationForest(n_estimators=4, random_state=0).fit(X)
    forest.offset_ = forest.score_samples(X[:1])[0]
    return forest, X[:1].repeat(100, axis=0)


CASES = [
    Case("random forest", lambda: fitted(RandomForestClassifier(4, random_state=0), WORDS)),
    Case("extra trees", lambda: fitted(ExtraTreesClassifier(4, random_state=0), y > 0)),
    Case("random forest of numbers", lambda: fitted(RandomForestRegressor(4, random_state=0), X[:, 0] * y)),
    Case(
        "random forest of ten classes", lambda: fitted(RandomForestClassifier(3, random_state=0), np.arange(400) % 10)
    ),
    Case("random forest with NaN", lambda: fitted(RandomForestClassifier(4, random_state=0), WORDS, GAPS)),
    Case("random forest of float32", lambda: fitted(RandomForestClassifier(4, random_state=0), WORDS, SINGLE)),
    Case("random forest of one tree", lambda: fitted(RandomForestClassifier(1, random_state=0), WORDS)),
    Case(
        "random forest of leaves",
        lambda: fitted(RandomForestClassifier(5, max_depth=1, min_samples_leaf=150, random_state=0), WORDS),
    ),
    Case(
        "weighted random forest",
        lambda: fitted(RandomForestClassifier(4, class_weight="balanced", random_state=0), WORDS),
    ),
    Case("extra trees of numbers", lambda: fitted(ExtraTreesRegressor(4, random_state=0), X[:, 0] * y)),
    Case("random forest of numbers with NaN", lambda: fitted(RandomForestRegressor(4, random_state=0), AMOUNT, GAPS)),
    Case(
        "random forest of absolute errors",
        lambda: fitted(RandomForestRegressor(5, criterion="absolute_error", random_state=0), AMOUNT, SINGLE),
    ),
    Case("isolation forest", lambda: fitted(IsolationForest(n_estimators=4, random_state=0), None)),
    Case(
        "isolation forest with NaN",
        lambda: fitted(IsolationForest(n_estimators=4, random_state=0, max_samples=300), None, GAPS),
    ),
    Case(
        "isolation forest with outliers",
        lambda: fitted(IsolationForest(n_estimators=4, contamination=0.2, random_state=0), None),
    ),
    Case("an undecided isolation forest", undecided),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_forest_answers_the_same(case: Case) -> None:
    assert_same(case, 200)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_many_rows_keep_their_order(case: Case) -> None:
    estimator, rows = case.fit()
    kernel = find_kernel(estimator)
    assert kernel is not None
    many = np.random.default_rng(0).permutation(np.repeat(rows, MANY // len(rows) + 1, axis=0))
    raw = kernel.raw(many)
    assert same(kernel.predict(raw), estimator.predict(many))
    if hasattr(estimator, "predict_proba"):
        assert same(kernel.predict_proba(raw), estimator.predict_proba(many))


@pytest.mark.parametrize("forest", [RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier])
def test_rows_in_threads_get_the_same_answers(forest: Any) -> None:
    kernel = find_kernel(forest(8, random_state=0).fit(X, y))
    assert kernel
    rows = np.random.default_rng(1).normal(size=(3 * ROWS_A_THREAD + 17, X.shape[1]))
    alone, threads = kernel.raw(rows), set[int]()
    add_up = kernel.add_up  # type: ignore[attr-defined]

    def noting(matrix: Any) -> Any:
        threads.add(threading.get_ident())
        return add_up(matrix)

    kernel.add_up = noting  # type: ignore[attr-defined]
    with use_threads(3):
        assert np.array_equal(kernel.raw(rows), alone)
        assert threading.get_ident() not in threads
    threads.clear()
    assert np.array_equal(kernel.raw(rows), alone)
    assert threads == {threading.get_ident()}


def test_a_process_without_room_for_threads_answers_in_one() -> None:
    """Each thread has a stack, and an arena of the allocator."""
    code = """
import resource
import numpy as np
from sklearn.ensemble import RandomForestRegressor
from modelgate_kernels.table import find_kernel
from modelgate_kernels.threads import use_threads

rows = np.random.default_rng(0).normal(size=(20_000, 4))
kernel = find_kernel(RandomForestRegressor(4, random_state=0).fit(rows[:200], rows[:200, 0]))
alone = kernel.raw(rows)
used = int(open("/proc/self/status").read().partition("VmData:")[2].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 12 * 2**20, -1))
with use_threads(4):
    print(np.array_equal(kernel.raw(rows), alone))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
