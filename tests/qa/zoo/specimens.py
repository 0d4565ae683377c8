"""What a kind of saved model is: the object in the file, and how the process that has fitted it answers."""

from __future__ import annotations

import copy
import gzip
import io
import math
import pickle
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pandas as pd
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline

from tests.qa.zoo import data

METHODS = (
    *("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples"),
    *("transform", "kneighbors", "apply"),
)


@dataclass
class Saved:
    """What one person has saved.

    `thing` goes into the file, and `asked` is what they would pass to `predict`: an array, a DataFrame, a list of texts
    or dicts. `answers` is what has the methods, if it is not `thing` itself. `sample` is a CSV and `code` a Python file
    that go beside it. `frame`: the client asks it with this DataFrame, too. `published`: the rows with which the client
    publishes it; without, it goes into the inbox.
    """

    thing: Any
    asked: Any
    answers: Any = None
    sample: str | None = None
    code: str | None = None
    frame: Any = None
    published: Any = None


@dataclass(frozen=True)
class Specimen:
    """A kind of saved model. `make` fits it; `save` writes its bytes, under a name that ends in `suffix`.

    `refused`: the words of the refusal, where it cannot be served. `rounding`: why its answers differ in
    the last digits. `may_refuse_null`: it may refuse null, with a warning that says what to do. `changes`: it changes
    the process that loads or asks it.
    """

    name: str
    make: Callable[[], Saved]
    save: Callable[[Any], bytes] = pickle.dumps
    suffix: str = ".pkl"
    refused: str | None = None
    rounding: str | None = None
    may_refuse_null: bool = False
    changes: bool = False

    @property
    def slug(self) -> str:
        """Its name as the name of a model."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:64].strip("-")


def fitted(estimator: Any, X: Any, y: Any = None, **more: Any) -> Saved:
    """Fit an estimator on the first rows, to be asked about the others."""
    known, others = X[: data.ROWS], X[data.ROWS :]
    # As if it came from a file: the order of numbers in memory may change the last digits of an answer.
    others = others.copy() if isinstance(others, pd.DataFrame) else others
    return Saved(estimator.fit(known) if y is None else estimator.fit(known, y[: data.ROWS]), others, **more)


# How people save models


def with_joblib(thing: Any, compress: int = 0) -> bytes:
    file = io.BytesIO()
    joblib.dump(thing, file, compress=compress)
    return file.getvalue()


def compressed(thing: Any) -> bytes:
    return with_joblib(thing, 3)


def zipped(thing: Any) -> bytes:
    return gzip.compress(pickle.dumps(thing))


def of_old_protocol(thing: Any) -> bytes:
    return pickle.dumps(thing, protocol=2)


WAYS: Sequence[tuple[Callable[[Any], bytes], str]] = (
    (pickle.dumps, ".pkl"),
    (with_joblib, ".joblib"),
    (cloudpickle.dumps, ".cloudpickle"),
    (compressed, ".joblib"),
    (of_old_protocol, ".pickle"),
)


# What the process that has fitted it answers


def rows_of(X: Any) -> tuple[list[str] | None, list[Any]]:
    """Return the columns (None: it has none) and the rows, as JSON has them."""
    if isinstance(X, pd.DataFrame):
        rows = [list(map(plain, row)) for row in X.astype(object).to_numpy()]
        # scikit-learn remembers names only if they are text.
        return list(X.columns) if all(isinstance(name, str) for name in X.columns) else None, rows
    table = X.toarray() if hasattr(X, "toarray") else X
    if isinstance(table, np.ndarray) and table.ndim > 1:
        return None, [list(map(plain, row)) for row in table.tolist()]
    return None, list(map(plain, table))


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, np.generic):
        return plain(value.item())
    return value.isoformat() if isinstance(value, datetime) else value


def answers_of(model: Any, X: Any) -> dict[str, Any]:
    """Return for each method that the model has and that does not raise what it answers for each row: all its values,
    in one list."""
    answers: dict[str, Any] = {}
    rows = X.shape[0] if hasattr(X, "shape") else len(X)
    if not rows:  # is to be refused
        return {}
    for method in METHODS:
        try:
            answer = called(model, method, copy.deepcopy(X))  # some methods change their input
        except Exception:  # such as a method that its inner estimator lacks
            continue
        parts = answer if isinstance(answer, tuple) or _is_by_output(answer, rows) else [answer]
        tables = [_table(part, rows) for part in parts]
        answers[method] = [[value for table in tables for value in table[row]] for row in range(rows)]
    if "predict_proba" in answers and _holds_or_not(model, X):
        answers["predict_proba"] = [[p for yes in row for p in (1 - yes, yes)] for row in answers["predict_proba"]]
    return answers


def answers_alone(model: Any, X: Any, methods: Collection[str]) -> dict[str, list[Any]]:
    """Return for each of the methods what it answers for each row alone; None where it raises."""
    alone = [answers_of(model, X[row : row + 1]) for row in range(X.shape[0] if hasattr(X, "shape") else len(X))]
    return {method: [answers[method][0] if method in answers else None for answers in alone] for method in methods}


def called(model: Any, method: str, X: Any) -> Any:
    """Return what a method answers, or what that of the estimator in a search or of the final step answers, which
    searches and pipelines do not pass on."""
    while isinstance(model, BaseSearchCV):
        model = model.best_estimator_
    if not hasattr(model, method) and isinstance(model, Pipeline):
        for _, step in model.steps[:-1]:
            X = step.transform(X)
        return getattr(model[-1], method)(X)
    return getattr(model, method)(X)


def _holds_or_not(model: Any, X: Any) -> bool:
    """Return whether its probabilities are those that each of several labels holds; Modelgate adds that it does not."""
    table = model.predict_proba(copy.deepcopy(X))
    return not isinstance(table, list) and np.shape(model.predict(copy.deepcopy(X))) == np.shape(table)


def _is_by_output(answer: Any, rows: int) -> bool:
    """Return whether it is a list of tables by output, as `predict_proba` answers with several outputs."""
    return isinstance(answer, list) and bool(answer) and np.ndim(answer[0]) == 2 and len(answer[0]) == rows


def _table(part: Any, rows: int) -> list[list[Any]]:
    if hasattr(part, "toarray"):
        part = part.toarray()
    if isinstance(part, list) and part and isinstance(part[0], dict):
        return [[plain(value) for value in row.values()] for row in part]
    part = part.to_numpy(dtype=object) if isinstance(part, pd.DataFrame) else np.asarray(part)
    return [list(map(plain, row)) for row in part.reshape(rows, -1).tolist()]


def names_of(model: Any) -> list[str] | None:
    """Return the names of the columns that `transform` answers, if they are known."""
    try:
        return [str(name) for name in model.get_feature_names_out()]
    except Exception:
        return None
