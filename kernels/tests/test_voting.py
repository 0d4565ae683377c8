"""Kernels of votes and averages."""

from __future__ import annotations

import pytest
from modelgate_kernels.table import find_kernel
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC

from kernels.tests.compare import Case, assert_same
from kernels.tests.composite_data import BINARY_WORDS, NUMBERS, WORDS, X, fitted, scaled, tree, tree_of_numbers, y

MEMBERS = [("scaled", scaled()), ("tree", tree())]
OWN_METHODS = ("neighbors", KNeighborsClassifier())
NUMBER_MEMBERS = [(str(depth), tree_of_numbers(depth)) for depth in (2, 3, 4)]
MANY = [(str(depth), tree_of_numbers(depth)) for depth in range(1, 12)]

CASES = [
    Case("soft voting, words", lambda: fitted(VotingClassifier(MEMBERS, voting="soft"), WORDS)),
    Case("soft voting, booleans", lambda: fitted(VotingClassifier(MEMBERS, voting="soft"), y > 0)),
    Case(
        "soft voting with weights and a dropped member",
        lambda: fitted(
            VotingClassifier(
                [MEMBERS[0], ("dropped", "drop"), MEMBERS[1], OWN_METHODS], voting="soft", weights=[1, 9, 3.3, 0.1]
            ),
            y * 10 - 10,
        ),
        covers_huge=False,
    ),
    Case(
        "hard voting, words",
        lambda: fitted(VotingClassifier([*MEMBERS, OWN_METHODS]), WORDS),
        covers_huge=False,
    ),
    Case("hard voting of two, booleans", lambda: fitted(VotingClassifier(MEMBERS), y > 0)),
    Case(
        "hard voting with weights and a dropped member",
        lambda: fitted(
            VotingClassifier([("dropped", "drop"), *MEMBERS, ("svc", SVC())], weights=[5, 0.1, 0.2, 0.4]), BINARY_WORDS
        ),
        covers_huge=False,
    ),
    Case("averages of numbers", lambda: fitted(VotingRegressor(NUMBER_MEMBERS), NUMBERS)),
    Case("averages of many", lambda: fitted(VotingRegressor(MANY), NUMBERS)),
    Case(
        "averages with weights and a dropped member",
        lambda: fitted(
            VotingRegressor(
                [("dropped", "drop"), *NUMBER_MEMBERS, ("neighbors", KNeighborsRegressor())], weights=[9, 1, 2, 3, 0.7]
            ),
            NUMBERS,
        ),
        covers_huge=False,
    ),
    Case(
        "a vote in a vote",
        lambda: fitted(
            VotingClassifier([("inner", VotingClassifier(MEMBERS, voting="soft")), *MEMBERS], voting="soft"), WORDS
        ),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_vote_answers_the_same(case: Case) -> None:
    assert_same(case, 60)


def test_negative_weights_have_no_kernel() -> None:
    assert find_kernel(VotingClassifier(MEMBERS, weights=[1, -1]).fit(X, y)) is None
