"""The draft of the manifest of an imported model, and the messages for files that cannot be imported."""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
from modelgate_kernels.comparison import revision
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC

from contract.model.manifest import InputFormat, Kernels, ManifestDraft
from contract.model.signature import Field, Kind, Output, OutputKind
from scoring.predict import predict
from tests.trainer.importing.imported import FRAME, TARGET, Average, X, mixed, refusal, said, tried, y
from trainer.importing import Refused
from trainer.importing.assumptions import undecided
from trainer.importing.trial.examine import examine


def test_a_bare_array_gives_numbers_without_names(tmp_path: Path) -> None:
    draft = tried(tmp_path, LogisticRegression().fit(X, y))
    assert draft.signature.inputs == (Field("x0", Kind.NUMBER, guessed=True), Field("x1", Kind.NUMBER, guessed=True))
    assert draft.artifact.input_format is InputFormat.ARRAY
    assert (draft.signature.output.kind, draft.signature.output.labels) == (OutputKind.CLASS, (0, 1))
    assert draft.signature.output.probabilities
    assert draft.golden.rows[:2] == ((0.0, 0.0), (1.0, 0.0))
    assert len(draft.golden.predictions) == len(draft.golden.rows)
    assert draft.example == {"x0": 0.0, "x1": 0.0}


@pytest.mark.usefixtures("compares_kernels")
def test_a_version_says_which_kernels_answered_as_its_model_does(tmp_path: Path) -> None:
    draft = tried(tmp_path, LogisticRegression().fit(X, y))
    assert draft.artifact.kernels == Kernels(revision(), used=True)
    assert tried(tmp_path, GaussianMixture(2).fit(X)).artifact.kernels is None


def test_a_data_frame_gives_names_kinds_nulls_and_closed_categories(tmp_path: Path) -> None:
    draft = tried(tmp_path, mixed())
    assert draft.signature.inputs == (
        Field("age", Kind.NUMBER, nullable=True),
        Field("plan", Kind.STRING, nullable=True, categories=("basic", "gold", "plus")),
        Field("km", Kind.NUMBER, guessed=True),
    )
    assert draft.artifact.input_format is InputFormat.DATAFRAME
    assert draft.signature.output.labels == ("no", "yes")


def test_columns_of_unknown_kind_are_named(tmp_path: Path) -> None:
    (warning,) = tried(tmp_path, mixed()).warnings
    assert warning.startswith("the type of 'km' is unknown, so numbers are assumed; if they are words or ")
    assert tried(tmp_path, mixed(), "age,plan,km\n1,basic,2\n").warnings == ()
    assert tried(tmp_path, LogisticRegression().fit(FRAME[["km"]], TARGET)).warnings == ()


def test_categories_stay_open_if_the_encoder_accepts_others(tmp_path: Path) -> None:
    draft = tried(tmp_path, mixed(encoder=OneHotEncoder(handle_unknown="ignore")))
    assert draft.signature.inputs[1] == Field("plan", Kind.STRING, nullable=True)
    assert {row[1] for row in draft.golden.rows} <= {"basic", "gold", "plus"}


def test_a_null_that_was_a_category_may_be_sent(tmp_path: Path) -> None:
    frame = pd.DataFrame({"plan": ["a", None, "b", "a"]})
    model = make_pipeline(OrdinalEncoder(encoded_missing_value=-1), LogisticRegression()).fit(frame, y[8:12])
    assert tried(tmp_path, model).signature.inputs == (Field("plan", Kind.STRING, True, ("a", "b")),)


def test_columns_are_found_inside_a_search(tmp_path: Path) -> None:
    model = GridSearchCV(mixed(), {"logisticregression__C": [1.0]}, cv=2).fit(FRAME, TARGET)
    assert tried(tmp_path, model).signature == tried(tmp_path, mixed()).signature


def test_columns_that_a_column_transformer_drops_are_not_required(tmp_path: Path) -> None:
    frame = FRAME.assign(name=["Ann", "Bob"] * 10)[["name", "age", "plan", "km"]]
    model = mixed()
    model.steps[0][1].set_params(remainder="drop")
    model.fit(frame, TARGET)
    for sample in (None, "age,plan\n20,basic\n30,plus\n", "name,age,plan,km\nAnn,20,basic,1\n"):
        draft = tried(tmp_path, model, sample)
        assert draft.signature.names == ("age", "plan")
    rows = [(20.0, "basic"), (None, "plus"), (50.0, None)]
    assert (
        answers(model, draft, rows)
        == model.predict(frame[:3].assign(plan=["basic", "plus", None], age=[20, None, 50])).tolist()
    )
    # The other member of an ensemble uses what the first one drops.
    other = make_pipeline(make_column_transformer((StandardScaler(), ["km"])), LogisticRegression())
    both = VotingClassifier([("a", model), ("b", other)]).fit(frame, TARGET)
    assert tried(tmp_path, both, "name,age,plan,km\nAnn,20,basic,1\n").signature.names == tuple(frame.columns)


