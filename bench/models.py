"""The benchmark's models, as recipes: the project's own trainer turns rows into a published version.

The other servers load the same artifacts, so that all of them predict with the same estimator.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from contract.jobs import Value
from contract.manifest import ArtifactFormat, Field, InputFormat, Kind, ManifestDraft, ModelManifest
from contract.repository import ALIASES_FILE, CURRENT, MANIFEST_FILE, VERSIONS_DIR, Repository
from scoring.artifacts import library_versions
from trainer import recipes
from trainer.publishing.aliases import move_alias
from trainer.publishing.publish import publish
from trainer.recipe import Recipe, Run, Table
from trainer.tables.training_rows import TrainingRows, read_table, to_rows
from trainer.training.fitting import fit_and_measure

SEED = 7
VERSION = "1"
SPEED, MEMORY, SLEEP = "speed", "memory", "sleep"
"""The model repositories: the models whose speed is measured, the many of 5 MB, the one that sleeps."""

SPEED_MODELS = ("tiny", "forest", "table", "boston")
COPIES = 50
SLEEP_SECONDS = 0.01

TABLE_NUMBERS = ("age", "income", "amount", "months", "rate", "debt", "children")
TABLE_WORDS = {
    "housing": ("own", "rent", "free"),
    "job": ("clerk", "nurse", "driver", "teacher", "engineer", "other"),
    "region": ("north", "south", "east", "west"),
    "purpose": ("car", "house", "study", "travel", "repair"),
    "education": ("none", "school", "bachelor", "master"),
}


class Sleeper(BaseEstimator):
    """A model that sleeps a fixed time a row and uses no core, to show what several scorers gain."""

    def predict(self, X: Any) -> Any:
        time.sleep(SLEEP_SECONDS * len(X))
        return X[:, 0]


def tiny_rows() -> Table:
    X, y = load_iris(return_X_y=True)
    columns = ("sepal_length", "sepal_width", "petal_length", "petal_width", "species")
    return Table("scikit-learn: iris", columns, np.column_stack([X, y]).tolist())


def numeric_rows(rows: int) -> Table:
    """Return 20 columns. The target depends on a few of them, and on noise that makes the trees grow."""
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(rows, 20)).round(4)
    y = (X[:, 0] + X[:, 1] * X[:, 2] - X[:, 3] + rng.normal(scale=0.5, size=rows) > 0).astype(float)
    return Table("generated", (*(f"x{i}" for i in range(20)), "target"), np.column_stack([X, y]).tolist())


def table_rows(rows: int = 4000) -> Table:
    """Return 7 columns of numbers and 5 of words, each null in 5 % of the rows."""
    rng = np.random.default_rng(SEED)
    numbers = rng.normal(size=(rows, len(TABLE_NUMBERS))).round(4)
    words = {name: rng.choice(choices, rows) for name, choices in TABLE_WORDS.items()}
    score = numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + (words["job"] == "nurse") - (words["housing"] == "rent")
    target = (score + rng.normal(scale=0.5, size=rows) > 0).astype(float)
    cells = np.column_stack([numbers.astype(object), *(words[name].astype(object) for name in words)])
    cells[rng.random(cells.shape) < 0.05] = None
    filled = [[*cells[i], target[i]] for i in range(rows)]
    return Table("generated", (*TABLE_NUMBERS, *TABLE_WORDS, "target"), filled)


def _fit_tiny(X: Any, y: Any) -> Any:
    return LogisticRegression(max_iter=1000).fit(X, y.astype(int))


def _fit_forest(X: Any, y: Any) -> Any:
    return RandomForestClassifier(100, random_state=SEED, n_jobs=1).fit(X, y.astype(int))


def _fit_table(X: Any, y: Any) -> Any:
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer(
        [("numbers", SimpleImputer(strategy="median"), list(TABLE_NUMBERS)), ("words", words, list(TABLE_WORDS))]
    )
    return make_pipeline(columns, RandomForestClassifier(100, random_state=SEED, n_jobs=1)).fit(X, y.astype(int))


def _fit_big(X: Any, y: Any) -> Any:
    """About 5 MB of trees."""
    rng = np.random.default_rng(SEED)
    return RandomForestRegressor(100, random_state=SEED, n_jobs=1).fit(X, y + rng.normal(size=len(y)))


def _fit_sleeper(_X: Any, _y: Any) -> Any:
    return Sleeper()


def _recipe(name: str, data: Callable[[], Table], fit: Callable[[Any, Any], Any], **more: Any) -> Recipe:
    *inputs, target = data().columns
    fields = tuple(Field(i, Kind.STRING if i in TABLE_WORDS else Kind.NUMBER, nullable=name == "table") for i in inputs)
    return Recipe(name=name, inputs=fields, target=Field(target, Kind.NUMBER), fit=fit, data=data, **more)


def recipe(name: str) -> Recipe:
    """Of any model in the repositories; copies have that of their original."""
    if name == "tiny":
        return _recipe(name, tiny_rows, _fit_tiny)
    if name == "forest":
        return _recipe(name, lambda: numeric_rows(2000), _fit_forest)
    if name == "table":
        return _recipe(name, table_rows, _fit_table, input_format=InputFormat.DATAFRAME)
    if name == "sleeper":
        return _recipe(name, lambda: numeric_rows(40), _fit_sleeper, artifact_format=ArtifactFormat.CLOUDPICKLE)
    if name.startswith("big"):
        return _recipe(name, lambda: numeric_rows(560), _fit_big)
    return recipes.get(name)


def build(folder: Path, say: Callable[[str], None]) -> None:
    """Write the three model repositories into `folder`, unless this code and these libraries already have."""
    made_of = {"libraries": library_versions(), "models.py": hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}
    stamp = folder / "made_of.json"
    if stamp.exists() and json.loads(stamp.read_text()) == made_of:
        return
    say("making the models")
    shutil.rmtree(folder, ignore_errors=True)
    # The worker has no `bench`.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    for name in SPEED_MODELS:
        _publish(folder / SPEED, recipe(name))
    _publish(folder / SLEEP, recipe("sleeper"))
    _publish(folder / MEMORY, recipe("big00"))
    for number in range(1, COPIES):
        _copy(folder / MEMORY, "big00", f"big{number:02}")
    for repository in (SLEEP, MEMORY):
        # The trainer of `make up` trains a missing model; it finds this one.
        shutil.copytree(folder / SPEED / "boston", folder / repository / "boston")
    stamp.write_text(json.dumps(made_of))


def artifact(repository: Path, name: str) -> Path:
    manifest = Repository(repository).manifest(name, int(VERSION))
    return repository / name / VERSIONS_DIR / VERSION / manifest.artifact.file


def training_rows(recipe: Recipe) -> TrainingRows:
    """The recipe's own rows."""
    return to_rows(recipe, read_table(recipe, None))


