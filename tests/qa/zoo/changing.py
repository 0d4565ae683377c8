"""Models that change the process which loads or asks them, and models whose answers show such a change."""

from __future__ import annotations

import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from tests.qa.zoo import data
from tests.qa.zoo.specimens import Saved, Specimen, fitted


def _set_time_zone() -> None:
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()


def _lower_recursion_limit() -> None:
    # Lower than half of that is an error in itself.
    sys.setrecursionlimit(250)


def _seed() -> None:
    np.random.seed(7)
    random.seed(7)


_CHANGES: Mapping[str, Callable[[], object]] = {
    "the time zone": _set_time_zone,
    "the errors of NumPy": partial(np.seterr, all="raise"),
    "warnings to errors": partial(warnings.simplefilter, "error"),
    "the recursion limit": _lower_recursion_limit,
    "the output of transformers": partial(sklearn.set_config, transform_output="pandas"),
    "the working folder": partial(os.chdir, "/"),
    "the seeds": _seed,
}


class Changing(RegressorMixin, BaseEstimator):
    """Changes its process when it is asked, or already when it is loaded."""

    def __init__(self, change: str, when: str) -> None:
        self.change = change
        self.when = when

    def fit(self, X: Any, y: Any) -> Changing:
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: Any) -> Any:
        if self.when == "asked":
            _CHANGES[self.change]()
        return np.asarray(X)[:, 0] + 1.0

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.when == "loaded":
            _CHANGES[self.change]()


def _hours(X: Any) -> Any:
    return np.array([[time.localtime(86_400 * cell).tm_hour + cell] for cell in np.asarray(X)[:, 0]])


def _underflows(X: Any) -> Any:
    return np.exp(-1000 * np.asarray(X)[:, :2]) + np.log(np.zeros(1)).clip(0)


def _warns(X: Any) -> Any:
    warnings.warn("an old argument", DeprecationWarning, stacklevel=1)
    return np.asarray(X) * 3.0


def _deep(X: Any) -> Any:
    def depth(left: int) -> int:
        return left and 1 + depth(left - 1)

    return np.asarray(X) + depth(400)


def _files(X: Any) -> Any:
    return np.asarray(X) + Path("pyproject.toml").exists()


def _drawn(X: Any) -> Any:
    known = np.random.RandomState(7).random_sample(), random.Random(7).random()
    return np.asarray(X) + 10 * (np.random.random_sample() in known) + 10 * (random.random() in known)


def _sparse(X: Any) -> Any:
    return OneHotEncoder(handle_unknown="ignore").fit([[0], [1]]).transform(np.asarray(X)[:, :1] > 1).toarray() + 1.0


_SHOWING: Mapping[str, Callable[[Any], Any]] = {
    "the time zone": _hours,
    "the errors of NumPy": _underflows,
    "warnings": _warns,
    "the recursion limit": _deep,
    "the working folder": _files,
    "the seeds": _drawn,
    "the output of transformers": _sparse,
}


def specimens() -> Iterator[Specimen]:
    for name, step in _SHOWING.items():
        yield Specimen(f"A step that shows {name}", partial(_with_step, step), cloudpickle.dumps)
    for name in _CHANGES:
        for when in ("asked", "loaded"):
            make = partial(_changing, name, when)
            yield Specimen(f"Changes {name} when {when}", make, cloudpickle.dumps, changes=True)


def _with_step(step: Callable[[Any], Any]) -> Saved:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return fitted(make_pipeline(FunctionTransformer(step), LinearRegression()), data.X, data.NUMBER)


def _changing(change: str, when: str) -> Saved:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return fitted(Changing(change, when), data.X, data.NUMBER)
