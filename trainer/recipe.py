"""What a recipe is: a function that fits one kind of model, with its inputs, its target and its data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

from contract.errors import Code, ModelgateError
from contract.model.manifest import ArtifactFormat, InputFormat
from contract.model.parameters import parameter_errors
from contract.model.signature import Field, Output, OutputKind, Signature
from contract.row import Value
from trainer.recipe_parameters import parameters_of


class DataError(ModelgateError):
    """Training data that is missing or cannot be used (`no_data`). The message says which, why, and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.NO_DATA, message)


class RecipeError(ModelgateError):
    """Recipe missing, broken, or given an invalid request (`training_failed`)."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.TRAINING_FAILED, message)


@dataclass(frozen=True)
class Table:
    """Rows as read from a file or a package. `source` describes it to users, without a path.

    `remarks` are sentences on how the file was read. `separator` is that of a CSV file.
    """

    source: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    remarks: Sequence[str] = ()
    separator: str | None = None


Log = Callable[[str], None]
"""Writes a line into the log of the training."""


def _ignore(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Candidate:
    """An estimator that was cross-validated: its `metric`, as mean and standard deviation (`spread`) over the folds."""

    name: str
    metric: str
    mean: float
    spread: float
    seconds: float


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold probabilities of a candidate: `table` has those of `labels` (rows × classes), each row's from the
    estimator that was fitted without its fold. `targets` are the rows' classes."""

    targets: Any
    table: Any
    labels: Sequence[Value]


@dataclass
class Run:
    """The training that a fitting function is part of: what the function may read and report.

    `say` writes a line to the log. `tell(fraction, done, total, best)` reports progress: `done` of `total`
    candidates, `best` the best score so far. `remark` and `candidates` go into the report; `chosen` is the fitted
    candidate, and `out_of_fold` its cross-validated probabilities, if any.
    """

    inputs: Sequence[Field]
    target: Field
    say: Log = _ignore
    tell: Callable[[float, int, int, float | None], None] = _ignore
    candidates: list[Candidate] = field(default_factory=list)
    chosen: Candidate | None = None
    out_of_fold: OutOfFold | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def metric(self) -> str | None:
        """The metric by which candidates are compared, or None before the first."""
        return self.candidates[-1].metric if self.candidates else None

    def remark(self, sentence: str) -> None:
        self.remarks.append(sentence)
        self.say(sentence)


@dataclass(frozen=True)
class Recipe:
    """Trains one kind of model. The decorator `recipe` makes it; its name is that of its file.

    `fit(X, y)` returns a fitted estimator. X is as in serving: an ndarray, or a DataFrame with the inputs' names
    (`input_format`), rows × inputs, nulls as NaN. y has one value a row: a number, or for a `target` with categories
    the position of the word among them. A third argument gets the `Run`; keyword-only arguments are the parameters that
    a training may set.

    Without `inputs` and `target` the recipe takes any CSV: the request names the target, and the fields are inferred
    from the values.

    `data()` returns rows if there is no CSV file; it may raise `DataError`. `test_size` is the share of the rows that
    is held out for the metrics.

    `artifact_format` None: chosen by what the estimator holds.
    """

    name: str
    inputs: tuple[Field, ...] | None
    target: Field | None
    fit: Callable[..., Any]
    data: Callable[[], Table] | None = None
    id_field: str | None = None
    test_size: float = 0.0
    input_format: InputFormat = InputFormat.ARRAY
    artifact_format: ArtifactFormat | None = None

    @property
    def fields(self) -> tuple[tuple[Field, ...], Field]:
        """Inputs and target. Raises `RecipeError` for a recipe for any CSV before its fields are inferred."""
        if self.inputs is None or self.target is None:
            raise RecipeError(f"the recipe {self.name} infers its fields from data, and there is no data")
        return self.inputs, self.target

    @property
    def row_signature(self) -> Signature:
        """The signature of a training row: the inputs, then the target."""
        inputs, target = self.fields
        return Signature((*inputs, target), (Output(OutputKind.NUMBER),), self.id_field)

    def signature(self, estimator: Any = None) -> Signature:
        """Return the signature of the fitted `estimator`. With `classes_` it predicts a class, otherwise a number."""
        classes = getattr(estimator, "classes_", None)
        output = Output(
            kind=OutputKind.NUMBER if classes is None else OutputKind.CLASS,
            labels=None if classes is None else tuple(getattr(classes, "tolist", lambda: classes)()),
            probabilities=hasattr(estimator, "predict_proba"),
        )
        return Signature(self.fields[0], (output,), self.id_field)

    def bind(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of all parameters: from `values`, or else the defaults. Raises `RecipeError`."""
        parameters = parameters_of(self.fit)
        if errors := parameter_errors(values, self.name, parameters):
            raise RecipeError(errors[0].message)
        return {parameter.name: values.get(parameter.name, parameter.default) for parameter in parameters}

    def run_fit(self, X: Any, y: Any, run: Run, parameters: Mapping[str, Any]) -> Any:
        """Call `fit` with `parameters` as `bind` returns them. Raises what `fit` raises."""
        wants_run = len(_positional(self.fit)) > 2
        # `fit` may write files, and change the folder. MODELS_DIR may be relative to that of before.
        with TemporaryDirectory(ignore_cleanup_errors=True) as scratch, chdir(scratch):
            return self.fit(X, y, run, **parameters) if wants_run else self.fit(X, y, **parameters)


def recipe(
    *,
    inputs: Iterable[Field] | None = None,
    target: Field | None = None,
    data: Callable[[], Table] | None = None,
    id_field: str | None = None,
    test_size: float = 0.0,
    input_format: InputFormat = InputFormat.ARRAY,
) -> Callable[[Callable[..., Any]], Recipe]:
    """Turn the decorated function into the `Recipe` of its file. Raises TypeError if it is invalid."""
    if (inputs is None) != (target is None):
        raise TypeError("a recipe needs both inputs and target, or neither if it takes any CSV")
    if not 0 <= test_size < 1:
        raise TypeError(f"test_size={test_size} is not a share of the rows; use at least 0 and less than 1")

    def made(fit: Callable[..., Any]) -> Recipe:
        if len(_positional(fit)) not in (2, 3):
            raise TypeError(f"{fit.__name__} must take X and y, and may take a Run; parameters are keyword-only")
        parameters_of(fit)
        return Recipe(
            name=fit.__module__.rpartition(".")[2],
            inputs=None if inputs is None else tuple(inputs),
            target=target,
            fit=fit,
            data=data,
            id_field=id_field,
            test_size=test_size,
            input_format=input_format,
        )

    return made


def _positional(fit: Callable[..., Any]) -> list[inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [argument for argument in inspect.signature(fit).parameters.values() if argument.kind in kinds]
