"""The columns that a sender declares stand where a sample's names and kinds would stand."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from contract.model.manifest import InputFormat, ManifestDraft
from contract.model.signature import Field, Format, Kind
from contract.rows.coercion import coerce
from contract.settings import Settings
from gateway.protocols import csv_rows
from trainer.importing import Refused
from trainer.importing.inbox.imports import import_file
from trainer.importing.trial.examine import examine

X, y = np.arange(40.0).reshape(20, 2), np.arange(20) // 10
FRAME = pd.DataFrame({"age": range(20), "member": [True, False] * 10, "city": ["Rome", "Oslo"] * 10, "km": X[:, 0] / 3})
SCALED = make_pipeline(
    make_column_transformer((StandardScaler(), ["age", "member", "km"]), (OneHotEncoder(), ["city"])),
    LogisticRegression(),
).fit(FRAME, y)
COLUMNS = {"age": "integer", "member": "boolean", "city": "string", "km": "number"}


def declared(columns: dict[str, str], **nullable: bool) -> list[dict[str, Any]]:
    return [
        {"name": name, "kind": kind, **({"nullable": nullable[name]} if name in nullable else {})}
        for name, kind in columns.items()
    ]


def tried(tmp_path: Path, model: Any, columns: list[dict[str, Any]], sample: str | None = None) -> ManifestDraft:
    file, rows = tmp_path / "file", tmp_path / "sample.csv"
    file.write_bytes(pickle.dumps(model))
    if sample is not None:
        rows.write_text(sample)
    return examine("m", file, rows if sample is not None else None, columns=columns).draft


def kinds(draft: ManifestDraft) -> dict[str, str]:
    return {field.name: str(field.kind) for field in draft.signature.inputs}


def test_an_input_has_the_declared_kind_without_a_sample(tmp_path: Path) -> None:
    draft = tried(tmp_path, SCALED, declared(COLUMNS))
    assert kinds(draft) == COLUMNS
    assert not any(field.guessed for field in draft.signature.inputs) and draft.warnings == ()
    assert draft.profile is None  # no rows are made up


def test_declared_columns_name_those_of_an_array(tmp_path: Path) -> None:
    draft = tried(tmp_path, LogisticRegression().fit(X, y), declared({"width": "number", "height": "integer"}))
    assert kinds(draft) == {"width": "number", "height": "integer"}
    assert draft.artifact.input_format is InputFormat.ARRAY


def test_a_declared_kind_is_that_of_a_step_that_tells_nothing(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(), OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    frame = pd.DataFrame({"code": ["1", "2"] * 10})
    sample = "code\n1\n2\n"
    assert kinds(tried(tmp_path, model.fit(frame, y), declared({"code": "string"}), sample)) == {"code": "string"}


DAYS = pd.DataFrame({"day": pd.date_range("2025-07-05", periods=20, freq="11D"), "member": [True, False] * 10})


def age(frame: pd.DataFrame) -> Any:
    return np.c_[(frame["day"] - pd.Timestamp("2025-01-01")).dt.days, frame["member"]]


OF_DAYS = make_pipeline(FunctionTransformer(age), LogisticRegression()).fit(DAYS, y)


@pytest.mark.parametrize(
    ("written", "rows", "format_", "warned"),
    [
        ("%d.%m.%Y", 20, Format.DAY_FIRST, False),
        ("%m/%d/%Y", 20, Format.MONTH_FIRST, False),
        ("%d-%b-%Y", 20, Format.MONTH_NAMED, False),
        ("%Y-%m-%d", 20, None, False),
        ("%m/%d/%Y", 1, Format.MONTH_FIRST, True),
    ],
)
def test_dates_and_booleans_of_a_spreadsheet_are_read_as_the_sample_has_them(
    tmp_path: Path, written: str, rows: int, format_: Format | None, warned: bool
) -> None:
    def line(day: pd.Timestamp, member: bool) -> str:
        return f"{day.strftime(written)},{'WAHR' if member else 'FALSCH'}\n"

    sample = "day,member\n" + "".join(line(*row) for row in DAYS[:rows].itertuples(index=False))
    draft = tried(tmp_path, OF_DAYS, declared({"day": "datetime", "member": "boolean"}), sample)
    assert [field.format for field in draft.signature.inputs] == [format_, None]
    assert any("could begin with the day or with the month" in warning for warning in draft.warnings) is warned
    body = csv_rows.read(f"day,member\n{line(pd.Timestamp('2025-09-07'), True)}".encode())
    assert coerce(body, draft.signature).rows == [("2025-09-07T00:00:00+00:00", True)]


def test_words_of_a_sample_that_may_be_booleans_stay_words_where_nothing_else_shows_a_boolean(tmp_path: Path) -> None:
    draft = tried(tmp_path, AsIs(), [], "paid,day\nWAHR,24.07.2025\nFALSCH,25.07.2025\n")
    assert kinds(draft) == {"paid": "string", "day": "string"}


class AsIs(BaseEstimator):
    """Tells nothing about its columns."""

    n_features_in_ = 2

    def predict(self, X: Any) -> Any:
        return np.arange(float(len(X)))


class Total(BaseEstimator):
    """Takes columns by their names, and was fitted on nothing that has some."""

    n_features_in_ = 2

    def predict(self, X: Any) -> Any:
        return X["a"].to_numpy() + 2 * X["b"].to_numpy()


def test_code_of_the_users_own_gets_the_declared_columns_by_their_names(tmp_path: Path) -> None:
    draft = tried(tmp_path, Total(), declared({"b": "number", "a": "integer"}))
    assert draft.artifact.input_format is InputFormat.DATAFRAME
    assert kinds(draft) == {"b": "number", "a": "integer"}


def test_null_is_taken_where_it_is_declared_and_the_model_answers_it(tmp_path: Path) -> None:
    forest = RandomForestClassifier(3).fit(pd.DataFrame(X, columns=["a", "b"]), y)
    draft = tried(tmp_path, forest, declared({"a": "number", "b": "number"}, a=True))
    assert draft.signature.inputs[0].nullable
    linear = LogisticRegression().fit(pd.DataFrame(X, columns=["a", "b"]), y)
    draft = tried(tmp_path, linear, declared({"a": "number", "b": "number"}, a=True))
    assert not draft.signature.inputs[0].nullable


def test_null_is_refused_where_that_is_declared_although_the_model_takes_nan(tmp_path: Path) -> None:
    forest = RandomForestClassifier(3).fit(pd.DataFrame(X, columns=["a", "b"]), y)
    draft = tried(tmp_path, forest, declared({"a": "number", "b": "number"}, a=False))
    assert [field.nullable for field in draft.signature.inputs] == [False, True]
    sample = "a,b\n1,2\n,3\n"  # rows of the model show more
    draft = tried(tmp_path, forest, declared({"a": "number", "b": "number"}, a=False), sample)
    assert [field.nullable for field in draft.signature.inputs] == [True, True]


def test_columns_that_the_model_was_not_fitted_on_are_refused(tmp_path: Path) -> None:
    model = LogisticRegression().fit(pd.DataFrame(X, columns=["a", "b"]), y)
    for columns in ({"a": "number", "c": "number"}, {"a": "number"}, {"a": "number", "b": "number", "c": "number"}):
        with pytest.raises(Refused, match="was fitted on 'a', 'b', and the columns that are declared for it are 'a'"):
            tried(tmp_path, model, declared(columns))
    with pytest.raises(Refused, match=r"lists 3 columns .* beside a model that takes 2"):
        tried(tmp_path, LogisticRegression().fit(X, y), declared(dict.fromkeys("abc", "number")))


def test_a_kind_that_contradicts_the_model_is_warned_about(tmp_path: Path) -> None:
    draft = tried(tmp_path, SCALED, declared({**COLUMNS, "city": "number"}))
    assert kinds(draft) == COLUMNS
    assert draft.warnings == ("'city' is said to be a number, and the model was fitted on a string: it takes a string",)


def test_the_only_declared_column_is_that_of_the_texts(tmp_path: Path) -> None:
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(["a word", "more words"] * 10, y)
    draft = tried(tmp_path, model, declared({"message": "string"}))
    assert draft.signature.inputs == (Field("text", Kind.STRING, aliases=("message",)),)


@pytest.mark.slow
def test_declared_columns_reach_the_process_that_tries_a_model(tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(SCALED))
    settings = Settings(models_dir=tmp_path / "models", state_dir=tmp_path)
    (tmp_path / "models").mkdir()
    manifest = import_file(settings, "m", file, columns=json.loads(json.dumps(declared(COLUMNS))))
    assert {field.name: str(field.kind) for field in manifest.signature.inputs} == COLUMNS
