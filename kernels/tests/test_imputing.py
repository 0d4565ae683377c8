"""The kernel of `SimpleImputer`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelgate_kernels.kernel import NotCovered
from modelgate_kernels.table import find_transform
from sklearn.impute import SimpleImputer

from kernels.tests.compare import Case, assert_same

DRAW = np.random.default_rng(1)
X = DRAW.normal(size=(300, 5)).round(1)
X[:, 4] = 1.0
GAPS = np.where(DRAW.random(X.shape) < [0.2, 0.1, 0.0, 0.1, 1.0], np.nan, X)
WORDS = DRAW.choice(np.array(["no", "yes", "", "ü", np.nan], dtype=object), size=(300, 3))
QUESTIONS = DRAW.choice(np.array(["a", "?", "b"], dtype=object), size=(50, 2))


def fitted(matrix: Any = GAPS, **parameters: Any) -> tuple[Any, Any]:
    return SimpleImputer(**parameters).fit(matrix), matrix


CASES = [
    Case("mean", lambda: fitted()),
    Case("mean, with empty columns", lambda: fitted(keep_empty_features=True)),
    Case("median and nulls", lambda: fitted(strategy="median", add_indicator=True, keep_empty_features=True)),
    Case("median and nulls without empty columns", lambda: fitted(strategy="median", add_indicator=True)),
    Case("nulls of all columns", lambda: fitted(GAPS[:, [0, 1, 3]], add_indicator=True)),
    Case("median of 32 bits", lambda: fitted(GAPS.astype(np.float32), strategy="median", add_indicator=True)),
    Case("most frequent", lambda: fitted(strategy="most_frequent")),
    Case("a constant", lambda: fitted(strategy="constant", fill_value=-0.1)),
    Case("a constant of 32 bits", lambda: fitted(GAPS.astype(np.float32), strategy="constant", fill_value=-0.1)),
    Case("a constant where all is null", lambda: fitted(strategy="constant", keep_empty_features=True)),
    Case("own statistic", lambda: fitted(GAPS[:, :4], strategy=np.max)),
    Case("mean of whole numbers", lambda: fitted((X * 10).astype(np.int64))),
    Case("most frequent of whole numbers", lambda: fitted((X * 10).astype(np.int64), strategy="most_frequent")),
    Case("a number stands for null", lambda: fitted((X * 10).astype(np.int64), missing_values=3, add_indicator=True)),
    Case("a fraction stands for null", lambda: fitted(X, missing_values=0.1)),
    Case("most frequent word", lambda: fitted(WORDS, strategy="most_frequent")),
    Case("a word and nulls", lambda: fitted(WORDS, strategy="constant", fill_value="?", add_indicator=True)),
    Case(
        "a word stands for null",
        lambda: fitted(QUESTIONS, missing_values="?", strategy="most_frequent"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_imputer_answers_the_same(case: Case) -> None:
    assert_same(case, 200)


def test_an_imputer_behind_a_function_that_returns_a_frame_answers_itself() -> None:
    frame = pd.DataFrame(GAPS[:, :4])
    imputer = SimpleImputer().fit(frame.rank())
    transform = find_transform(imputer)
    assert transform
    with pytest.raises(NotCovered):
        transform(frame.rank())


def test_an_imputer_for_which_none_is_null_has_no_kernel() -> None:
    words = np.array([["a"], [None], ["a"]], dtype=object)
    assert find_transform(SimpleImputer(missing_values=None, strategy="most_frequent").fit(words)) is None
