"""The tables and targets on which specimens are fitted."""

from __future__ import annotations

import numpy as np
import pandas as pd

ROWS, ASKED = 120, 12
"""The rows that a specimen is fitted on, and the others that it is asked about."""

_rng = np.random.default_rng(7)

X = _rng.gamma(2.0, size=(ROWS + ASKED, 4)) + 0.05
NAMES = ["age", "annual income", "km/h", "sepal length (cm)"]
FRAME = pd.DataFrame({name: X[:, index] for index, name in enumerate(NAMES)})
SIGNED = _rng.normal(size=(ROWS + ASKED, 4))
CODES = _rng.integers(0, 3, size=(ROWS + ASKED, 4))
CODES[:3] = [[0], [1], [2]]

NUMBER = X[:, 0] + 2 * X[:, 1] - np.sqrt(X[:, 2]) + _rng.normal(scale=0.2, size=len(X)) + 3
CLASS = (X[:, [0]] + X[:, [1]] > [[2.5, 4.5]]).sum(axis=1)
WORD = np.array(["no", "maybe", "yes"])[CLASS]
YES = (CLASS > 0).astype(int)
NUMBERS = np.c_[NUMBER, X[:, 1] - X[:, 3] + _rng.normal(scale=0.2, size=len(X))]
YESES = np.c_[YES, X[:, 2] > 2].astype(int)
WORDS = np.c_[WORD, np.where(X[:, 2] > 2, "high", "low")]

PEOPLE = pd.DataFrame(
    {
        "age": np.round(20 + 10 * X[:, 0]),
        "income": np.round(1000 * X[:, 1], 2),
        "plan": np.array(["basic", "gold", "plus"])[CODES[:, 0]],
        "city": np.array(["Bonn", "Köln", "São Paulo"])[CODES[:, 1]],
    }
)
WITH_NULLS = PEOPLE.mask(_rng.random(PEOPLE.shape) < 0.15)

TEXTS = [
    " ".join(words)
    for words in np.array(["win", "money", "now", "meeting", "tomorrow", "lunch", "free", "offer", "report", "Hello!"])[
        _rng.integers(0, 10, size=(ROWS + ASKED, 6))
    ]
]
SPAM = np.where(["win" in text or "free" in text for text in TEXTS], "spam", "ham")

RECORDS = [
    {"city": ["Bonn", "Köln", "Rome"][code % 3], "visits": float(code), **({"vip": True} if code else {})}
    for code in CODES[:, 2].tolist()
]
