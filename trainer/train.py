"""A recipe and its rows → a fitted estimator, measured and published."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from contract.jobs import Value
from contract.manifest import Artifact, Golden, ModelManifest, TrainingData
from contract.repository import CURRENT
from scoring.artifacts import use_one_thread
from scoring.matrix import to_matrix
from scoring.predict import predict
from trainer.aliases import move_alias
from trainer.data import TrainingRows
from trainer.evaluate import evaluate
from trainer.publish import publish
from trainer.recipe import Recipe

GOLDEN_ROWS = 20
SPLIT_SEED = 42


def train(recipe: Recipe, data: TrainingRows, root: Path) -> ModelManifest:
    """The manifest of the version that is now `current` in the model repository at `root`.

    Raises what `recipe.fit` raises, and `trainer.publish.PublishRefused`.
    """
    # Training shares the machine with what serves.
    with threadpool_limits(1):
        estimator, draft = fit(recipe, data)
    manifest = publish(root, estimator, draft)
    move_alias(root, manifest.name, CURRENT, manifest.version)
    return manifest


def fit(recipe: Recipe, data: TrainingRows) -> tuple[Any, ModelManifest]:
    """The fitted estimator and its manifest, which lacks what only publishing knows.

    The estimator is fitted on the matrix that serving makes of the same rows: there is no other way
    from rows to a matrix.
    """
    X = to_matrix(data.rows, recipe.signature(), recipe.input_format)
    y = np.array(data.targets)
    X_fit, X_test, y_fit, y_test = X, X, y, y
    if recipe.test_size:
        X_fit, X_test, y_fit, y_test = train_test_split(X, y, test_size=recipe.test_size, random_state=SPLIT_SEED)
    estimator = recipe.fit(X_fit, y_fit)
    use_one_thread(estimator)
    signature = recipe.signature(estimator)
    draft = ModelManifest(
        name=recipe.name,
        version=0,
        created_at="",
        recipe=recipe.name,
        artifact=Artifact(
            f"model.{recipe.artifact_format}", recipe.artifact_format, recipe.input_format, size=0, sha256=""
        ),
        libraries={},
        signature=signature,
        training_data=TrainingData(data.source, len(data.rows), data.fingerprint),
        metrics=evaluate(estimator, X_test, y_test, signature.output.kind, held_out=recipe.test_size > 0),
        parameters=_parameters(estimator),
        example=_example(recipe, data),
    )
    return estimator, dataclasses.replace(draft, golden=_golden(estimator, draft, data))


def _golden(estimator: Any, draft: ModelManifest, data: TrainingRows) -> Golden:
    """Up to `GOLDEN_ROWS` rows: for each input the first where it is null, and then the first ones."""
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
    """The first row that has no null, as a request body, with its id."""
    number = next((number for number, row in enumerate(data.rows) if None not in row), 0)
    names = [f.name for f in recipe.inputs]
    example = dict(zip(names, data.rows[number], strict=True))
    return example if data.ids is None else {str(recipe.id_field): data.ids[number], **example}


def _parameters(estimator: Any) -> dict[str, Any]:
    """The estimator's parameters that JSON can hold."""
    parameters = estimator.get_params() if hasattr(estimator, "get_params") else {}
    return {
        key: value
        for key, value in sorted(parameters.items())
        if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    }
