"""An imported estimator gets numbers of the type it was fitted on: integers, 32-bit or 64-bit floats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import VotingClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.semi_supervised import LabelPropagation
from sklearn.svm import SVC

from contract.errors import InvalidInstances
from contract.model.manifest import InputDtype, InputFormat, ManifestDraft
from contract.model.signature import Kind
from contract.rows.coercion import coerce
from contract.rows.instances import Records
from scoring.predict import predict
from tests.trainer.importing.imported import said
from trainer.importing.trial.examine import examine
from trainer.recipe import Recipe, Run, Table
from trainer.tables.field_inference import infer_fields
from trainer.tables.training_rows import to_rows
from trainer.training.fitting import fit_and_measure

KEYS = [1, 2, 3, 4, 5, 6]
FRAME = pd.DataFrame({"zip": KEYS * 10, "age": range(20, 80)})
ODD = [key % 2 for key in FRAME["zip"]]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
y = (X[:, 0] > 0).astype(int)
X32 = X.astype(np.float32)


def tried(tmp_path: Path, estimator: Any, sample: str | None = None) -> ManifestDraft:
    (tmp_path / "file").write_bytes(cloudpickle.dumps(estimator))
    if sample is not None:
        (tmp_path / "sample.csv").write_text(sample)
    return examine("m", tmp_path / "file", None if sample is None else tmp_path / "sample.csv").draft


def kinds(draft: ManifestDraft) -> list[Kind]:
    return [field.kind for field in draft.signature.inputs]


def takes_float32(draft: ManifestDraft) -> bool:
    """Return whether all its numbers are float32: those of an array, or each column of a DataFrame."""
    if draft.artifact.input_format is InputFormat.ARRAY:
        return draft.artifact.input_dtype is InputDtype.FLOAT32
    return all(field.float32 for field in draft.signature.inputs)


def by_words() -> Any:
    """Makes text of numbers, by itself."""
    return make_pipeline(FunctionTransformer(lambda table: table.astype(str)), OneHotEncoder(handle_unknown="ignore"))


def sorted_out() -> Any:
    columns = make_column_transformer((by_words(), ["zip"]), (StandardScaler(), ["age"]))
    return make_pipeline(columns, LogisticRegression())


@pytest.mark.parametrize("sample", [None, "zip,age\n1,20\n2,30\n3,40\n"])
def test_text_made_from_whole_numbers_is_the_same_as_in_training(tmp_path: Path, sample: str | None) -> None:
    model = sorted_out().fit(FRAME, ODD)
    draft = tried(tmp_path, model, sample)
    assert kinds(draft) == [Kind.INTEGER, Kind.NUMBER]
    assert said(draft) == ()
    assert predict(model, draft, [(key, 34.5) for key in KEYS]).values == [1, 0] * 3


class LastDigits(BaseEstimator):
    """Predicts the last digits of the first column."""

    def fit(self, X: Any, y: Any = None) -> LastDigits:
        self.n_features_in_ = X.shape[1]
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = X.columns.to_numpy(dtype=object)
        return self

    def predict(self, X: Any) -> Any:
        return (X[:, 0] if isinstance(X, np.ndarray) else X.iloc[:, 0]) % 1000


IDS = pd.DataFrame({"x0": 2**53 + 1 + 7 * np.arange(20), "x1": range(20)})
"""Numbers that float64 rounds, beside others."""


def beside_scaled() -> Any:
    """Takes the last digits, and scales the columns, too."""
    digits = FunctionTransformer(lambda X: np.asarray(X)[:, :1] % 1000)
    return make_pipeline(make_union(StandardScaler(), digits), Ridge())


@pytest.mark.parametrize("make", [LastDigits, beside_scaled])
@pytest.mark.parametrize(
    "table",
    [IDS, IDS.to_numpy(), IDS.astype("Int64"), IDS.astype("uint64"), -IDS, IDS.assign(x1=IDS.x1 + 0.5)],
    ids=["DataFrame", "array", "Int64", "uint64", "negative", "beside floats"],
)
def test_whole_numbers_that_floats_would_round_are_integers(tmp_path: Path, table: Any, make: Any) -> None:
    frame = pd.DataFrame(table, columns=["x0", "x1"])
    model = make().fit(table, range(20))
    draft = tried(tmp_path, model, frame.to_csv(index=False))
    assert kinds(draft)[0] is Kind.INTEGER
    rows = coerce(Records(frame.to_dict("records")), draft.signature).rows
    assert predict(model, draft, rows).values == pytest.approx(np.asarray(model.predict(table), dtype=float), abs=1e-9)


@pytest.mark.parametrize("ids", [IDS.x0 - 10**9, IDS.x0.astype(float), IDS.x0.astype("uint64") + np.uint64(2**63)])
def test_other_whole_numbers_stay_numbers(tmp_path: Path, ids: Any) -> None:
    table = IDS.assign(x0=ids)
    assert kinds(tried(tmp_path, LastDigits().fit(table), table.to_csv(index=False)))[0] is Kind.NUMBER


@pytest.mark.parametrize("sample", [None, "zip,age\n1,20\n2,30\n3,40\n"])
def test_an_array_of_whole_numbers_is_one(tmp_path: Path, sample: str | None) -> None:
    model = make_pipeline(by_words(), LogisticRegression()).fit(FRAME.to_numpy(), ODD)
    draft = tried(tmp_path, model, sample)
    assert kinds(draft) == [Kind.INTEGER, Kind.INTEGER]
    assert draft.artifact.input_dtype is InputDtype.INT64
    assert predict(model, draft, [(key, 20 + key) for key in KEYS]).values == [1, 0] * 3


def test_a_model_fitted_on_floats_gets_floats_even_if_the_sample_is_whole(tmp_path: Path) -> None:
    model = sorted_out().fit(FRAME.astype(float), ODD)
    draft = tried(tmp_path, model, "zip,age\n1,20\n2,30\n3,40\n")
    assert (kinds(draft), said(draft)) == ([Kind.NUMBER, Kind.NUMBER], ())
    assert predict(model, draft, [(float(key), 34.5) for key in KEYS]).values == [1, 0] * 3


def test_a_sample_of_whole_numbers_does_not_require_integers_if_the_answers_do_not_depend_on_it(tmp_path: Path) -> None:
    of_steps = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()).fit(FRAME, ODD)
    for model in (of_steps, LogisticRegression().fit(FRAME, ODD), GaussianMixture(2).fit(FRAME)):
        draft = tried(tmp_path, model, "zip,age\n1,20\n2,30\n")
        assert (kinds(draft), said(draft)) == ([Kind.NUMBER, Kind.NUMBER], ())
        assert coerce(Records([{"zip": 1.5, "age": 34.5}]), draft.signature).rows == [(1.5, 34.5)]


@pytest.mark.parametrize("encoder", [OneHotEncoder(handle_unknown="ignore"), TargetEncoder(cv=2)])
@pytest.mark.parametrize("convert", [pd.DataFrame, np.array])
def test_whole_numbers_that_floats_cannot_tell_apart_stay_integers(tmp_path: Path, encoder: Any, convert: Any) -> None:
    """Such as the ids of accounts."""
    ids = [10**17 + number % 5 for number in range(30)]
    rows = convert([[account] for account in ids])
    model = make_pipeline(encoder, LogisticRegression(C=100)).fit(rows, np.array(ids) % 2)
    draft = tried(tmp_path, model)
    rows_of_ids = coerce(
        Records([dict.fromkeys(draft.signature.names, account) for account in ids]), draft.signature
    ).rows
    assert predict(model, draft, rows_of_ids).values == model.predict(rows).tolist() == [account % 2 for account in ids]


class Digits(BaseEstimator):
    """Keeps no trace of the type it was fitted on."""

    n_features_in_ = 1

    def predict(self, matrix: Any) -> Any:
        return np.array([len(str(row[0])) for row in matrix])


@pytest.mark.parametrize(
    ("sample", "kind", "answer", "text"),
    [
        (None, Kind.NUMBER, 3, "numbers are required: if it was fitted on integers, import it again with a"),
        ("a\n5\n17\n", Kind.INTEGER, 1, "the sample has whole numbers, so integers are required: if it was"),
        ("a\n5.0\n17.0\n", Kind.NUMBER, 3, None),
        ("a\n5\n17.5\n", Kind.NUMBER, 3, None),
    ],
)
def test_a_warning_says_that_answers_depend_on_an_unknown_type(
    tmp_path: Path, sample: str | None, kind: Kind, answer: int, text: str | None
) -> None:
    draft = tried(tmp_path, Digits(), sample)
    assert kinds(draft) == [kind]
    assert predict(Digits(), draft, [(5 if kind is Kind.INTEGER else 5.0,)]).values == [answer]
    if text is None:
        assert said(draft) == ()
    else:
        (warning,) = said(draft)
        assert warning.startswith("its answers depend on whether ") and text in warning


class Places(BaseEstimator):
    """Uses a number as an index, which a float cannot be."""

    n_features_in_ = 1

    def predict(self, matrix: Any) -> Any:
        return np.array([10, 20, 30])[matrix[:, 0]]


def test_a_model_that_takes_whole_numbers_only_gets_them(tmp_path: Path) -> None:
    draft = tried(tmp_path, Places())
    assert kinds(draft) == [Kind.INTEGER]
    assert predict(Places(), draft, [(2,)]).values == [30.0]


def test_integers_are_required_if_the_encoder_accepts_no_other_categories(tmp_path: Path) -> None:
    closed = make_pipeline(OrdinalEncoder(), LogisticRegression()).fit(FRAME[["zip"]], ODD)
    with pytest.raises(InvalidInstances, match="must be a whole number"):
        coerce(Records([{"zip": 5.5}]), tried(tmp_path, closed).signature)
    open_ = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(FRAME[["zip"]], ODD)
    assert kinds(tried(tmp_path, open_)) == [Kind.NUMBER]


MLP = MLPClassifier((3,), max_iter=5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(SimpleImputer(), PCA(2), SVC()),
        GridSearchCV(make_pipeline(StandardScaler(), MLP), {}, cv=2),
        VotingClassifier([("svc", SVC()), ("linear", LogisticRegression())]),
        KMeans(2, n_init=1),
    ],
)
@pytest.mark.parametrize("framed", [False, True])
def test_a_model_fitted_on_32_bits_gets_32_bits(tmp_path: Path, estimator: Any, framed: bool) -> None:
    few, many = (pd.DataFrame(matrix, columns=list("abcd")) if framed else matrix for matrix in (X32, X))
    model = estimator.fit(few, y)
    draft = tried(tmp_path, model)
    assert takes_float32(draft)
    answer = predict(model, draft, X.tolist())
    assert answer.values == model.predict(few).tolist()
    if answer.probabilities:
        table = [list(row.values()) for row in answer.probabilities]
        np.testing.assert_array_equal(table, model.predict_proba(few).astype(float))
    if not isinstance(model, VotingClassifier):  # in which SVC computes with 64 bits
        assert not takes_float32(tried(tmp_path, estimator.fit(many, y)))


def test_a_model_that_casts_to_32_bits_itself_gets_64(tmp_path: Path) -> None:
    half = make_pipeline(StandardScaler(), FunctionTransformer(np.float32), LogisticRegression()).fit(X, y)
    assert tried(tmp_path, half).artifact.input_dtype is InputDtype.FLOAT64
    words = make_pipeline(OneHotEncoder(dtype=np.float32), LogisticRegression()).fit(FRAME[["zip"]].astype(str), ODD)
    assert tried(tmp_path, words).artifact.input_dtype is InputDtype.FLOAT64


def test_a_column_of_a_table_may_have_had_32_bits(tmp_path: Path) -> None:
    frame = FRAME.assign(age=(FRAME["age"] / 7).astype(np.float32), plan=["a", "b"] * 30)[["age", "plan"]]
    columns = make_column_transformer((SimpleImputer(), ["age"]), (OneHotEncoder(), ["plan"]))
    model = make_pipeline(columns, LogisticRegression()).fit(frame, ODD)
    draft = tried(tmp_path, model)
    assert [field.float32 for field in draft.signature.inputs] == [True, False]
    rows = list(zip((FRAME["age"] / 7).tolist(), frame["plan"], strict=True))
    table = [list(row.values()) for row in predict(model, draft, rows).probabilities or ()]
    np.testing.assert_array_equal(table, model.predict_proba(frame))


DAYS = [20240131 + number for number in range(12)] * 5


def of_days(encoder: Any) -> Any:
    return make_column_transformer((MinMaxScaler(), ["a"]), (encoder, ["day"]))


@pytest.mark.parametrize("day", [int, float])
@pytest.mark.parametrize("sampled", [True, False])
def test_a_column_of_32_bits_leaves_the_others_their_digits(tmp_path: Path, day: type, sampled: bool) -> None:
    frame = pd.DataFrame({"a": X32[:, 0], "day": np.array(DAYS, dtype=day)})
    model = make_pipeline(of_days(OneHotEncoder(handle_unknown="ignore")), Ridge(0.01)).fit(
        frame, frame["day"] - 2.024e7
    )
    draft = tried(tmp_path, model, frame.to_csv(index=False) if sampled else None)
    assert [(field.name, field.float32) for field in draft.signature.inputs] == [("a", True), ("day", False)]
    assert ManifestDraft.loads(draft.dumps()) == draft
    assert not draft.remarks
    rows = list(zip(frame["a"].tolist(), map(float, DAYS), strict=True))
    np.testing.assert_allclose(np.array(predict(model, draft, rows).values), model.predict(frame), rtol=1e-6)


def test_an_encoder_shows_the_type_of_each_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"share": (np.array(DAYS) % 7 / 7).astype(np.float32), "day": np.array(DAYS, dtype=float)})
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), Ridge(0.01)).fit(frame, frame["day"] - 2.024e7)
    draft = tried(tmp_path, model, frame.to_csv(index=False))
    assert [field.float32 for field in draft.signature.inputs] == [True, False]
    rows = [tuple(row) for row in frame.to_numpy().tolist()]
    np.testing.assert_allclose(np.array(predict(model, draft, rows).values), model.predict(frame), rtol=1e-9)


def test_a_column_that_may_have_had_32_bits_is_named_if_that_matters(tmp_path: Path) -> None:
    bins = KBinsDiscretizer(5, encode="onehot", strategy="uniform")
    for days, named in ((DAYS, True), ([day - 20240130 for day in DAYS], False)):
        frame = pd.DataFrame({"a": X32[:, 0], "day": np.array(days, dtype=float)})
        model = make_pipeline(of_days(bins), Ridge(0.01)).fit(frame, np.array(DAYS) - 2.024e7)
        draft = tried(tmp_path, model, frame.to_csv(index=False))
        assert [field.float32 for field in draft.signature.inputs] == [True, False]
        assert any("'day' had floats of 32 or of 64 bits" in text for text in said(draft)) is named


@pytest.mark.parametrize(
    "model",
    [
        GaussianProcessRegressor(RBF(10)),
        KNeighborsRegressor(2),
        DummyRegressor(strategy="constant", constant=np.float32(0.5)),
        LabelPropagation(),
        make_pipeline(TargetEncoder(target_type="continuous"), Ridge()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_targets_of_32_bits_say_nothing_of_the_inputs(tmp_path: Path, model: Any) -> None:
    large = RNG.uniform(1e8, 1e8 + 50, size=(60, 1)).round()
    targets = (large[:, 0] % 2).astype(np.float32)
    draft = tried(tmp_path, model.fit(large, targets))
    assert draft.artifact.input_dtype is InputDtype.FLOAT64
    answers = predict(model, draft, large.tolist()).values
    np.testing.assert_allclose(np.array(answers, dtype=float), model.predict(large), rtol=1e-9)


def test_a_training_hands_numbers_on_as_serving_does() -> None:
    def fit(X: Any, y: Any) -> Any:
        assert X.dtypes.tolist() == [np.int64, np.float64]
        return sorted_out().fit(X, y)

    recipe = Recipe("any", None, None, fit, input_format=InputFormat.DATAFRAME)
    cells = [
        [str(zip_), str(age // 2), str(odd)] for zip_, age, odd in zip(FRAME["zip"], FRAME["age"], ODD, strict=True)
    ]
    known, table, _ = infer_fields(recipe, Table("cells", ["zip", "age", "odd"], cells), "odd", None, None)
    fitted = fit_and_measure(known, to_rows(known, table), Run(*known.fields), {})
    rows = coerce(Records([{"zip": key, "age": 34.5} for key in KEYS]), fitted.draft.signature).rows
    assert predict(fitted.estimator, fitted.draft, rows).values == [1, 0] * 3


def test_a_draft_keeps_its_dtype_when_it_is_written(tmp_path: Path) -> None:
    draft = tried(tmp_path, LogisticRegression().fit(X32, y))
    assert ManifestDraft.loads(draft.dumps()) == draft
