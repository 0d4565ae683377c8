"""Fits every kind of estimator under the scikit-learn that runs this file, and saves each with its own answers.

`python tests/qa/zoo/releases/fit.py FOLDER [KIND …]` writes `<kind>.pkl` and `<kind>.json` for each kind, and
`<kind>.py` where the pickle needs code beside it. JSON holds numbers to the last bit. It runs under releases since 1.1
and therefore imports nothing of Modelgate.
"""

from __future__ import annotations

import json
import pickle
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import own_steps
import pandas as pd
from sklearn.base import is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import (
    AffinityPropagation,
    Birch,
    BisectingKMeans,
    FeatureAgglomeration,
    KMeans,
    MeanShift,
    MiniBatchKMeans,
)
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.covariance import EllipticEnvelope
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import (
    NMF,
    PCA,
    FactorAnalysis,
    FastICA,
    IncrementalPCA,
    KernelPCA,
    LatentDirichletAllocation,
    TruncatedSVD,
)
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    RandomTreesEmbedding,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, VarianceThreshold
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNet,
    GammaRegressor,
    HuberRegressor,
    Lars,
    Lasso,
    LassoLars,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    OrthogonalMatchingPursuit,
    PassiveAggressiveClassifier,
    Perceptron,
    PoissonRegressor,
    QuantileRegressor,
    RANSACRegressor,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDOneClassSVM,
    SGDRegressor,
    TheilSenRegressor,
)
from sklearn.manifold import Isomap
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import MultiOutputClassifier, RegressorChain
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestCentroid,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from sklearn.random_projection import GaussianRandomProjection
from sklearn.semi_supervised import LabelPropagation, LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC, NuSVR, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

ROWS = 240
NEW_ROWS = 400

