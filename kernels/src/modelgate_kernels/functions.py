"""The kernel of `FunctionTransformer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.preprocessing import FunctionTransformer

from modelgate_kernels.kernel import NotCovered, Transform, known_type

MOMENT = np.dtype("datetime64[us]")
"""The dtype of datetimes in UTC."""


@dataclass(frozen=True)
class KnownFunction:
    """A function of a DataFrame, and `of_array`, which answers the same for an array of the same values. Its values are
    moments if it `takes_moments`. `makes_floats`: it turns all numbers and booleans into float64."""

    function: Callable[..., Any]
    of_array: Callable[..., Any]
    makes_floats: bool
    takes_moments: bool


_KNOWN: list[KnownFunction] = []


def add_function(
    function: Callable[..., Any],
    of_array: Callable[..., Any] | None = None,
    *,
    makes_floats: bool = False,
    takes_moments: bool = False,
) -> None:
    """Let each `FunctionTransformer` of `function` have a kernel. Without `of_array` it is the function itself."""
    _KNOWN.append(KnownFunction(function, of_array or function, makes_floats, takes_moments))


def known_function(function: Any) -> KnownFunction | None:
    return next((known for known in _KNOWN if known.function is function), None)


def is_identity(transformer: Any) -> bool:
    """Return whether it is a FunctionTransformer that returns what it gets."""
    return known_type(transformer) is FunctionTransformer and transformer.func is None and not transformer.validate


def _function_transformer(transformer: Any) -> Transform | None:
    function = transformer.func
    known = known_function(function)
    is_ufunc = isinstance(function, np.ufunc) and (function.nin, function.nout) == (1, 1)
    if transformer.validate or not (is_ufunc or known):
        return None
    of_array = known.of_array if known else function
    transform = partial(of_array, **transformer.kw_args) if transformer.kw_args else of_array
    return partial(_of_moments, transform) if known and known.takes_moments else transform


def _of_moments(transform: Transform, moments: Any) -> Any:
    if moments.dtype != MOMENT:
        raise NotCovered
    return transform(moments)


TRANSFORMS: Mapping[type, Callable[[Any], Transform | None]] = {FunctionTransformer: _function_transformer}