def test_texts_of_a_column_are_texts(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["good", "bad"] * 10})
    model = make_pipeline(make_column_transformer((TfidfVectorizer(), "text")), LogisticRegression()).fit(frame, TARGET)
    assert tried(tmp_path, model).signature.inputs == (Field("text", Kind.STRING),)


def test_boosted_trees_tell_which_columns_are_categories(tmp_path: Path) -> None:
    frame = pd.DataFrame({"km": FRAME["km"], "plan": ["basic", "plus", "gold", "plus"] * 5})
    typed = frame.astype({"plan": "category"})
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype", min_samples_leaf=1)
    model.fit(typed, TARGET)
    draft = tried(tmp_path, model)
    assert draft.signature.inputs == (
        Field("km", Kind.NUMBER, nullable=True, guessed=True),
        Field("plan", Kind.STRING, nullable=True),
    )
    assert answers(model, draft, frame.to_numpy().tolist()) == model.predict(typed).tolist()


def test_a_sample_names_the_columns_of_an_array_and_tells_kinds_and_nulls(tmp_path: Path) -> None:
    draft = tried(tmp_path, LogisticRegression().fit(X, y), "length,width\n1,2.5\n30,31\n")
    assert draft.signature.inputs == (Field("length", Kind.NUMBER), Field("width", Kind.NUMBER))
    assert draft.golden.rows == ((1.0, 2.5), (30.0, 31.0))
    assert draft.golden.predictions == (0, 1)
    draft = tried(tmp_path, mixed(), "km,plan,age,colour\n1,basic,,red\n2,gold,3,blue\n")
    assert [field.nullable for field in draft.signature.inputs] == [True, True, False]
    assert draft.golden.rows == ((None, "basic", 1.0), (3.0, "gold", 2.0))
    assert draft.warnings == ("the sample: ignored columns that are not inputs of the model: 'colour'",)
    assert draft.example == {"age": 3.0, "plan": "gold", "km": 2.0}


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ("age,plan\n1,basic\n", "has a sample without 'km'; the model takes 'age', 'plan', 'km', and the sample has"),
        ("age,plan,km\nx,basic,1\n", "does not fit the model in row 1: 'age' must be a finite number; it is 'x'"),
        ("age,plan,km\n1,silver,1\n", "'plan' must be one of 'basic', 'gold', 'plus'; it is 'silver'"),
        ("age,plan,km\n1,basic\n", "row 1 has 2 values, and the first line names 3 columns"),
        ("age,age,km\n1,2,3\n", "the column 'age' twice"),
        ("1,2,3\n4,5,6\n", "first line is numbers; the first line must name the columns"),
        ("age;plan;km\n1;silver;2\n", "'plan' must be one of 'basic', 'gold', 'plus'; it is 'silver'"),
        ("age,plan,km\n", "has an empty sample"),
        ("", "has an empty sample"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused_with_the_place(tmp_path: Path, sample: str, said: str) -> None:
    assert said in refusal(tmp_path, mixed(), sample)


def test_a_sample_with_too_many_columns_for_a_model_without_names_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, LogisticRegression().fit(X, y), "a,b,target\n1,2,0\n")
    assert "a sample with 3 columns ('a', 'b', 'target') for a model that takes 2" in said


def test_the_column_beside_the_positions_is_no_input(tmp_path: Path) -> None:
    model = LinearRegression().fit(X, y + 0.5)
    for header in ("x0,x1,target", "target,x0,x1"):  # the first is what the client sends for arrays
        assert tried(tmp_path, model, f"{header}\n1,2,3\n4,5,6\n").signature.names == ("x0", "x1")
    for header in ("x0,x1,x2", "x1,x0,target"):
        assert "for a model that takes 2" in refusal(tmp_path, model, f"{header}\n1,2,3\n4,5,6\n")


