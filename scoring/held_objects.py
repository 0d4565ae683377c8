"""Walks the objects that an estimator holds."""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import partial, reduce
from itertools import chain
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_PLAIN = str | bytes | int | float | type
_WITH_PYTHON = ("built-in", "frozen", *map(sysconfig.get_path, ("stdlib", "platstdlib")))
_INSTALLED = re.compile("/(site|dist)-packages/")
"""In the path of a library, be it in this environment or in another one that it uses."""
_METHODS = ("get_params", "predict", "transform")


def objects_in(estimator: Any) -> Iterator[Any]:
    """Yield `estimator` and all objects that it holds, each once: in containers, arrays of objects, partial functions,
    and attributes of objects that affect its answers. Leaves out numbers, texts and types."""
    import numpy as np  # late: the trainer's long-lived processes need none

    plain = _PLAIN | np.generic
    seen: dict[int, Any] = {}  # by id; it keeps the objects, so no other object gets the same id
    waiting = [estimator]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, plain) or id(thing) in seen:
            continue
        seen[id(thing)] = thing
        yield thing
        waiting.extend(_elements(thing) if isinstance(thing, np.ndarray) else _held(thing))


def parts_in(estimator: Any) -> Iterator[Any]:
    """Yield the objects that affect the answers: estimators, their parts, scikit-learn's helpers, and custom classes
    that wrap a model."""
    return filter(_affects_answers, objects_in(estimator))


def holds_own_code(estimator: Any) -> bool:
    """Return whether it holds a function, or an object of a class, that no installed library has: one of a notebook, a
    script or a recipe, or one that cloudpickle has stored. Takes as long as `objects_in`."""
    things = map(_code_of, objects_in(estimator))
    return any(map(is_own, {thing if isinstance(thing, FunctionType) else type(thing) for thing in things}))


def _code_of(thing: Any) -> Any:
    """Return the function of a bound method or of a `np.vectorize`, else the thing itself."""
    return thing.__func__ if isinstance(thing, MethodType) else getattr(thing, "pyfunc", thing)


def is_own(code: Any) -> bool:
    """Return whether no library has a class or function under its name. Classes without code in Python have none."""
    module, (name, inner, _) = str(code.__module__), code.__qualname__.partition(".<locals>")
    origin = getattr(getattr(sys.modules.get(module), "__spec__", None), "origin", None) or ""
    if isinstance(code, type) and not any(isinstance(member, FunctionType) for member in vars(code).values()):
        return False
    is_installed = origin.startswith(_WITH_PYTHON) or _INSTALLED.search(origin)
    if not is_installed and module.partition(".")[0] != "modelgate_artifacts":
        return True
    found = reduce(lambda thing, part: getattr(thing, part, None), name.split("."), sys.modules.get(module))
    return found is not code and (found is None or not inner)


def _elements(array: np.ndarray[Any, Any]) -> Iterable[Any]:
    return list(array.flat) if array.dtype.hasobject else ()


def _held(thing: Any) -> Iterable[Any]:
    if isinstance(thing, dict):
        return chain(thing.keys(), thing.values())
    if isinstance(thing, list | tuple | set | frozenset):
        return list(thing)
    if isinstance(thing, partial):
        return (thing.func, thing.args, thing.keywords, vars(thing))
    return list(vars(thing).values()) if _affects_answers(thing) else ()


def _affects_answers(thing: Any) -> bool:
    # Calibration keeps objects of scikit-learn that are not estimators.
    kind = type(thing)
    by_methods = any(hasattr(kind, method) for method in _METHODS)
    return hasattr(thing, "__dict__") and (by_methods or kind.__module__.startswith("sklearn."))
