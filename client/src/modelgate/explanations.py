"""Why a model answers what it does."""

from __future__ import annotations

import warnings
from typing import Any
from urllib.parse import urlencode

from modelgate.errors import ModelgateWarning
from modelgate.estimator import RemoteEstimator
from modelgate.text import visible


def explain(
    self: RemoteEstimator,
    X: Any,
    *,
    label: object = None,
    output: str | None = None,
    exact: bool = False,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return for each row of X what its inputs contribute to the answer: `base`, the mean answer to rows of the
    training, and `contributions` by input add up to the `value`. They are Shapley values: `exact`, or estimates, of
    which 95 % are wrong by less than `errors`.

    `label`: the class whose probability is explained; by default the one that is predicted. `output`: the one of
    several, by default the first. `exact`: never estimate, with up to 16 inputs. `seed`: of estimates.

    >>> from modelgate import Client
    >>> (why,) = Client().model("iris").explain([[5.1, 3.5, 1.4, 0.2]])
    >>> max(why["contributions"], key=why["contributions"].get), why["exact"]
    ('petal_length', True)
    """
    _, jobs = self._asked(f"explain?{urlencode(query_of(label, output, exact, seed))}", X)
    explained: list[dict[str, Any]] = []
    for job in jobs:
        explained += job["output"]["predictions"]
        for warning in job["warnings"]:
            warnings.warn(visible(warning), ModelgateWarning, stacklevel=2)
    return explained


def query_of(label: object = None, output: str | None = None, exact: bool = False, seed: int = 0) -> dict[str, str]:
    """Return the parameters of a request that asks for this."""
    asked = {"class": label, "output": output, "exact": "true" if exact else None, "seed": seed or None}
    return {name: str(value) for name, value in asked.items() if value is not None}
