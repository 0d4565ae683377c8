"""Imports of models whose rows are texts or records."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from contract.model.manifest import InputFormat, ManifestDraft
from contract.model.signature import Field, Kind, RowFormat
from contract.rows.coercion import coerce
from contract.rows.csv_cells import as_json_cells
from contract.rows.instances import Records
from scoring.predict import predict
from tests.trainer.importing.imported import refusal, said, tried

MAILS = ["win money now", "free cash offer", "meeting at noon", "see you at lunch"] * 6
LABELS = ["spam", "spam", "ham", "ham"] * 6
VISITS: list[dict[str, Any]] = [
    {"city": "Rome", "visits": 1},
    {"city": "Oslo", "visits": 2.5, "plan": "free"},
    {"visits": 3, "tags": ["new", "big"], "plan": 2},
    {"city": "Rome"},
] * 6
TEXT = Field("text", Kind.STRING)


def spam_filter(*steps: Any) -> Any:
    return make_pipeline(*(steps or (TfidfVectorizer(),)), LogisticRegression())


def lowered(texts: Any) -> Any:
    return texts.str.lower()


def lowered_if_a_series(texts: Any) -> Any:
    return texts.str.lower() if isinstance(texts, pd.Series) else texts


def joined(frame: Any) -> Any:
    return frame["subject"] + " " + frame["body"]


def in_a_list(texts: list[str]) -> list[str]:
    return texts + []


def lengths(texts: Any) -> Any:
    return np.array([[len(text)] for text in texts])


def same(words: Any) -> Any:
    return words


def answers(estimator: Any, draft: ManifestDraft, rows: Sequence[Any]) -> Any:
    return predict(estimator, draft, rows).values


@pytest.mark.parametrize(
    "model",
    [
        spam_filter(),
        spam_filter(CountVectorizer(ngram_range=(1, 2))),
        spam_filter(HashingVectorizer(n_features=64)),
        spam_filter(make_union(TfidfVectorizer(), CountVectorizer(analyzer="char_wb", ngram_range=(2, 3)))),
        spam_filter(make_union(FunctionTransformer(lengths), TfidfVectorizer())),
        GridSearchCV(spam_filter(), {"logisticregression__C": [1.0]}, cv=2),
        CalibratedClassifierCV(make_pipeline(TfidfVectorizer(), MultinomialNB()), cv=2),
    ],
    ids=lambda model: str(model)[:60],
)
def test_a_model_of_texts_takes_texts(tmp_path: Path, model: Any) -> None:
    model.fit(MAILS, LABELS)
    draft = tried(tmp_path, cloudpickle.dumps(model))
    own_code_first = "FunctionTransformer" in str(model)
    assert draft.signature.format is RowFormat.TEXTS
    assert draft.artifact.input_format is (InputFormat.SERIES if own_code_first else InputFormat.TEXTS)
    assert draft.signature.inputs == (TEXT,)
    assert said(draft) == ()
    some = [*MAILS[:4], "", "unknown words"]
    assert answers(model, draft, [(text,) for text in some]) == model.predict(some).tolist()


def test_rows_to_try_a_model_of_texts_are_made_of_its_words(tmp_path: Path) -> None:
    draft = tried(tmp_path, spam_filter().fit(MAILS, LABELS))
    known = {word for mail in MAILS for word in mail.split()}
    assert {word for (text,) in draft.golden.rows for word in text.split()} == known
    assert set(draft.golden.predictions) == {"spam", "ham"}
    assert draft.example == {"text": draft.golden.rows[0][0]}


@pytest.mark.parametrize("function", [lowered, lowered_if_a_series])
def test_a_step_that_reads_a_series_gets_one(tmp_path: Path, function: Any) -> None:
    model = spam_filter(FunctionTransformer(function), TfidfVectorizer(lowercase=False))
    model.fit(pd.Series(MAILS), LABELS)
    draft = tried(tmp_path, cloudpickle.dumps(model))
    assert (draft.signature.format, draft.artifact.input_format) == (RowFormat.TEXTS, InputFormat.SERIES)
    assert answers(model, draft, [("WIN Money",), ("LUNCH",)]) == ["spam", "ham"]


def test_a_step_that_reads_no_series_gets_a_list(tmp_path: Path) -> None:
    model = spam_filter(FunctionTransformer(in_a_list), TfidfVectorizer()).fit(MAILS, LABELS)
    draft = tried(tmp_path, cloudpickle.dumps(model))
    assert draft.artifact.input_format is InputFormat.TEXTS
    assert answers(model, draft, [("win money",)]) == ["spam"]


def test_the_sample_of_a_model_of_texts_names_its_column(tmp_path: Path) -> None:
    model = spam_filter().fit(MAILS, LABELS)
    for sample in ("message\nwin 5\n7\n", "label,message\nspam,win 5\nham,7\n", "id,text,note\n1,win 5,x\n2,7,y\n"):
        draft = tried(tmp_path, model, sample)
        name = "message" if "message" in sample else "text"
        assert draft.signature.inputs == (Field("text", Kind.STRING, aliases=() if name == "text" else (name,)),)
        assert draft.golden.rows == (("win 5",), ("7",))


def test_a_report_is_measured_on_a_sample_of_texts_with_its_target(tmp_path: Path) -> None:
    from trainer.importing.trial.examine import examine

    file, rows = tmp_path / "file", tmp_path / "rows.csv"
    file.write_bytes(cloudpickle.dumps(spam_filter().fit(MAILS, LABELS)))
    rows.write_text("mail,label\n" + "".join(f"{mail},{label}\n" for mail, label in zip(MAILS, LABELS, strict=True)))
    facts = examine("spam", file, rows).facts
    assert facts is not None
    assert facts["metrics"]["accuracy"] == 1.0


def test_texts_in_columns_are_a_table(tmp_path: Path) -> None:
    frame = pd.DataFrame({"subject": MAILS, "body": MAILS[::-1], "links": range(24)})
    columns = make_column_transformer(
        (TfidfVectorizer(), "subject"), (TfidfVectorizer(), "body"), remainder="passthrough"
    )
    model = spam_filter(columns).fit(frame, LABELS)
    draft = tried(tmp_path, model)
    assert draft.signature.format is RowFormat.TABLE
    assert [field.kind for field in draft.signature.inputs] == [Kind.STRING, Kind.STRING, Kind.NUMBER]
    assert draft.golden.rows[0][0].split()[0] in frame["subject"].str.cat(sep=" ")
    rows = list(frame.itertuples(index=False, name=None))
    assert answers(model, draft, rows) == model.predict(frame).tolist()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (spam_filter(TfidfVectorizer(input="filename")), "reads files (input='filename')"),
        (
            spam_filter(TfidfVectorizer(tokenizer=same, preprocessor=same, token_pattern=None)),
            "has a TfidfVectorizer that takes lists of words and not texts: its analyzer or tokenizer returns what it",
        ),
        (spam_filter(CountVectorizer(analyzer=same)), "has a CountVectorizer that takes lists of words and not texts"),
        (
            spam_filter(FeatureHasher(8, input_type="string")),
            "has a FeatureHasher that takes lists of texts (input_type='str",
        ),
    ],
    ids=["filename", "tokenizer", "analyzer", "string"],
)
def test_a_vectorizer_that_takes_no_texts_is_refused(tmp_path: Path, model: Any, said: str) -> None:
    (tmp_path / "mail").write_text("win money")
    reads_files = "filename" in said
    rows = [str(tmp_path / "mail")] * 24 if reads_files else [mail.split() for mail in MAILS]
    assert said in refusal(tmp_path, cloudpickle.dumps(model.fit(rows, LABELS)))


def test_a_model_of_records_takes_the_names_that_it_knows(tmp_path: Path) -> None:
    model = spam_filter(DictVectorizer()).fit(VISITS, LABELS)
    draft = tried(tmp_path, model)
    assert (draft.signature.format, draft.artifact.input_format) == (RowFormat.RECORDS, InputFormat.RECORDS)
    assert set(draft.signature.inputs) == {
        Field("city", Kind.STRING),
        Field("visits", Kind.NUMBER),
        Field("tags", Kind.STRING),
        Field("plan", Kind.NUMBER, guessed=True),
    }
    rows = coerce(Records([*VISITS[:4], {}, {"city": "Paris", "visits": True}]), draft.signature).rows
    assert answers(model, draft, rows) == model.predict([row[0] for row in rows]).tolist()
    assert draft.example == draft.golden.rows[0][0]
    assert {*draft.example} == {"city", "visits", "tags", "plan"}


def test_the_separator_and_the_names_of_a_dict_vectorizer_are_its_own(tmp_path: Path) -> None:
    rows = [{"a=b": 1.0, "city": "Rome"}, {"city": "Oslo"}] * 12
    draft = tried(tmp_path, spam_filter(DictVectorizer(separator=": ")).fit(rows, LABELS))
    assert set(draft.signature.inputs) == {Field("a=b", Kind.NUMBER), Field("city", Kind.STRING)}
    numbered: Any = [{1: 1.0, "city": "Rome"}] * 24
    model = spam_filter(DictVectorizer(sort=False)).fit(numbered, LABELS)
    assert "was fitted on records with the name 1, and names in JSON are texts" in refusal(tmp_path, model)


def test_a_number_in_a_record_may_be_null_if_the_model_takes_nan(tmp_path: Path) -> None:
    trees = make_pipeline(DictVectorizer(sparse=False), HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=1))
    for model, nullable in ((trees, True), (spam_filter(DictVectorizer()), False)):
        draft = tried(tmp_path, model.fit(VISITS, LABELS))
        assert {field.name: field.nullable for field in draft.signature.inputs}["visits"] is nullable
    rows = [({"visits": None, "city": "Rome"},)]
    draft = tried(tmp_path, trees)
    assert answers(trees, draft, rows) == trees.predict([{"visits": None, "city": "Rome"}]).tolist()


def test_hashed_records_may_have_any_names(tmp_path: Path) -> None:
    rows = [{name: value for name, value in row.items() if name != "tags"} for row in VISITS]
    model = spam_filter(FeatureHasher(16)).fit(rows, LABELS)
    draft = tried(tmp_path, model)
    assert (draft.signature.format, draft.signature.inputs) == (RowFormat.RECORDS, ())
    assert answers(model, draft, [(row,) for row in rows]) == model.predict(rows).tolist()


def test_a_sample_of_records_leaves_the_target_out(tmp_path: Path) -> None:
    model = spam_filter(DictVectorizer()).fit(VISITS, LABELS)
    draft = tried(tmp_path, model, "city,visits,label\nRome,1,spam\nOslo,,ham\n")
    assert draft.golden.rows == (({"city": "Rome", "visits": 1.0},), ({"city": "Oslo"},))


REGIONS = pd.DataFrame({"region": ["EU", "NA", "AS", "NA"] * 10, "n": np.arange(40) % 7 / 2})


@pytest.mark.parametrize("handle_unknown", ["ignore", "error"])
def test_na_is_a_word_where_the_encoder_knows_it_and_else_a_null_that_is_said(
    tmp_path: Path, handle_unknown: str
) -> None:
    encoder = OneHotEncoder(handle_unknown=handle_unknown)
    model = make_pipeline(make_column_transformer((encoder, ["region"]), remainder="passthrough"), LogisticRegression())
    target = np.where((REGIONS["region"] == "NA") ^ (REGIONS["n"] > 2), "yes", "Yes ")
    draft = tried(tmp_path, pickle.dumps(model.fit(REGIONS, target)), REGIONS.to_csv(index=False))
    (field, _) = draft.signature.inputs
    assert (field.nullable, field.words) == (False, ("NA",))
    assert [remark.text for remark in draft.remarks] == [
        "its classes 'Yes ', 'yes' differ by case or blanks alone: fit it on one spelling if they are one class"
    ]
    nullable = dataclasses.replace(field, nullable=True)
    assert as_json_cells(["NA", "EU", "null"], nullable, ",") == ["NA", "EU", None]
    model.fit(REGIONS.replace({"region": {"NA": "US"}}), target)
    if handle_unknown == "ignore":
        other = tried(tmp_path, pickle.dumps(model), REGIONS.to_csv(index=False))
        assert "in 'region' 20 cells of the sample with 'NA' are null" in other.remarks[-1].text + other.remarks[0].text
