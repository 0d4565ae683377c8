"""What a user does without Modelgate: find the kernel of an estimator by a table, compare it, and predict."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelgate_kernels import Column, Layout, compare, find, known_types, layout_of, own_answers, pipelines, predict
from modelgate_kernels.kernel import NotCovered
from modelgate_kernels.layout import InputFormat, Kind, Null
from modelgate_kernels.linear import LinearKernel
from modelgate_kernels.matrix import to_matrix
from modelgate_kernels.same import same
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler

README = (Path(__file__).parents[1] / "README.md").read_text()
X, y = load_iris(return_X_y=True)
NUMBERS = pd.DataFrame(X, columns=list("abcd"))
MIXED = NUMBERS.assign(
    c=NUMBERS.c.where(NUMBERS.index % 7 > 0),
    count=NUMBERS.index % 5,
    large=NUMBERS.a > 5,
    word=NUMBERS.index.map(lambda number: ("red", "blue", "green")[number % 3]),
)
TEXTS = [("few words", "many more words", "words")[label] + f" {number}" for number, label in enumerate(y)]


def mixed() -> Any:
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["a", "c", "count", "large"]), (OneHotEncoder(), ["word"])
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1000))


def rows_of(table: Any) -> list[list[Any]]:
    if isinstance(table, pd.DataFrame):
        cells = table.astype(object)
        return cells.where(cells.notna(), None).to_numpy().tolist()  # type: ignore[no-any-return]
    return table.tolist() if isinstance(table, np.ndarray) else [[text] for text in table]


@pytest.mark.parametrize(
    ("estimator", "table"),
    [
        (make_pipeline(StandardScaler(), LogisticRegression()), X),
        (make_pipeline(StandardScaler(), LogisticRegression()), NUMBERS),
        (RandomForestClassifier(10, random_state=0), X.astype(np.float32)),
        (HistGradientBoostingClassifier(max_iter=5), pd.DataFrame(X)),
        (mixed(), MIXED),
        (make_pipeline(TfidfVectorizer(), LogisticRegression()), TEXTS),
        (make_pipeline(TfidfVectorizer(), LogisticRegression()), pd.Series(TEXTS)),
    ],
    ids=["array", "DataFrame", "float32", "numbered", "mixed", "texts", "Series"],
)
def test_a_kernel_that_a_table_finds_answers_as_the_estimator(estimator: Any, table: Any) -> None:
    kernel = find(estimator.fit(table, y), table)
    assert kernel
    rows = rows_of(table)
    assert compare(kernel, rows[:20]) is None
    values, probabilities = predict(kernel, rows, ["predict", "predict_proba"])
    assert same(values, estimator.predict(table))
    assert same(probabilities, estimator.predict_proba(table))
    assert not kernel.has_left_rows


def clipped(method: Any, X: Any) -> Any:
    return np.clip(method(X), 0, 1)


def regression() -> Any:
    return make_pipeline(StandardScaler(), LinearRegression())


def search() -> Any:
    return GridSearchCV(regression(), {"linearregression__fit_intercept": [True]}, cv=2)


@pytest.mark.parametrize(
    ("make", "inner"),
    [
        (regression, lambda model: model),
        (search, lambda model: model),
        (lambda: make_pipeline(StandardScaler(), regression()), lambda model: model[-1]),
        (lambda: make_pipeline(StandardScaler(), search()), lambda model: model[-1]),
        (search, lambda model: model.best_estimator_),
    ],
    ids=["pipeline", "search", "pipeline inside", "search inside", "best of a search"],
)
def test_a_predict_that_was_put_on_an_instance_answers(make: Any, inner: Any) -> None:
    model = make().fit(X, 100 * (X[:, 0] - 6))
    changed = inner(model)
    changed.predict = partial(clipped, changed.predict)
    kernel = find(model, X)
    expected = model.predict(X)
    assert expected.min() == 0 and expected.max() == 1
    layout = layout_of(X)
    assert same(own_answers(model, rows_of(X), layout, ["predict"])[0], expected)
    assert kernel is None or same(predict(kernel, rows_of(X))[0], expected)


@pytest.mark.parametrize(
    ("table", "make", "inner"),
    [
        (X, lambda: make_pipeline(make_pipeline(StandardScaler(), MinMaxScaler()), Ridge()), lambda model: model[0]),
        (X, lambda: make_pipeline(FunctionTransformer(), StandardScaler(), Ridge()), lambda model: model[0]),
        (MIXED, mixed, lambda model: model[0]),
        (MIXED, mixed, lambda model: model[0].transformers_[0][1]),
        (MIXED, mixed, lambda model: model[0].transformers_[1][1]),
    ],
    ids=["pipeline", "identity", "columns", "pipeline of columns", "encoder of columns"],
)
def test_a_transform_that_was_put_on_an_instance_transforms(table: Any, make: Any, inner: Any) -> None:
    model = make().fit(table, y)
    changed = inner(model)
    before, changed.transform = model.predict(table), partial(doubled, changed.transform)
    kernel = find(model, table)
    for method in ("predict", "predict_proba")[: 1 + hasattr(model, "predict_proba")]:
        expected = getattr(model, method)(table)
        assert same(own_answers(model, rows_of(table), layout_of(table), [method])[0], expected)
        assert kernel is None or same(predict(kernel, rows_of(table), [method])[0], expected)
    assert not same(expected, before)


def doubled(method: Any, X: Any) -> Any:
    return method(X) * 2


def test_rows_that_a_kernel_leaves_are_answered_by_the_estimator(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(*_: Any) -> Any:
        raise NotCovered

    estimator = mixed().fit(MIXED, y)
    kernel = find(estimator, MIXED)
    assert kernel
    monkeypatch.setattr(LinearKernel, "raw", leave)
    (answers,) = predict(kernel, rows_of(MIXED))
    assert same(answers, estimator.predict(MIXED))
    assert kernel.has_left_rows


def test_what_the_estimator_refuses_is_refused() -> None:
    kernel = find(mixed().fit(MIXED, y), MIXED)
    assert kernel
    with pytest.raises(ValueError, match="unknown categories"):
        predict(kernel, [[1.0, 1.0, 1.0, 1.0, 1, True, "mauve"]])


def test_another_method_is_asked_on_the_matrix_of_the_kernel() -> None:
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0)).fit(X, y)
    kernel = find(forest, X)
    assert kernel
    (leaves,) = predict(kernel, X[:5].tolist(), ["apply"])
    assert same(leaves, forest[-1].apply(forest[:-1].transform(X[:5])))


class Changes(ClassifierMixin, BaseEstimator):
    """Answers as a model of its matrix does, and empties that in place."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: Any, y: Any) -> Any:
        self.classes_ = self.model.fit(X, y).classes_
        return self

    def predict(self, X: Any) -> Any:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def predict_proba(self, X: Any) -> Any:
        answer = self.model.predict_proba(X)
        if isinstance(X, pd.DataFrame):
            X["a"] = 0.0
        elif hasattr(X, "data") and hasattr(X, "tocsr"):
            X.data[:] = 0
        elif isinstance(X, list) and isinstance(X[0], dict):
            for record in X:
                record["words"].clear()
                record["a"] = 0.0
        else:
            X[:] = 0 if isinstance(X, np.ndarray) else [""] * len(X)
        return answer


