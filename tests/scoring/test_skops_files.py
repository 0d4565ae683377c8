"""A skops artifact holds what scikit-learn is made of, and nothing else gets in."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC

from contract.errors import Code, ModelgateError
from scoring.artifacts import load
from scoring.skops_files import ALLOWED, UntrustedTypes, dumps, loads, untrusted_types
from scoring.trust import Trust
from tests.support import numbers, write_version

rng = np.random.default_rng(0)
FRAME = pd.DataFrame({"a": rng.random(60), "b": rng.random(60), "c": rng.choice(["u", "v", "w"], 60).astype(object)})
FRAME.loc[3, "a"] = FRAME.loc[5, "c"] = np.nan
Y = np.where(FRAME["b"] > 0.5, "yes", "no")


def mixed(last: Any) -> Any:
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = [("n", make_pipeline(SimpleImputer(), StandardScaler()), ["a", "b"]), ("c", words, ["c"])]
    return make_pipeline(ColumnTransformer(columns), last)


CATEGORIES = HistGradientBoostingClassifier(max_iter=3, categorical_features=[0], min_samples_leaf=3)


@pytest.mark.parametrize(
    "estimator",
    [
        mixed(LogisticRegression()),
        mixed(RandomForestClassifier(3, random_state=0)),
        mixed(SVC()),
        make_pipeline(
            ColumnTransformer([("c", OrdinalEncoder(encoded_missing_value=-1), ["c"])], remainder="passthrough"),
            CATEGORIES,
        ),
        mixed(VotingClassifier([("l", LogisticRegression()), ("f", RandomForestClassifier(2, random_state=0))])),
    ],
    ids=["linear", "forest", "svm", "boosting", "voting"],
)
def test_pipelines_of_scikit_learn_come_back_as_they_went(estimator: Any) -> None:
    estimator.fit(FRAME, Y)
    assert loads(dumps(estimator)).predict(FRAME).tolist() == estimator.predict(FRAME).tolist()


class Stranger(BaseEstimator):  # type: ignore[misc]
    """Nobody but this test has it."""


def test_a_type_that_is_not_on_the_list_is_neither_written_nor_read() -> None:
    with pytest.raises(UntrustedTypes, match=r"it holds tests\.scoring\.test_skops_files\.Stranger, which"):
        dumps(make_pipeline(StandardScaler(), Stranger()))
    import skops.io

    with pytest.raises(UntrustedTypes) as refused:
        loads(skops.io.dumps(Stranger()))
    assert refused.value.names == ["tests.scoring.test_skops_files.Stranger"]


def forged(trace: Path, node: dict[str, Any]) -> bytes:
    """A skops file of one node."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("schema.json", json.dumps({"protocol": 2, "_skops_version": "0.16.0", **node}))
    return buffer.getvalue()


def test_a_call_of_anything_else_is_refused_and_not_made(models: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": json.dumps(str(trace))}
    call = {
        "__class__": "mkdir",
        "__module__": os.mkdir.__module__,
        "__loader__": "ConstructorFromReduceNode",
        "content": {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": [path]},
    }
    data = forged(trace, call)
    assert untrusted_types(data) == [f"{os.mkdir.__module__}.mkdir"]
    with pytest.raises(UntrustedTypes):
        loads(data)
    assert not trace.exists()
    # It would have been made: the list is what stands in between.
    import skops.io

    skops.io.loads(data, trusted=[*ALLOWED, f"{os.mkdir.__module__}.mkdir"])
    assert trace.exists()


@pytest.mark.parametrize("trust", [Trust(), Trust(pickles=False)])
def test_a_model_with_a_type_that_is_not_on_the_list_is_not_trusted(models: Path, trust: Trust) -> None:
    manifest = write_version(models, "m", Stranger(), numbers("a"), skops=True)
    with pytest.raises(ModelgateError, match="is not loaded: it holds tests") as refused:
        load(manifest, models / "m/versions/1", trust)
    assert refused.value.failure.code == Code.NOT_TRUSTED
    assert refused.value.failure.details["types"] == ["tests.scoring.test_skops_files.Stranger"]


def test_a_model_from_skops_is_set_to_one_thread_too(models: Path) -> None:
    forest = RandomForestClassifier(2, n_jobs=2).fit([[0.0], [1.0]], [0, 1])
    manifest = write_version(models, "m", make_pipeline(StandardScaler(), forest), numbers("a"), skops=True)
    loaded = load(manifest, models / "m/versions/1", Trust(pickles=False))
    assert loaded[-1].n_jobs == 1


def test_a_file_that_grows_without_measure_is_not_unpacked(models: Path) -> None:
    manifest = write_version(models, "m", StandardScaler(), numbers("a"), skops=True)
    path = models / "m/versions/1" / manifest.artifact.file
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("0.npy", bytes(10_000_000))
    data = path.read_bytes()
    with pytest.raises(ValueError, match=r"\d+ bytes claim to hold 1\d{7}"):
        loads(data)


@pytest.mark.parametrize("schema", ["[" * 100_000, "{}", '{"protocol": 2, "__loader__": "ListNode"}', "\0"])
def test_a_file_that_is_not_as_skops_writes_it_is_corrupt(models: Path, schema: str) -> None:
    manifest = write_version(models, "m", StandardScaler(), numbers("a"), skops=True)
    folder = models / "m/versions/1"
    with zipfile.ZipFile(folder / "model.skops", "w") as file:
        file.writestr("schema.json", schema)
    data = (folder / "model.skops").read_bytes()
    artifact = dataclasses.replace(manifest.artifact, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(ModelgateError, match="cannot be unpickled") as refused:
        load(dataclasses.replace(manifest, artifact=artifact), folder, Trust(pickles=False))
    assert refused.value.failure.code == Code.ARTIFACT_CORRUPT
