"""The kernel of `FunctionTransformer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from sklearn.preprocessing import FunctionTransformer

from scoring import steps
from scoring.kernels.kernel import NotCovered, Transform

MOMENT = np.dtype("datetime64[us]")
"""The dtype of datetimes in UTC."""
_OF_ARRAYS = (steps.floats, steps.flat, steps.remainder)
"""Functions that answer the same for an array as for a DataFrame of the same values."""


def is_identity(transformer: Any) -> bool:
    """Return whether it is a FunctionTransformer that returns what it gets."""
    return type(transformer) is FunctionTransformer and transformer.func is None and not transformer.validate


def _function_transformer(transformer: Any) -> Transform | None:
    function = transformer.func
    if function is steps.days and not transformer.validate:
        return _days
    is_ufunc = isinstance(function, np.ufunc) and (function.nin, function.nout) == (1, 1)
    if transformer.validate or not (is_ufunc or function in _OF_ARRAYS):
        return None
    return partial(function, **transformer.kw_args) if transformer.kw_args else function


def _days(moments: Any) -> Any:
    """Return what `steps.days` returns for a DataFrame of these moments, an array of `MOMENT`."""
    if moments.dtype != MOMENT:
        raise NotCovered
    return moments.view("timedelta64[us]") / np.timedelta64(1, "D")


TRANSFORMS: Mapping[type, Callable[[Any], Transform | None]] = {FunctionTransformer: _function_transformer}
