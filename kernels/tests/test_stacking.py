"""Kernels of stackings."""

from __future__ import annotations

import pytest
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC

from kernels.tests.compare import Case, assert_same
from kernels.tests.composite_data import BINARY_WORDS, NUMBERS, WORDS, fitted, linear, tree, tree_of_numbers, y

MEMBERS = [("linear", linear()), ("tree", tree())]
NUMBER_MEMBERS = [(str(depth), tree_of_numbers(depth)) for depth in (2, 3)]


CASES = [
    Case("stacking, words", lambda: fitted(StackingClassifier(MEMBERS, cv=2), WORDS)),
    Case("stacking, two words", lambda: fitted(StackingClassifier(MEMBERS, cv=2), BINARY_WORDS)),
    Case("stacking, booleans", lambda: fitted(StackingClassifier(MEMBERS, tree(), cv=2), y > 0)),
    Case(
        "stacking of neighbors with passthrough",
        lambda: fitted(
            StackingClassifier([*MEMBERS, ("neighbors", KNeighborsClassifier())], cv=2, passthrough=True), y - 1
        ),
        covers_huge=False,
    ),
    Case(
        "stacking of decisions and a dropped member",
        lambda: fitted(
            StackingClassifier(
                [("dropped", "drop"), ("svc", SVC()), ("linear", LogisticRegression())],
                tree(),
                cv=2,
                stack_method="decision_function",
            ),
            BINARY_WORDS,
        ),
    ),
    Case(
        "stacking of predictions",
        lambda: fitted(StackingClassifier(MEMBERS, tree(), cv=2, stack_method="predict"), WORDS),
    ),
    Case(
        "stacking of numbers",
        lambda: fitted(StackingRegressor(NUMBER_MEMBERS, tree_of_numbers(), cv=2), NUMBERS),
    ),
    Case(
        "stacking of numbers with passthrough",
        lambda: fitted(
            StackingRegressor(
                [*NUMBER_MEMBERS, ("neighbors", KNeighborsRegressor())], tree_of_numbers(), cv=2, passthrough=True
            ),
            NUMBERS,
        ),
        covers_huge=False,
    ),
    Case(
        "a stacking in a vote in a search",
        lambda: fitted(
            GridSearchCV(
                VotingClassifier([("stacking", StackingClassifier(MEMBERS, cv=2)), *MEMBERS]),
                {"voting": ["soft"]},
                cv=2,
            ),
            WORDS,
        ),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_stacking_answers_the_same(case: Case) -> None:
    assert_same(case, 60)
