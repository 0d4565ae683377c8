"""Fits a recipe to rows and measures the estimator on held-out rows."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from modelgate_kernels.matrix import to_matrix
from sklearn.model_selection import train_test_split

from contract.model.manifest import ArtifactDraft, Golden, ManifestDraft, TrainingData
from contract.model.signature import Field, Kind
from contract.row import Value
from scoring.artifacts import use_one_thread
from scoring.kernels import compared
from scoring.methods import find_methods
from scoring.predict import predict
from trainer.recipe import Recipe, RecipeError, Run
from trainer.report.evidence import Evidence
from trainer.tables.row_profile import profile_of
from trainer.tables.training_rows import TrainingRows, take_rows
from trainer.training.evaluate import CROSS_VALIDATION_SECONDS, cross_validate, cross_validated, evaluate

GOLDEN_ROWS = 20
SPLIT_SEED = 42
_MOST_ANSWERS = 10_000
"""Rows whose answers the profile of the version counts."""


@dataclasses.dataclass(frozen=True)
class FittedModel:
    """A fitted estimator and the draft of its manifest.

    X (a matrix) and y (the targets) hold all rows. `fitted_on` and `tested_on` are positions in them: equal, unless the
    recipe holds rows out. Fitting took `seconds`. `sample`: the rows came with an imported model, which may have been
    fitted on them.
    """

    estimator: Any
    draft: ManifestDraft
    X: Any
    y: Any
    fitted_on: Any
    tested_on: Any
    held_out: bool
    seconds: float
    sample: bool = False

    def evidence(self, data: TrainingRows, run: Run, **more: Any) -> Evidence:
        return Evidence(
            draft=self.draft,
            estimator=self.estimator,
            rows=data.rows,
            targets=data.targets,
            X_test=take_rows(self.X, self.tested_on),
            y_test=self.y[self.tested_on],
            held_out=self.held_out,
            tested_on=self.tested_on.tolist(),
            sample=self.sample,
            ids=data.ids,
            candidates=tuple(run.candidates),
            chosen=run.chosen,
            remarks=tuple(run.remarks),
            target=run.target.name,
            notes=self.draft.notes,
            **more,
        )


def fit_and_measure(recipe: Recipe, data: TrainingRows, run: Run, parameters: Mapping[str, Any]) -> FittedModel:
    """Fit the recipe and measure the estimator. Rows become a matrix by the same code as in serving.

    Raises what the recipe raises.
    """
    X = to_matrix(data.rows, recipe.signature().inputs, recipe.input_format)
    y = np.array(data.targets)
    fitted_on, tested_on = _split(y, recipe.fields[1], recipe.test_size)
    started = time.monotonic()
    estimator = recipe.run_fit(take_rows(X, fitted_on), y[fitted_on], run, parameters)
    seconds = time.monotonic() - started
    from trainer.recipes import artifact_format  # a fork that compares versions must not import recipes

    if not hasattr(estimator, "predict"):
        raise RecipeError(f"the recipe {recipe.name} returned {estimator!r:.80} instead of a fitted estimator")
    use_one_thread(estimator)
    signature, file_format = recipe.signature(estimator), recipe.artifact_format or artifact_format(estimator)
    held_out = recipe.test_size > 0
    X_test, y_test = take_rows(X, tested_on), y[tested_on]
    draft = ManifestDraft(
        name=recipe.name,
        recipe=recipe.name,
        artifact=ArtifactDraft(file_format, recipe.input_format),
        signature=signature,
        training_data=TrainingData(data.source, len(data.rows), data.fingerprint, recipe.fields[1].name),
        metrics=evaluate(estimator, X_test, y_test, signature.output, held_out),
        parameters={**parameters, **_parameters(estimator)},
        example=_example(recipe, data),
    )
    draft = _with_methods(estimator, draft, data)
    draft = compared(dataclasses.replace(draft, golden=_golden(estimator, draft, data)), estimator)
    learnt, unseen = ([data.rows[position] for position in positions.tolist()] for positions in (fitted_on, tested_on))
    answers = predict(estimator, draft, unseen[:_MOST_ANSWERS]).values
    draft = dataclasses.replace(draft, profile=profile_of(draft.signature, learnt, answers))
    for warning in draft.warnings:
        run.say(warning)
    return FittedModel(estimator, draft, X, y, fitted_on, tested_on, held_out, seconds)


def with_cross_validation(fitted: FittedModel, recipe: Recipe, run: Run, parameters: Mapping[str, Any]) -> FittedModel:
    """Add the cross-validated metric: from the recipe if it has cross-validated, otherwise by fitting each fold."""
    if run.chosen is None:

        def fit(X: Any, y: Any) -> Any:
            return recipe.run_fit(X, y, Run(*recipe.fields), parameters)

        X, y = take_rows(fitted.X, fitted.fitted_on), fitted.y[fitted.fitted_on]
        validated = cross_validate(fit, X, y, fitted.draft.signature.output, recipe.name, fitted.seconds)
        if validated is None:
            run.remark(
                f"not cross-validated: a class has too few rows, or it would take over {CROSS_VALIDATION_SECONDS} s"
            )
            return fitted
        run.chosen, run.out_of_fold = validated
        run.candidates.append(run.chosen)
    metrics = {**fitted.draft.metrics, **cross_validated(run.chosen)}
    return dataclasses.replace(fitted, draft=dataclasses.replace(fitted.draft, metrics=metrics))


def _split(y: Any, target: Field, test_size: float) -> tuple[Any, Any]:
    """Return the positions of the rows to fit on and of those to test on: random, but the same for equally many rows.

    Stratified if a class would otherwise be missing from one of the parts.
    """
    positions = np.arange(len(y))
    if not test_size:
        return positions, positions
    fitted_on, tested_on = train_test_split(positions, test_size=test_size, random_state=SPLIT_SEED)
    if target.kind is not Kind.NUMBER and set(y[fitted_on].tolist()) != set(y[tested_on].tolist()):
        counts = Counter(y.tolist()).values()
        if min(counts) > 1 and len(counts) <= len(y) * min(test_size, 1 - test_size):
            fitted_on, tested_on = train_test_split(positions, test_size=test_size, random_state=SPLIT_SEED, stratify=y)
    return fitted_on, tested_on


def _with_methods(estimator: Any, draft: ManifestDraft, data: TrainingRows) -> ManifestDraft:
    """Add the estimator's other methods."""
    methods, _ = find_methods(estimator, data.rows[:GOLDEN_ROWS], draft.signature, draft.artifact)
    return dataclasses.replace(draft, signature=dataclasses.replace(draft.signature, methods=methods))


