"""Each use of a private name of scikit-learn has a way around it that gives the same answers."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.cross_decomposition import CCA, PLSCanonical, PLSRegression

from scoring import sklearn_internals
from tests.support import PROJECT

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 4))
TARGETS = X @ [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("kind", [PLSRegression, PLSCanonical, CCA])
def test_the_coefficients_of_a_pls_follow_from_its_methods(kind: Any) -> None:
    y = np.column_stack([TARGETS, X[:, 0] + RANDOM.normal(size=200)])
    pls = kind(n_components=2).fit(X * [1, 10, 100, 1000] + 50, y)
    np.testing.assert_allclose(sklearn_internals.pls_coefficients(pls), pls.coef_)
    names = ("x_rotations_", "transform", "inverse_transform")
    without_scales = SimpleNamespace(**{name: getattr(pls, name) for name in names})
    np.testing.assert_allclose(sklearn_internals.pls_coefficients(without_scales), pls.coef_)


LIBRARIES = ("sklearn", "numpy", "pandas", "joblib", "scipy")


def private_names(path: Path) -> set[str]:
    """Return the private names that a module imports from libraries, and private attributes of others."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LIBRARIES:
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            names |= {part for part in parts if part.startswith("_")}
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            names |= {node.attr} if owner not in ("self", "cls", "os", "sys") else set()
    return names - {"_replace", "_fields"}


@pytest.mark.parametrize("folder", ["scoring", "trainer", "worker", "bench", "kernels/src"])
def test_only_one_module_uses_private_names_of_libraries(folder: str) -> None:
    modules = [path for path in Path(PROJECT, folder).rglob("*.py") if "sklearn_internals" not in str(path)]
    assert {path.name: names for path in modules if (names := private_names(path))} == {}
