"""Kernels of encoders of categories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from kernels.tests.compare import Case, assert_same

DRAW = np.random.default_rng(1)
WORDS = DRAW.choice(np.array(["no", "yes", "", "ü", "nan", np.nan], dtype=object), size=(300, 3))
WORDS[:, 1] = DRAW.choice(["a", "b"], size=300)
WORDS[:, 2] = DRAW.choice([*"abcdefgh"], size=300, p=[0.5, 0.3, 0.1, 0.03, 0.03, 0.02, 0.01, 0.01])
NUMBERS = DRAW.integers(-2, 3, size=(300, 2)).astype(np.float64)
NUMBERS[DRAW.random(NUMBERS.shape) < 0.1] = np.nan
MIXED = np.column_stack([WORDS, NUMBERS.astype(object), DRAW.random(300).astype(object) > 0.5])


RARE = {"handle_unknown": "infrequent_if_exist"}


def hot(matrix: Any = WORDS, **parameters: Any) -> tuple[Any, Any]:
    return OneHotEncoder(**parameters).fit(matrix), matrix


def ordinal(matrix: Any = WORDS, **parameters: Any) -> tuple[Any, Any]:
    return OrdinalEncoder(**parameters).fit(matrix), matrix


UNKNOWN: dict[str, Any] = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
CASES = [
    Case("one column a category", lambda: hot()),
    Case("dense", lambda: hot(sparse_output=False, handle_unknown="ignore")),
    Case("of 32 bits", lambda: hot(sparse_output=False, dtype=np.float32)),
    Case("of whole numbers", lambda: hot(dtype=np.int64, handle_unknown="ignore")),
    Case("without the first", lambda: hot(drop="first", handle_unknown="ignore")),
    Case("without the first of two", lambda: hot(drop="if_binary", sparse_output=False)),
    Case("without some", lambda: hot(drop=["yes", "a", "h"])),
    Case("rare ones together", lambda: hot(min_frequency=10, **RARE)),
    Case("rare ones dropped", lambda: hot(max_categories=3, drop="first", **RARE)),
    Case("rare ones together, unknown ones nowhere", lambda: hot(max_categories=2, handle_unknown="ignore")),
    Case("a warning", lambda: hot(max_categories=3, drop="first", handle_unknown="warn", sparse_output=False)),
    Case("numbers", lambda: hot(NUMBERS, handle_unknown="ignore")),
    Case("whole numbers", lambda: hot(np.nan_to_num(NUMBERS).astype(np.int64), handle_unknown="ignore")),
    Case("booleans", lambda: hot(NUMBERS > 0, drop="if_binary")),
    Case("words and numbers", lambda: hot(MIXED[:, :4], handle_unknown="ignore", sparse_output=False)),
    Case("named ones", lambda: hot(WORDS[:, 1:2], categories=[["b", "a", "z"]])),
    Case("arrays of text", lambda: hot(WORDS[:, 1:].astype(str).astype(object), categories=[[*"ab"], [*"abcdefgh"]])),
    Case("places", lambda: ordinal()),
    Case("places, unknown ones, too", lambda: ordinal(**UNKNOWN)),
    Case("places, null has one", lambda: ordinal(**UNKNOWN, encoded_missing_value=-2)),
    Case("places of 32 bits", lambda: ordinal(dtype=np.float32, **{**UNKNOWN, "unknown_value": np.nan})),
    Case("places as whole numbers", lambda: ordinal(dtype=np.int16, encoded_missing_value=-9, **UNKNOWN)),
    Case("places, rare ones together", lambda: ordinal(min_frequency=20, **UNKNOWN)),
    Case("places of numbers", lambda: ordinal(NUMBERS, **UNKNOWN)),
    Case(
        "places of numbers, rare ones together",
        lambda: ordinal(NUMBERS, max_categories=3, encoded_missing_value=-5, **UNKNOWN),
    ),
    Case("places of booleans", lambda: ordinal(MIXED[:, -1:].astype(bool))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_encoder_answers_the_same(case: Case) -> None:
    assert_same(case, 200)
