"""Preprocessing of a table: turns columns of any kind into numbers.

The steps are classes of scikit-learn and functions of `modelgate_artifacts`, so a worker loads them without the code of
the trainer, and a skops file can hold them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from contract.model.signature import Field, Kind
from modelgate_artifacts import days, flat, floats, remainder
from trainer.recipe import Run

MOST_CATEGORIES = 50
"""A text column with more different values is hashed: one-hot encoding would make too many columns."""
HASHES = 64
YEAR = 365.2425


def high_cardinality(X: Any, run: Run) -> frozenset[str]:
    """Return the text columns to hash, and add a remark on each."""
    counts = {f.name: X[f.name].nunique() for f in run.inputs if f.kind is Kind.STRING}
    hashed = {name: count for name, count in counts.items() if count > MOST_CATEGORIES}
    for name, count in hashed.items():
        run.remark(
            f"{name} has {count:,} different texts in the {len(X):,} rows for training: their words are hashed into"
            f" {HASHES} columns"
        )
    return frozenset(hashed)


def preprocessor(X: Any, inputs: Sequence[Field], hashed: frozenset[str]) -> Any:
    """Return a transformer from a DataFrame with the columns `inputs` to a float64 matrix (rows × features) without
    nulls."""
    numbers = [f.name for f in inputs if f.kind in (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN)]
    words = [f.name for f in inputs if f.kind is Kind.STRING and f.name not in hashed]
    dates = [f.name for f in inputs if f.kind is Kind.DATETIME]
    parts = [
        ("numbers", make_pipeline(FunctionTransformer(floats), *_imputed_and_scaled()), numbers),
        # Null becomes a category.
        ("words", OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
        *((f"text_{number}", _hashing(), [name]) for number, name in enumerate(sorted(hashed))),
    ]
    if dates:
        parts.append(("dates", make_pipeline(*_date_steps(X[dates]), *_imputed_and_scaled()), dates))
    used = [part for part in parts if part[2]]
    # A ColumnTransformer takes most of the time of a row, and is not needed if all columns are numbers.
    return used[0][1] if numbers == list(X) else ColumnTransformer(used, sparse_threshold=0)


def _imputed_and_scaled() -> list[Any]:
    return [SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()]


def _date_steps(dates: Any) -> list[Any]:
    """Return steps that turn dates into days since 1970, and positions in the day, week and year if the data span
    more than one."""
    frame = pd.DataFrame(days(dates))
    span = (frame.max() - frame.min()).max()
    periods = [("day", 1.0)] if (frame % 1).fillna(0).to_numpy().any() else []
    periods += [(name, length) for name, length in (("week", 7.0), ("year", YEAR)) if span > length]
    cycles = [(n, FunctionTransformer(remainder, kw_args={"of": length})) for n, length in periods]
    return [FunctionTransformer(days), FeatureUnion([("since_1970", "passthrough"), *cycles])]


def _hashing() -> Any:
    return make_pipeline(
        SimpleImputer(strategy="constant", fill_value=""),
        FunctionTransformer(flat),
        HashingVectorizer(n_features=HASHES, token_pattern=r"\S+"),  # noqa: S106
    )
