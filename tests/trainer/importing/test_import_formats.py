"""Files that are imported, by format and by release of scikit-learn, and the refusals of other files."""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import io
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import skops.io
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from contract.model.environments import remedy
from contract.model.manifest import ArtifactFormat
from scoring.artifacts import unpack
from tests.trainer.importing.imported import PICKLES, Average, X, mixed, refusal, tried, y
from trainer.importing.files.formats import PICKLE, recognise, wrong_suffix
from trainer.importing.trial.examine import examine


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Sign in</html>", "is an HTML page"),
        (b'\n<html lang="en">', "is an HTML page"),
        (b'{"learner": {}}', "is XGBoost's own JSON; pickle the fitted XGBClassifier"),
        (b'{"weights": {}}', "is JSON, and not a pickle"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "is a PyTorch file"),
        (archive("arr_0.npy"), "is a file of NumPy arrays (.npz)"),
        (b"[[1, 2]]", "is JSON, and not a pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer"),
        (b"\x89HDF\r\n\x1a\n\0\0", "is an HDF5 file"),
        (b"\x08\x07\x12\x07pytorch\x1a", "is an ONNX model"),
        (b"\x93NUMPY\x01\0", "is a NumPy array"),
        (b"tree\nversion=v4\n", "is LightGBM's own text"),
        (archive("archive/data.pkl"), "is a PyTorch file"),
        (archive("a.txt"), "is a zip archive; unpack it"),
        (archive("a.txt")[:40], "is a zip archive (or a skops file) that is damaged or cut off"),
        (gzip.compress(b"\0" * 257 + b"ustar\0", mtime=0), "is a tar archive"),
        (b"PAR1\x15\x04", "is a Parquet file"),
        (b"customer,opened,age\n1,2024-01-02,42\n", "is a table of rows"),
        ("größe;preis\n1;ü".encode()[:-1], "is a table of rows"),
        (b"a words\n1,2,3\n", r"is not a pickle (it begins with 'a words\n1,2,3\n')"),
        (b"\x00\x01\x02\x03", r"is not a pickle (it begins with '\x00\x01\x02\x03')"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_file_of_another_format_is_named_as_such(tmp_path: Path, data: bytes, said: str) -> None:
    assert said in refusal(tmp_path, data)


def package_if_installed(name: str) -> Any:
    return importlib.import_module(name) if importlib.util.find_spec(name.partition(".")[0]) else None


@pytest.mark.parametrize(
    ("package", "head", "save"),
    [
        ("lz4.frame", b"\x04\x22\x4d\x18", lambda lz4, data: lz4.compress(data)),
        ("zstandard", b"\x28\xb5\x2f\xfd", lambda zstd, data: zstd.compress(data)),
        (
            "dill",
            b"\x80\x04\x8c\ndill._dill\x94\x8c\n_load_type\x94\x93.",
            lambda dill, _: dill.dumps(DILLED, recurse=True),
        ),
    ],
)
def test_what_needs_a_package_is_read_where_it_is_installed_and_named_where_not(
    tmp_path: Path, package: str, head: bytes, save: Callable[[Any, bytes], bytes]
) -> None:
    library, name = package_if_installed(package), package.partition(".")[0]
    if library is None:
        assert f'EXTRA_PACKAGES="{name}"' in refusal(tmp_path, head)
        return
    (tmp_path / "file").write_bytes(save(library, pickle.dumps(DILLED.steps[-1][1])))
    examined = examine("m", tmp_path / "file", None)
    assert (
        unpack(examined.artifact or b"", examined.draft.artifact.format).predict(X).tolist()
        == DILLED.predict(X).tolist()
    )
    assert "cut off" in refusal(tmp_path, (tmp_path / "file").read_bytes()[:-200])


DILLED = make_pipeline(FunctionTransformer(lambda matrix: matrix), LogisticRegression()).fit(X, y)


def test_an_object_of_another_library_is_refused_even_if_it_predicts(tmp_path: Path) -> None:
    layers = type("Sequential", (), {"__module__": "keras.src.models.sequential", "predict": lambda self, rows: rows})()
    net = type("Net", (type("Module", (), {"__module__": "torch.nn.modules.module"}),), {})()
    for thing, library in (
        (layers, "Keras"),
        ({"model": layers, "scaler": StandardScaler()}, "Keras"),
        (net, "PyTorch"),
    ):
        assert f"holds an object of {library}, which Modelgate does not run" in refusal(
            tmp_path, cloudpickle.dumps(thing)
        )


@pytest.mark.parametrize("save", ["pickle", "joblib", "joblib.gz", "gzip"])
@pytest.mark.parametrize("left", [0.3, 0.95])
def test_a_truncated_file_is_reported_as_truncated(tmp_path: Path, save: str, left: float) -> None:
    model, buffer = LogisticRegression().fit(X, y), io.BytesIO()
    if save.startswith("joblib"):
        joblib.dump(model, buffer, compress=("gzip", 3) if save.endswith("gz") else 0)
    else:
        buffer.write(gzip.compress(pickle.dumps(model)) if save == "gzip" else pickle.dumps(model))
    whole = buffer.getvalue()
    assert "cut off" in refusal(tmp_path, whole[: int(len(whole) * left)])


def test_all_ways_to_save_are_read(tmp_path: Path) -> None:
    model, plain = LogisticRegression().fit(X, y), io.BytesIO()
    joblib.dump(model, plain)
    files = [plain.getvalue(), cloudpickle.dumps(model), bz2.compress(pickle.dumps(model))]
    files += [pickle.dumps(model, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for compress in ("zlib", "gzip", "bz2", "lzma", "xz"):
        packed = io.BytesIO()
        joblib.dump(model, packed, compress=(compress, 3))
        files.append(packed.getvalue())
    for data in files:
        draft = tried(tmp_path, data)
        assert draft.signature.names == ("x0", "x1")
        assert draft.artifact.format is ArtifactFormat.JOBLIB


def test_a_skops_file_is_read_and_refused_with_its_forbidden_types(tmp_path: Path) -> None:
    draft = tried(tmp_path, skops.io.dumps(mixed()))
    assert draft.artifact.format is ArtifactFormat.SKOPS
    assert draft.signature == tried(tmp_path, mixed()).signature
    draft = tried(tmp_path, skops.io.dumps({"model": LogisticRegression().fit(X, y), "columns": ["a", "b"]}))
    assert draft.signature.names == ("a", "b")
    said = refusal(tmp_path, skops.io.dumps(Average()))
    assert "is a skops file that is not loaded: it holds " in said and "Average" in said
    assert "is a skops file that cannot be read" in refusal(tmp_path, archive("schema.json"))


def test_several_dumps_in_one_file_that_make_no_model_are_refused(tmp_path: Path) -> None:
    both = pickle.dumps(StandardScaler().fit(X)) + pickle.dumps(SVC().fit(X, y))
    said = refusal(tmp_path, both)
    assert "several objects, dumped one after the other" in said and "were not fitted on what the others give" in said
    two = pickle.dumps(SVC().fit(X, y)) * 2
    assert "which do not make one model: together it holds 2 models" in refusal(tmp_path, two)
    assert "holds more than 100 objects, dumped one after the other" in refusal(tmp_path, pickle.dumps(1) * 101)
    assert "which do not make one model" in refusal(tmp_path, pickle.dumps(1) * 100)


@pytest.mark.parametrize("dump", [pickle.dump, cloudpickle.dump, joblib.dump])
def test_a_scaler_and_then_its_model_in_one_file_are_served_together(tmp_path: Path, dump: Any) -> None:
    scaler = StandardScaler().fit(X)
    model = LogisticRegression().fit(scaler.transform(X), y)
    for parts in ((scaler, model), (model, scaler)):
        with (tmp_path / "file").open("wb") as file:
            for part in parts:
                dump(part, file)
        examined = examine("m", tmp_path / "file", None)
        served = unpack(examined.artifact or b"", examined.draft.artifact.format)
        assert served.predict(X).tolist() == model.predict(scaler.transform(X)).tolist()
        assert any("StandardScaler → LogisticRegression" in warning for warning in examined.draft.warnings)


def test_a_zip_archive_of_one_model_is_that_model(tmp_path: Path) -> None:
    model = LogisticRegression().fit(X, y)
    for files in (
        {"loan.pkl": pickle.dumps(model)},
        {"models/loan.pickle": pickle.dumps(model)},
        {"loan.pkl.gz": gzip.compress(pickle.dumps(model))},
        {"models/": b"", "__MACOSX/models/._a.pkl": b"\0\5", "models/a.pkl": pickle.dumps(model), ".DS_Store": b""},
    ):
        (tmp_path / "file").write_bytes(zipped(files))
        assert recognise(tmp_path / "file") == PICKLE
        examined = examine("m", tmp_path / "file", None)
        served = unpack(examined.artifact or b"", examined.draft.artifact.format)
        assert served.predict(X).tolist() == model.predict(X).tolist()
    two = zipped({"a.pkl": pickle.dumps(model), "b.pkl": pickle.dumps(model)})
    assert "is a zip archive; unpack it" in refusal(tmp_path, two)
    assert "is a zip archive in a zip archive" in refusal(tmp_path, zipped({"a.pkl": two}))
    assert "is an HTML page" in refusal(tmp_path, zipped({"a.pkl": b"<html>"}))
    cut = bytearray(zipped({"a.pkl": pickle.dumps(model)}))
    cut[60] ^= 255
    assert "damaged or cut off" in refusal(tmp_path, bytes(cut))
    locked = bytearray(zipped({"a.pkl": pickle.dumps(model)}))
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    assert "without a password" in refusal(tmp_path, bytes(locked))


OF_XGBOOST = 'model = xgboost.XGBClassifier(); model.load_model("FILE")'
OF_LIGHTGBM = 'model = lightgbm.Booster(model_file="FILE")'
OF_CATBOOST = 'model = catboost.CatBoostClassifier().load_model("FILE")'


@pytest.mark.parametrize(
    ("data", "name", "line"),
    [
        (b'{"learner": {}}', "m.json", f"`{OF_XGBOOST}` (XGBRegressor if it predicts numbers)"),
        (b"{L\x00", "m.ubj", f"`{OF_XGBOOST}` (XGBRegressor if it predicts numbers)"),
        (b"tree\nversion=v4\n", "m.txt", f"`{OF_LIGHTGBM}` (of a classifier it answers probabilities, no classes)"),
        (b"CBM1", "m.cbm", f"`{OF_CATBOOST}` (CatBoostRegressor if it predicts numbers)"),
    ],
)
def test_a_librarys_own_format_is_refused_with_the_lines_that_make_a_pickle(
    tmp_path: Path, data: bytes, name: str, line: str
) -> None:
    for said in (refusal(tmp_path, data), wrong_suffix(name)):
        assert f'{line} and `joblib.dump(model, "model.joblib")`' in said


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


ANSWERED = """x0,x1,prediction,probability_0,probability_1
0,0,0,0.9999999999655762,3.4423812684997486e-11
1,1,0,0.9999999998815786,1.1842141071425512e-10
"""


@pytest.mark.parametrize("version", ["1.2.2", "1.6.1"])
def test_a_file_of_another_scikit_learn_is_taken_if_it_gives_the_answers_in_its_sample(
    tmp_path: Path, version: str
) -> None:
    file, here = PICKLES / f"logistic-{version}.pkl", sklearn.__version__
    draft = tried(tmp_path, file, ANSWERED)
    assert set(draft.golden.predictions) == {0}
    assert draft.warnings == (
        f"it was made with scikit-learn {version}, and {here} serves it: it gives the answers in the sample",
    )
    assert draft.training_data.source == f"a LogisticRegression made with scikit-learn {version}"
    start = f"was made with scikit-learn {version}, which {here} here serves only if its answers are the same: "
    for rows, why in (
        (None, "no sample has them: it needs columns 'prediction', 'probability_0', 'probability_1'"),
        ("x0,x1,prediction\n0,0,0\n", "no sample has them: it needs columns 'probability_0', 'probability_1'"),
        (ANSWERED.replace("1,1,0", "1,1,1"), "row 2 of the sample has prediction '1', and here it is 0"),
        (ANSWERED.replace("0.99999999996", "0.99999999796"), "row 1 of the sample has probability_0 '0.99999999796"),
    ):
        said = refusal(tmp_path, file, rows)
        assert said.startswith(start + why), said
        assert said.endswith(remedy([version], here))


def of_release(version: str, model: Any) -> bytes:
    """Return the pickle that a release would have made, if it had the attributes of today's."""
    assert len(version) == len(sklearn.__version__)
    return pickle.dumps(model).replace(sklearn.__version__.encode(), version.encode())


def test_the_answers_of_several_outputs_have_their_names(tmp_path: Path) -> None:
    X = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 0.0]])
    data = of_release("1.8.0", LinearRegression().fit(X, X * 2))
    sample = "x0,x1,y0,y1\n3,5,6,10\n1,7,2,14\n"
    assert [output.name for output in tried(tmp_path, data, sample).signature.outputs] == ["y0", "y1"]
    assert "row 2 of the sample has y1 '15', and here it is 14" in refusal(tmp_path, data, sample.replace("14", "15"))


