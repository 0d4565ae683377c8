"""The benchmark's models, as recipes: the project's own trainer turns rows into a published version.

The models of `bench.tables` are what the recipe `tabular` usually chooses: a blend of three estimators. The model of
texts is published as an import publishes it. The other servers load the same artifacts, so that all of them predict
with the same estimator.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
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
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from threadpoolctl import threadpool_limits

from bench.tables import TABLES
from contract.model.manifest import SCHEMA_VERSION, ArtifactFormat, InputFormat, ManifestDraft
from contract.model.repository import CURRENT, Repository
from contract.model.signature import Field, Kind
from contract.row import Value
from scoring.artifacts import checked_bytes, library_versions, pack
from storage.models.repository_writer import RepositoryWriter
from trainer import recipes
from trainer.importing.trial.examine import examine
from trainer.publishing.aliases import move_alias
from trainer.publishing.publish import publish
from trainer.recipe import Recipe, Run, Table
from trainer.tables.field_inference import infer_fields
from trainer.tables.training_rows import TrainingRows, read_table, to_rows
from trainer.training.fitting import fit_and_measure

SEED = 7
VERSION = 1
SPEED, MEMORY, SLEEP = "speed", "memory", "sleep"
"""The model repositories: the models whose speed is measured, the many of 5 MB, the one that sleeps."""

SPEED_MODELS = ("tiny", "forest", "table", "boston")
TABULAR = tuple(TABLES)
TEXT = "text"
TEXT_FEATURES = 10_000
TEXT_WORDS = 80
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


def table_rows(rows: int = 4000, seed: int = SEED) -> Table:
    """Return 7 columns of numbers and 5 of words, each null in 5 % of the rows."""
    rng = np.random.default_rng(seed)
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


def _fit_blend(X: Any, y: Any, run: Run) -> Any:
    return recipes.get("tabular").fit(X, y, run, estimator="blend")


def _fit_sleeper(_X: Any, _y: Any) -> Any:
    return Sleeper()


def texts(count: int) -> list[str]:
    """Return texts of made-up words, of which few are frequent and many are rare, as in any language."""
    rng = np.random.default_rng(SEED)
    letters = rng.choice(list("etaoinshrdlucmfw"), size=(2 * TEXT_FEATURES, 8))
    words = np.array(["".join(word[: 3 + number % 6]) for number, word in enumerate(letters)])
    shares = 1 / np.arange(10, 10 + len(words))
    return [" ".join(row) for row in rng.choice(words, (count, TEXT_WORDS), p=shares / shares.sum())]


def fit_texts(rows: int = 4000) -> Any:
    """TF-IDF with 10,000 features and a logistic regression. The label depends on the letters of the text."""
    sentences = texts(rows)
    amounts = [text.count("e") for text in sentences]
    labels = ["spam" if amount > np.median(amounts) else "ham" for amount in amounts]
    return make_pipeline(TfidfVectorizer(max_features=TEXT_FEATURES), LogisticRegression()).fit(sentences, labels)


def recipe_of(name: str, data: Callable[[], Table], fit: Callable[[Any, Any], Any], **more: Any) -> Recipe:
    *inputs, target = data().columns
    fields = tuple(Field(i, Kind.STRING if i in TABLE_WORDS else Kind.NUMBER, nullable=name == "table") for i in inputs)
    return Recipe(name=name, inputs=fields, target=Field(target, Kind.NUMBER), fit=fit, data=data, **more)


def _tabular(name: str) -> Recipe:
    """Return the recipe `tabular` with the fields of one of its tables. It fits the blend and no other candidate."""
    rows, target, id_field = TABLES[name]
    known, table, _ = infer_fields(recipes.get("tabular"), rows(), target, None, id_field)
    return dataclasses.replace(known, name=name, fit=_fit_blend, data=lambda: table)


@functools.cache
def recipe(name: str) -> Recipe:
    """Of any model in the repositories; copies have that of their original."""
    if name in TABULAR:
        return _tabular(name)
    if name == "tiny":
        return recipe_of(name, tiny_rows, _fit_tiny)
    if name == "forest":
        return recipe_of(name, lambda: numeric_rows(2000), _fit_forest)
    if name == "table":
        return recipe_of(name, table_rows, _fit_table, input_format=InputFormat.DATAFRAME)
    if name == "sleeper":
        return recipe_of(name, lambda: numeric_rows(40), _fit_sleeper, artifact_format=ArtifactFormat.CLOUDPICKLE)
    if name.startswith("big"):
        return recipe_of(name, lambda: numeric_rows(560), _fit_big)
    return recipes.get(name)


def build(folder: Path, say: Callable[[str], None]) -> None:
    """Write the three model repositories into `folder`, unless this code and these libraries already have."""
    made_of = {
        "schema": SCHEMA_VERSION,
        "libraries": library_versions(),
        **{file: _sha256(file) for file in ("models.py", "tables.py")},
    }
    stamp = folder / "made_of.json"
    if stamp.exists() and json.loads(stamp.read_text()) == made_of:
        return
    say("making the models")
    shutil.rmtree(folder, ignore_errors=True)
    # The worker has no `bench`.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    for name in SPEED_MODELS:
        _publish(folder / SPEED, recipe(name))
    for name in TABULAR:
        say(f"making the model {name}, a blend")
        make_current(folder / SPEED, *fitted(recipe(name)))
    _publish_texts(folder / SPEED)
    _publish(folder / SLEEP, recipe("sleeper"))
    _publish(folder / MEMORY, recipe("big00"))
    for number in range(1, COPIES):
        _copy(folder / MEMORY, "big00", f"big{number:02}")
    for repository in (SLEEP, MEMORY):
        # The trainer of `make up` trains a missing model; it finds this one.
        shutil.copytree(folder / SPEED / "boston", folder / repository / "boston")
    stamp.write_text(json.dumps(made_of))


def build_in(checkout: Path) -> Path:
    """Have the code of another checkout write the repositories, and return their folder. The models are the same, but
    neither checkout need read the manifests of the other."""
    folder = Path(".bench", "models")
    write = f"import pathlib, bench.models; bench.models.build(pathlib.Path({str(folder)!r}), print)"
    environment = {**os.environ, "PYTHONPATH": str(checkout / "kernels" / "src")}
    subprocess.run([sys.executable, "-c", write], cwd=checkout, env=environment, check=True)  # noqa: S603
    return checkout / folder


def _sha256(file: str) -> str:
    return hashlib.sha256(Path(__file__).with_name(file).read_bytes()).hexdigest()


def artifact(repository: Path, name: str) -> Path:
    manifest = Repository(repository).manifest(name, VERSION)
    return Repository(repository).files(name, VERSION).folder / manifest.artifact.file


def training_rows(recipe: Recipe) -> TrainingRows:
    """The recipe's own rows."""
    return to_rows(recipe, read_table(recipe, None))


