"""Forty uses that scikit-learn's tools have for an estimator, with a served model in its place."""

from __future__ import annotations

import copy
import json
import pickle
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import matplotlib as mpl
import numpy as np
import pytest
from joblib.externals.loky.backend import resource_tracker
from modelgate import Client, Model, ModelgateError, UnknownMethod
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest, StackingClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import (
    DecisionBoundaryDisplay,
    PartialDependenceDisplay,
    partial_dependence,
    permutation_importance,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    DetCurveDisplay,
    PrecisionRecallDisplay,
    PredictionErrorDisplay,
    RocCurveDisplay,
    brier_score_loss,
    check_scoring,
    get_scorer,
    make_scorer,
)
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr, get_tags
from sklearn.utils.validation import check_is_fitted

from contract.settings import Settings
from tests.client.kinds import FRAME, NUMBERS, X
from tests.stacks.gateways import start_site
from tests.support import PROJECT
from trainer.importing.inbox.inbox import Inbox

mpl.use("Agg")

YES = (NUMBERS > 0).astype(int)
WEIGHTS = np.linspace(0.1, 2, len(YES))
PLANE = FRAME[["a", "b"]]
ROUNDING = {"rtol": 1e-9, "atol": 1e-12}
"""What tools compute out of the answers; scikit-learn itself differs by as much between two forms of the same rows."""

