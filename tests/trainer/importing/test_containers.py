"""Steps, encoders and models that lie side by side in one file answer as their author puts them together by hand."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    LabelBinarizer,
    LabelEncoder,
    MinMaxScaler,
    MultiLabelBinarizer,
    OneHotEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.svm import SVR

from contract.model.manifest import ManifestDraft
from contract.rows.coercion import coerce
from contract.rows.instances import Grid
from scoring.artifacts import unpack
from scoring.predict import Prediction, predict
from tests.trainer.importing.imported import refusal
from trainer.importing.assumptions import undecided
from trainer.importing.trial.examine import examine

rng = np.random.default_rng(7)
FRAME = pd.DataFrame(
    {
        "age": rng.uniform(20, 60, 80),
        "city": rng.choice(["Bonn", "Kiel", "Ulm"], 80),
        "income": rng.uniform(1000, 9000, 80),
        "sex": rng.choice(["f", "m"], 80),
    }
)
NUMBERS = FRAME[["age", "income"]]
WIDE = pd.DataFrame(rng.normal(40, 5, (80, 5)), columns=list("abcde"))
PRICE = (FRAME["income"] * 3 + FRAME["age"] * 100).to_numpy()
RISK = np.where(FRAME["income"] > 5000, "low", "high")
RISKS = LabelEncoder().fit(RISK)
SCALER = StandardScaler().fit(NUMBERS)
SCALED = SCALER.transform(NUMBERS)


def imported(tmp_path: Path, saved: Any, data: bytes | None = None) -> tuple[Any, ManifestDraft]:
    """The estimator that is published, as a worker loads it, and its draft."""
    (tmp_path / "file").write_bytes(pickle.dumps(saved) if data is None else data)
    examined = examine("m", tmp_path / "file", None)
    return unpack(examined.artifact or b"", examined.draft.artifact.format), examined.draft


def answered(tmp_path: Path, saved: Any, frame: pd.DataFrame, data: bytes | None = None) -> Prediction:
    estimator, draft = imported(tmp_path, saved, data)
    rows = coerce(Grid(tuple(map(str, frame.columns)), frame.to_numpy(dtype=object).tolist()), draft.signature).rows
    return predict(estimator, draft, list(rows))


def encoded(frame: pd.DataFrame, encoders: dict[str, LabelEncoder]) -> pd.DataFrame:
    return frame.assign(**{name: encoder.transform(frame[name]) for name, encoder in encoders.items()})


def linear(X: Any, y: Any = PRICE) -> Any:
    return LinearRegression().fit(X, y)


class Sums:
    """A model that does not count its columns."""

    def predict(self, X: Any) -> Any:
        return np.asarray(X).sum(axis=1)


ENCODERS = {name: LabelEncoder().fit(FRAME[name]) for name in ("city", "sex")}
CODES = encoded(FRAME, ENCODERS)
ALL = StandardScaler().fit(CODES)
PCA_OF_WIDE = PCA(2).fit(StandardScaler().fit_transform(WIDE))
GAPS = WIDE.mask(rng.random(WIDE.shape) < 0.1)
IMPUTER = SimpleImputer(strategy="median").fit(GAPS)
SCALER_OF_WIDE = StandardScaler().fit(IMPUTER.transform(GAPS))
FILLED = SCALER_OF_WIDE.transform(IMPUTER.transform(GAPS))
SQUARES = PolynomialFeatures(2).fit(WIDE)
ONE_HOT = OneHotEncoder(sparse_output=False).fit(FRAME[["city", "sex"]])
JOINED = pd.concat(
    [NUMBERS, pd.DataFrame(ONE_HOT.transform(FRAME[["city", "sex"]]), columns=ONE_HOT.get_feature_names_out())], axis=1
)
PREPARED = make_column_transformer((StandardScaler(), ["age", "income"]), (OneHotEncoder(), ["city", "sex"])).fit(FRAME)

on_scaled = LogisticRegression().fit(SCALED, RISKS.transform(RISK))
on_codes = RandomForestRegressor(20, random_state=0).fit(CODES, PRICE)
on_labels = LogisticRegression().fit(ALL.transform(CODES), RISKS.transform(RISK))
on_all = linear(ALL.transform(CODES))
on_filled = linear(FILLED)
on_pca = linear(PCA_OF_WIDE.transform(StandardScaler().fit_transform(WIDE)))
on_squares = linear(SQUARES.transform(WIDE))
on_joined = linear(JOINED)
on_prepared = linear(PREPARED.transform(FRAME))
scaled_joined = JOINED.assign(**dict(zip(["income", "age"], SCALER.transform(NUMBERS).T[::-1], strict=True)))
on_scaled_joined = linear(scaled_joined)
wide_scaler = StandardScaler().fit(WIDE.to_numpy())
target_scaler = StandardScaler().fit(PRICE[:, None])
scaling = make_pipeline(StandardScaler(), LinearRegression()).fit(NUMBERS, SCALED[:, 1])
vectors = SVR().fit(SCALED, target_scaler.transform(PRICE[:, None]).ravel())

CASES: dict[str, tuple[Any, pd.DataFrame, Callable[[], Any]]] = {
    "scaler, model": ({"scaler": SCALER, "model": linear(SCALED)}, NUMBERS, lambda: linear(SCALED).predict(SCALED)),
    "model, scaler in a tuple": ((linear(SCALED), SCALER), NUMBERS, lambda: linear(SCALED).predict(SCALED)),
    "in a dict in a dict": (
        {"preprocessing": {"scaler": SCALER}, "model": linear(SCALED)},
        NUMBERS,
        lambda: linear(SCALED).predict(SCALED),
    ),
    "label encoder": (
        {"model": on_scaled, "scaler": SCALER, "label_encoder": RISKS},
        NUMBERS,
        lambda: RISKS.inverse_transform(on_scaled.predict(SCALED)),
    ),
    "encoders by column": (
        {"model": on_codes, "encoders": ENCODERS},
        FRAME,
        lambda: on_codes.predict(CODES),
    ),
    "encoders by name": (
        {"model": on_codes, "le_city": ENCODERS["city"], "sex_encoder": ENCODERS["sex"]},
        FRAME,
        lambda: on_codes.predict(CODES),
    ),
    "encoders, then a scaler of all": (
        {"model": on_all, "scaler": ALL, "encoders": ENCODERS, "columns": list(FRAME)},
        FRAME,
        lambda: on_all.predict(ALL.transform(CODES)),
    ),
    "encoders of all words, the target among them": (
        {"scaler": ALL, "model": on_labels, "encoders": {**ENCODERS, "risk": RISKS}, "columns": list(FRAME)},
        FRAME,
        lambda: RISKS.inverse_transform(on_labels.predict(ALL.transform(CODES))),
    ),
    "preprocessor": (
        {"preprocessor": PREPARED, "model": on_prepared},
        FRAME,
        lambda: on_prepared.predict(PREPARED.transform(FRAME)),
    ),
    "pca after scaler": (
        {"pca": PCA_OF_WIDE, "scaler": wide_scaler, "model": on_pca, "features": list("abcde")},
        WIDE,
        lambda: on_pca.predict(PCA_OF_WIDE.transform(wide_scaler.transform(WIDE.to_numpy()))),
    ),
    "imputer before scaler": (
        {"scaler": SCALER_OF_WIDE, "imputer": IMPUTER, "model": on_filled},
        WIDE,
        lambda: on_filled.predict(SCALER_OF_WIDE.transform(IMPUTER.transform(WIDE))),
    ),
    "list of steps": ([SQUARES, on_squares], WIDE, lambda: on_squares.predict(SQUARES.transform(WIDE))),
    "encoder of some columns": ({"ohe": ONE_HOT, "model": on_joined}, FRAME, lambda: on_joined.predict(JOINED)),
    "scaler and encoder of some columns each": (
        {"scaler": SCALER, "ohe": ONE_HOT, "model": on_scaled_joined},
        FRAME,
        lambda: on_scaled_joined.predict(scaled_joined),
    ),
    "scaler of the target": (
        {"sc_X": SCALER, "sc_y": target_scaler, "regressor": vectors},
        NUMBERS,
        lambda: target_scaler.inverse_transform(vectors.predict(SCALED)[:, None]).ravel(),
    ),
    "a scaler of the target beside a pipeline with a scaler": (
        {"model": scaling, "y_scaler": target_scaler},
        NUMBERS,
        lambda: target_scaler.inverse_transform(scaling.predict(NUMBERS)[:, None]).ravel(),
    ),
    "a model of one's own without a number of columns": (
        {"scaler": SCALER, "model": Sums(), "weights": [np.ones((2, 2)), np.ones((2, 3))], "folds": [[1], [2, 3]]},
        NUMBERS,
        lambda: SCALED.sum(axis=1),
    ),
    "a step that is in the model already": (
        {"model": (whole := make_pipeline(SCALER, linear(SCALED))), "scaler": SCALER},
        NUMBERS,
        lambda: whole.predict(NUMBERS),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_parts_answer_as_they_do_by_hand(tmp_path: Path, case: str) -> None:
    saved, frame, by_hand = CASES[case]
    assert answered(tmp_path, saved, frame).values == np.asarray(by_hand()).tolist()


def test_probabilities_are_those_of_the_labels(tmp_path: Path) -> None:
    saved = {"scaler": SCALER, "model": on_scaled, "encoder": RISKS, "threshold": 0.7}
    _, draft = imported(tmp_path, saved)
    assert draft.signature.output.labels == ("high", "low")
    assert [method.name for method in draft.signature.methods][:2] == ["predict", "predict_proba"]
    prediction = answered(tmp_path, saved, NUMBERS)
    wanted = on_scaled.predict_proba(SCALED)
    assert prediction.probabilities == [dict(zip(["high", "low"], row, strict=True)) for row in wanted.tolist()]
    assert prediction.values == np.where(wanted[:, 1] >= 0.7, "low", "high").tolist()
    assert draft.warnings[:2] == (
        "its predictions are the labels that 'encoder' (LabelEncoder) makes of them",
        "its parts are put together in the only order that fits: StandardScaler → LogisticRegression",
    )
    assert draft.warnings[2].startswith("it predicts 'low' if its probability is at least 0.7")


def test_an_encoded_column_takes_the_words_that_the_encoder_knows(tmp_path: Path) -> None:
    _, draft = imported(tmp_path, CASES["encoders, then a scaler of all"][0])
    assert draft.signature.names == tuple(FRAME)
    assert draft.signature.inputs[1].categories == ("Bonn", "Kiel", "Ulm")


def test_a_vectorizer_and_its_model_take_texts(tmp_path: Path) -> None:
    texts = ["buy now", "see you", "buy this now", "you and me"] * 5
    counts = CountVectorizer().fit(texts)
    weights = TfidfTransformer().fit(counts.transform(texts))
    model = LogisticRegression().fit(weights.transform(counts.transform(texts)), [1, 0] * 10)
    for saved in ({"vectorizer": counts, "tfidf": weights, "model": model}, [counts, weights, model]):
        estimator, draft = imported(tmp_path, saved)
        assert [field.kind.value for field in draft.signature.inputs] == ["string"]
        prediction = predict(estimator, draft, [(text,) for text in texts])
        assert prediction.values == model.predict(weights.transform(counts.transform(texts))).tolist()


def test_several_models_of_the_same_rows_are_several_outputs(tmp_path: Path) -> None:
    both = {"price": linear(NUMBERS), "income": linear(NUMBERS, FRAME["income"])}
    prediction = answered(tmp_path, {"models": both, "trained": "2024-01-01"}, NUMBERS)
    assert [list(row) for row in prediction.values[:1]] == [["price", "income"]]
    quantiles = {
        f"q{int(at * 100)}": GradientBoostingRegressor(loss="quantile", alpha=at, n_estimators=5).fit(NUMBERS, PRICE)
        for at in (0.1, 0.5, 0.9)
    }
    prediction = answered(tmp_path, quantiles, NUMBERS)
    columns = [model.predict(NUMBERS).tolist() for model in quantiles.values()]
    assert prediction.values == [dict(zip(quantiles, row, strict=True)) for row in zip(*columns, strict=True)]
    classes = {
        "risk": RandomForestClassifier(5).fit(SCALED, RISKS.transform(RISK)),
        "sex": LogisticRegression().fit(SCALED, FRAME["sex"]),
    }
    saved = {**classes, "scaler": SCALER, "risk_labels": RISKS}
    _, draft = imported(tmp_path, saved)
    assert [(output.name, output.labels) for output in draft.signature.outputs] == [
        ("risk", ("high", "low")),
        ("sex", ("f", "m")),
    ]
    prediction = answered(tmp_path, saved, NUMBERS)
    assert [row["sex"] for row in prediction.values] == classes["sex"].predict(SCALED).tolist()
    assert [list(row["risk"].values()) for row in prediction.probabilities or ()] == classes["risk"].predict_proba(
        SCALED
    ).tolist()
    mixed = {"price": linear(SCALED), "risk": on_scaled, "scaler": SCALER}
    answers = answered(tmp_path, mixed, NUMBERS).values
    assert answers == [
        {"price": price, "risk": risk}
        for price, risk in zip(linear(SCALED).predict(SCALED).tolist(), on_scaled.predict(SCALED).tolist(), strict=True)
    ]


def test_labels_of_several_outputs_are_their_names(tmp_path: Path) -> None:
    tags = MultiLabelBinarizer().fit([["cheap", "near"], ["near"]])
    model = KNeighborsClassifier(3).fit(SCALED, tags.transform([["cheap"], ["near"], ["cheap", "near"], []] * 20))
    prediction = answered(tmp_path, {"scaler": SCALER, "mlb": tags, "model": model}, NUMBERS)
    assert prediction.values == [
        dict(zip(["cheap", "near"], row, strict=True)) for row in model.predict(SCALED).tolist()
    ]


def test_neighbors_behind_a_scaler_are_a_model(tmp_path: Path) -> None:
    saved = {"artifacts": {"scaler": SCALER, "nn": (search := NearestNeighbors(n_neighbors=2).fit(SCALED))}}
    estimator, draft = imported(tmp_path, saved)
    answers = predict(estimator, draft, NUMBERS.to_numpy().tolist()).values
    assert [row["indices"] for row in answers if isinstance(row, dict)] == search.kneighbors(SCALED)[1].tolist()


def test_a_list_of_named_steps_is_a_pipeline(tmp_path: Path) -> None:
    saved = {"pipe": {"steps": [("scaler", SCALER), ("model", on_scaled)]}}
    assert answered(tmp_path, saved, NUMBERS).values == on_scaled.predict(SCALED).tolist()


def test_steps_without_a_model_are_served_by_transform(tmp_path: Path) -> None:
    _, draft = imported(tmp_path, {"pca": PCA_OF_WIDE, "scaler": wide_scaler})
    assert draft.signature.methods[0].name == "transform"
    assert len(draft.signature.inputs) == 5


def test_parts_in_a_skops_file_are_put_together(tmp_path: Path) -> None:
    for saved in ({"scaler": SCALER, "model": on_scaled, "encoder": RISKS}, CASES["encoders by column"][0]):
        frame = FRAME[[*imported(tmp_path, saved)[1].signature.names]]
        plain = answered(tmp_path, saved, frame)
        assert answered(tmp_path, None, frame, skops.io.dumps(saved)) == plain


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        (
            {"scaler": SCALER, "model": make_pipeline(StandardScaler(), LinearRegression()).fit(NUMBERS, PRICE)},
            "holds 'scaler' (StandardScaler) beside 'model', which has such a step itself, so rows might be",
        ),
        (
            {"scaler": SCALER, "model": linear(WIDE)},
            "holds steps that fit together in no order (scaler takes 2 and gives 2; the model takes 5 columns); put",
        ),
        (
            {"scaler": StandardScaler(), "model": linear(WIDE)},
            "holds 'scaler' (StandardScaler), which does not show how",
        ),
        (
            {
                "a": MinMaxScaler().fit(rng.random((9, 3))),
                "b": MinMaxScaler().fit(rng.random((9, 3))),
                "model": linear(rng.random((80, 3))),
            },
            "holds steps whose order it does not show (a → b or b → a): both fit; put them into one Pipeline",
        ),
        (
            {"x": SCALER, "z": StandardScaler().fit(NUMBERS + 9000), "model": linear(SCALED)},
            "holds parts that were not fitted on what the others give ('x: StandardScaler', 'z: StandardScaler', ",
        ),
        (
            {"le": ENCODERS["city"], "model": on_scaled},
            "holds a LabelEncoder ('le') with 3 labels ('Bonn', 'Kiel', 'Ulm') beside a model whose classes are 0, 1",
        ),
        ({"le": RISKS, "model": linear(SCALED)}, "beside a model without classes: it does not fit these"),
        ({"le": LabelBinarizer().fit(RISK), "model": on_scaled}, "holds a LabelBinarizer ('le') with 2 labels"),
        (
            {"one": RISKS, "two": ENCODERS["sex"], "model": on_scaled},
            "holds 2 objects that could decode the labels of 'model'",
        ),
        (
            {
                "risk": on_scaled,
                "sex": LogisticRegression().fit(SCALED, ENCODERS["sex"].transform(FRAME["sex"])),
                "le": RISKS,
            },
            "holds 'le' (LabelEncoder), which fits 'risk', 'sex', and does not show which of them it decodes; save",
        ),
        (
            {"risk": on_scaled, "age": LogisticRegression().fit(SCALED, FRAME["age"] // 20), "cutoff": 0.3},
            "holds a model without classes with 'cutoff', and a threshold needs exactly two classes",
        ),
        (
            {"encoders": ENCODERS, "model": linear(SCALED)},
            "holds encoders of 'city', 'sex' ('encoders'), which are not",
        ),
        (
            [linear(SCALED), linear(SCALED, -PRICE)],
            "without names; save them in a dict whose keys are the names of their",
        ),
        (
            {"a": linear(SCALED), "b": linear(WIDE)},
            "holds 2 models that take different columns ('a: LinearRegression', ",
        ),
    ],
    ids=itertools.count(),
)
def test_parts_that_do_not_fit_together_in_one_way_are_refused_with_the_cause(
    tmp_path: Path, saved: Any, said: str
) -> None:
    assert said in refusal(tmp_path, saved)


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()])
@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(3, random_state=0),
        GradientBoostingRegressor(n_estimators=3),
        GaussianNB(),
        KNeighborsClassifier(),
        KMeans(3, n_init=1),
        make_pipeline(PCA(2), LogisticRegression()),
    ],
)
def test_a_scaler_beside_a_model_of_plain_rows_is_refused(tmp_path: Path, scaler: Any, model: Any) -> None:
    target = RISKS.transform(RISK)
    saved = {"scaler": scaler.fit(NUMBERS), "model": clone(model).fit(NUMBERS.to_numpy(), target)}
    assert "holds parts that were not fitted on what the others give ('scaler: " in refusal(tmp_path, saved)
    saved = {"scaler": scaler, "model": clone(model).fit(scaler.transform(NUMBERS), target)}
    imported(tmp_path, saved)


GENDER = LabelEncoder().fit(["Female", "Male"])
ARRAY = LogisticRegression().fit(rng.normal(size=(60, 3)), [0, 1] * 30)
WITH_TARGET = "a,b,c,t\n" + "1,2,3,Male\n2,2,4,Female\n" * 6
WITH_INPUT = "Gender,b,c,t\n" + "Male,2,3,1\nFemale,2,4,0\nMale,1,1,0\n" * 6


@pytest.mark.parametrize(
    ("saved", "sample", "target", "labels", "waits"),
    [
        ({"encoders": {"Gender": GENDER}}, None, None, ("Female", "Male"), True),
        ({"le": GENDER}, None, None, ("Female", "Male"), True),
        ({"le": GENDER, "features": ["a", "b", "c"]}, None, None, ("Female", "Male"), False),
        ({"sex_encoder": GENDER, "features": ["a", "sex", "c"]}, None, None, (0, 1), False),
        ({"label_encoder_sex": GENDER, "features": ["a", "sex", "c"]}, None, None, (0, 1), False),
        ({"sex_encoder": GENDER, "features": ["a", "sex_code", "c"]}, None, None, ("Female", "Male"), True),
        ({"le": GENDER}, WITH_TARGET, None, ("Female", "Male"), False),
        ({"le": GENDER}, WITH_TARGET, "t", ("Female", "Male"), False),
        ({"encoders": {"Gender": GENDER}}, WITH_INPUT, "t", (0, 1), False),
        ({"target_encoder": LabelEncoder().fit(["a", "b", "c"]), "features": ["a", "b", "c"]}, None, None, None, True),
    ],
    ids=itertools.count(),
)
def test_an_encoder_decodes_answers_only_where_it_shows_that_it_is_not_of_an_input(
    tmp_path: Path, saved: Any, sample: str | None, target: str | None, labels: Any, waits: bool
) -> None:
    (tmp_path / "file").write_bytes(pickle.dumps({"model": ARRAY, **saved}))
    (tmp_path / "rows").write_text(sample or "")
    draft = examine("m", tmp_path / "file", tmp_path / "rows" if sample else None, target=target).draft
    assert undecided(draft.remarks) is waits, draft.warnings
    assert draft.signature.output.labels == labels or labels is None
    assert waits is any("nothing shows whether" in warning for warning in draft.warnings)


def test_a_sample_in_which_input_and_target_look_alike_leaves_the_encoder_undecided(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(pickle.dumps({"model": ARRAY, "encoders": {"Gender": GENDER}}))
    (tmp_path / "rows").write_text(WITH_INPUT)
    assert undecided(examine("m", tmp_path / "file", tmp_path / "rows").draft.remarks)


@pytest.mark.parametrize("key", ["y_test", "test", "y", "target_names", "labels", "class_names", "y_pred", "train"])
def test_a_list_called_like_a_target_names_no_inputs(tmp_path: Path, key: str) -> None:
    _, draft = imported(tmp_path, {"model": linear(rng.normal(size=(80, 3))), key: ["low", "mid", "high"]})
    assert draft.signature.names == ("x0", "x1", "x2")


def test_a_list_that_is_only_as_long_as_the_inputs_waits_unless_a_sample_has_its_names(tmp_path: Path) -> None:
    saved = {"model": linear(rng.normal(size=(80, 3))), "levels": ["low", "mid", "high"]}
    _, draft = imported(tmp_path, saved)
    assert undecided(draft.remarks) and "after the only list beside the model" in " ".join(draft.warnings)
    for header, names in (("low,mid,high", ("low", "mid", "high")), ("a,b,c", ("a", "b", "c"))):
        (tmp_path / "rows").write_text(f"{header}\n1,2,3\n4,5,7\n")
        assert examine("m", tmp_path / "file", tmp_path / "rows").draft.signature.names == names
    _, draft = imported(tmp_path, {"model": saved["model"], "train_columns": ["low", "mid", "high"]})
    assert draft.signature.names == ("low", "mid", "high") and not undecided(draft.remarks)
