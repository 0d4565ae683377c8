"""Models that MLflow's own server has, published with the command, and exported to folders that MLflow loads."""

from __future__ import annotations

import importlib
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pytest
import requests
import xgboost
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.qa.clients.conftest import COMPILED, PROJECT, Modelgate, answered, started
from tests.stacks.ports import free_port

RANDOM = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "age": RANDOM.integers(18, 80, 60),
        "income": RANDOM.normal(3000, 800, 60),
        "zip": RANDOM.choice(["00123", "10115"], 60),
        "member": RANDOM.choice([True, False], 60),
    }
)
PAID = np.where(TABLE["income"] + 20 * TABLE["age"] > 4000, "yes", "no")
NUMBERS = TABLE[["age", "income"]]
TEXTS = ["free money now", "see you at the meeting", "free offer"] * 20


@pytest.fixture(scope="module")
def modelgate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Modelgate]:
    """A Modelgate without models that has XGBoost and LightGBM."""
    folder = tmp_path_factory.mktemp("modelgate")
    for module in (xgboost, lightgbm):
        package = Path(module.__file__).parent
        for part in package.parent.glob(f"{package.name}*"):
            (folder / "packages" / part.name).parent.mkdir(exist_ok=True)
            (folder / "packages" / part.name).symlink_to(part)
    environment = {"TRAIN_ON_START": "none", "PYTHONPATH": str(folder / "packages")}
    (folder / "models").mkdir()
    with started(folder, folder / "models", **environment) as running:
        yield running


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of MLflow's own server."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    store = ("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files"))
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", *store]
    environment = {**os.environ, **COMPILED, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + 300
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment) as server,
    ):
        try:
            while True:
                with suppress(requests.ConnectionError, requests.Timeout):
                    if requests.get(f"{address}/health", timeout=10).ok:
                        break
                assert server.poll() is None and time.monotonic() < end, (folder / "log").read_text()
                time.sleep(0.2)
            mlflow.set_tracking_uri(address)
            logging.getLogger("mlflow").setLevel(logging.ERROR)
            yield address
        finally:
            server.terminate()


