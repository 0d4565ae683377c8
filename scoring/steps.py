"""Steps of the recipe `tabular`'s pipelines that scikit-learn does not have.

Artifacts name these functions, so their names, parameters and answers must never change. They only compute, so they are
on the list of types that a skops file may hold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

_EPOCH = pd.Timestamp(0, tz="UTC").as_unit("us")
"""In microseconds, as the columns are: nanoseconds end in 2262, and 9999-12-31 is what some write for "never"."""


def floats(X: Any) -> Any:
    """Return numbers, integers and booleans as an array of float64. NumPy would make objects of a mixture."""
    return np.asarray(X, dtype=np.float64)


def flat(X: Any) -> Any:
    """Return a column as an array of one dimension."""
    return np.ravel(X)


def days(X: Any) -> Any:
    """Return a DataFrame of datetimes as an array of days since 1970, with fractions; NaN for NaT."""
    return floats(X.sub(_EPOCH).div(pd.Timedelta(days=1)))


def remainder(X: Any, of: float) -> Any:
    """Return each number modulo `of`: the place in a period."""
    return np.mod(X, of)
