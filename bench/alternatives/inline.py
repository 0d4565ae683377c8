"""The parts of every hand-written server: load a model, turn a body into a matrix, predict."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

BOSTON = ("crim", "zn", "indus", "chas", "nox", "rm", "age", "dis", "rad", "tax", "ptratio", "b", "lstat")
NUMBERS = ("age", "income", "amount", "months", "rate", "debt", "children")
TABULAR = ("loan", "telco", "diamonds")
WORDS = ("housing", "job", "region", "purpose", "education")


def names() -> list[str]:
    """Return the names of the models to serve."""
    return os.environ["BENCH_NAMES"].split(",")


def load(name: str) -> Any:
    return joblib.load(Path(os.environ["BENCH_MODELS"], name, "versions", "1", "model.joblib"))


def predict(estimator: Any, name: str, body: Any) -> dict[str, list[Any]]:
    """Return the predictions for a body: one object by column name, a list of them, or {"instances": […]}."""
    return {"predictions": estimator.predict(matrix(name, rows(body))).tolist()}


def rows(body: Any) -> list[Any]:
    if isinstance(body, list):
        return body
    instances: list[Any] = body.get("instances", [body])
    return instances


def matrix(name: str, instances: list[Any]) -> Any:
    """Return the rows as a matrix, made column by column: `pd.DataFrame(list_of_objects)` takes twice as long a row."""
    if name == "table":
        columns = {column: np.array([row[column] for row in instances], dtype=np.float64) for column in NUMBERS}
        for column in WORDS:
            columns[column] = np.array(
                [np.nan if row[column] is None else row[column] for row in instances], dtype=object
            )
        return pd.DataFrame(columns)
    if name == "boston":
        return np.array([[row[column] for column in BOSTON] for row in instances], dtype=np.float64)
    if name == "text":
        return instances
    if name in TABULAR:
        return pd.DataFrame(instances)
    return np.array(instances, dtype=np.float64)