@pytest.mark.parametrize("version", ["1.8.0", sklearn.__version__])
def test_a_model_is_measured_on_the_target_beside_its_answers(tmp_path: Path, version: str) -> None:
    frame = pd.DataFrame({"area": np.arange(30.0), "price": np.arange(30.0) * 2})
    model = LinearRegression().fit(frame[["area"]], frame["price"])
    (tmp_path / "m.pkl").write_bytes(of_release(version, model))
    frame["prediction"] = model.predict(frame[["area"]])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    examined = examine("m", tmp_path / "m.pkl", tmp_path / "rows.csv")
    assert examined.draft.signature.names == ("area",)
    assert examined.facts and "the target 'price'" in examined.facts["verdict"]


def test_a_file_of_another_scikit_learn_that_loads_and_does_not_predict_says_both(tmp_path: Path) -> None:
    said = refusal(tmp_path, PICKLES / "imputer-1.6.1.pkl")
    assert said.startswith(f"was made with scikit-learn 1.6.1; scikit-learn {sklearn.__version__} here still loads it")
    assert "does not predict (AttributeError: 'SimpleImputer' object has no attribute" in said
    assert said.endswith(remedy(["1.6.1"], sklearn.__version__))


@pytest.mark.parametrize(
    "file", ["forest-1.3.2.joblib", "boosting-1.3.2.pkl", "least-squares-1.3.2.pkl", "words-1.3.2.pkl"]
)
def test_a_file_of_another_scikit_learn_that_would_answer_otherwise_says_why(tmp_path: Path, file: str) -> None:
    said = refusal(tmp_path, PICKLES / file)
    assert said.startswith("was made with scikit-learn 1.3.2: its ")
    assert said.endswith(f"and its answers would be wrong; {remedy(['1.3.2'], sklearn.__version__)}")


