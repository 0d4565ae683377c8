"""A recipe's rows and its fitted estimator, made by the functions that a training calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contract.model.manifest import ManifestDraft
from trainer.recipe import Recipe, Run
from trainer.tables.training_rows import TrainingRows, in_data_dir, read_table, to_rows
from trainer.training.fitting import fit_and_measure


def rows_of(recipe: Recipe, data_dir: Path | None = None) -> TrainingRows:
    """The rows of `data_dir`/<recipe>.csv, else the recipe's own."""
    return to_rows(recipe, read_table(recipe, in_data_dir(recipe.name, data_dir)))


def fitted(recipe: Recipe, rows: TrainingRows | None = None) -> tuple[Any, ManifestDraft]:
    """The estimator that the recipe fits with its default parameters, and the draft of its manifest."""
    model = fit_and_measure(recipe, rows or rows_of(recipe), Run(*recipe.fields), recipe.bind({}))
    return model.estimator, model.draft
