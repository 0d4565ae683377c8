"""A linear support vector classifier for three kinds of iris."""

from __future__ import annotations

from typing import Any

from sklearn.datasets import load_iris
from sklearn.svm import SVC

from contract.model.signature import Field, Kind
from trainer.recipe import Table, recipe

SPECIES = ("setosa", "versicolor", "virginica")
MEASURES = tuple(f"{part}_{measure}" for part in ("sepal", "petal") for measure in ("length", "width"))


def _input(name: str) -> Field:
    """Return an input with the spellings that clients send: `sepal.length`, scikit-learn's `sepal length (cm)`, and the
    post's `sepal.lenght`."""
    part, measure = name.split("_")
    misspelt = (f"{part}.lenght",) if measure == "length" else ()
    return Field(name, Kind.NUMBER, aliases=(f"{part}.{measure}", f"{part} {measure} (cm)", *misspelt))


def data() -> Table:
    """Return 150 rows, lengths and widths in cm."""
    iris = load_iris()
    rows = [[*row, SPECIES[kind]] for row, kind in zip(iris.data.tolist(), iris.target.tolist(), strict=True)]
    return Table("scikit-learn: iris", (*MEASURES, "species"), rows)


@recipe(
    inputs=map(_input, MEASURES),
    target=Field("species", Kind.STRING, categories=SPECIES, aliases=("class", "variety")),
    data=data,
)
def fit(X: Any, y: Any, *, C: float = 1.0) -> Any:
    return SVC(kernel="linear", C=C).fit(X, y)
