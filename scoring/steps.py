"""Steps of the recipe `tabular`'s pipelines that scikit-learn does not have.

Artifacts name these functions, so each keeps its name, its parameters and its answers for good. They only compute: the
list of what a skops file may hold has them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

_EPOCH = pd.Timestamp(0, tz="UTC").as_unit("us")
"""In microseconds, as the columns are: nanoseconds end in 2262, and 9999-12-31 is what some write for "never"."""


def floats(X: Any) -> Any:
    """Numbers, whole numbers and truths as an array of float64. Of a mixture NumPy would make objects."""
    return np.asarray(X, dtype=np.float64)


def flat(X: Any) -> Any:
    """A column as an array of one dimension."""
    return np.ravel(X)


def days(X: Any) -> Any:
    """A DataFrame of datetimes as an array of days since 1970, with fractions; NaN for NaT."""
    return floats(X.sub(_EPOCH).div(pd.Timedelta(days=1)))


def remainder(X: Any, of: float) -> Any:
    """What is left of each number when `of` is taken from it as often as it fits: the place in a period."""
    return np.mod(X, of)
