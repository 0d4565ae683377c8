"""Checks estimators that another release of scikit-learn has saved: which release, and whether this one misreads
them."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import Any

from contract.model.environments import remedy
from scoring.held_objects import parts_in
from scoring.sklearn_internals import pls_coefficients

# Neither scikit-learn nor numpy is imported here: processes that never load a model import this module, too.

SKLEARN_VERSION = metadata.version("scikit-learn")
_RELEASE = tuple(map(int, SKLEARN_VERSION.split(".")[:2]))

_ROUNDING = 1e-6
"""Tolerance of the sum of a node's fractions, which is 1; counts are off by a whole sample, or by its weight."""


_INCONSISTENT = re.compile(r"Trying to unpickle estimator \S+ from version (\S+) when using version ")
"""The warning of releases before 1.3, which have no class for it."""


@contextmanager
def record_versions() -> Iterator[list[str]]:
    """Yield a list that collects the other releases of scikit-learn that saved the objects unpickled within the block.
    Warnings within the block are suppressed."""
    others: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield others
    messages: list[Any] = [warning.message for warning in caught]
    others.extend(sorted({*filter(None, map(_other_release, messages))} - {SKLEARN_VERSION}))


def _other_release(message: Any) -> str | None:
    """Return the release that a warning of scikit-learn about unpickling names; None for other warnings."""
    if _is(message, "sklearn.exceptions", "InconsistentVersionWarning"):
        return str(message.original_sklearn_version)
    found = _INCONSISTENT.match(str(message)) if _RELEASE < (1, 3) else None
    return found[1] if found else None


def incompatibility(estimator: Any, made_with: Sequence[str]) -> str | None:
    """Return why `estimator`, which loads without an error, would answer differently than under its own release, as the
    rest of a sentence about it; None if no reason is known."""
    reasons = (reason for part in parts_in(estimator) if (reason := _misread(part)))
    reason = next(reasons, None)
    if reason is None:
        return None
    made = f"scikit-learn {' and '.join(made_with)}" if made_with else "another scikit-learn"
    return f"was made with {made}: {reason}, and its answers would be wrong; {remedy(made_with, SKLEARN_VERSION)}"


def _misread(part: Any) -> str | None:
    """Return why this release misreads a part that an older one has saved. Each rule begins with the release that has
    changed something: older ones read older files as their own."""
    if _RELEASE >= (1, 4) and _is(part, "sklearn.tree", "DecisionTreeClassifier") and _holds_counts(part):
        return f"its classification trees hold counts, which {SKLEARN_VERSION} takes for fractions"
    is_tfidf = _is(part, "sklearn.feature_extraction.text", "TfidfTransformer")
    if _RELEASE >= (1, 5) and is_tfidf and getattr(part, "use_idf", False) and not hasattr(part, "idf_"):
        return f"its TF-IDF weights are where {SKLEARN_VERSION} does not look for them"
    is_boosted = _is(part, "sklearn.ensemble", "AdaBoostClassifier")
    if _RELEASE >= (1, 6) and is_boosted and getattr(part, "algorithm", None) == "SAMME.R":
        return f"its trees were boosted by an algorithm (SAMME.R) that {SKLEARN_VERSION} does not have"
    is_pls = any(_is(part, "sklearn.cross_decomposition", name) for name in ("PLSRegression", "PLSCanonical", "CCA"))
    if _RELEASE >= (1, 5) and is_pls and hasattr(part, "coef_") and not _same(part.coef_, pls_coefficients(part)):
        return f"its coefficients are those of scaled columns, which {SKLEARN_VERSION} does not scale"
    return None


def _same(coefficients: Any, others: Any) -> bool:
    import numpy as np

    return np.allclose(coefficients, others)


def _is(thing: Any, module: str, name: str) -> bool:
    """Return whether `thing` is an instance of that class. Where there is an instance, its module is imported."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(thing, kind)


def _holds_counts(classifier: Any) -> bool:
    """Return whether the classes of some node do not add up to 1, as they do since 1.4.

    Every node is checked: in the root of a boosted tree the sample weights add up to 1 in any release.
    """
    tree = getattr(classifier, "tree_", None)
    return tree is not None and bool((abs(tree.value.sum(axis=2) - 1) > _ROUNDING).any())