def _golden(estimator: Any, draft: ManifestDraft, data: TrainingRows) -> Golden:
    """Choose up to `GOLDEN_ROWS` rows: for each input the first row with a null, then rows from the beginning."""
    first_null: dict[int, int] = {}
    for number, row in enumerate(data.rows):
        for column, value in enumerate(row):
            if value is None:
                first_null.setdefault(column, number)
    chosen = list(dict.fromkeys([*first_null.values(), *range(len(data.rows))]))[:GOLDEN_ROWS]
    rows = tuple(tuple(data.rows[number]) for number in sorted(chosen))
    answer = predict(estimator, draft, rows)
    return Golden(rows, tuple(answer.values), None if answer.probabilities is None else tuple(answer.probabilities))


def _example(recipe: Recipe, data: TrainingRows) -> Mapping[str, Value]:
    """Return the first row without a null as a request body, with its id."""
    number = next((number for number, row in enumerate(data.rows) if None not in row), 0)
    names = [f.name for f in recipe.fields[0]]
    example = dict(zip(names, data.rows[number], strict=True))
    return example if data.ids is None else {str(recipe.id_field): data.ids[number], **example}


def _parameters(estimator: Any) -> dict[str, Any]:
    """Return the estimator's parameters that JSON can represent."""
    parameters = estimator.get_params() if hasattr(estimator, "get_params") else {}
    return {
        key: value
        for key, value in sorted(parameters.items())
        if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    }
