"""Models of tables: DataFrames with words, dates, booleans and nulls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from tests.qa.zoo import data
from tests.qa.zoo.specimens import WAYS, Saved, Specimen, fitted

_NUMBERS, _WORDS = ["age", "income"], ["plan", "city"]
_ENCODER = OneHotEncoder(handle_unknown="ignore")


def specimens() -> Iterator[Specimen]:
    for index, (name, make) in enumerate(_kinds()):
        save, suffix = WAYS[index % len(WAYS)]
        if "cloudpickle" in name:
            save, suffix = cloudpickle.dumps, ".pkl"
        yield Specimen(name, make, save, suffix)


def _kinds() -> Iterator[tuple[str, Callable[[], Saved]]]:
    yield from _people()
    yield from _nulls()
    yield from _dtypes()
    yield from _booleans_and_dates()


def _columns(numbers: Any = None, words: Any = None, **options: Any) -> ColumnTransformer:
    return ColumnTransformer(
        [("numbers", numbers or StandardScaler(), _NUMBERS), ("words", words or _ENCODER, _WORDS)], **options
    )


def _people() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield pipelines over numbers and words."""
    frame, word, number = data.PEOPLE, data.WORD, data.NUMBER
    models: list[Any] = [
        LogisticRegression(),
        RandomForestClassifier(6, random_state=0),
        GradientBoostingClassifier(n_estimators=5, random_state=0),
        SVC(),
        KNeighborsClassifier(),
        GaussianNB(),
        IsolationForest(n_estimators=6, random_state=0),
    ]
    for model in models:
        columns = _columns(sparse_threshold=0.0)
        yield f"People with a {type(model).__name__}", partial(fitted, make_pipeline(columns, model), frame, word)
    for model in (
        Ridge(),
        Lasso(alpha=0.01),
        RandomForestRegressor(6, random_state=0),
        SVR(),
        MLPRegressor(hidden_layer_sizes=(5,), max_iter=50, random_state=0),
    ):
        yield f"People with a {type(model).__name__}", partial(fitted, make_pipeline(_columns(), model), frame, number)
    for name, encoder in {
        "OrdinalEncoder": OrdinalEncoder(),
        "OrdinalEncoder for unknown": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        "TargetEncoder": TargetEncoder(random_state=0),
        "OneHotEncoder without first": OneHotEncoder(drop="first", sparse_output=False),
        "OneHotEncoder for infrequent": OneHotEncoder(min_frequency=5, handle_unknown="infrequent_if_exist"),
        "imputer before": make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
    }.items():
        model = make_pipeline(_columns(words=encoder), LogisticRegression())
        yield f"People with an {name}", partial(fitted, model, frame, data.YES)
    by_dtype = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (_ENCODER, make_column_selector(dtype_exclude="number")),
    )
    passing = make_column_transformer((OneHotEncoder(), _WORDS), remainder="passthrough")
    dropping = make_column_transformer((StandardScaler(), ["age"]), (_ENCODER, ["plan"]))
    by_place = make_column_transformer((StandardScaler(), [0, 1]), (_ENCODER, [2, 3]))
    for name, columns in {
        "by dtype": by_dtype,
        "passed on": passing,
        "dropped": dropping,
        "by position": by_place,
        "as pandas": _columns(words=OneHotEncoder(sparse_output=False)).set_output(transform="pandas"),
        "with verbose names": _columns(verbose_feature_names_out=False),
    }.items():
        yield f"People, columns {name}", partial(fitted, make_pipeline(columns, LogisticRegression()), frame, word)
    nested = Pipeline([("a", Pipeline([("b", _columns())])), ("c", SelectKBest(k=3)), ("d", LogisticRegression())])
    search = GridSearchCV(make_pipeline(_columns(), LogisticRegression()), {"logisticregression__C": [0.1, 1]}, cv=2)
    linear, other = (
        make_pipeline(_columns(), LogisticRegression()),
        make_pipeline(passing, DecisionTreeClassifier(random_state=0)),
    )
    members = [("a", linear), ("b", other)]
    for name, model in {
        "a nested pipeline": nested,
        "a search": search,
        "a vote": VotingClassifier(members, voting="soft"),
        "a stack": StackingClassifier(members, LogisticRegression(), cv=2),
    }.items():
        yield f"People with {name}", partial(fitted, model, frame, word)
    yield "People transformed", partial(fitted, _columns(), frame)
    yield (
        "People transformed to pandas",
        partial(fitted, _columns(words=OneHotEncoder(sparse_output=False)).set_output(transform="pandas"), frame),
    )
    yield (
        "People to a TransformedTargetRegressor",
        partial(
            fitted,
            TransformedTargetRegressor(make_pipeline(_columns(), Ridge()), func=np.log1p, inverse_func=np.expm1),
            frame,
            number,
        ),
    )
    yield "People with OneHotEncoder of words alone", partial(fitted, OneHotEncoder(), frame[_WORDS])
    yield (
        "People with OrdinalEncoder of words and trees",
        partial(
            fitted,
            make_pipeline(
                make_column_transformer((OrdinalEncoder(), _WORDS), remainder="passthrough"),
                HistGradientBoostingClassifier(max_iter=5, categorical_features=[0, 1]),
            ),
            frame,
            word,
        ),
    )


