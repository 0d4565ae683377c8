"""A skops artifact holds parts of scikit-learn and nothing else."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import os
import re
import zipfile
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct, RationalQuadratic
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, TweedieRegressor
from sklearn.model_selection import GridSearchCV, ShuffleSplit, TunedThresholdClassifierCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC

from contract.errors import Code, ModelgateError
from contract.model.version_files import VersionFiles
from scoring.artifacts import load
from scoring.skops_files import ALLOWED, Untrusted, UntrustedParameter, UntrustedTypes, dumps, loads, untrusted_types
from scoring.trust import Trust
from tests.scoring import reach
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
def test_pipelines_survive_a_round_trip(estimator: Any) -> None:
    estimator.fit(FRAME, Y)
    assert loads(dumps(estimator)).predict(FRAME).tolist() == estimator.predict(FRAME).tolist()


NUMBERS = np.abs(rng.normal(size=(40, 2))) + 0.1
GROUPS = np.arange(40) % 3
NEIGHBORS = KNeighborsClassifier(3).fit(NUMBERS, GROUPS)


@pytest.mark.parametrize(
    "estimator",
    [
        NEIGHBORS,
        KNeighborsClassifier(3, algorithm="ball_tree", metric="haversine").fit(NUMBERS, GROUPS),
        KNeighborsClassifier(3, p=3).fit(NUMBERS, GROUPS),
        KNeighborsClassifier(3).fit(csr_matrix(NUMBERS), GROUPS),
        GaussianProcessClassifier().fit(NUMBERS, GROUPS),
        GaussianProcessRegressor(RationalQuadratic() + DotProduct()).fit(NUMBERS, GROUPS),
        GridSearchCV(LogisticRegression(), {"C": [1, 2]}, scoring="f1_macro", cv=ShuffleSplit(2)).fit(NUMBERS, GROUPS),
        TunedThresholdClassifierCV(LogisticRegression()).fit(NUMBERS, GROUPS % 2),
        make_pipeline(SelectKBest(k=1), SplineTransformer(), TweedieRegressor(power=1)).fit(NUMBERS, GROUPS),
    ],
    ids=lambda model: type(model).__name__,
)
def test_what_scikit_learn_makes_of_numbers_survives_a_round_trip(estimator: Any) -> None:
    assert loads(dumps(estimator)).predict(NUMBERS).tolist() == estimator.predict(NUMBERS).tolist()


def test_a_forged_tree_of_neighbors_reads_its_points_alone() -> None:
    import skops.io

    forged_tree = copy.deepcopy(NEIGHBORS)
    state = list(forged_tree._tree.__getstate__())
    state[1], state[2] = state[1] + 10**6, state[2].copy()
    state[2]["is_leaf"], state[2]["idx_end"] = 0, 10**6
    forged_tree._tree.__setstate__(tuple(state))
    loaded = loads(skops.io.dumps(forged_tree))
    assert loaded.predict(NUMBERS).tolist() == NEIGHBORS.predict(NUMBERS).tolist()


def test_a_sparse_matrix_with_indices_outside_of_it_is_refused() -> None:
    import skops.io

    model = KNeighborsClassifier(3).fit(csr_matrix(NUMBERS), GROUPS)
    model._fit_X.indices[3] = 10**6
    with pytest.raises(ValueError, match="indices must be"):
        loads(skops.io.dumps(model))


class Stranger(BaseEstimator):  # type: ignore[misc]
    """A class that only this test has."""


def test_a_type_that_is_not_on_the_list_is_neither_saved_nor_loaded() -> None:
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
    # Without the list, skops would have made it.
    import skops.io

    skops.io.loads(data, trusted=[*ALLOWED, f"{os.mkdir.__module__}.mkdir"])
    assert trace.exists()


@pytest.mark.parametrize("trust", [Trust(), Trust(pickles=False)])
def test_a_model_with_a_type_that_is_not_on_the_list_is_not_trusted(models: Path, trust: Trust) -> None:
    manifest = write_version(models, "m", Stranger(), numbers("a"), skops=True)
    with pytest.raises(ModelgateError, match="is not loaded: it holds tests") as refused:
        load(manifest, VersionFiles(models / "m/versions/1"), trust)
    assert refused.value.failure.code == Code.NOT_TRUSTED
    assert refused.value.failure.details["types"] == ["tests.scoring.test_skops_files.Stranger"]


def test_a_model_from_skops_is_set_to_one_thread_too(models: Path) -> None:
    forest = RandomForestClassifier(2, n_jobs=2).fit([[0.0], [1.0]], [0, 1])
    manifest = write_version(models, "m", make_pipeline(StandardScaler(), forest), numbers("a"), skops=True)
    loaded = load(manifest, VersionFiles(models / "m/versions/1"), Trust(pickles=False))
    assert loaded[-1].n_jobs == 1


def test_a_zip_bomb_is_not_unpacked(models: Path) -> None:
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
        load(dataclasses.replace(manifest, artifact=artifact), VersionFiles(folder), Trust(pickles=False))
    assert refused.value.failure.code == Code.ARTIFACT_CORRUPT


def with_attribute(thing: Any, name: str, value: object) -> Any:
    """Set an attribute without the checks of its class, as a file can."""
    vars(thing)[name] = value
    return thing


WORDS = ["red apple", "green pear", "red pear"]
COUNTS = CountVectorizer().fit(WORDS)
REACHING = {
    "input": with_attribute(CountVectorizer().fit(WORDS), "input", "filename"),
    "hashed input": HashingVectorizer(input="filename"),
    "no input": with_attribute(TfidfVectorizer().fit(WORDS), "input", None),
    "encoding": CountVectorizer(encoding="some.module").fit(WORDS),
    "memory": make_pipeline(StandardScaler(), memory="/tmp/cache"),
    "in a list": make_pipeline(make_pipeline(HashingVectorizer(input="filename"))),
    "in an array": with_attribute(StandardScaler(), "x", np.array([[HashingVectorizer(input="file")]], dtype=object)),
    "in a partial": FunctionTransformer(partial(np.add, 1, where=HashingVectorizer(input="filename"))),
    "as a key": with_attribute(StandardScaler(), "x", {"words": [{"deep": (HashingVectorizer(input="filename"),)}]}),
    "a method": with_attribute(LogisticRegression(), "predict", np.sin),
}


@pytest.mark.parametrize("estimator", REACHING.values(), ids=REACHING)
def test_a_parameter_that_reaches_outside_is_neither_saved_nor_loaded(estimator: Any) -> None:
    import skops.io

    with pytest.raises(UntrustedParameter, match=r"its [A-Za-z]+ has (input|encoding|memory|an attribute)") as refused:
        loads(skops.io.dumps(estimator))
    with pytest.raises(UntrustedParameter, match=re.escape(str(refused.value))):
        dumps(estimator)


def test_a_model_that_would_open_what_a_row_names_is_not_trusted(models: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("red pear")
    opens = with_attribute(CountVectorizer().fit(WORDS), "input", "filename")
    assert opens.transform([str(tmp_path / "secret")]).sum() == 2, "it opens the file"
    manifest = write_version(models, "m", opens, numbers("a"), skops=True)
    with pytest.raises(
        ModelgateError, match="not loaded: its CountVectorizer has input='filename', which opens"
    ) as told:
        load(manifest, VersionFiles(models / "m/versions/1"), Trust(pickles=False))
    assert told.value.failure.code == Code.NOT_TRUSTED
    assert told.value.failure.details["parameter"] == "CountVectorizer.input"


def test_vectorizers_of_the_rows_themselves_are_loaded() -> None:
    for vectorizer in (COUNTS, TfidfVectorizer(encoding="Latin-1").fit(WORDS), HashingVectorizer(n_features=8)):
        assert (loads(dumps(vectorizer)).transform(WORDS) != vectorizer.transform(WORDS)).nnz == 0


def test_an_object_cannot_show_numpy_the_memory_of_the_process() -> None:
    import skops.io

    secret = np.arange(3.0)
    window = {"data": (secret.ctypes.data, False), "shape": (3,), "typestr": "<f8", "version": 3}
    spy = with_attribute(StandardScaler(), "__array_interface__", window)
    assert np.asarray(spy).tolist() == secret.tolist(), "numpy believes it"
    # Stored as in a file: numpy would look for it while the file is loaded.
    for held in (spy, np.array([None, None], dtype=object).reshape(1, 2)):
        holder = with_attribute(StandardScaler(), "x", [held, with_attribute(StandardScaler(), "spy", spy)])
        with pytest.raises(UntrustedParameter, match="has the attribute __array_interface__"):
            loads(skops.io.dumps(holder))


def as_json(value: object) -> dict[str, Any]:
    return {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": json.dumps(value)}


def listed(kind: str, *content: object) -> dict[str, Any]:
    name = {"ListNode": "list", "TupleNode": "tuple"}[kind]
    return {"__class__": name, "__module__": "builtins", "__loader__": kind, "content": list(content)}


PARTIAL = {"__class__": "partial", "__module__": "functools", "__loader__": "PartialNode"}
SCALER = {"__class__": "StandardScaler", "__module__": "sklearn.preprocessing._data", "__loader__": "ObjectNode"}
STR = {"__class__": "str", "__module__": "builtins", "__loader__": "TypeNode"}
CALL = {
    **PARTIAL,
    "content": {"func": STR, "args": listed("TupleNode"), "kwds": as_json({}), "namespace": as_json(None)},
}


@pytest.mark.parametrize(
    "node",
    [
        {**SCALER, "__loader__": "ConstructorFromReduceNode", "__class__": "partial", "__module__": "functools"}
        | {"content": listed("TupleNode", STR)},
        {**SCALER, "content": listed("ListNode", listed("TupleNode", as_json("__array_interface__"), as_json(1)))},
        {**SCALER, "content": as_json([["__array_interface__", 1]])},
        {"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode", "content": {"a": as_json(1)}}
        | {"key_types": listed("ListNode", CALL)},
        listed("ListNode", as_json(1)) | {"__class__": "check_array", "__module__": "sklearn.utils.validation"},
        listed("ListNode", as_json(1))
        | {"__class__": "floats", "__module__": "modelgate_artifacts", "__loader__": "SetNode"},
    ],
    ids=["call", "pairs", "pairs in JSON", "key that is called", "list of a function", "set of a function"],
)
def test_a_file_that_would_call_a_function_while_loading_is_refused(node: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Untrusted, match=r"not as skops writes it|which skops artifacts must not hold"):
        loads(forged(tmp_path, node))


@pytest.mark.parametrize("name", ["CountVectorizer", "HashingVectorizer", "Pipeline"])
def test_no_text_in_an_attribute_makes_a_type_reach_outside(name: str, tmp_path: Path) -> None:
    """`python -m tests.scoring.reach` does the same with all types."""
    (tmp_path / reach.MARK).write_text("secret words")
    (kind,) = [kind for kind in reach.types() if kind.__name__ == name]
    tried = list(reach.reached(kind, tmp_path, loads))
    assert len(tried) > 10
    assert [attempt for attempt in tried if attempt[2]] == []


def test_the_vectorizers_would_open_what_a_row_names(tmp_path: Path) -> None:
    """Without the refusal, the test above would find this."""
    import skops.io

    (tmp_path / reach.MARK).write_text("secret words")
    tried = reach.reached(CountVectorizer, tmp_path, lambda data: skops.io.loads(data, trusted=ALLOWED))
    assert {(attribute, value) for attribute, value, heard in tried if heard} >= {("input", "filename")}