ON_NUMBERS: dict[str, Any] = {
    "LogisticRegression": LogisticRegression(),
    "LogisticRegressionCV": LogisticRegressionCV(Cs=3),
    "RidgeClassifier": RidgeClassifier(),
    "SGDClassifier": SGDClassifier(loss="modified_huber", random_state=0),
    "LinearRegression": LinearRegression(),
    "Ridge": Ridge(),
    "ElasticNet": ElasticNet(alpha=0.01),
    "PoissonRegressor": PoissonRegressor(),
    "LinearDiscriminantAnalysis": LinearDiscriminantAnalysis(),
    "QuadraticDiscriminantAnalysis": QuadraticDiscriminantAnalysis(),
    "SVC": SVC(),
    "SVC (probability=True)": SVC(probability=True, random_state=0),
    "LinearSVC": LinearSVC(),
    "SVR": SVR(),
    "KNeighborsClassifier": KNeighborsClassifier(),
    "KNeighborsRegressor": KNeighborsRegressor(weights="distance"),
    "NearestCentroid": NearestCentroid(),
    "GaussianNB": GaussianNB(),
    "BernoulliNB": BernoulliNB(),
    "MultinomialNB": make_pipeline(MinMaxScaler(), MultinomialNB()),
    "MLPClassifier": MLPClassifier(hidden_layer_sizes=(8,), max_iter=60, random_state=0),
    "MLPRegressor": MLPRegressor(hidden_layer_sizes=(8,), max_iter=60, random_state=0),
    "GaussianProcessClassifier": GaussianProcessClassifier(),
    "GaussianProcessRegressor": GaussianProcessRegressor(alpha=0.1),
    "DecisionTreeClassifier": DecisionTreeClassifier(max_depth=4, random_state=0),
    "DecisionTreeRegressor": DecisionTreeRegressor(max_depth=4, random_state=0),
    "RandomForestClassifier": RandomForestClassifier(10, max_depth=4, random_state=0),
    "RandomForestRegressor": RandomForestRegressor(10, max_depth=4, random_state=0),
    "ExtraTreesClassifier": ExtraTreesClassifier(10, max_depth=4, random_state=0),
    "ExtraTreesRegressor": ExtraTreesRegressor(10, max_depth=4, random_state=0),
    "BaggingClassifier": BaggingClassifier(n_estimators=5, random_state=0),
    "AdaBoostClassifier": AdaBoostClassifier(n_estimators=8, random_state=0),
    "AdaBoostRegressor": AdaBoostRegressor(n_estimators=8, random_state=0),
    "GradientBoostingClassifier": GradientBoostingClassifier(n_estimators=8, random_state=0),
    "GradientBoostingRegressor": GradientBoostingRegressor(n_estimators=8, random_state=0),
    "HistGradientBoostingClassifier": HistGradientBoostingClassifier(max_iter=8, random_state=0),
    "HistGradientBoostingRegressor": HistGradientBoostingRegressor(max_iter=8, random_state=0),
    "VotingClassifier (linear)": VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft"),
    "VotingClassifier (with a tree)": VotingClassifier(
        [("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=3))], voting="soft"
    ),
    "StackingClassifier (linear)": StackingClassifier([("a", GaussianNB())], LogisticRegression(), cv=3),
    "StackingClassifier (with a forest)": StackingClassifier(
        [("a", RandomForestClassifier(5, max_depth=3, random_state=0))], LogisticRegression(), cv=3
    ),
    "CalibratedClassifierCV (linear)": CalibratedClassifierCV(LogisticRegression(), cv=3),
    "CalibratedClassifierCV (isotonic)": CalibratedClassifierCV(LogisticRegression(), method="isotonic", cv=3),
    "CalibratedClassifierCV (forest)": CalibratedClassifierCV(
        RandomForestClassifier(5, max_depth=3, random_state=0), cv=3
    ),
    "OneVsRestClassifier": OneVsRestClassifier(LogisticRegression()),
    "OneVsOneClassifier": OneVsOneClassifier(LinearSVC()),
    "GridSearchCV": GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=3),
    "KMeans": KMeans(3, n_init=1, random_state=0),
    "MiniBatchKMeans": MiniBatchKMeans(3, n_init=1, random_state=0),
    "GaussianMixture": GaussianMixture(3, random_state=0),
    "BayesianGaussianMixture": BayesianGaussianMixture(n_components=3, random_state=0),
    "IsolationForest": IsolationForest(n_estimators=10, random_state=0),
    "LocalOutlierFactor": LocalOutlierFactor(novelty=True),
    "OneClassSVM": OneClassSVM(),
    "TransformedTargetRegressor": TransformedTargetRegressor(LinearRegression(), func=np.log1p, inverse_func=np.expm1),
    **{
        f"{type(step).__name__} + LogisticRegression": make_pipeline(step, LogisticRegression())
        for step in (
            StandardScaler(),
            PCA(2),
            PolynomialFeatures(),
            SplineTransformer(),
            KBinsDiscretizer(4),
            PowerTransformer(),
            QuantileTransformer(n_quantiles=20),
            FunctionTransformer(np.arctan),
        )
    },
    "SimpleImputer + LogisticRegression": make_pipeline(SimpleImputer(), LogisticRegression()),
    **{
        type(model).__name__: model
        for model in (
            ARDRegression(),
            BayesianRidge(),
            GammaRegressor(),
            HuberRegressor(),
            Lars(),
            Lasso(alpha=0.01),
            LassoLars(alpha=0.01),
            OrthogonalMatchingPursuit(),
            PassiveAggressiveClassifier(random_state=0),
            Perceptron(),
            QuantileRegressor(alpha=0.01, solver="highs"),
            RANSACRegressor(random_state=0),
            RidgeCV(),
            RidgeClassifierCV(),
            SGDRegressor(random_state=0),
            TheilSenRegressor(random_state=0),
            KernelRidge(),
            LinearSVR(),
            NuSVC(nu=0.2),
            NuSVR(),
            RadiusNeighborsClassifier(9.0),
            RadiusNeighborsRegressor(9.0),
            LabelPropagation(),
            LabelSpreading(),
            SelfTrainingClassifier(LogisticRegression()),
            OutputCodeClassifier(LogisticRegression(), random_state=0),
            DummyClassifier(),
            DummyRegressor(),
            EllipticEnvelope(random_state=0),
            Birch(n_clusters=3),
            BisectingKMeans(3, random_state=0),
            AffinityPropagation(random_state=0),
            MeanShift(),
            RFE(LogisticRegression(), n_features_to_select=2),
            PLSRegression(),
            ExtraTreeClassifier(max_depth=4, random_state=0),
            ExtraTreeRegressor(max_depth=4, random_state=0),
            BaggingRegressor(n_estimators=5, random_state=0),
            SGDOneClassSVM(random_state=0),
        )
    },
    **{
        f"{type(step).__name__} + LinearRegression": make_pipeline(step, LinearRegression())
        for step in (
            RobustScaler(),
            MaxAbsScaler(),
            Normalizer(),
            Binarizer(),
            KNNImputer(),
            MissingIndicator(features="all"),
            VarianceThreshold(),
            SelectKBest(k=2),
            SelectFromModel(LinearRegression()),
            IncrementalPCA(2),
            KernelPCA(2, kernel="rbf"),
            TruncatedSVD(2, random_state=0),
            FastICA(2, random_state=0),
            FactorAnalysis(2, random_state=0),
            Nystroem(n_components=20, random_state=0),
            RBFSampler(random_state=0),
            GaussianRandomProjection(2, random_state=0),
            Isomap(),
            RandomTreesEmbedding(5, random_state=0),
            KMeans(3, n_init=1, random_state=0),
            FeatureAgglomeration(2),
            FeatureUnion([("a", PCA(2)), ("b", SelectKBest(k=1))]),
        )
    },
    "ComplementNB": make_pipeline(MinMaxScaler(), ComplementNB()),
    "CategoricalNB": make_pipeline(KBinsDiscretizer(4, encode="ordinal"), CategoricalNB()),
    "NMF + LinearRegression": make_pipeline(
        MinMaxScaler(clip=True), NMF(2, random_state=0, max_iter=500), LinearRegression()
    ),
    "LatentDirichletAllocation + LinearRegression": make_pipeline(
        MinMaxScaler(clip=True), LatentDirichletAllocation(3, random_state=0), LinearRegression()
    ),
    "VotingRegressor": VotingRegressor([("a", LinearRegression()), ("b", Ridge())]),
    "StackingRegressor": StackingRegressor([("a", LinearRegression()), ("b", Ridge())], cv=3),
    "RandomForestClassifier (weighted)": RandomForestClassifier(
        10, max_depth=4, class_weight="balanced", ccp_alpha=0.01, random_state=0
    ),
    "HistGradientBoostingClassifier (categorical)": make_pipeline(
        KBinsDiscretizer(4, encode="ordinal"),
        HistGradientBoostingClassifier(max_iter=8, categorical_features=[0, 1], random_state=0),
    ),
    "BaggingClassifier (linear)": BaggingClassifier(LogisticRegression(), n_estimators=5, random_state=0),
    "AdaBoostClassifier (linear)": AdaBoostClassifier(LogisticRegression(), n_estimators=5, random_state=0),
}
"""The kinds that are fitted on an array of four numbers, by their names in the table."""

OF_SEVERAL_OUTPUTS: dict[str, Any] = {
    "LinearRegression (several outputs)": LinearRegression(),
    "RandomForestRegressor (several outputs)": RandomForestRegressor(5, max_depth=4, random_state=0),
    "RandomForestClassifier (several outputs)": RandomForestClassifier(5, max_depth=4, random_state=0),
    "MultiOutputClassifier": MultiOutputClassifier(LogisticRegression()),
    "RegressorChain": RegressorChain(Ridge()),
}
OF_OWN_CLASSES: dict[str, Any] = {
    "a step of one's own": make_pipeline(own_steps.Ratios(), StandardScaler(), LogisticRegression()),
    "a class around a forest": own_steps.Wrapped(),
}
"""Each is saved with its code beside it, and by cloudpickle with the code in it."""

if "algorithm" in AdaBoostClassifier().get_params():  # until 1.7; the default was another one until 1.5
    ON_NUMBERS["AdaBoostClassifier (SAMME)"] = AdaBoostClassifier(n_estimators=8, algorithm="SAMME", random_state=0)


def _columns(numbers: Any, encoder: Any) -> Any:
    return ColumnTransformer([("numbers", numbers, ["age", "km"]), ("words", encoder, ["plan"])])


ON_A_TABLE: dict[str, Any] = {
    "ColumnTransformer": make_pipeline(
        _columns(StandardScaler(), OneHotEncoder(handle_unknown="ignore")), LogisticRegression()
    ),
    "ColumnTransformer (with an OrdinalEncoder)": make_pipeline(
        _columns("passthrough", OrdinalEncoder()), LogisticRegression()
    ),
    "ColumnTransformer (with an imputer)": make_pipeline(
        _columns(make_pipeline(SimpleImputer(), StandardScaler()), OneHotEncoder(handle_unknown="ignore")),
        LogisticRegression(),
    ),
    "ColumnTransformer (with a forest)": make_pipeline(
        _columns(StandardScaler(), OneHotEncoder(handle_unknown="ignore")),
        RandomForestClassifier(10, max_depth=4, random_state=0),
    ),
    "CountVectorizer": make_pipeline(
        ColumnTransformer([("words", CountVectorizer(ngram_range=(1, 2)), "text")]), LogisticRegression()
    ),
    "HashingVectorizer": make_pipeline(ColumnTransformer([("w", HashingVectorizer(), "text")]), LogisticRegression()),
    "TfidfVectorizer": make_pipeline(ColumnTransformer([("words", TfidfVectorizer(), "text")]), LogisticRegression()),
}
"""The kinds that are fitted on a DataFrame with words."""


def main(folder: Path, kinds: Sequence[str]) -> None:
    """Save these kinds; all if there are none."""
    save = partial(_save, folder, kinds)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    X = rng.normal(size=(ROWS + NEW_ROWS, 4))
    y = (X[:, 0] + X[:, 1] ** 2 + rng.normal(scale=0.3, size=len(X)) > np.array([[0.3], [1.5]])).sum(axis=0)
    plans, words = np.array(["basic", "gold", "plus"]), np.array(["good", "bad", "so so", "very good"])
    frame = pd.DataFrame(
        {
            "age": 40 + 10 * X[:, 0],
            "km": np.exp(X[:, 1]),
            "plan": plans[rng.integers(3, size=len(X))],
            "text": words[rng.integers(4, size=len(X))],
        }
    )
    for name, estimator in ON_NUMBERS.items():
        save(name, estimator, X, y)
    for name, estimator in ON_A_TABLE.items():
        save(name, estimator, frame, y)
    for name, estimator in OF_SEVERAL_OUTPUTS.items():
        save(name, estimator, X, np.column_stack([y, y > 1]))
    for name, estimator in OF_OWN_CLASSES.items():
        save(f"{name} (code beside)", estimator, X, y)
        (folder / f"{name} (code beside).py").write_bytes(Path(own_steps.__file__).read_bytes())
    cloudpickle.register_pickle_by_value(own_steps)
    for name, estimator in OF_OWN_CLASSES.items():
        save(f"{name} (cloudpickle)", estimator, X, y, cloudpickle.dumps)


def _save(
    folder: Path, kinds: Sequence[str], name: str, estimator: Any, X: Any, y: Any, dumps: Any = pickle.dumps
) -> None:
    """Fit and save every kind. One that this release does not have, or cannot fit, leaves no file."""
    if kinds and name not in kinds:
        return
    new = X[ROWS:]
    is_number = is_regressor(estimator) and y.ndim == 1
    target = np.abs(X[:, 0]) + 2 * np.abs(X[:, 1]) if is_number else y
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            saved = dumps(estimator.fit(X[:ROWS], target[:ROWS]), protocol=4)
            # What the file answers: some arrays lie in another order once they are saved, which rounds otherwise.
            estimator = pickle.loads(saved)
            answers = {
                "columns": list(X.columns) if hasattr(X, "columns") else None,
                "rows": new.to_numpy().tolist() if hasattr(new, "to_numpy") else new.tolist(),
                "predictions": estimator.predict(new).tolist(),
                "classes": np.asarray(getattr(estimator, "classes_", [])).tolist() if y.ndim == 1 else [],
                "probabilities": _of_each_row(estimator, "predict_proba", new),
                "scores": _of_each_row(estimator, "decision_function", new),
            }
            (folder / f"{name}.pkl").write_bytes(saved)
    except (AttributeError, TypeError, ValueError) as error:
        sys.stderr.write(f"{name}: {error}\n")
        return
    (folder / f"{name}.json").write_text(json.dumps(answers))


def _of_each_row(estimator: Any, method: str, X: Any) -> Any:
    """Return what a method answers each row, with a list for each output if there are several; None without it."""
    if not hasattr(estimator, method):
        return None
    answers = getattr(estimator, method)(X)
    if isinstance(answers, list):
        return [list(row) for row in zip(*(table.tolist() for table in answers), strict=True)]
    return answers.tolist()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