def test_a_file_of_another_scikit_learn_that_does_not_load_says_which(tmp_path: Path) -> None:
    said = refusal(tmp_path, PICKLES / "forest-1.2.2.joblib")
    assert said.startswith("was made with scikit-learn 1.2.2, which scikit-learn ")
    assert "here cannot read (ValueError: node array from the pickle has an incompatible dtype" in said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            b"cno_such_package.trees\nForest\n.",
            "needs the module 'no_such_package', which is not here; if it is your own, put its code beside the file",
        ),
        (b"csklearn.svm.classes\nSVC\n.", "an old release of sklearn: it needs the module 'sklearn.svm.classes'"),
        (b"csklearn.svm\nNoSVC\n.", "another release of sklearn: sklearn.svm here has no 'NoSVC'"),
        (b"ccollections\nNoSuch\n.", "uses 'NoSuch' of the module 'collections', and the one that is here lacks it"),
        (
            b"c__main__\nMyStep\n.",
            "uses 'MyStep', which was defined in the script or notebook that saved it (__main__)",
        ),
        (b"cimblearn.pipeline\nPipeline\n.", 'EXTRA_PACKAGES="imbalanced-learn"'),
        (b"cprophet.forecaster\nProphet\n.", "is a model of a time series (prophet"),
        (
            b"class Steps:\n    pass\n",
            "is not a pickle (it begins with 'class Steps:\\n   ')",
        ),
        (b"import joblib\n", "is Python code; run it, and import the model that it saves"),
        (b"from joblib import dump, load\n", "is Python code; run it, and import the model that it saves"),
        (b"ctorch.nn\nLinear\n.", "holds an object of PyTorch, which Modelgate does not run; serve it with"),
    ],
)
def test_a_missing_module_or_class_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    assert said in refusal(tmp_path, data)


def test_cloudpickle_keeps_a_class_of_the_script_that_saved_it(tmp_path: Path) -> None:
    code = """
import sys, cloudpickle, pickle
class Doubles:
    n_features_in_ = 1
    def predict(self, X):
        return X[:, 0] * 2
dump = {"cloudpickle": cloudpickle.dump, "pickle": pickle.dump}[sys.argv[1]]
dump(Doubles(), open(sys.argv[2], "wb"))
"""
    for save in ("cloudpickle", "pickle"):
        subprocess.run([sys.executable, "-c", code, save, str(tmp_path / save)], check=True)
    draft = tried(tmp_path, tmp_path / "cloudpickle")
    assert draft.artifact.format is ArtifactFormat.CLOUDPICKLE
    assert draft.golden.predictions == (0.0, 2.0, 0.0)
    assert "save it from there with cloudpickle.dump" in refusal(tmp_path, tmp_path / "pickle")
