"""Rows of Python as JSON, and JSON as what an estimator returns."""

from __future__ import annotations

import ast
import datetime
import io
import json
import pickle
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import modelgate
import numpy as np
import pandas as pd
import pytest
from modelgate import profiles
from modelgate.answers import Answers
from modelgate.errors import failure_of
from modelgate.forms import Form
from modelgate.publishing import sample_of, signature_of, target_of
from modelgate.rows import Inputs, rows_of
from scipy import sparse

from scoring.key_files import private_key
from trainer.importing.files import signatures
from trainer.publishing.signing import make_keys

TABLE = Inputs(("a", "b"), ("number", "string"), "dataframe", "table")
ARRAY = Inputs(("x0", "x1"), ("number", "number"), "array", "table")
ONE_COLUMN = Inputs(("a",), ("string",), "dataframe", "table")
TEXTS = Inputs(("text",), ("string",), "texts", "texts")


def sent(X: Any, inputs: Inputs | None) -> Any:
    rows = rows_of(X, inputs)
    return json.loads(rows.body(0, rows.count))


def test_what_json_lacks_becomes_null_text_or_a_number() -> None:
    frame = pd.DataFrame({"a": [True, False], "b": [datetime.date(2026, 1, 2), pd.NaT]})
    assert sent(frame, TABLE) == {"columns": {"a": [1, 0], "b": ["2026-01-02", None]}}
    assert sent(np.array([[1.5, np.nan]]), ARRAY) == [[1.5, None]]
    assert sent([[np.float32(0.5), pd.NA]], ARRAY) == [[0.5, None]]
    assert sent(pd.DataFrame({"a": pd.Categorical(["x"]), "b": pd.array([None], dtype="Int64")}), None) == {
        "columns": {"a": ["x"], "b": [None]}
    }
    assert sent(sparse.csr_matrix([[0.0, 2.0]]), ARRAY) == [[0.0, 2.0]]
    with pytest.raises(ValueError, match="contain infinity"):
        sent([[np.inf, 1.0]], ARRAY)
    with pytest.raises(ValueError, match="a row has a object, which JSON cannot hold"):
        sent([[object(), 1.0]], ARRAY)


def test_columns_go_by_name_and_to_a_model_without_names_by_position() -> None:
    frame = pd.DataFrame({"p": [1.0], "q": [2.0]})
    assert sent(frame, ARRAY) == [[1.0, 2.0]]
    assert sent(frame.set_axis(["x1", "x0"], axis=1), ARRAY) == {"columns": {"x1": [1.0], "x0": [2.0]}}
    assert sent(frame.set_axis(["columns", "q"], axis=1), TABLE) == {"inputs": {"columns": [1.0], "q": [2.0]}}
    assert sent(frame.set_axis(["columns", "inputs"], axis=1), TABLE) == [{"columns": 1.0, "inputs": 2.0}]
    with pytest.raises(ValueError, match="two columns of the DataFrame have the same name"):
        sent(frame.set_axis(["a", "a"], axis=1), TABLE)
    assert sent(pd.Series(["one", "two"]), TEXTS) == ["one", "two"]


def test_a_dict_of_columns_goes_as_the_data_frame_of_it() -> None:
    columns: dict[str, Any] = {"a": [True, False], "b": ["x", None]}
    assert sent(columns, TABLE) == sent(pd.DataFrame(columns), TABLE) == {"columns": {"a": [1, 0], "b": ["x", None]}}
    mixed = {"p": np.array([1.5, np.nan]), "q": pd.Series([1, 2])}
    assert sent(mixed, ARRAY) == sent(pd.DataFrame(mixed), ARRAY) == [[1.5, 1], [None, 2]]
    assert sent({}, TABLE) == {"columns": {}}
    with pytest.raises(modelgate.Invalid, match=r"must hold columns, such as .*: put one row in \[\]"):
        sent({"a": 1.5, "b": "x"}, TABLE)
    with pytest.raises(modelgate.Invalid, match=r"must have the same length; they have {'a': 1, 'b': 2}"):
        sent({"a": [1], "b": ["x", "y"]}, TABLE)


def test_frames_of_polars_go_as_those_of_pandas_also_before_they_are_collected() -> None:
    import polars as pl

    frame = pl.DataFrame({"a": [1.5, None], "b": ["x", "y"], "when": [datetime.date(2026, 1, 2), None]})
    wanted = {"columns": {"a": [1.5, None], "b": ["x", "y"], "when": ["2026-01-02", None]}}
    assert sent(frame, TABLE) == sent(frame.lazy(), TABLE) == wanted
    assert sent(frame.lazy().filter(pl.col("b") == "y").select("b"), TABLE) == {"columns": {"b": ["y"]}}
    assert sent(frame["b"], TEXTS) == ["x", "y"]