def command(modelgate: Modelgate, tracking: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command `modelgate`."""
    return run(modelgate, tracking, "-m", "modelgate.command", *arguments)


def run(modelgate: Modelgate, tracking: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python with the client, and with MLflow."""
    environment = {
        **os.environ,
        **COMPILED,
        "PYTHONPATH": str(PROJECT / "client/src"),
        "MODELGATE_URL": modelgate.address,
        "MLFLOW_TRACKING_URI": tracking,
    }
    called = [sys.executable, *map(str, arguments)]
    return subprocess.run(called, env=environment, capture_output=True, text=True, timeout=300)


def logged(flavor: str, model: Any, name: str, rows: Any, **options: Any) -> Any:
    """Log a model with its signature, and register it. MLflow makes a DataFrame of texts if there is a signature, and
    no vectorizer takes that."""
    signature = None if rows is TEXTS else infer_signature(rows, model.predict(rows))
    log = getattr(mlflow, flavor).log_model
    return log(model, name="model", registered_model_name=name, signature=signature, pip_requirements=[], **options)


def as_json(rows: Any) -> Any:
    """Return rows as JSON has them, with every digit."""
    if isinstance(rows, pd.DataFrame):
        return rows.astype(object).where(rows.notna(), None).to_dict("records")
    return rows.tolist() if isinstance(rows, np.ndarray) else rows


def classifier(columns: Any) -> Any:
    return make_pipeline(columns, LogisticRegression()).fit(TABLE, PAID)


def of_table() -> Any:
    scaled, encoded = (StandardScaler(), ["age", "income"]), (OneHotEncoder(), ["zip"])
    return classifier(make_column_transformer(scaled, encoded, remainder="passthrough"))


def with_nulls() -> pd.DataFrame:
    return NUMBERS.assign(income=NUMBERS["income"].where(NUMBERS["income"] < 3500))


CASES: dict[str, tuple[str, Any, Any, dict[str, Any]]] = {
    "loan": ("sklearn", of_table(), TABLE, {"input_example": TABLE.head(3)}),
    "signature_alone": ("sklearn", of_table(), TABLE, {}),
    "pickle": (
        "sklearn",
        LinearRegression().fit(NUMBERS, NUMBERS.sum(axis=1)),
        NUMBERS,
        {"serialization_format": "pickle"},
    ),
    "array": (
        "sklearn",
        LogisticRegression().fit(NUMBERS.to_numpy(), PAID),
        NUMBERS.to_numpy(),
        {"input_example": NUMBERS.to_numpy()[:2], "serialization_format": "cloudpickle"},
    ),
    "nulls": (
        "sklearn",
        RandomForestClassifier(3).fit(with_nulls(), PAID),
        with_nulls(),
        {"serialization_format": "cloudpickle"},  # of trees, MLflow's skops files have to name the types
    ),
    "texts": ("sklearn", make_pipeline(CountVectorizer(), LogisticRegression()).fit(TEXTS, PAID), TEXTS, {}),
    "boosted": (
        "xgboost",
        xgboost.XGBClassifier(n_estimators=5).fit(NUMBERS, PAID == "yes"),
        NUMBERS,
        {"input_example": NUMBERS.head(3)},
    ),
    "light": (
        "lightgbm",
        lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(NUMBERS, NUMBERS.sum(axis=1)),
        NUMBERS,
        {},
    ),
}


OF_PYTHON = """
import sys
from modelgate import Client

mg, folder = Client(), sys.argv[1]
for name in sys.argv[2:]:
    mg.publish(name, f"models:/{name}/1")
    mg.export(f"{name}@1", f"{folder}/{name}")
"""


@pytest.fixture(scope="module")
def exports(modelgate: Modelgate, tracking: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what Python has published from MLflow's server, and exported again; all cases at once."""
    folder = tmp_path_factory.mktemp("exports")
    for name, (flavor, model, rows, options) in CASES.items():
        logged(flavor, model, name, rows, **options)
    ended = run(modelgate, tracking, "-c", OF_PYTHON, folder, *CASES)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_model_of_mlflow_comes_back_with_its_answers_and_its_signature(
    name: str, modelgate: Modelgate, exports: Path
) -> None:
    rows = CASES[name][2]
    original, back = mlflow.pyfunc.load_model(f"models:/{name}/1"), mlflow.pyfunc.load_model(str(exports / name))
    expected, found = original.predict(rows), back.predict(rows)
    assert answered(modelgate, name, as_json(rows))["predictions"] == expected.tolist()
    assert found.dtype == expected.dtype and found.tolist() == expected.tolist()
    assert original.metadata.signature in (back.metadata.signature, None)
    assert len(back.predict(back.input_example)) == 1


def test_an_exported_pickle_is_an_estimator_of_mlflow_too(exports: Path) -> None:
    for name in ("pickle", "array"):
        _, model, rows, _ = CASES[name]
        assert mlflow.sklearn.load_model(str(exports / name)).predict(rows).tolist() == model.predict(rows).tolist()


def test_an_export_is_registered_and_published_again(exports: Path, modelgate: Modelgate, tracking: str) -> None:
    with mlflow.start_run() as started_run:
        mlflow.log_artifacts(str(exports / "pickle"), "model")
    mlflow.register_model(f"runs:/{started_run.info.run_id}/model", "again")
    published = command(modelgate, tracking, "publish", "models:/again/latest")
    assert published.stdout == "again@1 is published and current\n", published
    assert answered(modelgate, "again", as_json(NUMBERS)) == answered(modelgate, "pickle", as_json(NUMBERS))


CODE = """
from sklearn.base import BaseEstimator


class Bonus(BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_ = 2
        return self

    def predict(self, X):
        return X["age"].to_numpy() + X["income"].to_numpy() / 2
"""


@pytest.fixture
def bonus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model whose class is in a module of the user's own, `bonus.py`."""
    (tmp_path / "bonus.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("bonus").Bonus().fit(NUMBERS)
    del sys.modules["bonus"]


def test_a_folder_is_published_with_the_code_beside_it(
    bonus: Any, modelgate: Modelgate, tracking: str, tmp_path: Path
) -> None:
    folder, signature = tmp_path / "Bonus Model", infer_signature(NUMBERS, bonus.predict(NUMBERS))
    options = {"serialization_format": "pickle", "signature": signature, "pip_requirements": []}
    mlflow.sklearn.save_model(bonus, str(folder), code_paths=[str(tmp_path / "bonus.py")], **options)
    published = command(modelgate, tracking, "publish", folder)
    assert published.stdout == "bonus_model@1 is published and current\n", published
    assert answered(modelgate, "bonus_model", as_json(NUMBERS))["predictions"] == bonus.predict(NUMBERS).tolist()

    exported = command(modelgate, tracking, "export", "bonus_model", tmp_path / "out")
    assert exported.stdout == f"bonus_model is exported to {tmp_path / 'out'}\n", exported
    found = mlflow.pyfunc.load_model(str(tmp_path / "out")).predict(NUMBERS)
    assert found.tolist() == bonus.predict(NUMBERS).tolist()


REFUSED = """
import sys
from modelgate import Client, ModelgateError

for reference in sys.argv[1:]:
    try:
        Client().publish("refused", reference)
    except ModelgateError as error:
        print(" ".join(str(error).split()))
"""


def test_what_modelgate_cannot_take_is_refused_with_the_reason(
    modelgate: Modelgate, tracking: str, tmp_path: Path
) -> None:
    own, outside, modules = tmp_path / "own", tmp_path / "outside", tmp_path / "modules"
    mlflow.pyfunc.save_model(str(own), python_model=lambda model_input: model_input, pip_requirements=[])
    options = {"serialization_format": "pickle", "pip_requirements": []}
    mlflow.sklearn.save_model(CASES["pickle"][1], str(outside), **options)
    description = (outside / "MLmodel").read_text()
    (outside / "MLmodel").write_text(description.replace("pickled_model: model.pkl", "pickled_model: ../own/MLmodel"))
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("")
    code = [str(tmp_path / "one.py"), str(tmp_path / "two.py")]
    mlflow.sklearn.save_model(CASES["pickle"][1], str(modules), code_paths=code, **options)
    ended = run(modelgate, tracking, "-c", REFUSED, "models:/nothing/1", own, outside, modules)
    unknown, other, leading_out, several = ended.stdout.splitlines()
    assert re.match(r"MLflow cannot give models:/nothing/1: .*not found", unknown), unknown
    assert "has the flavours python_function; Modelgate takes models of sklearn, xgboost and lightgbm" in other
    assert "has no '../own/MLmodel' in its folder, which its MLmodel names" in leading_out
    assert "has code in several modules (code/one.py, code/two.py), and Modelgate takes one" in several