class Counts(TransformerMixin, BaseEstimator):
    """Adds how often it was asked."""

    asked = 0

    def fit(self, X: Any, y: Any = None) -> Any:
        return self

    def transform(self, X: Any) -> Any:
        self.asked += 1
        return X + self.asked


RECORDS = [{"a": row[0], "words": [f"w{label}"]} for row, label in zip(X, y, strict=True)]
TEXT_MODEL = make_pipeline(TfidfVectorizer(), LogisticRegression())
DOUBLED_IN_PLACE = FunctionTransformer(lambda X: np.multiply(X, 2, out=X))


@pytest.mark.parametrize(
    ("estimator", "table"),
    [
        (Changes(LogisticRegression()), X),
        (Changes(LogisticRegression()), NUMBERS),
        (Changes(TEXT_MODEL), TEXTS),
        (Changes(TEXT_MODEL), pd.Series(TEXTS, dtype=object)),
        (Changes(make_pipeline(DictVectorizer(), LogisticRegression())), RECORDS),
        (make_pipeline(StandardScaler(), Changes(LogisticRegression())), X),
        (make_pipeline(StandardScaler().set_output(transform="pandas"), Changes(LogisticRegression())), NUMBERS),
        (make_pipeline(TfidfVectorizer(), Changes(LogisticRegression())), TEXTS),
        (VotingClassifier([("a", make_pipeline(StandardScaler(copy=False), LogisticRegression()))], voting="soft"), X),
        (VotingClassifier([("a", Changes(LogisticRegression())), ("b", LogisticRegression())], voting="soft"), X),
        (make_pipeline(DOUBLED_IN_PLACE, Changes(LogisticRegression())), X),
        (make_pipeline(Counts(), LogisticRegression()), X),
        (make_pipeline(make_column_transformer((Counts(), [0, 1])), LogisticRegression()), X),
    ],
)
def test_a_method_gets_the_rows_as_they_are_sent_whatever_another_one_did_to_them(estimator: Any, table: Any) -> None:
    estimator.fit(copy.deepcopy(table), y)
    is_records = table is RECORDS
    layout = Layout([Column("record", Kind.STRING)], InputFormat.RECORDS) if is_records else layout_of(table)
    rows = [(record,) for record in copy.deepcopy(RECORDS)] if is_records else rows_of(table)
    methods, sent, of_rows, other = (
        ["predict", "predict_proba"],
        copy.deepcopy(rows),
        *map(copy.deepcopy, [estimator] * 2),
    )
    expected = [getattr(other, method)(copy.deepcopy(table)) for method in methods]
    kernel = find(copy.deepcopy(estimator), layout)
    answers = [own_answers(of_rows, rows, layout, methods)]
    if kernel and compare(kernel, rows[:20]) is None:
        answers.append(predict(kernel, rows, methods))
    for answer in answers:
        np.testing.assert_allclose(answer[1], expected[1], rtol=1e-12)
        assert answer[0].tolist() == expected[0].tolist()
    assert rows == sent