@pytest.mark.parametrize("header", ["a,b,target", "target,a,b"])
def test_the_column_with_the_names_of_the_classes_is_no_input_of_a_model_without_names(
    tmp_path: Path, header: str
) -> None:
    words = np.where(y == 1, "yes", "no")
    rows = [f"1,2,{word}" if header.endswith("target") else f"{word},1,2" for word in words]
    draft = tried(tmp_path, LogisticRegression().fit(X, words), "\n".join([header, *rows]))
    assert (draft.signature.names, draft.warnings) == (("a", "b"), ())


def test_the_index_that_pandas_writes_is_left_out(tmp_path: Path) -> None:
    rows = pd.DataFrame(X[:3], columns=["a", "b"]).to_csv()
    assert tried(tmp_path, LogisticRegression().fit(X, y), rows).signature.names == ("a", "b")


class Days(BaseEstimator):
    """Takes moments, as pandas has them."""

    fitted_ = True

    def predict(self, frame: pd.DataFrame) -> Any:
        return frame["day"].dt.day.to_numpy()


class Words(BaseEstimator):
    """Takes the same as text."""

    fitted_ = True

    def predict(self, frame: pd.DataFrame) -> Any:
        return frame["day"].str[:4].to_numpy()


def test_dates_of_a_sample_are_moments_or_text_as_the_model_wants_them(tmp_path: Path) -> None:
    sample = "day\n2024-05-17\n2024-06-18\n"
    days, words = tried(tmp_path, Days(), sample), tried(tmp_path, Words(), sample)
    assert days.signature.inputs == (Field("day", Kind.DATETIME, naive=True),)
    assert days.golden.predictions == (17.0, 18.0)
    assert words.signature.inputs == (Field("day", Kind.STRING),)
    assert (words.signature.output.kind, words.golden.predictions) == (OutputKind.CLASS, ("2024", "2024"))


def test_a_dict_with_a_model_its_columns_and_their_types_is_understood(tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=["rm", "chas"]).astype({"chas": int})
    saved = {
        "model": LinearRegression().fit(frame.to_numpy(), y),
        "columns": frame.columns,
        "dtypes": frame.dtypes,
        "classes": ["a"],
    }
    draft = tried(tmp_path, saved)
    assert draft.signature.inputs == (Field("rm", Kind.NUMBER), Field("chas", Kind.INTEGER))
    assert draft.artifact.input_format is InputFormat.ARRAY
    # Only the model is published, which a worker can use.
    (tmp_path / "file").write_bytes(pickle.dumps(saved))
    artifact = examine("m", tmp_path / "file", None).artifact
    assert isinstance(joblib.load(io.BytesIO(artifact or b"")), LinearRegression)


