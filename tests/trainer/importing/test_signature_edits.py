"""A version is published again under an edited signature if its model works under it; otherwise the cause is said."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from contract.errors import Code, ModelgateError
from contract.model.manifest import Golden, InputDtype, InputFormat, ModelManifest, Remark
from contract.model.repository import Repository
from contract.model.signature import AnswerForm, Field, Kind, Method, Null, Output, OutputKind, RowFormat, Signature
from contract.model.signature_edits import edit_signature
from contract.rows.background import BACKGROUND_FILE
from contract.settings import Settings
from scoring.artifacts import library_versions, load
from scoring.predict import Prediction, predict_each
from scoring.trust import Trust
from storage.models.repository_writer import STAGING, RepositoryWriter
from tests.support import numbers, write_version
from trainer.importing.assumptions import remaining, undecided, unknown_kinds, unknown_outputs, unknown_whole_numbers
from trainer.importing.edits.signature_edits import publish_edited
from trainer.importing.inbox.imports import import_file
from trainer.publishing.aliases import move_alias
from trainer.publishing.signing import make_keys
from trainer.training import ROW_HASHES_FILE

pytestmark = pytest.mark.usefixtures("examined_here", "unverified")

X, y = np.arange(40.0).reshape(20, 2), np.arange(20) // 7
FRAME = pd.DataFrame({"plan": ["basic", "gold", "plus", "basic"] * 5, "age": [20, 30, 40, 50] * 5})
TARGET = ["no", "yes", "yes", "no"] * 5
WORDS = {"outputs": [{"labels": {"0": "setosa", "1": "versicolor", "2": "virginica"}}]}


@pytest.fixture
def settings(root: Path, tmp_path: Path) -> Settings:
    return Settings(models_dir=root, spool_dir=tmp_path)


def imported(settings: Settings, estimator: Any, sample: str | None = None) -> ModelManifest:
    file, rows = settings.spool_dir / "m.pkl", settings.spool_dir / "m.csv"
    file.write_bytes(cloudpickle.dumps(estimator))
    if sample is not None:
        rows.write_text(sample)
    return import_file(settings, "m", file, rows if sample is not None else None)


def asked(settings: Settings, manifest: ModelManifest, rows: Any, method: str = "predict") -> Prediction:
    """The answers of a version to `rows`, as a worker gets them."""
    estimator = load(manifest, Repository(settings.models_dir).files("m", manifest.version), Trust())
    (answer,) = predict_each(estimator, manifest, [rows], method)
    assert isinstance(answer, Prediction)
    return answer


def refusal(settings: Settings, edits: Any, version: int = 1) -> str:
    """Why an edit is refused. Nothing may be published or left behind."""
    before = Repository(settings.models_dir).versions("m")
    with pytest.raises(ModelgateError) as refused:
        publish_edited(settings, "m", version, edits)
    assert refused.value.failure.code == Code.NOT_PUBLISHED
    assert "\n" not in str(refused.value)
    assert Repository(settings.models_dir).versions("m") == before
    assert [entry for entry in (settings.models_dir / STAGING).iterdir() if entry.is_dir()] == []
    return str(refused.value)


@pytest.mark.usefixtures("compares_kernels")
def test_an_edited_version_answers_the_same_numbers_under_the_new_names(settings: Settings) -> None:
    old = imported(settings, LogisticRegression().fit(X, y))
    folder = Repository(settings.models_dir).files("m", 1).folder
    before = {path.name: path.read_bytes() for path in folder.rglob("*.*")}
    new = publish_edited(settings, "m", 1, {"inputs": {"x0": {"name": "width"}}, **WORDS})
    assert (new.version, new.notes, new.signature.names) == (2, "signature edited from version 1", ("width", "x1"))
    assert new.artifact == old.artifact
    assert (folder.parent / "2" / new.artifact.file).read_bytes() == before[old.artifact.file]
    assert new.example == {"width": old.example["x0"], "x1": old.example["x1"]}
    ours, theirs = asked(settings, old, X.tolist()), asked(settings, new, X.tolist())
    words = ("setosa", "versicolor", "virginica")
    assert theirs.values == [words[int(str(label))] for label in ours.values]
    assert theirs.probabilities == [dict(zip(words, row.values(), strict=True)) for row in ours.probabilities or ()]  # type: ignore[union-attr]
    assert set(theirs.values) == set(words)
    assert {path.name: path.read_bytes() for path in folder.rglob("*.*")} == before
    assert Repository(settings.models_dir).aliases("m") == {}


def test_the_same_edit_twice_makes_one_version(settings: Settings) -> None:
    imported(settings, LogisticRegression().fit(X, y))
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(lambda _: publish_edited(settings, "m", 1, WORDS).version, range(3)))
    assert made == [2, 2, 2]
    again = publish_edited(settings, "m", 2, {"outputs": [{"labels": {"0": None}}]})
    assert (again.version, again.signature.output.shown_labels) == (3, (0, "versicolor", "virginica"))
    assert again.notes == "signature edited from version 1\nsignature edited from version 2"
    shutil.rmtree(Repository(settings.models_dir).files("m", 2).folder)
    assert publish_edited(settings, "m", 1, WORDS).version == 4


def test_what_the_model_refuses_is_refused_with_input_and_cause(settings: Settings) -> None:
    imported(settings, make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y))
    said = refusal(settings, {"inputs": {"x0": {"aliases": ["a"]}, "x1": {"kind": "string"}}})
    assert said.startswith(
        "version 1 of the model 'm' does not work with 'x1' as string (ValueError: could not convert"
    )
    assert said.endswith("leave kind and categories as they are")
    said = refusal(settings, {"inputs": {"x0": {"nullable": True}, "x1": {"kind": "integer"}}})
    assert "does not work with null in 'x0' (ValueError: Input X contains NaN" in said
    assert said.endswith("leave nullable and null as they are")


def test_null_is_taken_where_the_model_takes_it(settings: Settings) -> None:
    imported(settings, HistGradientBoostingClassifier(max_iter=1).fit(X, y), "a,b\n1,2\n3,4\n")
    without, again = ({"inputs": {name: {"nullable": null} for name in "ab"}} for null in (False, True))
    strict = publish_edited(settings, "m", 1, without)
    assert [field.nullable for field in strict.signature.inputs] == [False, False]
    assert not any(None in row for row in strict.golden.rows)
    manifest = publish_edited(settings, "m", strict.version, again)
    assert [field.nullable for field in manifest.signature.inputs] == [True, True]
    assert asked(settings, manifest, [(None, None)]).values[0] in (0, 1, 2)


def _filled(frame: Any) -> Any:
    return frame.fillna(frame.mean()).fillna(0)


def test_an_edit_keeps_what_the_import_has_found_out_about_other_rows_and_looks_again(settings: Settings) -> None:
    frame = pd.DataFrame(X, columns=["a", "b"])
    model = make_pipeline(FunctionTransformer(_filled), LinearRegression()).fit(frame, y)
    assert not imported(settings, model, frame.to_csv(index=False)).artifact.alone
    nullable = publish_edited(settings, "m", 1, {"inputs": {"a": {"nullable": True}}})
    assert nullable.artifact.alone
    assert "changes with the rows beside it" in nullable.warnings[-1]
    renamed = publish_edited(settings, "m", nullable.version, {"inputs": {"b": {"aliases": ["c"]}}})
    assert (renamed.artifact, renamed.remarks) == (nullable.artifact, nullable.remarks)


def _none_is_one(frame: Any) -> Any:
    return np.array([[1.0 if value is None else 0.0 for value in row] for row in frame.to_numpy(dtype=object)])


def test_an_edit_says_what_a_null_is(settings: Settings) -> None:
    frame = pd.DataFrame({"plan": pd.Series(["basic", None, "gold", None] * 5, dtype=object)})
    columns = make_column_transformer((FunctionTransformer(_none_is_one), ["plan"]))
    model = make_pipeline(columns, LogisticRegression()).fit(frame, ["no", "yes"] * 10)
    old = imported(settings, model, frame.to_csv(index=False))
    assert not old.signature.inputs[0].nullable
    assert any("null in 'plan' is refused: the model answers None, NaN" in warning for warning in old.warnings)
    new = publish_edited(settings, "m", 1, {"inputs": {"plan": {"nullable": True, "null": "none"}}})
    assert (new.signature.inputs[0].nullable, new.signature.inputs[0].null) == (True, Null.NONE)
    assert not any("null in" in warning for warning in new.warnings)
    rows = [("gold",), (None,)]
    assert asked(settings, new, rows).values == model.predict(frame[2:4]).tolist()
    other = publish_edited(settings, "m", new.version, {"inputs": {"plan": {"null": "nan"}}})
    assert asked(settings, other, rows).values != asked(settings, new, rows).values


def _lengths(frame: Any) -> Any:
    return frame.astype(str).apply(lambda column: column.str.len())


def test_a_column_that_was_guessed_as_a_number_becomes_text_and_its_warning_goes(settings: Settings) -> None:
    frame = pd.DataFrame(
        {"name": ["a", "bcd", "ef", "ghij"] * 5, "code": ["x", "y", "zz", ""] * 5, "n": np.arange(20.0)}
    )
    columns = make_column_transformer((FunctionTransformer(_lengths), ["name", "code"]), remainder="passthrough")
    estimator = make_pipeline(columns, LinearRegression()).fit(frame, range(20))
    old = imported(settings, estimator)
    assert {unknown_kinds(["name", "code"], undecided=True), unknown_kinds(["n"])} <= {*old.remarks}
    assert [field.kind for field in old.signature.inputs] == [Kind.NUMBER] * 3
    half = publish_edited(settings, "m", 1, {"inputs": {"name": {"kind": "string"}}})
    assert unknown_kinds(["code"], undecided=True) in half.remarks and undecided(half.remarks)
    new = publish_edited(settings, "m", 1, {"inputs": [{"name": name, "kind": "string"} for name in ("name", "code")]})
    assert [field.kind for field in new.signature.inputs] == [Kind.STRING, Kind.STRING, Kind.NUMBER]
    assert asked(settings, new, frame.values.tolist()).values == estimator.predict(frame).tolist()
    assert not undecided(new.remarks)


def test_assumptions_that_remain_are_said_under_the_new_names() -> None:
    old = Signature(
        numbers("a", "b", "it's"), (Output(OutputKind.NUMBER, name="y0"), Output(OutputKind.NUMBER, name="y1"))
    )
    edits = {"inputs": {"a": {"kind": "integer"}, "b": {"name": "width"}}, "outputs": {"y1": {"name": "price"}}}
    new = edit_signature(old, InputFormat.ARRAY, edits)
    another = Remark("another")
    for make in (
        unknown_kinds,
        partial(unknown_kinds, assumed="dates", undecided=True),
        partial(unknown_whole_numbers, sampled=True),
        partial(unknown_whole_numbers, sampled=False),
    ):
        said = [another, make(["a", "b", "it's"]), make(["a"])]
        assert remaining(said, old, new) == [another, make(["width", "it's"])]
    assert remaining([unknown_outputs(["y0", "y1"])], old, new) == [unknown_outputs(["y0"])]
    many = Signature(numbers(*(f"x{number}" for number in range(12))), ())
    fewer = edit_signature(many, InputFormat.ARRAY, {"inputs": {"x11": {"kind": "integer"}}})
    assert remaining([unknown_kinds(many.names)], many, fewer) == [unknown_kinds(many.names[:11])]


@pytest.mark.parametrize("unknown", ["error", "ignore"])
def test_categories_are_tried_with_the_encoder(settings: Settings, unknown: str) -> None:
    columns = make_column_transformer((OneHotEncoder(handle_unknown=unknown), ["plan"]), remainder="passthrough")
    imported(settings, make_pipeline(columns, LogisticRegression()).fit(FRAME, TARGET))
    more = {"inputs": {"plan": {"categories": ["basic", "gold", "plus", "silver"]}}}
    if unknown == "error":
        said = refusal(settings, more)
        assert "does not work with the new categories of 'plan' (ValueError: Found unknown categories" in said
        said = refusal(settings, {"inputs": {"plan": {"categories": None}}})
        assert "does not work with a new text in 'plan' (ValueError" in said
        fewer = publish_edited(settings, "m", 1, {"inputs": {"plan": {"categories": ["gold"]}}})
        assert {row[0] for row in fewer.golden.rows} == {"gold"}
        assert fewer.example["plan"] == "gold"
    else:
        assert publish_edited(settings, "m", 1, more).signature.inputs[0].categories == (
            "basic",
            "gold",
            "plus",
            "silver",
        )


def _widths(matrix: Any) -> Any:
    return np.char.str_len(np.asarray(matrix).astype(str))


def test_an_array_of_integers_holds_floats_once_an_input_is_a_number(settings: Settings) -> None:
    whole = np.arange(40).reshape(20, 2)
    estimator = make_pipeline(FunctionTransformer(_widths), LinearRegression()).fit(whole, range(20))
    old = imported(settings, estimator, "a,b\n0,1\n2,3\n20,31\n")
    assert old.artifact.input_dtype is InputDtype.INT64
    new = publish_edited(settings, "m", 1, {"inputs": {"a": {"kind": "number"}, "b": {"kind": "number"}}})
    assert new.artifact.input_dtype is InputDtype.FLOAT64
    row = [(0.5, 1.25)]
    assert asked(settings, new, row).values == estimator.predict(np.array(row)).tolist()
    assert not any("written as 1 or as 1.0" in warning for warning in new.warnings)


def test_an_edit_that_would_change_the_answers_to_unchanged_rows_is_refused(settings: Settings) -> None:
    ages = pd.DataFrame({"age": [5, 20, 300, 4000] * 5})
    estimator = make_pipeline(FunctionTransformer(_widths), LinearRegression()).fit(ages, range(20))
    imported(settings, estimator, "age\n20\n30\n5\n")
    assert Repository(settings.models_dir).manifest("m", 1).signature.inputs[0].kind is Kind.INTEGER
    assert "would answer rows differently" in refusal(settings, {"inputs": {"age": {"nullable": True}}})


def test_several_outputs_and_the_numbers_of_a_method_get_names(settings: Settings) -> None:
    targets = np.column_stack([y, y % 2])
    outputs = (Output(OutputKind.CLASS, (0, 1, 2), True, name="a"), Output(OutputKind.CLASS, (0, 1), True, name="b"))
    estimator = MultiOutputClassifier(LogisticRegression()).fit(X, targets)
    signature = Signature(numbers("x0", "x1"), outputs)
    old = write_version(settings.models_dir, "m", estimator, signature.inputs, signature=signature)
    new = publish_edited(
        settings, "m", 1, {"outputs": {"a": {"name": "species"}, "b": {"labels": {"0": "even", "1": "odd"}}}}
    )
    ours, theirs = asked(settings, old, X.tolist()), asked(settings, new, X.tolist())
    for before, after in zip(ours.values, theirs.values, strict=True):
        assert isinstance(before, dict)
        assert after == {"species": before["a"], "b": "odd" if before["b"] else "even"}
    for before, after in zip(ours.probabilities or (), theirs.probabilities or (), strict=True):
        assert isinstance(before, dict)
        assert after == {"species": before["a"], "b": {"even": before["b"]["0"], "odd": before["b"]["1"]}}


def test_the_numbers_of_a_method_get_as_many_names_as_there_are(settings: Settings) -> None:
    signature = Signature(numbers("x0", "x1"), (), methods=(Method("transform", AnswerForm.NUMBERS),))
    old = write_version(settings.models_dir, "m", PCA(2).fit(X), signature.inputs, signature=signature)
    assert "with an array of the shape (2, 2) for 2 rows, and 3 names are given" in refusal(
        settings, {"methods": {"transform": {"names": [*"abc"]}}}
    )
    new = publish_edited(settings, "m", 1, {"methods": {"transform": {"names": ["first", "second"]}}})
    assert new.signature.methods[0].names == ("first", "second")
    ours, theirs = (asked(settings, manifest, X.tolist(), "transform").values for manifest in (old, new))
    assert theirs == [dict(zip(("first", "second"), row, strict=True)) for row in ours if isinstance(row, list)]
    assert len(new.golden.rows) == 2


def test_records_keep_their_names_and_change_their_kinds(settings: Settings) -> None:
    rows = [{"city": "Rome", "n": 1.0}, {"city": "Oslo", "n": 2.0}] * 5
    estimator = make_pipeline(DictVectorizer(), LogisticRegression()).fit(rows, [0, 1] * 5)
    signature = Signature(
        (Field("city", Kind.NUMBER, guessed=True), Field("n", Kind.NUMBER)),
        (Output(OutputKind.CLASS, (0, 1), True),),
        format=RowFormat.RECORDS,
    )
    changes: dict[str, Any] = {"signature": signature, "input_format": InputFormat.RECORDS}
    made = write_version(settings.models_dir, "m", estimator, signature.inputs, example=rows[0], **changes)
    answer = asked(settings, made, [(rows[0],), (rows[1],)])
    golden = Golden(((rows[0],), (rows[1],)), tuple(answer.values), tuple(answer.probabilities or ()))
    shutil.rmtree(settings.models_dir / "m")
    write_version(settings.models_dir, "m", estimator, signature.inputs, example=rows[0], golden=golden, **changes)
    new = publish_edited(settings, "m", 1, {"inputs": {"city": {"kind": "string"}}})
    assert new.signature.inputs[0] == Field("city", Kind.STRING)
    assert new.golden.rows == golden.rows
    assert new.example == rows[0]


def test_an_altered_or_unsigned_version_is_not_signed_again(settings: Settings, root: Path, tmp_path: Path) -> None:
    imported(settings, LogisticRegression().fit(X, y))
    private, public = make_keys(tmp_path / "keys")
    signing = dataclasses.replace(settings, signing_key=private, verify_key=public)
    with pytest.raises(ModelgateError, match="python -m trainer sign --model m --version 1") as refused:
        publish_edited(signing, "m", 1, WORDS)
    assert refused.value.failure.code == Code.NOT_TRUSTED
    folder = Repository(root).files("m", 1).folder
    key = signing.signing_key
    assert key
    from scoring.key_files import private_key

    text = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json.sig").write_bytes(private_key(key).sign(text))
    new = publish_edited(signing, "m", 1, WORDS)
    Trust.from_settings(signing).check(new, Repository(root).files("m", new.version))
    (folder / "model.joblib").write_bytes(pickle.dumps(LogisticRegression().fit(X, y[::-1])))
    with pytest.raises(ModelgateError) as corrupt:
        publish_edited(signing, "m", 1, {"id_field": "key"})
    assert corrupt.value.failure.code == Code.ARTIFACT_CORRUPT


def test_skops_files_are_edited_under_pickle_deny_and_pickles_are_not(settings: Settings, tmp_path: Path) -> None:
    denying = dataclasses.replace(settings, pickle="deny")
    (tmp_path / "m.skops").write_bytes(skops.io.dumps(LogisticRegression().fit(X, y)))
    import_file(denying, "m", tmp_path / "m.skops")
    assert publish_edited(denying, "m", 1, WORDS).artifact.file == "model.skops"
    imported(settings, LogisticRegression().fit(X, y))
    with pytest.raises(ModelgateError, match="PICKLE=deny"):
        publish_edited(denying, "m", 3, WORDS)


def test_an_edited_version_names_the_libraries_that_made_its_artifact(settings: Settings) -> None:
    libraries = {**library_versions(), "scipy": "1.11.4"}
    output = Output(OutputKind.CLASS, (0, 1, 2), probabilities=True)
    write_version(
        settings.models_dir, "m", LogisticRegression().fit(X, y), numbers("a", "b"), output, libraries=libraries
    )
    new = publish_edited(settings, "m", 1, WORDS)
    assert new.libraries == libraries
    assert set(asked(settings, new, X.tolist()).values) == {"setosa", "versicolor", "virginica"}


def test_a_report_is_kept_while_it_is_true(settings: Settings) -> None:
    rows = "\n".join(f"{a},{b},{target}" for (a, b), target in zip(X.tolist(), y.tolist(), strict=True))
    imported(settings, LogisticRegression().fit(pd.DataFrame(X, columns=["a", "b"]), y), f"a,b,target\n{rows}\n")
    files = functools.partial(Repository(settings.models_dir).files, "m")
    (files(1).folder / "report" / ROW_HASHES_FILE).write_bytes(b"12345678")
    before = json.loads(files(1).report("report.json"))
    publish_edited(settings, "m", 1, {"inputs": {"a": {"aliases": ["A"]}}})
    after = json.loads(files(2).report("report.json"))
    assert (after["version"], after["notes"]) == (2, "signature edited from version 1")
    assert {name for name in before if before[name] != after[name]} == {"version", "notes", "created_at", "usage"}
    assert "m@2/predict" in files(2).report("report.html").decode()
    publish_edited(settings, "m", 1, WORDS)
    card = ["card.json", "card.md"]
    assert sorted(os.listdir(files(3).folder / "report")) == [BACKGROUND_FILE, *card, ROW_HASHES_FILE]
    publish_edited(settings, "m", 1, {"inputs": {"a": {"kind": "integer"}}})
    assert ROW_HASHES_FILE not in os.listdir(files(4).folder / "report")


def test_the_background_keeps_the_rows_that_fit(settings: Settings) -> None:
    rows = "\n".join(f"{a},{b}" for a, b in [[1, 2.5], [3, 4.0], [5.5, 6.0]])
    imported(settings, LogisticRegression().fit(pd.DataFrame(X, columns=["a", "b"]), y), f"a,b\n{rows}\n")
    files = functools.partial(Repository(settings.models_dir).files, "m")
    assert sorted(json.loads(files(1).report(BACKGROUND_FILE))) == [[1.0, 2.5], [3.0, 4.0], [5.5, 6.0]]
    publish_edited(settings, "m", 1, {"inputs": {"a": {"aliases": ["age"]}}})
    assert sorted(json.loads(files(2).report(BACKGROUND_FILE))) == [[1.0, 2.5], [3.0, 4.0], [5.5, 6.0]]
    publish_edited(settings, "m", 1, {"inputs": {"a": {"kind": "integer"}}})
    assert sorted(json.loads(files(3).report(BACKGROUND_FILE))) == [[1, 2.5], [3, 4.0]]
    (files(1).folder / "report" / BACKGROUND_FILE).write_text("{")
    publish_edited(settings, "m", 1, {"inputs": {"b": {"aliases": ["income"]}}})
    assert not files(4).has_report(BACKGROUND_FILE)


def test_no_alias_moves_and_old_versions_are_kept_by_need(settings: Settings, root: Path) -> None:
    imported(settings, LogisticRegression().fit(X, y))
    move_alias(RepositoryWriter(root), "m", "current", 1)
    few = dataclasses.replace(settings, keep_versions=1)
    for name in ("a", "b"):
        publish_edited(few, "m", 1, {"id_field": name})
    assert (Repository(root).aliases("m"), Repository(root).versions("m")) == ({"current": 1}, [1, 3])


def test_a_missing_version_is_said(settings: Settings) -> None:
    with pytest.raises(ModelgateError) as missing:
        publish_edited(settings, "m", 7, WORDS)
    assert missing.value.failure.code == Code.MODEL_NOT_FOUND