def test_a_kernel_that_differs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = find(LogisticRegression(max_iter=1000).fit(X, y), X)
    assert kernel
    right = LinearKernel.raw
    monkeypatch.setattr(LinearKernel, "raw", lambda self, matrix: np.nextafter(right(self, matrix), np.inf))
    assert compare(kernel, X[:5].tolist()) == "answer the golden rows differently"


def test_an_estimator_without_a_kernel_has_none() -> None:
    assert find(LocalOutlierFactor(novelty=True).fit(X), X) is None


def test_under_a_release_that_was_not_compared_nothing_has_a_kernel() -> None:
    code = """if True:
        import sys, numpy, sklearn
        sklearn.__version__ = "1.5.2"
        from modelgate_kernels import find
        from sklearn.linear_model import LogisticRegression
        X = numpy.eye(3)
        assert find(LogisticRegression().fit(X, [0, 1, 1]), X) is None
        assert not {"modelgate_kernels.known_types", "modelgate_kernels.linear"} & {*sys.modules}
    """
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("dtype", "values", "column"),
    [
        ("float64", [1.0, np.nan], Column("f", Kind.NUMBER, nullable=True)),
        ("int64", [1, 2], Column("f", Kind.INTEGER)),
        ("bool", [True, False], Column("f", Kind.BOOLEAN)),
        ("str", ["a", None], Column("f", Kind.STRING, nullable=True)),
        ("object", ["a", None], Column("f", Kind.STRING, nullable=True, null=Null.NONE)),
        ("object", ["a", np.nan], Column("f", Kind.STRING, nullable=True, null=Null.NAN_OBJECT)),
        ("Int64", [1, None], Column("f", Kind.INTEGER, nullable=True, null=Null.NA)),
        ("string", ["a", None], Column("f", Kind.STRING, nullable=True, null=Null.NA)),
        ("datetime64[us]", ["2026-01-02"], Column("f", Kind.DATETIME, nullable=True, naive=True)),
        ("datetime64[us, UTC]", ["2026-01-02"], Column("f", Kind.DATETIME, nullable=True)),
    ],
)
def test_the_layout_of_a_column_makes_the_same_column(dtype: str, values: list[Any], column: Column) -> None:
    table = pd.DataFrame({"f": pd.Series(values, dtype=dtype)})
    layout = layout_of(table)
    assert layout == Layout([column])
    rows = (
        [["2026-01-02T00:00:00+00:00"]] if column.kind == Kind.DATETIME else [[v if v == v else None] for v in values]
    )
    made = to_matrix(rows, layout.columns, layout.input_format, layout.dtype)
    pd.testing.assert_frame_equal(made, table)


@pytest.mark.parametrize(
    "table",
    [pd.DataFrame({"f": [{}]}), pd.DataFrame({"f": pd.Series([1], dtype="int8")}), np.array([["a"]]), [1], None],
)
def test_other_tables_are_refused(table: Any) -> None:
    with pytest.raises(TypeError):
        layout_of(table)


def test_columns_of_two_widths_keep_their_own() -> None:
    frame = NUMBERS.assign(a=NUMBERS.a.astype(np.float32))
    estimator = LogisticRegression(max_iter=1000).fit(frame, y)
    kernel = find(estimator, frame)
    assert kernel
    assert kernel.matrix(rows_of(frame)[:2]).dtypes.tolist() == frame.dtypes.tolist()
    (answers,) = predict(kernel, rows_of(frame), ["predict_proba"])
    assert same(answers, estimator.predict_proba(frame))


def test_columns_with_numbers_as_names_are_told_apart() -> None:
    assert layout_of(pd.DataFrame(X)).input_format == InputFormat.NUMBERED
    assert layout_of(X).input_format == InputFormat.ARRAY


def test_the_lines_of_the_readme_work() -> None:
    for block in re.findall(r"```python\n(.*?)```", README, re.S):
        exec(block, {})


def test_the_readme_names_what_has_a_kernel() -> None:
    kinds = [*known_types.KERNELS, *known_types.ENSEMBLES, *known_types.COMPOSITES, *pipelines._INNER]
    kinds += [*known_types.TRANSFORMS, *known_types.TRANSFORMS_OF_SEVERAL]
    names = {kind.__name__ for kind in kinds if kind.__module__.startswith("sklearn.")}
    assert {name for name in names if f"`{name}`" not in README} == set()