@pytest.mark.parametrize("values", [[None, 1.5], [1.5, None], ["a", None], [None, "a"], [None, None]])
def test_the_values_of_one_column_are_a_row_each_wherever_a_null_is(values: list[Any]) -> None:
    for column in (values, np.array(values, dtype=object), pd.Series(values, dtype=object)):
        assert sent(column, ONE_COLUMN) == [[value] for value in values]
        with pytest.raises(ValueError, match="Expected 2D array, got 1D array instead"):
            sent(column, ARRAY)
        assert sent(column, TEXTS) == values


def test_large_bodies_are_cut() -> None:
    rows = rows_of(np.ones((25_000, 40)), None)
    spans = rows.spans()[::-1]
    assert spans[0][0] == 0 and spans[-1][1] == 25_000 and all(a[1] == b[0] for a, b in pairwise(spans))
    assert max(stop - start for start, stop in spans) <= 10_000


def test_answers_have_the_type_that_the_method_returned() -> None:
    def answers(form: str, values: list[Any], names: Any = None, **returned: Any) -> Any:
        return Answers("predict", form, names, returned).decoded(values, pd.Index(["r0", "r1"]))

    assert answers("outputs", [1.0, 2.0], type="ndarray", dtypes=["int64"]).dtype == np.int64
    for dtype, largest in (("int64", 2**63 - 1), ("uint64", 2**64 - 1)):
        long = answers("outputs", [5.0, 2**53 + 1, largest], type="ndarray", dtypes=[dtype])
        assert (long.dtype, long.tolist()) == (dtype, [5, 2**53 + 1, largest])
    assert answers("outputs", ["a", "bc"], type="ndarray", dtypes=["<U7"]).dtype == "<U7"
    assert answers("outputs", ["a", "bc"], type="ndarray", dtypes=["object"]).dtype == object
    assert np.isnan(answers("outputs", [None, 1.0], type="ndarray", dtypes=["float32"])[0])
    assert answers("outputs", [1.0, 2.0], type="ndarray", dtypes=["float64"], width=1).shape == (2, 1)
    series = answers("outputs", [1.0, 2.0], type="series", dtypes=["float64"])
    pd.testing.assert_series_equal(series, pd.Series([1.0, 2.0], index=["r0", "r1"]))
    frame = answers("named", [{"p": 1, "q": 2.5}] * 2, ["p", "q"], type="dataframe", dtypes=["int64", "float64"])
    pd.testing.assert_frame_equal(frame, pd.DataFrame({"p": [1, 1], "q": [2.5, 2.5]}, index=["r0", "r1"]))
    matrix = answers("nonzero", [{"3": 1.5}, {}], type="csr_matrix", dtypes=["float64"], width=9)
    assert type(matrix) is sparse.csr_matrix and matrix.shape == (2, 9) and matrix[0, 3] == 1.5
    logs = Answers("predict_log_proba", "labels").decoded([{"no": None, "yes": 0.0}])
    assert logs.tolist() == [[-np.inf, 0.0]]


def test_a_sample_is_a_csv_with_the_target_last() -> None:
    frame = pd.DataFrame({"a": [1.5, None], "b": ['x, "y"', "z"]})
    assert sample_of(frame, pd.Series([True, False], name="good")) == b'a,b,good\n1.5,"x, ""y""",True\n,z,False\n'
    assert sample_of(np.eye(2), [1, 0]) == b"x0,x1,target\n1.0,0.0,1\n0.0,1.0,0\n"
    assert sample_of(["win money"], ["spam"]) == b"text,target\nwin money,spam\n"
    assert sample_of([{"a": 1}]) is None
    for convert in (sparse.csr_matrix, sparse.coo_matrix, sparse.csc_array, sparse.dia_matrix):
        assert sample_of(convert(np.eye(2)), [1, 0]) == b"x0,x1,target\n1.0,0.0,1\n0.0,1.0,0\n"


def test_the_target_of_a_sample_has_a_name_that_no_input_has() -> None:
    frame = pd.DataFrame({"target": [1, 2], "target_": [3, 4], " y": [5, 6]})
    assert sample_of(frame, [7, 8]) == b"target,target_, y,target__\n1,3,5,7\n2,4,6,8\n"
    for y, name in (([1, 0], "target__"), (pd.Series([1, 0], name="y"), "y_"), (pd.Series([1, 0], name=3), "3")):
        assert target_of(frame, y) == name
    assert target_of(np.eye(2), pd.Series([1, 0], name="x1")) == "x1_"
    for several in (pd.DataFrame({"a": [1, 0], "b": [0, 1]}), np.eye(2), [[1, 0], [0, 1]], None):
        assert target_of(frame, several) is None
        assert sample_of(np.eye(2), several) == b"x0,x1\n1.0,0.0\n0.0,1.0\n"