def test_a_model_with_its_list_of_columns_is_understood(tmp_path: Path) -> None:
    draft = tried(tmp_path, (LogisticRegression().fit(X, y), ["a", "b"]))
    assert draft.signature.names == ("a", "b")


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        ({"model": SVC().fit(X, y), "columns": ["a"]}, "lists 1 column ('a') beside a model that takes 2"),
        (
            {"model": SVC().fit(X, y), "scaler": StandardScaler()},
            "holds 'scaler' (StandardScaler), which does not show how",
        ),
        (
            {"model": SVC().fit(X, y), "encoders": {"plan": OrdinalEncoder()}},
            "holds 'encoders.plan' (OrdinalEncoder), which does not show how many columns it takes, perhaps because",
        ),
        ({"weights": [1, 2]}, "holds a dict without a model ('weights: list')"),
        ([SVC().fit(X, y), SVC().fit(X, y)], "holds 2 models ('0: SVC', '1: SVC') without names; save them in a dict"),
        (X, "holds a bare array of the shape (20, 2) and no model"),
        (FRAME, "holds a DataFrame of 20 rows, and no model"),
        (FRAME["age"], "holds a Series of 20 rows"),
        ("model", "holds a str and no model"),
        (None, "holds nothing (None) and no model"),
        (SVC, "holds the class SVC and no fitted model; save the object that fit() returned"),
        (len, "holds a function; put it into a class whose predict calls it, and save an object of that class"),
        (pickle.dumps(pickle.dumps(SVC())), "holds a pickle inside a pickle; save the fitted model itself"),
        (
            GridSearchCV(SVC(), {"C": [1]}, refit=False).fit(X, y),
            "holds a GridSearchCV that kept no model (refit=False); fit it with refit=True",
        ),
        (SVC(), "holds a model that is not fitted; save it after fit()"),
        (make_pipeline(StandardScaler(), SVC()), "holds a model that is not fitted"),
        (Words(), "does not know how many columns it takes; add a CSV sample"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_an_object_that_is_not_a_model_is_refused_with_a_way_out(tmp_path: Path, saved: Any, said: str) -> None:
    assert said in refusal(tmp_path, saved)


def test_a_model_whose_answers_depend_on_the_other_rows_is_taken_with_a_warning(tmp_path: Path) -> None:
    (warning,) = tried(tmp_path, Average()).warnings
    assert "its answer to a row changes with the rows beside it" in warning


class NoProbabilities(LogisticRegression):
    def predict_proba(self, X: Any) -> Any:
        raise ValueError("it hurts")


def test_a_model_that_raises_for_probabilities_is_served_without(tmp_path: Path) -> None:
    draft = tried(tmp_path, NoProbabilities().fit(X, y))
    assert not draft.signature.output.probabilities
    assert said(draft) == ("it is served without probabilities: ValueError: it hurts",)


class Wrapped(BaseEstimator):
    """Hides what its clusters were fitted on."""

    n_features_in_, fitted_ = 2, KMeans(2, n_init=1).fit(X.astype(np.float32))

    def predict(self, matrix: Any) -> Any:
        return self.fitted_.predict(matrix)


def test_numbers_of_another_size_are_named_if_the_error_does_not(tmp_path: Path) -> None:
    assert "was fitted on numbers of another size than the 64 bits" in refusal(tmp_path, Wrapped())


class Unsound(LogisticRegression):
    """Gives the configured probabilities."""

    def predict_proba(self, X: Any) -> Any:
        return np.tile(self.row, (len(X), 1))


def test_invalid_probabilities_are_refused(tmp_path: Path) -> None:
    model = Unsound().fit(X, y)
    for row in ([48.3, -47.3], [0.5, 0.6], [13.0, 0.0], [-0.1, 1.1]):
        model.row = row
        said = refusal(tmp_path, model)
        assert said.startswith(f"gives invalid probabilities ({row[0]}, {row[1]} for a row): each must be from")
        assert said.endswith("correct its predict_proba, or leave it out")
    for row in ([0.5, 0.50001], [1.0 + 1e-7, 0.0], [0.0, 0.0], [np.nan, np.nan]):
        model.row = row
        assert tried(tmp_path, model).signature.output.probabilities


@pytest.mark.parametrize("mixture", [GaussianMixture, BayesianGaussianMixture])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_components_of_a_mixture_are_its_classes(tmp_path: Path, mixture: Any) -> None:
    numbers = np.random.default_rng(0).normal(size=(60, 2))
    fitted = mixture(n_components=3, max_iter=3, random_state=0)
    for model in (fitted, make_pipeline(StandardScaler(), fitted)):
        draft = tried(tmp_path, model.fit(numbers))
        assert draft.signature.output == Output(OutputKind.CLASS, (0, 1, 2), probabilities=True)
        prediction = predict(model, draft, numbers.tolist())
        assert prediction.values == model.predict(numbers).tolist()
        table = [[row[str(number)] for number in range(3)] for row in prediction.probabilities or ()]
        np.testing.assert_array_equal(table, model.predict_proba(numbers))


def test_probabilities_of_unknown_classes_are_left_out_with_a_warning(tmp_path: Path) -> None:
    class Nameless(BaseEstimator):
        n_features_in_ = 1

        def predict(self, matrix: Any) -> Any:
            return np.full(len(matrix), 5)

        def predict_proba(self, matrix: Any) -> Any:
            return np.full((len(matrix), 2), 0.5)

    draft = tried(tmp_path, cloudpickle.dumps(Nameless()))
    assert draft.signature.output == Output(OutputKind.NUMBER)
    assert said(draft) == ("it is served without probabilities: their classes are unknown",)


def test_a_model_that_raises_for_made_up_rows_asks_for_real_ones(tmp_path: Path) -> None:
    class Picky(BaseEstimator):
        n_features_in_ = 2

        def predict(self, matrix: Any) -> Any:
            if (matrix[:, 0] != 1).any():
                raise ValueError("only ones, please")
            return matrix[:, 0]

    saved = cloudpickle.dumps(Picky())
    said = refusal(tmp_path, saved)
    assert "does not predict made-up rows (ValueError: only ones, please)" in said
    assert "add a CSV sample with some real rows" in said
    assert tried(tmp_path, saved, "a,b\n1,2\n").golden.predictions == (1.0, 1.0)
    assert "does not predict its sample rows" in refusal(tmp_path, saved, "a,b\n0,2\n")


def test_models_with_all_cores_are_tried_with_one(tmp_path: Path) -> None:
    draft = tried(tmp_path, RandomForestClassifier(3, n_jobs=-1).fit(X, y))
    assert draft.signature.output.labels == (0, 1)


def answers(model: Any, draft: ManifestDraft, rows: Sequence[Sequence[Any]]) -> list[Any]:
    return predict(model, draft, rows).values


def test_rows_of_the_training_data_fit_the_signature(tmp_path: Path) -> None:
    model = mixed()
    draft = tried(tmp_path, model)
    rows = FRAME.astype(object).where(FRAME.notna(), None).to_numpy().tolist()
    assert answers(model, draft, rows) == model.predict(FRAME).tolist()


class Counted(BaseEstimator):
    """Counts the calls of predict."""

    asked = 0

    def fit(self, X: Any, y: Any = None) -> Counted:
        self.fitted_ = True
        return self

    def predict(self, X: Any) -> Any:
        type(self).asked += 1
        return X[:, 0]


@pytest.mark.slow
def test_thousands_of_columns_that_may_be_null_are_not_tried_one_by_one(tmp_path: Path) -> None:
    predictions = []
    for columns in (20, 2000):
        Counted.asked = 0
        draft = tried(tmp_path, make_pipeline(SimpleImputer(), Counted()).fit(np.ones((3, columns))))
        assert all(field.nullable for field in draft.signature.inputs)
        predictions.append(Counted.asked)
    assert predictions[1] <= predictions[0] < 300


class Logarithms(BaseEstimator):
    """Remembers nothing of its columns; takes those in `names`, or all."""

    fitted_ = True

    def __init__(self, names: list[str] | None = None) -> None:
        self.names = names

    def fit(self, *_: Any) -> Logarithms:
        return self

    def transform(self, frame: pd.DataFrame) -> Any:
        return np.log1p(np.asarray(frame if self.names is None else frame[self.names], dtype=float))


UNNAMED = pd.DataFrame({"a": range(20), "b": [n % 7 for n in range(20)], "c": [n % 3 for n in range(20)]})


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(Logarithms(), LinearRegression()).fit(UNNAMED, y),
        make_pipeline(Logarithms(["a", "b"]), LinearRegression()).fit(UNNAMED, y),
        LinearRegression().fit(UNNAMED.to_numpy(), y),
    ],
    ids=["own step", "own step of some columns", "array"],
)
def test_the_target_that_the_sender_names_is_no_input(tmp_path: Path, model: Any) -> None:
    (tmp_path / "file").write_bytes(cloudpickle.dumps(model))
    UNNAMED.assign(gain=y / 2, place=range(20)).drop(columns="place").to_csv(tmp_path / "rows.csv", index=False)
    examined = examine("m", tmp_path / "file", tmp_path / "rows.csv", target="gain")
    assert examined.draft.signature.names == ("a", "b", "c") and not undecided(examined.draft.remarks)
    assert examined.facts is not None
    with pytest.raises(Refused, match="has a sample without its target 'loss'; it has 'a', 'b', 'c', 'gain'"):
        examine("m", tmp_path / "file", tmp_path / "rows.csv", target="loss")


def test_a_column_that_may_be_the_target_waits_for_a_person_unless_the_model_needs_it(tmp_path: Path) -> None:
    some = make_pipeline(Logarithms(["a", "b"]), LinearRegression()).fit(UNNAMED, y)
    everything = make_pipeline(Logarithms(), LinearRegression()).fit(UNNAMED, y)
    draft = tried(tmp_path, cloudpickle.dumps(some), UNNAMED[["a", "b"]].assign(gain=y / 2).to_csv(index=False))
    assert draft.signature.names == ("a", "b") and undecided(draft.remarks)
    assert "it answers the same without 'gain' of the sample, which may be its target" in " ".join(draft.warnings)
    assert not undecided(tried(tmp_path, cloudpickle.dumps(everything), UNNAMED.to_csv(index=False)).remarks)
    (tmp_path / "rows.csv").write_text(UNNAMED.to_csv(index=False))
    draft = examine("m", tmp_path / "file", tmp_path / "rows.csv", target="").draft
    assert not undecided(draft.remarks)
