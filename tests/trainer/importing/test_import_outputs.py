"""What an imported model answers: its outputs, its methods, and the names in its answers."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.cluster import DBSCAN, Birch, KMeans, SpectralCoclustering
from sklearn.compose import make_column_transformer
from sklearn.covariance import EmpiricalCovariance
from sklearn.decomposition import PCA, SparsePCA
from sklearn.ensemble import GradientBoostingClassifier, IsolationForest, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.manifold import TSNE
from sklearn.metrics import r2_score
from sklearn.mixture import GaussianMixture
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.neighbors import KernelDensity, KNeighborsClassifier, LocalOutlierFactor, NearestNeighbors
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

from contract.model.manifest import ManifestDraft
from contract.model.signature import AnswerForm, Method, Output, OutputKind, Returned
from scoring.predict import Prediction, predict, predict_each
from tests.trainer.importing.imported import refusal, said, tried
from trainer.importing.trial.examine import examine

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])
THREE = np.argmax(X, axis=1)
NUMBERS = X[:, :2] * [2.0, 3.0] + 1
TAGS = (X > 0).astype(int)
WORDS = np.where(X[:, :2] > 0, "high", "low")
NEW = RNG.normal(size=(7, 3))


def asked(model: Any, draft: ManifestDraft, method: str) -> Prediction:
    """What a scorer answers for `NEW`."""
    (answer,) = predict_each(model, draft, [NEW.tolist()], method)
    assert isinstance(answer, Prediction)
    return answer


def methods(draft: ManifestDraft) -> dict[str, AnswerForm]:
    return {method.name: method.answer for method in draft.signature.methods}


def by_name(table: Any, names: Any) -> list[dict[str, Any]]:
    return [dict(zip(map(str, names), row, strict=True)) for row in np.asarray(table).tolist()]


# Several outputs


@pytest.mark.parametrize(
    ("model", "targets"),
    [
        (MultiOutputRegressor(Ridge()), NUMBERS),
        (RegressorChain(Ridge()), NUMBERS),
        (LinearRegression(), NUMBERS),
        (DecisionTreeRegressor(), NUMBERS),
        (MultiOutputClassifier(LogisticRegression()), WORDS),
        (RandomForestClassifier(5), WORDS),
        (KNeighborsClassifier(), WORDS),
        (ClassifierChain(LogisticRegression()), TAGS),
        (MLPClassifier(max_iter=5), TAGS),
        (OneVsRestClassifier(LogisticRegression()), TAGS),
        (RidgeClassifier(), TAGS),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_several_outputs_are_an_object_for_each_row_with_the_estimators_own_values(
    tmp_path: Path, model: Any, targets: Any
) -> None:
    model.fit(X, targets)
    draft = tried(tmp_path, model)
    names = [f"y{number}" for number in range(targets.shape[1])]
    assert [output.name for output in draft.signature.outputs] == names
    (warning,) = [warning for warning in draft.warnings if "names of its" in warning]
    assert "are unknown, so they are called 'y0', 'y1'" in warning
    answer = asked(model, draft, "predict")
    assert list(answer.values) == by_name(model.predict(NEW), names)
    if not hasattr(model, "predict_proba"):
        assert answer.probabilities is None
        return
    tables = model.predict_proba(NEW)
    if isinstance(tables, list):
        expected = [by_name(table, classes) for table, classes in zip(tables, model.classes_, strict=True)]
    else:  # the probability of each label alone
        expected = [by_name(np.c_[1 - column, column], (0, 1)) for column in tables.T]
    assert answer.probabilities == [dict(zip(names, row, strict=True)) for row in zip(*expected, strict=True)]
    assert asked(model, draft, "predict_proba").values == answer.probabilities


def test_other_methods_of_a_multi_label_classifier_answer_by_output(tmp_path: Path) -> None:
    model = OneVsRestClassifier(LogisticRegression()).fit(X, TAGS)
    draft = tried(tmp_path, model)
    assert methods(draft)["decision_function"] is AnswerForm.NAMED
    assert asked(model, draft, "decision_function").values == by_name(model.decision_function(NEW), ("y0", "y1", "y2"))


def test_a_target_that_was_a_column_gives_one_number_a_row(tmp_path: Path) -> None:
    model = LinearRegression().fit(X, NUMBERS[:, :1])
    draft = tried(tmp_path, model)
    assert draft.signature.outputs == (Output(OutputKind.NUMBER),)
    assert asked(model, draft, "predict").values == model.predict(NEW)[:, 0].tolist()
    classifier = MultiOutputClassifier(LogisticRegression()).fit(X, WORDS[:, :1])
    draft = tried(tmp_path, classifier)
    assert draft.signature.outputs == (Output(OutputKind.CLASS, ("high", "low"), probabilities=True),)
    assert asked(classifier, draft, "predict").probabilities == by_name(
        classifier.predict_proba(NEW)[0], ("high", "low")
    )


@pytest.mark.parametrize(
    ("model", "target", "metric"),
    [
        (LinearRegression(), NUMBERS[:, :1], "r2"),
        (MultiOutputClassifier(LogisticRegression()), WORDS[:, :1], "accuracy"),
    ],
)
def test_a_target_that_was_a_column_is_measured_on_a_sample(
    tmp_path: Path, model: Any, target: Any, metric: str
) -> None:
    file, sample = tmp_path / "file", tmp_path / "sample.csv"
    file.write_bytes(pickle.dumps(model.fit(FRAME, target)))
    FRAME.assign(y=target[:, 0]).to_csv(sample, index=False)
    facts = examine("m", file, sample).facts
    assert facts is not None
    expected = r2_score(target, model.predict(FRAME)) if metric == "r2" else (model.predict(FRAME) == target).mean()
    assert facts["metrics"][metric] == pytest.approx(expected)


class Returns(BaseEstimator):
    """Answers with what `make` returns for the rows."""

    n_features_in_, fitted_ = 3, True

    def __init__(self, make: Any) -> None:
        self.make = make

    def predict(self, matrix: Any) -> Any:
        return self.make(np.asarray(matrix))


def as_frame(rows: Any) -> Any:
    return pd.DataFrame({"price": rows[:, 0], "tier": np.where(rows[:, 1] > 0, "a", "b")})


def as_dicts(rows: Any) -> Any:
    return as_frame(rows).to_dict("records")


def as_dict_of_columns(rows: Any) -> Any:
    return as_frame(rows).to_dict("list")


@pytest.mark.parametrize("make", [as_frame, as_dicts, as_dict_of_columns])
def test_predictions_with_names_become_outputs_of_these_names(tmp_path: Path, make: Any) -> None:
    model = Returns(make)
    draft = tried(tmp_path, model)
    assert draft.signature.outputs == (
        Output(OutputKind.NUMBER, name="price"),
        Output(OutputKind.CLASS, name="tier"),
    )
    assert said(draft) == ()
    assert asked(model, draft, "predict").values == as_dicts(NEW)


def as_pairs(rows: Any) -> Any:
    return [(float(row[0]), "big" if row[1] > 0 else "small") for row in rows]


def test_numbers_beside_words_stay_numbers(tmp_path: Path) -> None:
    model = Returns(as_pairs)
    draft = tried(tmp_path, model)
    assert [output.kind for output in draft.signature.outputs] == [OutputKind.NUMBER, OutputKind.CLASS]
    assert asked(model, draft, "predict").values == by_name(np.array(as_pairs(NEW), dtype=object), ("y0", "y1"))


class Grades(BaseEstimator):
    """Two outputs with the same three classes, of which the trial rows show two."""

    n_features_in_, fitted_, classes_ = 3, True, np.array([0, 1, 2])

    def predict(self, matrix: Any) -> Any:
        return (np.asarray(matrix)[:, :2] > 0).astype(int)


def test_classes_that_all_outputs_share_are_those_of_each(tmp_path: Path) -> None:
    assert [output.labels for output in tried(tmp_path, Grades()).signature.outputs] == [(0, 1, 2)] * 2


def as_series(rows: Any) -> Any:
    return pd.Series(rows[:, 0])


def as_list(rows: Any) -> Any:
    return rows[:, 0].tolist()


@pytest.mark.parametrize("make", [as_series, as_list])
def test_a_series_or_list_is_one_output(tmp_path: Path, make: Any) -> None:
    model = Returns(make)
    assert asked(model, tried(tmp_path, model), "predict").values == NEW[:, 0].tolist()


def nested(rows: Any) -> Any:
    return [{"label": "a", "parts": [1, 2]} for _ in rows]


def deep(rows: Any) -> Any:
    return np.zeros((len(rows), 2, 2))


def dates(rows: Any) -> Any:
    return pd.Series(pd.to_datetime(["2026-01-02"] * len(rows)))


def wide(rows: Any) -> Any:
    return np.zeros((len(rows), 10_001))


def twice(rows: Any) -> Any:
    return pd.DataFrame(np.zeros((len(rows), 2)), columns=["a", "a"])


def columns_in_a_tuple(rows: Any) -> Any:
    return rows[:, 0], rows[:, 1]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (nested, "predicts values of the type list, and an answer has numbers and texts; wrap it"),
        (deep, "array of the shape (3, 2, 2); it must be one value a row, or one for each output"),
        (dates, "predicts values of the type datetime64["),
        (wide, "predicts 10001 values a row, and at most 10000 are served"),
        (twice, "predicts two outputs of the same name ('a', 'a'); give each output its own name"),
        (columns_in_a_tuple, "array of the shape (2, 3); it must be one value a row"),
    ],
)
def test_predictions_of_another_form_are_refused(tmp_path: Path, make: Any, said: str) -> None:
    assert said in refusal(tmp_path, Returns(make))


def test_a_tuple_of_columns_is_refused_even_if_there_are_as_many_rows_as_columns(tmp_path: Path) -> None:
    assert "does not predict its sample rows" in refusal(tmp_path, Returns(columns_in_a_tuple), "a,b,c\n1,2,3\n4,5,6\n")


class Quantiles(BaseEstimator):
    """Has its quantiles where XGBoost, CatBoost or quantile-forest have them."""

    n_features_in_ = 3

    def __init__(
        self, quantile_alpha: Any = None, loss_function: str | None = None, default_quantiles: Any = None
    ) -> None:
        self.quantile_alpha = quantile_alpha
        self.loss_function = loss_function
        self.default_quantiles = default_quantiles

    def fit(self, matrix: Any, y: Any = None) -> Quantiles:
        self.fitted_ = True
        return self

    def predict(self, matrix: Any) -> Any:
        return np.asarray(matrix)[:, :2]


@pytest.mark.parametrize(
    "known",
    [
        {"quantile_alpha": np.array([0.1, 0.95])},
        {"loss_function": "MultiQuantile:alpha=0.1,0.95"},
        {"default_quantiles": [0.1, 0.95]},
    ],
    ids=str,
)
def test_quantiles_are_outputs_with_their_names(tmp_path: Path, known: dict[str, Any]) -> None:
    for model in (Quantiles(**known), make_pipeline(StandardScaler(), Quantiles(**known)).fit(X)):
        draft = tried(tmp_path, model)
        assert [output.name for output in draft.signature.outputs] == ["quantile_0.1", "quantile_0.95"]
        assert said(draft) == ()
    unlike = tried(tmp_path, Quantiles(default_quantiles=[0.5]))
    assert [output.name for output in unlike.signature.outputs] == ["y0", "y1"]


# Classes, clusters, outliers


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([False, True], (False, True)), (["0", "1"], ("0", "1")), ([1.0, 2.0], (1.0, 2.0)), ([0, 1], (0, 1))],
)
def test_classes_keep_their_type(tmp_path: Path, labels: list[Any], expected: tuple[Any, ...]) -> None:
    model = RandomForestClassifier(3).fit(X, np.array(labels)[TAGS[:, 0]])
    draft = tried(tmp_path, model)
    assert draft.signature.output.labels == expected
    assert [(type(value), value) for value in asked(model, draft, "predict").values] == [
        (type(value), value) for value in model.predict(NEW).tolist()
    ]


def test_clusters_and_outliers_are_whole_numbers(tmp_path: Path) -> None:
    clusters = make_pipeline(StandardScaler(), KMeans(4, n_init=1)).fit(X)
    draft = tried(tmp_path, clusters)
    assert draft.signature.outputs == (Output(OutputKind.CLASS, (0, 1, 2, 3)),)
    assert {type(value) for value in asked(clusters, draft, "predict").values} == {int}
    assert methods(draft)["transform"] is AnswerForm.NAMED
    assert tried(tmp_path, Birch(n_clusters=3).fit(X)).signature.outputs == (Output(OutputKind.CLASS),)
    regression = tried(tmp_path, LinearRegression().fit(X, TAGS[:, 0])).signature.output
    assert (regression.kind, regression.labels) == (OutputKind.NUMBER, None)


@pytest.mark.parametrize("model", [IsolationForest(n_estimators=5), LocalOutlierFactor(novelty=True)])
def test_an_outlier_detector_gives_its_score_beside_its_answer(tmp_path: Path, model: Any) -> None:
    model.fit(X)
    draft = tried(tmp_path, model)
    assert draft.signature.outputs == (Output(OutputKind.CLASS, (-1, 1), scores=True),)
    answer = asked(model, draft, "predict")
    assert answer.values == model.predict(NEW).tolist()
    assert answer.scores == asked(model, draft, "decision_function").values == model.decision_function(NEW).tolist()
    assert asked(model, draft, "score_samples").values == model.score_samples(NEW).tolist()


def test_a_mixture_gives_components_probabilities_and_densities(tmp_path: Path) -> None:
    model = GaussianMixture(3, random_state=0).fit(X)
    draft = tried(tmp_path, model)
    assert draft.signature.outputs == (Output(OutputKind.CLASS, (0, 1, 2), probabilities=True),)
    assert list(methods(draft)) == ["predict", "predict_proba", "score_samples"]
    assert asked(model, draft, "score_samples").values == model.score_samples(NEW).tolist()


# Methods


def test_a_classifier_lists_its_methods_and_answers_by_label(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, np.array(["a", "b", "c"])[THREE])
    draft = tried(tmp_path, model)
    assert methods(draft) == {
        "predict": AnswerForm.OUTPUTS,
        "predict_proba": AnswerForm.LABELS,
        "predict_log_proba": AnswerForm.LABELS,
        "decision_function": AnswerForm.LABELS,
    }
    for name in ("predict_proba", "predict_log_proba", "decision_function"):
        assert asked(model, draft, name).values == by_name(getattr(model, name)(NEW), "abc")


def test_a_decision_for_each_pair_of_classes_gets_no_labels(tmp_path: Path) -> None:
    """Three classes have three pairs, so the shape does not tell them apart."""
    for classes, targets in ((3, THREE), (4, np.arange(60) % 4)):
        model = SVC(decision_function_shape="ovo").fit(X, targets)
        draft = tried(tmp_path, model)
        assert methods(draft)["decision_function"] is AnswerForm.NUMBERS
        answer = asked(model, draft, "decision_function").values
        assert answer == model.decision_function(NEW).tolist()
        assert len(model.classes_) == classes
    assert methods(tried(tmp_path, SVC().fit(X, THREE)))["decision_function"] is AnswerForm.LABELS
    assert methods(tried(tmp_path, SVC().fit(X, TAGS[:, 0])))["decision_function"] is AnswerForm.NUMBER


def test_methods_that_an_estimator_only_seems_to_have_are_not_listed(tmp_path: Path) -> None:
    votes = VotingClassifier([("a", LogisticRegression()), ("b", SVC())], voting="hard").fit(X, THREE)
    for model in (votes, make_pipeline(StandardScaler(), SVC()).fit(X, THREE)):
        draft = tried(tmp_path, model)
        assert not {"predict_proba", "predict_log_proba"} & methods(draft).keys()
        assert (draft.signature.output.probabilities, draft.warnings) == (False, ())


def test_neighbours_and_leaves_are_answered_behind_a_scaler(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(4)).fit(X, THREE)
    draft = tried(tmp_path, model)
    distances, indices = model[-1].kneighbors(model[:-1].transform(NEW))
    assert asked(model, draft, "kneighbors").values == [
        {"distances": far, "indices": near} for far, near in zip(distances.tolist(), indices.tolist(), strict=True)
    ]
    forest = RandomForestClassifier(3).fit(X, THREE)
    assert asked(forest, tried(tmp_path, forest), "apply").values == forest.apply(NEW).tolist()
    boosted = GradientBoostingClassifier(n_estimators=2).fit(X, THREE)
    assert asked(boosted, tried(tmp_path, boosted), "apply").values == boosted.apply(NEW).tolist()


# Estimators without predict


def test_a_transformer_alone_is_served_by_transform(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), PCA(2)).fit(FRAME)
    draft = tried(tmp_path, model)
    assert draft.signature.outputs == ()
    returned = Returned("ndarray", ("float64",), 2)
    assert draft.signature.methods[0] == Method("transform", AnswerForm.NAMED, ("pca0", "pca1"), returned)
    frame = pd.DataFrame(NEW, columns=FRAME.columns)
    assert asked(model, draft, "transform").values == by_name(model.transform(frame), ("pca0", "pca1"))
    assert list(draft.golden.predictions) == list(predict(model, draft, draft.golden.rows).values)
    assert draft.example.keys() == set(FRAME.columns)


def test_a_scaler_passes_nulls_on(tmp_path: Path) -> None:
    model = StandardScaler().fit(X)
    draft = tried(tmp_path, model)
    assert all(field.nullable for field in draft.signature.inputs)
    (answer,) = predict(model, draft, [(None, 1.0, 2.0)]).values
    assert answer == {**by_name(model.transform([[0.0, 1.0, 2.0]]), ("x0", "x1", "x2"))[0], "x0": None}


def test_the_names_of_a_sample_are_the_names_of_what_a_transformer_gives(tmp_path: Path) -> None:
    draft = tried(tmp_path, StandardScaler().fit(X), "age,height,km\n1,2,3\n4,5,6\n")
    assert draft.signature.methods[0].names == ("age", "height", "km")


def test_sparse_columns_are_named_numbers_without_zeros(tmp_path: Path) -> None:
    frame = pd.DataFrame({"plan": ["basic", "plus", "gold"] * 5, "km": np.arange(15.0) + 1})
    model = make_column_transformer(
        (OneHotEncoder(), ["plan"]), ("passthrough", ["km"]), sparse_threshold=1.0, verbose_feature_names_out=False
    ).fit(frame)
    draft = tried(tmp_path, model, "plan,km\nplus,0\ngold,7\n")
    assert draft.signature.methods[0].answer is AnswerForm.NONZERO
    assert list(draft.golden.predictions) == [{"plan_plus": 1.0}, {"plan_gold": 1.0, "km": 7.0}]


def test_more_names_than_are_kept_become_positions(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": [f"u{number}" for number in range(10_001)]})
    for encoder, rows in ((OneHotEncoder(), 4), (OneHotEncoder(sparse_output=False), 2)):
        draft = tried(tmp_path, encoder.fit(frame), "id\nu7\nu1\nu2\nu3\n")
        assert draft.signature.methods[0].names is None
        assert len(draft.golden.rows) == rows
    assert draft.golden.predictions[0].index(1.0) == encoder.categories_[0].tolist().index("u7")  # type: ignore[union-attr]


def test_one_row_is_answered_like_many(tmp_path: Path) -> None:
    """SparsePCA drops a dimension for one row."""
    model = SparsePCA(2, max_iter=5).fit(X)
    draft = tried(tmp_path, model)
    (answer,) = predict(model, draft, [NEW[0].tolist()]).values
    assert answer == dict(zip(("sparsepca0", "sparsepca1"), model.transform(NEW[:1]).ravel().tolist(), strict=True))


@pytest.mark.parametrize(
    ("model", "first"), [(NearestNeighbors(n_neighbors=3), "kneighbors"), (KernelDensity(), "score_samples")]
)
def test_other_estimators_are_served_by_the_method_that_they_have(tmp_path: Path, model: Any, first: str) -> None:
    for saved in (model.fit(X), make_pipeline(StandardScaler(), model).fit(X)):
        draft = tried(tmp_path, saved)
        assert (draft.signature.outputs, draft.signature.methods[0].name) == ((), first)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (DBSCAN().fit(X), "a fitted DBSCAN, which answers only for the rows that it was fitted on; fit a KNeighbors"),
        (make_pipeline(StandardScaler(), DBSCAN()).fit(X), "holds a fitted DBSCAN, which answers only"),
        (TSNE(perplexity=2, max_iter=250).fit(X[:5]), "which answers only for the rows that it was fitted on; use PCA"),
        (SpectralCoclustering(2).fit(abs(X)), "fit a KNeighborsClassifier on the same rows and their row_labels_"),
        (LocalOutlierFactor().fit(X), "fit it with novelty=True"),
        (LabelEncoder().fit([1, 2]), "works on labels, not on rows; save it in one dict with its model"),
        (EmpiricalCovariance().fit(X), "has no predict, no transform and no other method that Modelgate serves"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_answers_for_no_new_rows_is_refused_with_what_to_do(tmp_path: Path, model: Any, said: str) -> None:
    assert said in refusal(tmp_path, model)
