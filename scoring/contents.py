"""What an estimator holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

_PLAIN = str | bytes | int | float | type


def contents(estimator: Any) -> Iterator[Any]:
    """`estimator` and all that it holds, each object once: in containers, arrays of objects, partial functions, and in
    the attributes of other estimators and of scikit-learn's own classes. Numbers, texts and types are left out."""
    seen: dict[int, Any] = {}  # the objects too: an id may be used again when its object is gone
    waiting = [estimator]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, _PLAIN) or id(thing) in seen:
            continue
        seen[id(thing)] = thing
        yield thing
        waiting.extend(_held(thing))


def _held(thing: Any) -> Iterable[Any]:
    if isinstance(thing, np.ndarray):
        return list(thing.flat) if thing.dtype.hasobject else ()
    if isinstance(thing, dict):
        return chain(thing.keys(), thing.values())
    if isinstance(thing, list | tuple | set | frozenset):
        return list(thing)
    if isinstance(thing, partial):
        return (thing.func, thing.args, thing.keywords, vars(thing))
    if hasattr(thing, "__dict__") and (hasattr(thing, "get_params") or type(thing).__module__.startswith("sklearn.")):
        return list(vars(thing).values())
    return ()