@pytest.mark.parametrize("convert", [np.array, pd.DataFrame, sparse.csr_matrix, np.ndarray.tolist])
def test_the_rows_of_a_sample_are_spread_over_all_rows_which_may_be_sorted(convert: Any) -> None:
    sent = pd.read_csv(io.BytesIO(sample_of(convert(np.arange(1.0, 2501).reshape(-1, 1)), np.arange(2500)) or b""))
    rows = sent.iloc[:, 0]
    assert len(sent) == 1000 and rows.is_monotonic_increasing and (rows.min(), rows.max()) == (1, 2498)
    assert rows.diff().max() == 3 and (sent["target"] == rows - 1).all()


def test_a_signature_is_the_one_that_make_sign_makes(tmp_path: Path) -> None:
    private, _ = make_keys(tmp_path / "keys")
    (tmp_path / "loan.pkl").write_bytes(b"a pickle")
    (tmp_path / "rows.csv").write_bytes(b"a,b")
    beside = signatures.sign(private_key(private), "loan", tmp_path / "loan.pkl", tmp_path / "rows.csv")
    parts: dict[str, tuple[str, bytes | Path]] = {"file": ("x", b"a pickle"), "sample": ("y", tmp_path / "rows.csv")}
    assert signature_of("loan", parts, private) == beside.read_bytes()
    with pytest.raises(modelgate.ModelgateError, match=r"the signing key .* cannot be read"):
        signature_of("loan", parts, tmp_path / "loan.pkl")


def test_a_form_is_read_in_pieces_and_again(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"a" * 100_000)
    form = Form({"request": "{}"}, {"file": ("rows.csv", tmp_path / "rows.csv")})
    seen: list[tuple[int, int]] = []
    first, second = (form.open(lambda done, total: seen.append((done, total))) for _ in range(2))
    whole = b"".join(iter(lambda: first.read(4096), b""))
    assert len(whole) == len(second) == seen[-1][0] == seen[-1][1]
    assert whole == b"".join(iter(lambda: second.read(1 << 20), b""))


def test_profiles_are_kept_for_their_owner_and_a_key_goes_only_to_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # not where `make up` has left its address
    assert profiles.resolve() == profiles.Profile(profiles.LOCAL)
    profiles.save("team", 'https://models.example.org/"x"', "mg_team")
    profiles.save("local", profiles.LOCAL)
    assert profiles.path().stat().st_mode & 0o777 == 0o600
    assert profiles.resolve() == profiles.Profile('https://models.example.org/"x"', "mg_team")
    assert "mg_team" not in repr(profiles.resolve())
    profiles.use("local")
    assert profiles.resolve().url == profiles.LOCAL
    monkeypatch.setenv("MODELGATE_PROFILE", "team")
    assert profiles.resolve(api_key="mg_other").api_key == "mg_other"
    assert profiles.resolve(api_key="").api_key is None
    monkeypatch.setenv("MODELGATE_URL", "https://elsewhere.example.org")
    assert profiles.resolve() == profiles.Profile("https://elsewhere.example.org")
    assert profiles.resolve(profile="team").api_key == "mg_team"
    with pytest.raises(modelgate.ModelgateError, match=r"there is no profile 'staging' in .*; there are: local, team"):
        profiles.resolve(profile="staging")
    with pytest.raises(modelgate.ModelgateError, match=r"and the profile 'team' may differ; give one of them"):
        profiles.resolve("https://elsewhere.example.org", profile="team")
    profiles.remove("team")
    assert list(profiles.read()) == ["local"]


@pytest.mark.parametrize(
    "error",
    [
        failure_of({"id": "1", "status": "failed", "error": {"message": "no", "details": {"exception": "ValueError"}}}),
        failure_of({"id": "1", "status": "canceled"}),
        modelgate.Unreachable("no Modelgate answers"),
        modelgate.Invalid("two rows", status=422, errors=[{"row": 0, "message": "bad"}]),
    ],
)
def test_an_error_reaches_another_process_whole(error: modelgate.ModelgateError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_any_name_and_key_of_a_profile_can_be_read_again() -> None:
    for text in ("🚀", 'ü"\\', "a\x7f\x1b\n\u2028"):
        profiles.save(text, profiles.LOCAL, text)
        assert profiles.read()[text].api_key == text


@pytest.mark.parametrize(
    ("files", "allowed"), [("*.py", {"platformdirs", "requests"}), ("command/**/*.py", {"requests", "rich", "typer"})]
)
def test_the_client_imports_what_its_wheel_asks_for_and_nothing_of_the_server(files: str, allowed: set[str]) -> None:
    """Inside of functions it uses what the caller has: numpy, pandas, scipy, cloudpickle, cryptography."""
    for path in Path(modelgate.__file__).parent.glob(files):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.partition(".")[0]
                assert top in {*sys.stdlib_module_names, *allowed, "modelgate"}, (path.name, name)
                assert "typer" in allowed or not name.startswith("modelgate.command")