def fitted(recipe: Recipe) -> tuple[Any, ManifestDraft]:
    """Return the estimator that the recipe fits on its own rows, and the draft of its manifest."""
    model = fit_and_measure(recipe, training_rows(recipe), Run(*recipe.fields), recipe.bind({}))
    return model.estimator, model.draft


def _publish(root: Path, wanted: Recipe) -> ModelManifest:
    """Like `trainer.training.train.train`, but without probabilities: the other servers only call `predict`."""
    estimator, draft = fitted(wanted)
    output = dataclasses.replace(draft.signature.output, probabilities=False)
    draft = dataclasses.replace(
        draft,
        signature=dataclasses.replace(draft.signature, output=output),
        golden=dataclasses.replace(draft.golden, probabilities=None),
    )
    manifest = publish(root, estimator, draft)
    move_alias(root, manifest.name, CURRENT, manifest.version)
    return manifest


def _copy(root: Path, name: str, copy: str) -> None:
    """Copy an artifact under another name; publishing fifty would verify each in a fresh process."""
    folder = root / copy / VERSIONS_DIR / VERSION
    shutil.copytree(root / name / VERSIONS_DIR / VERSION, folder)
    manifest = Repository(root).manifest(name, int(VERSION))
    (folder / MANIFEST_FILE).write_text(dataclasses.replace(manifest, name=copy).dumps())
    (root / copy / ALIASES_FILE).write_text(json.dumps({CURRENT: int(VERSION)}) + "\n")


@functools.cache
def samples(name: str, count: int) -> list[list[Value]]:
    """Rows of the model's own data, in signature order, the same at every call."""
    rows = [list(row) for row in training_rows(recipe(name)).rows]
    # A stride that shares no factor with the number of rows visits all of them: every class comes early.
    stride = next(s for s in (37, 41, 43) if len(rows) % s)
    return [rows[i * stride % len(rows)] for i in range(count)]
