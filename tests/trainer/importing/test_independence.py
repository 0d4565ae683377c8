"""What an import finds out about rows beside each other, and that requests are scored accordingly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.decomposition import NMF, PCA, MiniBatchNMF
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, minmax_scale, normalize
from sklearn.svm import SVC

from contract.errors import Failure
from contract.model.manifest import ManifestDraft
from contract.row import Row
from scoring.held_objects import holds_own_code
from scoring.predict import predict, predict_each
from tests.trainer.importing.imported import tried
from trainer.importing.assumptions import undecided
from trainer.importing.trial.examine import examine
from trainer.publishing import independence
from trainer.publishing.verify import same

_DRAW = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "income": _DRAW.integers(1000, 9000, 240).astype(float),
        "age": _DRAW.integers(18, 80, 240).astype(float),
        "city": _DRAW.choice(["Rome", "Oslo", "Bonn", "Bern"], 240),
    }
)
GAPS = FRAME[["income", "age"]].copy()
GAPS.loc[_DRAW.random(240) < 0.25, "income"] = np.nan
NUMBERS = FRAME[["income", "age"]]
y = FRAME["income"] / 100 + FRAME["age"]
CLASSES = (y > y.median()).astype(int)
TEXTS = FRAME["city"] + " " + FRAME["age"].astype(str) + " years"


def of_notebook(code: str) -> Any:
    """What the code is in a notebook: no module that can be imported has it."""
    return eval(code, {"__name__": "notebook", "np": np, "pd": pd})


def by_function(function: Callable[[Any], Any], frame: pd.DataFrame = NUMBERS) -> Any:
    return make_pipeline(FunctionTransformer(function), LinearRegression()).fit(frame, y)


def rows_of(frame: pd.DataFrame) -> list[Row]:
    return [tuple(None if value != value else value for value in row) for row in frame.to_numpy(object).tolist()]


def imported(tmp_path: Path, model: Any, frame: pd.DataFrame | None) -> ManifestDraft:
    return tried(tmp_path, cloudpickle.dumps(model), None if frame is None else frame.to_csv(index=False))


def as_a_worker_scores(model: Any, draft: ManifestDraft, rows: Sequence[Row]) -> list[Any]:
    """The answers to requests of a row each, of which 24 wait together; None for those that raise."""
    answers: list[Any] = []
    for start in range(0, len(rows), 24):
        answers += predict_each(model, draft, [[row] for row in rows[start : start + 24]])
    return [None if isinstance(answer, Failure) else (answer.values[0], answer.probabilities) for answer in answers]


def beside_the_server(model: Any, draft: ManifestDraft, rows: Sequence[Row]) -> list[Any]:
    return [(answer.values[0], answer.probabilities) for answer in (predict(model, draft, [row]) for row in rows)]


def with_first_dummy(X: Any) -> Any:
    return X[["age"]].assign(first=pd.get_dummies(X["city"]).iloc[:, 0].astype(float))


OF_THE_BATCH: dict[str, tuple[Any, pd.DataFrame]] = {
    "mean": (by_function(lambda X: X.fillna(X.mean()).fillna(0), GAPS), GAPS),
    "minmax_scale": (by_function(minmax_scale), NUMBERS),
    "rank": (by_function(lambda X: X.rank()), NUMBERS),
    "shift": (by_function(lambda X: X.shift().fillna(0)), NUMBERS),
    "cumsum": (by_function(lambda X: X.cumsum()), NUMBERS),
    "ffill": (by_function(lambda X: X.ffill().fillna(0), GAPS), GAPS),
    "interpolate": (by_function(lambda X: X.interpolate().fillna(0), GAPS), GAPS),
    "sort": (by_function(lambda X: np.sort(X, axis=0)), NUMBERS),
    "factorize": (by_function(lambda X: X.apply(lambda column: pd.factorize(column)[0])), NUMBERS),
    "groupby": (by_function(lambda X: X[["age"]].assign(n=X.groupby("age").income.transform("count"))), NUMBERS),
    "get_dummies": (by_function(with_first_dummy, FRAME), FRAME),
}


@pytest.mark.parametrize("name", OF_THE_BATCH)
def test_requests_of_a_model_whose_answers_depend_on_other_rows_are_scored_alone(tmp_path: Path, name: str) -> None:
    model, frame = OF_THE_BATCH[name]
    draft = imported(tmp_path, model, frame)
    (warning,) = (remark.text for remark in draft.remarks if remark.code == independence.CODE)
    assert draft.artifact.alone
    assert "changes with the rows beside it: the row " in warning
    assert "requests are scored one after the other" in warning
    rows = rows_of(frame)[:120]
    assert as_a_worker_scores(model, draft, rows) == beside_the_server(model, draft, rows)


def test_a_null_that_only_a_request_has_shows_a_dependence_on_other_rows(tmp_path: Path) -> None:
    """The sample has no two rows that show it: its only null is there to make the input nullable."""
    frame = NUMBERS.head(30).copy()
    frame.loc[frame.index[-1] + 1] = [np.nan, 40.0]
    draft = imported(tmp_path, by_function(lambda X: X.fillna(X.mean()).fillna(0)), frame)
    assert draft.artifact.alone


INDEPENDENT: dict[str, tuple[Any, pd.DataFrame]] = {
    "scaled": (make_pipeline(StandardScaler(), LogisticRegression()).fit(NUMBERS, CLASSES), NUMBERS),
    "forest": (RandomForestRegressor(10).fit(NUMBERS, y), NUMBERS),
    "neighbours": (KNeighborsClassifier().fit(NUMBERS, CLASSES), NUMBERS),
    "brute": (KNeighborsRegressor(weights="distance", algorithm="brute").fit(NUMBERS, y), NUMBERS),
    "process": (GaussianProcessRegressor(random_state=0).fit(NUMBERS, y), NUMBERS),
    "boosting": (HistGradientBoostingClassifier(max_iter=10).fit(GAPS, CLASSES), GAPS),
    "machine": (SVC(probability=True).fit(NUMBERS, CLASSES), NUMBERS),
    "kernel machine": (make_pipeline(StandardScaler(), SVC(kernel="poly")).fit(NUMBERS, CLASSES), NUMBERS),
    "words": (
        make_pipeline(make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough"), Ridge()).fit(
            FRAME, y
        ),
        FRAME,
    ),
    "components": (make_pipeline(StandardScaler(), PCA(), RandomForestClassifier(10)).fit(NUMBERS, CLASSES), NUMBERS),
    "amplified rounding": (KernelRidge(alpha=1e-6).fit(NUMBERS, y), NUMBERS),
    "logarithms": (by_function(np.log1p), NUMBERS),
    "own": (by_function(of_notebook("lambda X: X * 2")), NUMBERS),
    "own and gaps": (by_function(lambda X: X.fillna(0), GAPS), GAPS),
    "rows": (by_function(normalize), NUMBERS),
    "ties": (make_pipeline(FunctionTransformer(lambda X: X * 0), LogisticRegression()).fit(NUMBERS, CLASSES), NUMBERS),
    "texts": (make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(TEXTS, CLASSES), TEXTS.to_frame("text")),
    "own words": (
        make_pipeline(TfidfVectorizer(tokenizer=of_notebook("lambda text: text.split()")), MultinomialNB()).fit(
            TEXTS, CLASSES
        ),
        TEXTS.to_frame("text"),
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", INDEPENDENT)
def test_other_models_are_scored_together(tmp_path: Path, name: str) -> None:
    model, frame = INDEPENDENT[name]
    draft = imported(tmp_path, model, frame)
    assert not draft.artifact.alone
    assert not [remark for remark in draft.remarks if remark.code == independence.CODE]
    rows = rows_of(frame)[:120]
    together, alone = as_a_worker_scores(model, draft, rows), beside_the_server(model, draft, rows)
    tolerance = 1e-3 if name == "amplified rounding" else 1e-9
    assert all(same(*pair, tolerance) for pair in zip(together, alone, strict=True))


@pytest.mark.parametrize(
    ("frame", "said"),
    [(None, "tried on made-up rows"), (NUMBERS.head(12), "tried on 12 different rows"), (NUMBERS.head(20), None)],
    ids=["made-up", "few", "enough"],
)
def test_own_code_is_scored_together_once_twenty_rows_have_shown_it(
    tmp_path: Path, frame: pd.DataFrame | None, said: str | None
) -> None:
    draft = imported(tmp_path, by_function(of_notebook("lambda X: X * 2")), frame)
    assert draft.artifact.alone == (said is not None)
    assert said is None or any(
        said in warning and "import it again with a sample" in warning for warning in draft.warnings
    )


class Top(ClassifierMixin, BaseEstimator):
    """Marks the tenth of the rows with the highest probability."""

    def fit(self, X: Any, y: Any) -> Any:
        self.inner_, self.classes_ = LogisticRegression().fit(X, y), np.array([0, 1])
        self.n_features_in_ = X.shape[1]
        return self

    def predict_proba(self, X: Any) -> Any:
        return self.inner_.predict_proba(X)

    def predict(self, X: Any) -> Any:
        shares = self.predict_proba(X)[:, 1]
        return (shares >= np.quantile(shares, 0.9)).astype(int)


def test_classes_that_change_with_other_rows_are_found_though_probabilities_do_not(tmp_path: Path) -> None:
    assert imported(tmp_path, Top().fit(NUMBERS, CLASSES), NUMBERS).artifact.alone


OF_LIBRARY: dict[str, tuple[Any, pd.DataFrame]] = {
    "factors": (NMF(2, random_state=0).fit(NUMBERS), NUMBERS),
    "factors of parts": (MiniBatchNMF(2, random_state=0).fit(NUMBERS), NUMBERS),
    "topics": (make_pipeline(TfidfVectorizer(), NMF(3, random_state=0)).fit(TEXTS), TEXTS.to_frame("text")),
    "uniform": (DummyClassifier(strategy="uniform", random_state=0).fit(NUMBERS, CLASSES), NUMBERS),
    "stratified": (DummyClassifier(strategy="stratified", random_state=0).fit(NUMBERS, CLASSES), NUMBERS),
    "machine": (BernoulliRBM(2, random_state=0).fit(NUMBERS / 9000), NUMBERS / 9000),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OF_LIBRARY)
@pytest.mark.parametrize("made_up", [True, False])
def test_estimators_of_scikit_learn_that_draw_or_iterate_for_the_whole_batch_are_found(
    tmp_path: Path, name: str, made_up: bool
) -> None:
    model, frame = OF_LIBRARY[name]
    assert imported(tmp_path, model, None if made_up else frame).artifact.alone


def own_class(state: dict[str, Any], *body: str) -> Any:
    """A regressor of a notebook whose `predict` has this body. The class has the `state`."""
    scope: dict[str, Any] = {"__name__": "notebook", "np": np}
    exec("\n    ".join(("def predict(self, X):", "a = X.income.to_numpy()", *body)), scope)
    names = np.array(NUMBERS.columns, dtype=object)
    known = {"__module__": "notebook", "n_features_in_": 2, "feature_names_in_": names}
    return type("Own", (BaseEstimator,), {"predict": scope["predict"], **known, **state})()


REMEMBERING: dict[str, Any] = {
    "first mean": own_class({"mean": 0.0}, "self.mean = self.mean or a.mean()", "return a - self.mean"),
    "maximum in the class": own_class(
        {"most": 1.0}, "type(self).most = max(self.most, a.max())", "return a / self.most"
    ),
    "new in the class": own_class({}, "type(self).mean = mean = getattr(self, 'mean', a.mean())", "return a - mean"),
    "codes": own_class({"codes": {}}, "return np.array([1.0 * self.codes.setdefault(v, len(self.codes)) for v in a])"),
    "cache by shape": own_class({"cache": {}}, "return self.cache.setdefault(X.shape, a * 2)"),
}


@pytest.mark.parametrize("name", REMEMBERING)
def test_a_model_that_keeps_values_of_requests_for_later_ones_waits_for_a_person(tmp_path: Path, name: str) -> None:
    draft = imported(tmp_path, REMEMBERING[name], NUMBERS)
    (warning,) = (remark.text for remark in draft.remarks if remark.code == independence.MEMORY)
    assert undecided(draft.remarks)
    assert "depend on what others have asked before: the row " in warning
    assert " if nothing was asked before and " in warning
    assert "take what its code keeps between requests out of it" in warning


def test_a_model_that_keeps_answers_only_to_the_same_values_does_not_wait(tmp_path: Path) -> None:
    model = own_class({"kept": {}}, "return np.array([self.kept.setdefault(v, v * 2) for v in a])")
    draft = imported(tmp_path, model, NUMBERS)
    assert not draft.artifact.alone
    assert not undecided(draft.remarks)


def test_what_a_model_keeps_while_it_is_tried_is_not_published(tmp_path: Path) -> None:
    file, sample = tmp_path / "model", tmp_path / "sample.csv"
    file.write_bytes(cloudpickle.dumps({"model": REMEMBERING["first mean"], "metrics": {"r2": 0.9}}))
    sample.write_text(NUMBERS.to_csv(index=False))
    published = examine("m", file, sample).artifact
    assert published is not None
    assert "mean" not in vars(cloudpickle.loads(published))


def test_a_batch_that_raises_where_each_row_does_not_is_a_dependence(tmp_path: Path) -> None:
    model = by_function(of_notebook("lambda X: X * 1"))
    draft = imported(tmp_path, model, NUMBERS)
    model.set_params(functiontransformer__func=of_notebook("lambda X: X * (1 if len(X) < 60 else np.ones(3))"))
    found = independence.with_independence(model, draft, rows_of(NUMBERS))
    assert found.artifact.alone
    assert " alone and 'no answer' beside " in found.warnings[-1]


class Noisy(BaseEstimator):
    n_features_in_ = 2

    def fit(self, X: Any, y: Any) -> Any:
        return self

    def predict(self, X: Any) -> Any:
        return np.random.default_rng().normal(size=len(X))


def test_random_answers_are_not_blamed_on_neighbours(tmp_path: Path) -> None:
    draft = imported(tmp_path, by_function(np.log1p), NUMBERS)
    draft = independence.with_independence(Noisy(), draft, rows_of(NUMBERS))
    assert draft.artifact.alone
    assert any("its answers are random: the row" in warning for warning in draft.warnings)


def test_a_slow_model_is_tried_for_as_long_as_there_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = by_function(of_notebook("lambda X: X * 2"))
    draft = imported(tmp_path, model, NUMBERS)
    assert not draft.artifact.alone
    monkeypatch.setattr(independence.time, "monotonic", partial(next, count(step=2.0)))  # two seconds for each call
    again = independence.with_independence(model, draft, rows_of(NUMBERS))
    assert again.artifact.alone
    assert "was tried on 9 different rows, which do not show" in again.remarks[-1].text


def test_own_code_is_what_no_installed_library_has() -> None:
    of_library = [minmax_scale, np.log1p, pd.DataFrame.abs, partial(np.clip, a_min=0), pd.get_dummies]
    assert not any(holds_own_code(FunctionTransformer(function)) for function in of_library)
    assert not any(holds_own_code(INDEPENDENT[name][0]) for name in ("forest", "machine", "process", "boosting"))
    assert holds_own_code(FunctionTransformer(of_notebook("lambda X: X")))
    assert holds_own_code(FunctionTransformer(partial(of_notebook("lambda X, of: X"), of=1)))
    own = of_notebook("type('Own', (), {'predict': lambda self, X: X})")
    assert holds_own_code(make_pipeline(StandardScaler(), own()))
    assert holds_own_code({"model": FunctionTransformer(own().predict)})
    assert holds_own_code(cloudpickle.loads(cloudpickle.dumps(by_function(of_notebook("lambda X: X")))))
