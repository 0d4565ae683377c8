"""Walks the objects that an estimator holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

_PLAIN = str | bytes | int | float | type | np.generic
_METHODS = ("get_params", "predict", "transform")


def objects_in(estimator: Any) -> Iterator[Any]:
    """`estimator` and all that it holds, each object once: in containers, arrays of objects, partial functions, and in
    the attributes of objects that affect its answers. Numbers, texts and types are left out."""
    seen: dict[int, Any] = {}  # the objects too: an id may be used again when its object is gone
    waiting = [estimator]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, _PLAIN) or id(thing) in seen:
            continue
        seen[id(thing)] = thing
        yield thing
        waiting.extend(_held(thing))


def parts_in(estimator: Any) -> Iterator[Any]:
    """Yield the `objects_in` that affect the answers: estimators, their parts, scikit-learn's own helpers, and custom
    classes that wrap a model."""
    return filter(_takes_part, objects_in(estimator))


def _held(thing: Any) -> Iterable[Any]:
    if isinstance(thing, np.ndarray):
        return list(thing.flat) if thing.dtype.hasobject else ()
    if isinstance(thing, dict):
        return chain(thing.keys(), thing.values())
    if isinstance(thing, list | tuple | set | frozenset):
        return list(thing)
    if isinstance(thing, partial):
        return (thing.func, thing.args, thing.keywords, vars(thing))
    return list(vars(thing).values()) if _takes_part(thing) else ()


def _takes_part(thing: Any) -> bool:
    # What calibration keeps is of scikit-learn, and no estimator.
    kind = type(thing)
    by_methods = any(hasattr(kind, method) for method in _METHODS)
    return hasattr(thing, "__dict__") and (by_methods or kind.__module__.startswith("sklearn."))