def fitted(recipe: Recipe) -> tuple[Any, ManifestDraft]:
    """Return the estimator that the recipe fits on its own rows, and the draft of its manifest."""
    with threadpool_limits(1):  # as in a training
        model = fit_and_measure(recipe, training_rows(recipe), Run(*recipe.fields), recipe.bind({}))
    return model.estimator, model.draft


def _publish(root: Path, wanted: Recipe) -> None:
    """Like `trainer.training.train.train`, but without the report."""
    estimator, draft = fitted(wanted)
    make_current(root, estimator, _without_probabilities(draft))


def _publish_texts(root: Path) -> None:
    """Like `trainer.importing.inbox.imports.import_file`, but in this process."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "file")
        file.write_bytes(pack(fit_texts(), ArtifactFormat.JOBLIB))
        make_current(root, file.read_bytes(), _without_probabilities(examine(TEXT, file, None).draft))


def _without_probabilities(draft: ManifestDraft) -> ManifestDraft:
    """Return the draft of a model that answers no probabilities: the other servers only call `predict`."""
    output = dataclasses.replace(draft.signature.output, probabilities=False)
    return dataclasses.replace(
        draft,
        signature=dataclasses.replace(draft.signature, outputs=(output,)),
        golden=dataclasses.replace(draft.golden, probabilities=None),
    )


def make_current(root: Path, estimator: Any, draft: ManifestDraft) -> None:
    """Publish a version, and make it the current one."""
    manifest = publish(RepositoryWriter(root), estimator, draft)
    move_alias(RepositoryWriter(root), manifest.name, CURRENT, manifest.version)


def _copy(root: Path, name: str, copy: str) -> None:
    """Copy an artifact under another name; publishing fifty would verify each in a fresh process."""
    repository = RepositoryWriter(root)
    original = repository.manifest(name, VERSION)
    data = checked_bytes(original, repository.files(name, VERSION))
    manifest = dataclasses.replace(original, name=copy)
    with repository.locked(copy) as lock, repository.staged(copy) as staged:
        staged.write(manifest.dumps().encode(), manifest.artifact.file, data, None)
        repository.add(staged, copy, VERSION, lock)
    move_alias(repository, copy, CURRENT, VERSION)


@functools.cache
def unseen_rows(count: int) -> list[list[Any]]:
    """Rows for the model `table`, in signature order, the same at every call. It was not fitted on them, and none
    repeats: equal rows would be faster."""
    return [list(row[:-1]) for row in table_rows(count, SEED + 1).rows]


def samples(name: str, count: int) -> list[list[Value]]:
    """Rows of the model's own data, in signature order, the same at every call."""
    if name == TEXT:
        return [[text] for text in texts(count)]
    rows = [list(row) for row in training_rows(recipe(name)).rows]
    # A stride that shares no factor with the number of rows visits all of them: every class comes early.
    stride = next(s for s in (37, 41, 43) if len(rows) % s)
    return [rows[i * stride % len(rows)] for i in range(count)]