FITTED: Mapping[str, Any] = {
    "classifier": LogisticRegression().fit(FRAME, YES),
    "plane": LogisticRegression().fit(PLANE, YES),
    "regressor": Ridge().fit(FRAME, NUMBERS),
    "targets": Ridge().fit(X, np.column_stack([NUMBERS, -NUMBERS])),
    "scaler": StandardScaler().fit(FRAME),
    "clusterer": KMeans(3, n_init=1, random_state=0).fit(FRAME),
    "outliers": IsolationForest(n_estimators=10, random_state=0).fit(FRAME),
}
LOCAL = SimpleNamespace(**FITTED)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The fitted models, each served by a gateway and a worker."""
    models: Path = tmp_path_factory.mktemp("models")
    (models / "inbox").mkdir()
    for name, model in FITTED.items():
        (models / "inbox" / f"{name}.pkl").write_bytes(pickle.dumps(model))

    def promote(model: str, version: int, alias: str) -> None:
        (models / model / "aliases.json").write_text(json.dumps({alias: version}))

    said: list[str] = []
    inbox = Inbox(Settings(models_dir=models), promote, said.append)
    inbox.import_files()
    inbox.import_files()
    assert not list((models / "inbox").glob("rejected/*")), said
    folder = tmp_path_factory.mktemp("site")
    with start_site(folder, models, spool_dir=folder / "spool", state_dir=folder) as site:
        site.cluster.start("first").ready()
        with Client(site.gateway.address) as mg:
            yield SimpleNamespace(**{name: mg.model(name) for name in FITTED})


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


# Each takes the models, served or local, and returns what has to be the same of both.


def tags(m: Any) -> Any:
    made = {name: get_tags(model) for name, model in vars(m).items()}
    kinds = {name: tag.estimator_type for name, tag in made.items()}
    assert made["targets"].target_tags.multi_output and not made["classifier"].target_tags.multi_output
    return kinds, [(tag.input_tags.allow_nan, tag.transformer_tags is None) for tag in made.values()]


def cloned(m: Any) -> Any:
    made = clone(m.classifier)
    return (made if isinstance(made, Model) else m.classifier).predict(FRAME)  # scikit-learn's own is not fitted


def parameters(m: Any) -> Any:
    pipeline = Pipeline([("scale", m.scaler), ("model", m.classifier)])
    assert {"scale", "model", "verbose"} <= set(pipeline.get_params(deep=True))
    return pipeline.set_params(verbose=False).predict(FRAME), m.classifier.set_params().predict(FRAME)


def shown(m: Any) -> Any:
    html = estimator_html_repr(make_pipeline(m.scaler, m.classifier))
    return type(m.classifier).__name__ in html and "<span>Fitted</span>" in html


def scored_by(name: str) -> Callable[[Any], Any]:
    return lambda m: get_scorer(name)(m.classifier, FRAME, YES)


def scorings(m: Any) -> Any:
    several = check_scoring(m.classifier, scoring=["accuracy", "roc_auc", "neg_brier_score"])
    return check_scoring(m.classifier)(m.classifier, FRAME, YES), several(m.classifier, FRAME, YES)


def importances(m: Any) -> Any:
    result = permutation_importance(m.classifier, FRAME, YES, n_repeats=2, random_state=0, scoring="neg_log_loss")
    return result.importances


def dependence(m: Any) -> Any:
    by_probability = partial_dependence(m.classifier, FRAME, ["a"], grid_resolution=5)
    by_number = partial_dependence(m.regressor, FRAME, ["a", "b"], grid_resolution=3)
    return by_probability["average"], by_number["average"]


def dependence_curves(m: Any) -> Any:
    display = PartialDependenceDisplay.from_estimator(m.regressor, FRAME, ["a", "c"], grid_resolution=5)
    return [line.get_ydata() for line in display.lines_.ravel()]


def roc_curve(m: Any) -> Any:
    display = RocCurveDisplay.from_estimator(m.classifier, FRAME, YES)
    return display.tpr, display.fpr, display.roc_auc


def precision_curve(m: Any) -> Any:
    display = PrecisionRecallDisplay.from_estimator(m.classifier, FRAME, YES)
    return display.precision, display.recall


def det_curve(m: Any) -> Any:
    display = DetCurveDisplay.from_estimator(m.classifier, FRAME, YES)
    return display.fpr, display.fnr


def boundary(m: Any) -> Any:
    return DecisionBoundaryDisplay.from_estimator(m.plane, PLANE, grid_resolution=8).response


def calibration_curve(m: Any) -> Any:
    return CalibrationDisplay.from_estimator(m.classifier, FRAME, YES).prob_true


def in_processes(m: Any) -> Any:
    calls = (joblib.delayed(m.classifier.predict_proba)(FRAME[start : start + 40]) for start in (0, 40, 80))
    try:
        return np.concatenate(joblib.Parallel(2, backend="multiprocessing")(calls))
    finally:
        resource_tracker._resource_tracker._stop()  # a process that would stay until this one ends


def behind_a_transformer(m: Any) -> Any:
    scaler = StandardScaler().set_output(transform="pandas").fit(FRAME)
    return Pipeline([("scale", scaler), ("model", m.classifier)]).predict_proba(FRAME)


def as_a_transformer(m: Any) -> Any:
    return make_pipeline(FrozenEstimator(m.scaler), LogisticRegression()).fit(FRAME, YES).predict_proba(FRAME)


def in_a_union(m: Any) -> Any:
    union = FeatureUnion([("scaled", FrozenEstimator(m.scaler)), ("distances", FrozenEstimator(m.clusterer))])
    return union.fit_transform(FRAME)


def of_columns(m: Any) -> Any:
    columns = ColumnTransformer([("scaled", FrozenEstimator(m.scaler), list("abcd"))], remainder="passthrough")
    return columns.fit(FRAME.assign(e=1.0)).transform(FRAME.assign(e=2.0))


def voting(m: Any) -> Any:
    vote = VotingClassifier([("one", FrozenEstimator(m.classifier)), ("two", LogisticRegression(C=0.1))], voting="soft")
    return vote.fit(FRAME, YES).predict_proba(FRAME)


def stacking(m: Any) -> Any:
    second = LogisticRegression(C=0.1).fit(FRAME, YES)
    return (
        StackingClassifier([("one", m.classifier), ("two", second)], cv="prefit").fit(FRAME, YES).predict_proba(FRAME)
    )


def calibrated(m: Any) -> Any:
    return CalibratedClassifierCV(FrozenEstimator(m.classifier)).fit(FRAME, YES).predict_proba(FRAME)


def tuned_threshold(m: Any) -> Any:
    tuned = TunedThresholdClassifierCV(m.classifier, cv="prefit", refit=False).fit(FRAME, YES)
    return tuned.best_threshold_, tuned.predict(FRAME)


def fixed_threshold(m: Any) -> Any:
    return FixedThresholdClassifier(FrozenEstimator(m.classifier), threshold=0.8).fit(FRAME, YES).predict(FRAME)


USES: Mapping[str, Callable[[Any], Any]] = {
    "is_classifier and is_regressor say what it is": lambda m: [
        (is_classifier(model), is_regressor(model)) for model in vars(m).values()
    ],
    "get_tags says which rows and targets it takes": tags,
    "clone returns a model that answers": cloned,
    "get_params and set_params work in a Pipeline": parameters,
    "check_is_fitted finds it fitted": lambda m: [check_is_fitted(model) for model in vars(m).values()],
    "a notebook draws it in a Pipeline": shown,
    "pickle takes it": lambda m: pickle.loads(pickle.dumps(m.classifier)).predict(FRAME),
    "deepcopy takes it": lambda m: copy.deepcopy(m.classifier).predict(FRAME),
    "joblib.Parallel sends it to processes": in_processes,
    "feature_names_in_, n_features_in_ and classes_ are the estimator's": lambda m: (
        *(list(m.classifier.feature_names_in_), m.classifier.n_features_in_),
        m.classifier.classes_,
    ),
    "score is the accuracy of a classifier": lambda m: m.classifier.score(FRAME, YES, sample_weight=WEIGHTS),
    "score is R² of a regressor": lambda m: m.regressor.score(FRAME, NUMBERS, sample_weight=WEIGHTS),
    "get_scorer('accuracy') takes it": scored_by("accuracy"),
    "get_scorer('roc_auc') takes it": scored_by("roc_auc"),
    "get_scorer('neg_log_loss') takes it": scored_by("neg_log_loss"),
    "get_scorer('r2') takes it": lambda m: get_scorer("r2")(m.regressor, FRAME, NUMBERS),
    "make_scorer asks the method that it names": lambda m: make_scorer(
        brier_score_loss, response_method="predict_proba", greater_is_better=False
    )(m.classifier, FRAME, YES),
    "check_scoring takes it for no metric and for several": scorings,
    "permutation_importance": importances,
    "partial_dependence": dependence,
    "PartialDependenceDisplay": dependence_curves,
    "RocCurveDisplay": roc_curve,
    "PrecisionRecallDisplay": precision_curve,
    "DetCurveDisplay": det_curve,
    "ConfusionMatrixDisplay": lambda m: (
        ConfusionMatrixDisplay.from_estimator(m.classifier, FRAME, YES).confusion_matrix
    ),
    "PredictionErrorDisplay": lambda m: PredictionErrorDisplay.from_estimator(m.regressor, FRAME, NUMBERS).y_pred,
    "DecisionBoundaryDisplay": boundary,
    "CalibrationDisplay": calibration_curve,
    "a Pipeline ends with it": behind_a_transformer,
    "a Pipeline is fitted behind a served transformer": as_a_transformer,
    "a FeatureUnion joins served transformers": in_a_union,
    "a ColumnTransformer sends it its columns": of_columns,
    "VotingClassifier asks it": voting,
    "StackingClassifier(cv='prefit') asks it": stacking,
    "CalibratedClassifierCV calibrates it": calibrated,
    "TunedThresholdClassifierCV and FixedThresholdClassifier move its threshold": lambda m: (
        tuned_threshold(m),
        fixed_threshold(m),
    ),
}


def check_same(answer: Any, wanted: Any) -> None:
    if isinstance(wanted, Mapping):
        assert list(answer) == list(wanted)
        answer, wanted = list(answer.values()), list(wanted.values())
    if isinstance(wanted, list | tuple):
        assert len(answer) == len(wanted)
        for part, other in zip(answer, wanted, strict=True):
            check_same(part, other)
    elif isinstance(wanted, np.ndarray | float):
        np.testing.assert_allclose(answer, wanted, **ROUNDING)
    else:
        assert answer == wanted


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_tool_gets_the_same_from_a_served_model(served: SimpleNamespace, use: Callable[[Any], Any]) -> None:
    check_same(use(served), use(LOCAL))


SERVED = r"'classifier' is served and cannot be fitted here; publish\(\) or train\(\) a version, or give a tool"


def a_search(model: Any) -> Any:
    return GridSearchCV(model, {}, cv=2).fit(FRAME, YES).best_score_


def important(model: Any, **options: Any) -> Any:
    return SelectFromModel(model, prefit=True, **options).transform(FRAME.to_numpy())


def by_permutation(model: Any) -> Any:
    return permutation_importance(model, FRAME, YES, random_state=0).importances_mean


REFUSED: Mapping[str, tuple[Callable[[Any], Any], str, Callable[[Any], Any]]] = {
    "cross_val_predict fits clones: cross-validate it frozen": (
        lambda model: cross_val_predict(model, FRAME, YES, cv=3),
        SERVED,
        lambda model: cross_validate(FrozenEstimator(model), FRAME, YES, cv=3)["test_score"],
    ),
    "GridSearchCV fits clones: search what is beside it": (
        a_search,
        SERVED,
        lambda model: a_search(VotingClassifier([("one", FrozenEstimator(model)), ("two", LogisticRegression())])),
    ),
    "learning_curve fits on fewer rows": (
        lambda model: learning_curve(model, FRAME, YES, cv=2, error_score="raise"),
        SERVED,
        lambda model: None,
    ),
    "SelectFromModel reads coef_: give it importances": (
        important,
        "should have `coef_` or `feature_importances_` attribute",
        lambda model: important(model, importance_getter=by_permutation),
    ),
}


@pytest.mark.parametrize(("refuse", "words", "instead"), REFUSED.values(), ids=REFUSED)
def test_a_tool_that_cannot_take_a_served_model_says_what_to_do(
    served: SimpleNamespace, refuse: Callable[[Any], Any], words: str, instead: Callable[[Any], Any]
) -> None:
    with pytest.raises((ModelgateError, ValueError), match=words), warnings.catch_warnings(action="ignore"):
        refuse(served.classifier)
    check_same(instead(served.classifier), instead(LOCAL.classifier))


def test_what_would_fit_a_served_model_is_refused(served: SimpleNamespace) -> None:
    for name in ("fit", "partial_fit"):
        with pytest.raises(UnknownMethod, match=SERVED):
            getattr(served.classifier, name)(FRAME, YES)
    with pytest.raises(UnknownMethod, match="is served, so C cannot be set here"):
        served.classifier.set_params(C=2)
    with pytest.raises(UnknownMethod, match="'clusterer' is no classifier or regressor; use a function of sklearn"):
        served.clusterer.score(FRAME, YES)
    assert not hasattr(served.classifier, "fit_transform") and not hasattr(served.classifier, "coef_")


def test_the_lines_of_the_page_work(served: SimpleNamespace) -> None:
    page = (PROJECT / "docs/reference/client.md").read_text()
    (lines,) = re.findall(r"^```python\n(from sklearn.*?)^```", page, re.DOTALL | re.MULTILINE)
    mg = served.classifier._connection
    exec(lines.replace('"loan"', '"classifier"'), {"mg": mg, "X": FRAME, "y": YES})
