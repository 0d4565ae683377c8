"""Every class that scikit-learn has, fitted on an array and on a DataFrame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from tests.qa.zoo import data
from tests.qa.zoo.specimens import WAYS, Saved, Specimen, fitted

_STACKED = [("a", LogisticRegression()), ("b", GaussianNB())]
_TREE = DecisionTreeClassifier(max_depth=3, random_state=0)

_WITH: dict[str, dict[str, Any]] = {
    "BaggingClassifier BaggingRegressor": {"n_estimators": 4},
    "RandomForestClassifier RandomForestRegressor ExtraTreesClassifier ExtraTreesRegressor": {
        "n_estimators": 8,
        "max_depth": 5,
    },
    "IsolationForest RandomTreesEmbedding": {"n_estimators": 8},
    "AdaBoostClassifier AdaBoostRegressor GradientBoostingClassifier GradientBoostingRegressor": {"n_estimators": 6},
    "HistGradientBoostingClassifier HistGradientBoostingRegressor": {"max_iter": 6},
    "MLPClassifier MLPRegressor": {"hidden_layer_sizes": (8,), "max_iter": 60},
    "KMeans MiniBatchKMeans BisectingKMeans Birch": {"n_clusters": 3},
    "GaussianMixture BayesianGaussianMixture": {"n_components": 2},
    "PCA KernelPCA FastICA FactorAnalysis TruncatedSVD NMF IncrementalPCA": {"n_components": 2},
    "SparsePCA MiniBatchSparsePCA MiniBatchNMF BernoulliRBM": {"n_components": 2},
    "DictionaryLearning MiniBatchDictionaryLearning": {"n_components": 2, "max_iter": 20},
    "GaussianRandomProjection SparseRandomProjection": {"n_components": 2},
    "LatentDirichletAllocation NeighborhoodComponentsAnalysis": {"n_components": 2},
    "Nystroem RBFSampler SkewedChi2Sampler PolynomialCountSketch": {"n_components": 6},
    "ClassifierChain MultiOutputClassifier OneVsOneClassifier OneVsRestClassifier": {"estimator": LogisticRegression()},
    "OutputCodeClassifier FixedThresholdClassifier TunedThresholdClassifierCV": {"estimator": LogisticRegression()},
    "MultiOutputRegressor RegressorChain": {"estimator": Ridge()},
    "RFE RFECV SelectFromModel SequentialFeatureSelector": {"estimator": _TREE},
    "StackingClassifier VotingClassifier": {"estimators": _STACKED},
    "StackingRegressor VotingRegressor": {"estimators": [("a", LinearRegression()), ("b", Ridge())]},
    "GridSearchCV": {"estimator": _TREE, "param_grid": {"max_depth": [2, 3]}, "cv": 2},
    "RandomizedSearchCV": {"estimator": Ridge(), "param_distributions": {"alpha": [0.1, 1.0]}, "n_iter": 2, "cv": 2},
    "SelfTrainingClassifier": {"estimator": LogisticRegression()},
    "CalibratedClassifierCV": {"cv": 2},
    "ColumnTransformer": {"transformers": [("a", StandardScaler(), [0, 1]), ("b", MinMaxScaler(), [3])]},
    "FeatureUnion": {"transformer_list": [("a", PCA(2)), ("b", SelectKBest(k=1))]},
    "Pipeline": {"steps": [("scale", StandardScaler()), ("model", LogisticRegression())]},
    "FunctionTransformer": {"func": np.log1p},
    "SparseCoder": {"dictionary": np.eye(4)[:2]},
    "LocalOutlierFactor": {"novelty": True},
    "MissingIndicator": {"features": "all"},
    "RadiusNeighborsClassifier RadiusNeighborsRegressor": {"radius": 20.0},
    "SpectralBiclustering": {"n_clusters": 2},
    "QuantileTransformer": {"n_quantiles": 20},
    "TSNE": {"perplexity": 5},
    "NuSVC": {"nu": 0.2},
}
"""The arguments of these classes; all others are made without."""
_ARGUMENTS = {name: arguments for names, arguments in _WITH.items() for name in names.split()}

_TWO_NUMBERS = (
    *("MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV", "MultiOutputRegressor"),
    *("RegressorChain", "CCA", "PLSCanonical", "PLSSVD"),
)
_OF_CODES = ("CategoricalNB", "OneHotEncoder", "OrdinalEncoder", "TargetEncoder")
_ELSEWHERE = (
    *("CountVectorizer", "TfidfVectorizer", "HashingVectorizer", "DictVectorizer", "FeatureHasher"),
    *("LabelEncoder", "LabelBinarizer", "MultiLabelBinarizer", "PatchExtractor", "FrozenEstimator", "KernelCenterer"),
    "IsotonicRegression",
    *("HalvingGridSearchCV", "HalvingRandomSearchCV"),
)
"""Classes that take something else than a table: texts, records, labels, pictures, …; and those that are there only
after an import of sklearn.experimental, which not every process does."""

_TRAINED_ONLY, _NO_METHOD = "only for the rows that it was fitted on", "no other method that Modelgate serves"
_REORDERED = "keeps its training rows, which a pickle stores in another order, so it answers so wherever it is loaded"
_ROUNDED = dict.fromkeys(("LabelPropagation on a frame", "LabelSpreading on a frame"), _REORDERED)
_REFUSED = {
    **dict.fromkeys(("AgglomerativeClustering", "DBSCAN", "HDBSCAN", "OPTICS", "SpectralClustering"), _TRAINED_ONLY),
    **dict.fromkeys(("ClassicalMDS", "MDS", "SpectralEmbedding", "TSNE"), _TRAINED_ONLY),
    **dict.fromkeys(("SpectralBiclustering", "SpectralCoclustering"), _TRAINED_ONLY),
    **dict.fromkeys(
        (
            "EmpiricalCovariance",
            "GraphicalLasso",
            "GraphicalLassoCV",
            "LedoitWolf",
            "MinCovDet",
            "OAS",
            "ShrunkCovariance",
        ),
        _NO_METHOD,
    ),
}


def specimens() -> Iterator[Specimen]:
    index = 0
    for name, kind in all_estimators():
        if name in _ELSEWHERE:
            continue
        for on, make in (("an array", _on_array), ("a frame", _on_frame)):
            save, suffix = WAYS[index % len(WAYS)]
            index += 1
            called, refused = f"{name} on {on}", _REFUSED.get(name)
            yield Specimen(called, partial(make, name, kind), save, suffix, refused, _ROUNDED.get(called))
    yield from _others()


def _on_array(name: str, kind: Callable[..., Any]) -> Saved:
    X = data.CODES.astype(float) if name in _OF_CODES else data.X
    return fitted(_made(name, kind), X, _target(name, kind, words=False))


def _on_frame(name: str, kind: Callable[..., Any]) -> Saved:
    frame = data.FRAME
    if name in _OF_CODES:
        words = np.array(["basic", "gold", "plus"])[data.CODES]
        frame = pd.DataFrame(data.CODES if name == "CategoricalNB" else words, columns=["a", "b", "c", "d"])
    return fitted(_made(name, kind), frame, _target(name, kind, words=True))


def _made(name: str, kind: Callable[..., Any]) -> Any:
    estimator = kind(**_ARGUMENTS.get(name, {}))
    if "random_state" in estimator.get_params(deep=False):
        estimator.set_params(random_state=0)
    return estimator


def _target(name: str, kind: Callable[..., Any], words: bool) -> Any:
    if name in _TWO_NUMBERS:
        return pd.DataFrame(data.NUMBERS, columns=["price", "days"]) if words else data.NUMBERS
    if name in ("ClassifierChain", "MultiOutputClassifier"):
        return data.YESES
    estimator = _made(name, kind)
    if name in ("FixedThresholdClassifier", "TunedThresholdClassifierCV"):
        return data.YES
    if is_regressor(estimator) or name in ("RegressorChain",):
        return data.NUMBER
    # A transformer gets classes to select by.
    return data.WORD.astype(object) if words and is_classifier(estimator) else data.CLASS


def _others() -> Iterator[Specimen]:
    """The classes that take something else than a table of numbers."""
    from sklearn.feature_extraction import DictVectorizer, FeatureHasher
    from sklearn.feature_extraction.image import PatchExtractor
    from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
    from sklearn.isotonic import IsotonicRegression
    from sklearn.preprocessing import KernelCenterer, LabelBinarizer, LabelEncoder, MultiLabelBinarizer

    rows = slice(data.ROWS)
    for kind in (CountVectorizer, TfidfVectorizer, partial(HashingVectorizer, n_features=64)):
        name = getattr(kind, "__name__", "HashingVectorizer")
        yield Specimen(f"{name} alone", lambda kind=kind: Saved(kind().fit(data.TEXTS[rows]), data.TEXTS[data.ROWS :]))
    for kind in (DictVectorizer, partial(FeatureHasher, n_features=16)):
        name = getattr(kind, "__name__", "FeatureHasher")
        yield Specimen(
            f"{name} alone", lambda kind=kind: Saved(kind().fit(data.RECORDS[rows]), data.RECORDS[data.ROWS :])
        )
    yield Specimen("IsotonicRegression on a column", lambda: fitted(IsotonicRegression(), data.X[:, [1]], data.NUMBER))
    yield Specimen(
        "FrozenEstimator of a regression",
        lambda: Saved(FrozenEstimator(LinearRegression().fit(data.X, data.NUMBER)), data.X[rows]),
    )
    yield Specimen(
        "FrozenEstimator in a pipeline",
        lambda: fitted(
            Pipeline([("s", FrozenEstimator(StandardScaler().fit(data.FRAME))), ("m", LogisticRegression())]),
            data.FRAME,
            data.WORD,
        ),
    )
    yield Specimen(
        "KernelCenterer", lambda: Saved(KernelCenterer().fit(data.X[:4] @ data.X[:4].T), data.X[5:9] @ data.X[:4].T)
    )
    labels = "works on labels, not on rows"
    yield Specimen("LabelEncoder alone", lambda: Saved(LabelEncoder().fit(data.WORD), data.WORD[:5]), refused=labels)
    yield Specimen(
        "LabelBinarizer alone", lambda: Saved(LabelBinarizer().fit(data.WORD), data.WORD[:5]), refused=labels
    )
    yield Specimen(
        "MultiLabelBinarizer alone",
        lambda: Saved(MultiLabelBinarizer().fit(data.WORDS), data.WORDS[:5]),
        refused=labels,
    )
    yield Specimen(
        "PatchExtractor",
        lambda: Saved(PatchExtractor(patch_size=(2, 2)).fit(np.ones((2, 4, 4))), np.ones((2, 4, 4))),
        refused="pictures",
    )
    yield Specimen(
        "ColumnTransformer with words alone",
        lambda: fitted(
            ColumnTransformer([("a", StandardScaler(), ["age"])], remainder="passthrough"),
            data.PEOPLE,
            data.WORD,
            sample=data.PEOPLE[:9].to_csv(index=False),  # nothing else shows that the other columns hold words
        ),
    )
    yield Specimen("FeatureUnion of two", lambda: fitted(FeatureUnion([("a", PCA(1))]), data.X, data.CLASS))