def _nulls() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield models of tables with nulls."""
    frame = data.WITH_NULLS
    numbers, words = (
        make_pipeline(SimpleImputer(), StandardScaler()),
        make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), _ENCODER),
    )
    for model in (
        LogisticRegression(),
        RandomForestClassifier(6, random_state=0),
        HistGradientBoostingClassifier(max_iter=5),
    ):
        whole = make_pipeline(_columns(numbers, words, sparse_threshold=0.0), model)
        yield f"Nulls imputed for a {type(model).__name__}", partial(fitted, whole, frame, data.YES)
    yield (
        "Nulls as categories of a OneHotEncoder",
        partial(fitted, make_pipeline(_columns(numbers), LogisticRegression()), frame, data.YES),
    )
    yield (
        "Nulls imputed by neighbours, with an indicator",
        partial(
            fitted,
            make_pipeline(_columns(KNNImputer(add_indicator=True), words), LogisticRegression()),
            frame,
            data.YES,
        ),
    )
    holes = data.X.copy()
    holes[::5, 1] = holes[1::7, 3] = np.nan
    named = pd.DataFrame(dict(zip(data.NAMES, holes.T, strict=True)))
    for kind in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        target = data.CLASS if "Classifier" in kind.__name__ else data.NUMBER
        yield f"Nulls in an array, {kind.__name__}", partial(fitted, kind(max_iter=5), holes, target)
        yield f"Nulls in a frame, {kind.__name__}", partial(fitted, kind(max_iter=5), named, target)
    for trees in (RandomForestClassifier(5, random_state=0), DecisionTreeRegressor(max_depth=4, random_state=0)):
        target = data.CLASS if "Classifier" in type(trees).__name__ else data.NUMBER
        yield f"Nulls in an array, {type(trees).__name__}", partial(fitted, trees, holes, target)
    yield "Nulls in a frame, SimpleImputer alone", partial(fitted, SimpleImputer(strategy="median"), named)
    yield "Nulls in an array, StandardScaler alone", partial(fitted, StandardScaler(), holes)
    yield (
        "Nulls in a search over pipelines",
        partial(
            fitted,
            GridSearchCV(make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=4)), {}, cv=2),
            named,
            data.CLASS,
        ),
    )


def _dtypes() -> Iterator[tuple[str, Callable[[], Saved]]]:
    """Yield models of frames of other dtypes."""
    typed = data.PEOPLE.astype({"plan": "category", "city": "category"})
    boosted = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")
    yield "Category dtype and boosted trees", partial(fitted, boosted, typed, data.WORD)
    yield (
        "Category dtype and a OneHotEncoder",
        partial(fitted, make_pipeline(_columns(), LogisticRegression()), typed, data.WORD),
    )
    yield (
        "Category dtype and an OrdinalEncoder",
        partial(fitted, make_pipeline(_columns(words=OrdinalEncoder()), LogisticRegression()), typed, data.WORD),
    )
    holes = data.WITH_NULLS.astype({"plan": "category", "city": "category"})
    yield "Category dtype with nulls and boosted trees", partial(fitted, boosted, holes, data.WORD)
    selected = make_column_transformer(
        (_ENCODER, make_column_selector(dtype_include="category")), remainder="passthrough"
    )
    yield (
        "Category dtype chosen by dtype",
        partial(fitted, make_pipeline(selected, LogisticRegression()), typed, data.YES),
    )
    objects = data.PEOPLE.astype({"plan": object, "city": object})
    yield "Object dtype", partial(fitted, make_pipeline(_columns(), LogisticRegression()), objects, data.WORD)
    whole = pd.DataFrame(data.CODES, columns=["a", "b", "c", "d"])
    yield "Whole numbers in a frame", partial(fitted, LogisticRegression(), whole, data.YES)
    yield (
        "Whole numbers in an encoder",
        partial(fitted, make_pipeline(OneHotEncoder(), LogisticRegression()), whole, data.YES),
    )
    yield "Nullable Int64", partial(fitted, LogisticRegression(), whole.astype("Int64"), data.YES)
    yield (
        "float32 in a frame",
        partial(fitted, make_pipeline(StandardScaler(), LogisticRegression()), data.FRAME.astype("float32"), data.YES),
    )
    yield "One column of numbers", partial(fitted, LinearRegression(), data.FRAME[["age"]], data.NUMBER)
    yield (
        "One column of words",
        partial(fitted, make_pipeline(_ENCODER, LogisticRegression()), data.PEOPLE[["plan"]], data.WORD),
    )
    numbered = pd.DataFrame(data.X)
    yield "Integer column names", partial(fitted, RandomForestClassifier(5, random_state=0), numbered, data.WORD)
    by_number = make_column_transformer((StandardScaler(), [0, 1]), (MinMaxScaler(), [2]))
    yield (
        "Integer column names and a ColumnTransformer",
        partial(fitted, make_pipeline(by_number, Ridge()), numbered, data.NUMBER),
    )
    odd = data.FRAME.set_axis(["Ärger in %", "a,b", 'the "c"', " d "], axis=1)
    yield "Odd column names", partial(fitted, LogisticRegression(), odd, data.YES)
    rng = np.random.default_rng(1)
    wide = pd.DataFrame({f"gene {n}": rng.normal(size=len(data.X)) for n in range(600)})
    yield (
        "600 columns",
        partial(fitted, make_pipeline(StandardScaler(), PCA(5, random_state=0), LogisticRegression()), wide, data.YES),
    )


def month_of(frame: Any) -> Any:
    """Return what people make of dates."""
    import pandas as pd

    days = frame.iloc[:, 0]
    return np.c_[days.dt.month, days.dt.dayofweek, (days - pd.Timestamp("2024-01-01")).dt.days]


def _booleans_and_dates() -> Iterator[tuple[str, Callable[[], Saved]]]:
    dummies = pd.get_dummies(data.PEOPLE, columns=_WORDS)
    for name, frame in {
        "booleans": dummies,
        "integers": pd.get_dummies(data.PEOPLE, columns=_WORDS, dtype=int),
    }.items():
        for model in (LogisticRegression(max_iter=500), RandomForestClassifier(5, random_state=0)):
            yield f"get_dummies as {name}, {type(model).__name__}", partial(fitted, model, frame, data.WORD)
    yield (
        "get_dummies as booleans, in a pipeline",
        partial(fitted, make_pipeline(StandardScaler(), LogisticRegression()), dummies, data.WORD),
    )
    flags = pd.DataFrame({"vip": data.X[:, 0] > 1, "new": data.X[:, 1] > 2})
    yield "Booleans alone", partial(fitted, DecisionTreeClassifier(max_depth=3), flags, data.YES)
    yield "Booleans in an array", partial(fitted, BernoulliNB(), flags.to_numpy(), data.YES)
    yield (
        "Booleans passed on beside words",
        partial(
            fitted,
            make_pipeline(make_column_transformer((_ENCODER, ["plan"]), remainder="passthrough"), LogisticRegression()),
            flags.assign(plan=data.PEOPLE["plan"]),
            data.YES,
        ),
    )
    dated = data.PEOPLE.assign(
        day=pd.Timestamp("2024-01-05") + pd.to_timedelta(data.CODES[:, 1] * 40 + np.arange(len(data.X)), "D")
    )
    columns = make_column_transformer(
        (FunctionTransformer(month_of), ["day"]), (StandardScaler(), _NUMBERS), (_ENCODER, _WORDS)
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=500))
    sample = dated[:20].to_csv(index=False)
    yield "Naive dates with a sample, by cloudpickle", partial(_by_value, model, dated, data.YES, sample)
    yield "Naive dates without a sample, by cloudpickle", partial(_by_value, model, dated, data.YES)


def _by_value(model: Any, X: Any, y: Any, sample: str | None = None) -> Saved:
    """Fit a model with functions of this module, as if they were those of a notebook."""
    import sys

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return fitted(model, X, y, sample=sample)
