"""What a recipe is: the code and the facts that train one kind of model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from contract.manifest import ArtifactFormat, Field, InputFormat, Output, OutputKind, Signature


class DataError(Exception):
    """Training data that cannot be had or used; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Table:
    """Rows as a file or a package has them; `source` says in words which it was, never where on this machine."""

    source: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Recipe:
    """Trains the model of its name; lives as `RECIPE` in the module of `trainer.recipes` of that name.

    `fit(X, y)` returns a fitted estimator. X is what serving will hand to it: an ndarray, or a DataFrame
    with the inputs' names (`input_format`), rows × inputs, nulls as NaN. y has one value a row: a number
    for a `target` of numbers, and for one with categories the position of the word among them.

    `data()` gives rows when there is no CSV file; it may raise `DataError`. With `test_size` that share of
    the rows is held out, and the metrics are those of rows which the estimator has never seen.

    `artifact_format`: joblib, unless the estimator holds classes or functions of the recipe itself.
    Workers do not have those, and cloudpickle puts them into the artifact.
    """

    name: str
    inputs: tuple[Field, ...]
    target: Field
    fit: Callable[[Any, Any], Any]
    data: Callable[[], Table] | None = None
    id_field: str | None = None
    test_size: float = 0.0
    input_format: InputFormat = InputFormat.ARRAY
    artifact_format: ArtifactFormat = ArtifactFormat.JOBLIB

    @property
    def row_signature(self) -> Signature:
        """The inputs and then the target, as the columns of a training row."""
        return Signature((*self.inputs, self.target), Output(OutputKind.NUMBER), self.id_field)

    def signature(self, estimator: Any = None) -> Signature:
        """What the fitted `estimator` takes and gives. One with classes predicts one of them, any other a number."""
        classes = getattr(estimator, "classes_", None)
        output = Output(
            kind=OutputKind.NUMBER if classes is None else OutputKind.CLASS,
            labels=None if classes is None else tuple(classes.tolist()),
            probabilities=hasattr(estimator, "predict_proba"),
        )
        return Signature(self.inputs, output, self.id_field)
