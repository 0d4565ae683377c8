"""The estimators that an estimator holds: the steps of a pipeline, the members of an ensemble, at any depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

_LEAVES = (str, bytes, int, float, type, np.generic)
_METHODS = ("get_params", "predict", "transform")


def parts(estimator: Any) -> Iterator[Any]:
    """`estimator` and everything in it that has a part in its answers, each once.

    Follows attributes, lists, dicts and arrays of objects; a class of one's own that wraps a model is looked into,
    too.
    """
    seen: set[int] = set()
    waiting = [estimator]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, _LEAVES) or id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, dict):
            waiting.extend(thing.values())
        elif isinstance(thing, list | tuple | set):
            waiting.extend(thing)
        elif isinstance(thing, np.ndarray):
            waiting.extend(thing.ravel().tolist() if thing.dtype == object else ())
        elif _takes_part(type(thing)) and hasattr(thing, "__dict__"):
            yield thing
            waiting.extend(vars(thing).values())


def _takes_part(kind: type) -> bool:
    # What calibration keeps is of scikit-learn, and no estimator.
    return kind.__module__.startswith("sklearn.") or any(hasattr(kind, method) for method in _METHODS)
