"""Kernels of naive Bayes classifiers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB

from kernels.tests.compare import Case, assert_same

X, y = make_classification(200, 11, n_informative=6, n_classes=3, random_state=1)
WORDS = np.array(["no", "perhaps", "yes"])[y]
WIDE = np.hstack([X] * 25)
COUNTS = np.abs(X * 3).astype(np.int64)
AMOUNTS = np.abs(X)
DRAW = np.random.default_rng(0)
TEXTS = sparse.random(300, 40_000, 0.0005, "csr", random_state=0)
TEXTS.data = DRAW.integers(1, 5, TEXTS.nnz)
TOPICS = np.array(["art", "law", "sea"])[DRAW.integers(3, size=300)]
EQUAL = np.zeros(len(X), dtype=bool)


def fitted(estimator: Any, target: Any, matrix: Any) -> tuple[Any, Any]:
    return estimator.fit(matrix, target), matrix


def case(estimator: Any, target: Any, matrix: Any, what: str = "") -> Case:
    return Case(f"{estimator!r}{', ' if what else ''}{what}", partial(fitted, estimator, target, matrix))


def tied() -> tuple[Any, Any]:
    """Return a classifier of two equal classes and one that is less likely."""
    return GaussianNB().fit(np.vstack([X, X, X + 1]), np.repeat([1, 2, 3], len(X))), X


CASES = [
    case(GaussianNB(), WORDS, X),
    case(GaussianNB(priors=[0.9, 0.1]), y > 0, X),
    case(GaussianNB(), np.arange(200) % 12, WIDE, "12 classes of 275 columns"),
    case(GaussianNB(), WORDS, X.astype(np.float32), "float32"),
    case(GaussianNB(), WORDS, COUNTS, "whole numbers"),
    case(GaussianNB(), EQUAL, X, "one class"),
    Case("a tie", tied),
    case(MultinomialNB(), WORDS, AMOUNTS),
    case(MultinomialNB(fit_prior=False), y > 0, COUNTS),
    case(MultinomialNB(), TOPICS, TEXTS, "sparse"),
    case(ComplementNB(), WORDS, AMOUNTS),
    case(ComplementNB(norm=True), TOPICS, TEXTS, "sparse"),
    case(ComplementNB(), EQUAL, COUNTS, "one class"),
    case(BernoulliNB(), WORDS, X),
    case(BernoulliNB(binarize=0.5), y > 0, X.astype(np.float32), "float32"),
    case(BernoulliNB(binarize=None), WORDS, (X > 0).astype(np.int64)),
    case(BernoulliNB(binarize=1), TOPICS, TEXTS, "sparse"),
    case(CategoricalNB(min_categories=100), WORDS, COUNTS),
    Case("categories", partial(fitted, CategoricalNB(min_categories=100), y > 0, AMOUNTS), covers_huge=False),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_naive_bayes_answers_the_same(case: Case) -> None:
    assert_same(case, 60)
