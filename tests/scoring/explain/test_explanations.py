"""What inputs contribute adds up to the answer, is exact where that is affordable, and else has an honest error."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC

from contract.errors import Code, ModelgateError
from contract.model.manifest import InputFormat
from contract.model.signature import PREDICT, AnswerForm, Field, Kind, Method, Output, OutputKind, RowFormat, Signature
from contract.work.explanations import MOST_ROWS
from scoring.explain import shapley
from scoring.explain.structure import contributions
from tests.scoring.explain import specimens
from tests.scoring.explain.models import Loaded, loaded, specimen, why
from tests.support import numbers

MODELS = specimens.models()
NUMBER, SIX = Output(OutputKind.NUMBER), numbers(*"abcdef")


def by_hand(answer: Any, row: Sequence[Any], background: Sequence[Sequence[Any]]) -> list[float]:
    """Return the Shapley values by their definition, over all permutations of the players."""

    def worth(coalition: frozenset[int]) -> float:
        mixed = [[row[i] if i in coalition else other[i] for i in range(len(row))] for other in background]
        return float(np.mean(answer(np.array(mixed))))

    orders = list(itertools.permutations(range(len(row))))
    total = [0.0] * len(row)
    for order in orders:
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            total[player] += worth(before | {player}) - worth(before)
    return [value / len(orders) for value in total]


def table(models: Path, estimator: Any, fields: Sequence[Field] = SIX, *outputs: Output, **more: Any) -> Loaded:
    return loaded(models, estimator, Signature(tuple(fields), outputs or (NUMBER,), **more), InputFormat.ARRAY)


@pytest.mark.parametrize("name", MODELS)
def test_contributions_add_up_to_the_answer(models: Path, name: str) -> None:
    model, (background, rows) = specimen(models, name, MODELS[name]), specimens.cases(name)
    for row, seed in itertools.product(rows[:2], (0, 1)):
        found = why(model, row, background * 5, seed=seed)
        assert math.fsum([found["base"], *found["contributions"].values()]) == pytest.approx(found["value"], abs=1e-12)
        assert list(found["contributions"]) == list(model.manifest.signature.names)


@pytest.mark.parametrize("name", specimens.BY_STRUCTURE)
def test_what_structure_finds_is_what_all_coalitions_say(
    models: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, (background, rows) = specimen(models, name, MODELS[name]), specimens.cases(name)
    for row in rows:
        quickly = why(model, row, background)
        assert (quickly["exact"], quickly["rows"]) == (True, len(background) + 1)
        with monkeypatch.context() as patched:
            patched.setattr("scoring.explain.rows.contributions", lambda *_: None)
            slowly = why(model, row, background, exact=True)
        assert slowly["rows"] > len(background) + 1
        assert quickly["contributions"] == pytest.approx(slowly["contributions"], rel=0, abs=1e-12)
        assert quickly["base"] == slowly["base"]


def test_all_coalitions_are_the_definition(models: Path) -> None:
    X = np.round(np.random.default_rng(0).normal(size=(60, 5)), 1)
    model = table(models, KNeighborsRegressor(3).fit(X, X[:, 0] * X[:, 1] + X[:, 2]), numbers(*"abcde"))
    background, row = X[:4].tolist(), X[9].tolist()
    found = why(model, row, background)
    assert found["exact"]
    assert list(found["contributions"].values()) == pytest.approx(by_hand(model.estimator.predict, row, background))


class Beside:
    """Adds the mean of all rows to each."""

    def predict(self, X: Any) -> Any:
        return X.sum(axis=1) + X.mean()


def test_each_mixture_of_a_model_that_is_scored_alone_is_asked_for_by_itself(models: Path) -> None:
    X = np.round(np.random.default_rng(0).normal(size=(60, 5)), 1)
    model = table(models, Beside(), numbers(*"abcde"))
    model.manifest = replace(model.manifest, artifact=replace(model.manifest.artifact, alone=True))
    found = why(model, X[9].tolist(), X[:4].tolist())

    def alone(rows: Any) -> Any:
        return [Beside().predict(np.array([row]))[0] for row in rows]

    assert list(found["contributions"].values()) == pytest.approx(by_hand(alone, X[9].tolist(), X[:4].tolist()))


def test_an_input_that_never_differs_contributes_nothing(models: Path) -> None:
    forest = RandomForestRegressor(5, random_state=0).fit(np.random.default_rng(0).normal(size=(50, 6)), range(50))
    model = table(models, make_pipeline(FunctionTransformer(np.sin), forest))
    background = [[1.0, *row] for row in np.random.default_rng(1).normal(size=(10, 5)).tolist()]
    assert why(model, [1.0, 0, 0, 0, 0, 0], background)["contributions"]["a"] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", [PolynomialFeatures(2), FunctionTransformer(lambda X: X[:, ::-1]), FunctionTransformer(np.cumsum)]
)
def test_inputs_that_a_step_mixes_are_not_told_apart_by_structure(models: Path, step: Any) -> None:
    X = np.round(np.random.default_rng(0).normal(size=(80, 6)), 1)
    step = FunctionTransformer(lambda X: np.cumsum(X, axis=1)) if getattr(step, "func", None) is np.cumsum else step
    model = table(models, make_pipeline(step, Ridge()).fit(X, X[:, 0] * X[:, 1]))
    background, row = X[:3].tolist(), X[5].tolist()
    found = why(model, row, background)
    assert found["rows"] > 4
    assert list(found["contributions"].values()) == pytest.approx(by_hand(model.estimator.predict, row, background))


def test_a_structure_that_does_not_add_up_is_not_believed(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, (background, rows) = specimen(models, "tree of numbers", MODELS["tree of numbers"]), specimens.cases("tree")
    right = why(model, rows[0], background)["contributions"]

    def wrong(*given: Any) -> Any:
        steps = contributions(*given)
        assert steps is not None
        return (yield from steps) + 0.1

    monkeypatch.setattr("scoring.explain.rows.contributions", wrong)
    assert why(model, rows[0], background, exact=True)["contributions"] == pytest.approx(right)


# Estimates


@pytest.mark.slow
@pytest.mark.parametrize("name", ["logistic regression", "boosting of classes", "histograms of classes"])
def test_errors_hold_in_95_percent_of_cases(models: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapley, "SECONDS", 1e9)
    monkeypatch.setattr(shapley, "MOST_ROWS", 6_000)
    model, background = specimen(models, name, MODELS[name]), specimens.numbers(40, seed=3)
    within = []
    for row in specimens.numbers(4, seed=8):
        exact = why(model, row, background, exact=True)
        for seed in range(25):
            found = why(model, row, background, seed=seed)
            assert not found["exact"]
            within += [
                abs(found["contributions"][name] - exact["contributions"][name]) <= error
                for name, error in found["errors"].items()
            ]
    assert np.mean(within) >= 0.95


def test_the_same_seed_gives_the_same_estimate(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapley, "SECONDS", 1e9)
    model = specimen(models, "boosting of classes", MODELS["boosting of classes"])
    background, row = specimens.numbers(100, seed=3), specimens.numbers(1, seed=8)[0]
    first, again, other = (why(model, row, background, seed=seed) for seed in (7, 7, 8))
    assert first == again
    assert first["contributions"] != other["contributions"]
    assert first["rows"] <= MOST_ROWS
    assert set(first["errors"]) == set(first["contributions"])


def test_many_inputs_meet_a_smaller_background(models: Path) -> None:
    X = np.random.default_rng(0).normal(size=(50, 400))
    model = table(models, KNeighborsRegressor(3).fit(X, X[:, 0]), numbers(*(f"x{number}" for number in range(400))))
    found = why(model, X[0].tolist(), X[1:].tolist() * 2)
    assert found["rows"] <= MOST_ROWS
    assert math.fsum([found["base"], *found["contributions"].values()]) == pytest.approx(found["value"])


def test_time_ends_an_estimate(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapley, "SECONDS", 0.0)
    model = specimen(models, "boosting of classes", MODELS["boosting of classes"])
    found = why(model, specimens.numbers(1, seed=8)[0], specimens.numbers(100, seed=3))
    assert found["rows"] <= 101 + shapley.FEWEST_ROUNDS * 100 * 2 * 11


# What is explained


def test_a_class_is_explained_by_its_probability(models: Path) -> None:
    model = specimen(models, "tree of classes", MODELS["tree of classes"])
    background, rows = specimens.cases("tree of classes")
    predicted = model.estimator.predict([rows[0]])[0]
    assert why(model, rows[0], background)["class"] == predicted
    shares = model.estimator.predict_proba([rows[0]])[0]
    found = [why(model, rows[0], background, label=str(label)) for label in (0, 1, 2)]
    assert [entry["value"] for entry in found] == pytest.approx(shares.tolist())
    together = [math.fsum(entry["contributions"][name] for entry in found) for name in model.manifest.signature.names]
    assert together == pytest.approx([0.0] * 12)


@pytest.mark.parametrize(("label", "sign"), [("1", 1), ("0", -1)])
def test_without_probabilities_the_decision_is_explained(models: Path, label: str, sign: int) -> None:
    model = specimen(models, "support vectors", MODELS["support vectors"])
    background, rows = specimens.cases("support vectors")
    found = why(model, rows[0], background[:3], label=label)
    assert found["value"] == pytest.approx(sign * model.estimator.decision_function([rows[0]])[0])
    assert (found["class"], found["exact"]) == (int(label), True)


@pytest.mark.parametrize("name", [None, "letter"])
def test_decisions_by_label_are_those_of_the_class(models: Path, name: str | None) -> None:
    X = np.random.default_rng(0).normal(size=(90, 3))
    svc, labels = LinearSVC().fit(X, np.repeat(["a", "b", "c"], 30)), ("a", "b", "c")
    methods = (PREDICT, Method("decision_function", AnswerForm.LABELS))
    model = table(models, svc, numbers(*"xyz"), Output(OutputKind.CLASS, labels, name=name), methods=methods)
    found = why(model, X[0].tolist(), X[1:5].tolist(), label="b")
    assert found["value"] == pytest.approx(svc.decision_function(X[:1])[0][1])


def test_without_decisions_it_is_whether_the_class_is_predicted(models: Path) -> None:
    X = np.random.default_rng(0).normal(size=(90, 3))
    svc = LinearSVC().fit(X, X[:, 0] > 0)
    model = table(models, svc, numbers(*"xyz"), Output(OutputKind.CLASS, (False, True)))
    found = why(model, [2.0, 0.0, 0.0], X[1:9].tolist())
    assert (found["class"], found["value"]) == (True, 1.0)
    assert 0 < found["base"] < 1


def test_one_of_several_outputs_is_explained(models: Path) -> None:
    X = np.random.default_rng(0).normal(size=(90, 3))
    two = KNeighborsRegressor(2).fit(X, np.column_stack([X[:, 0], 10 * X[:, 1]]))
    outputs = (Output(OutputKind.NUMBER, name="low"), Output(OutputKind.NUMBER, name="high"))
    model = table(models, two, numbers(*"xyz"), *outputs)
    low, high = two.predict(X[:1])[0]
    row, background = X[0].tolist(), X[1:9].tolist()
    assert why(model, row, background)["value"] == pytest.approx(low)
    assert why(model, row, background, output="high")["value"] == pytest.approx(high)


def test_names_of_labels_stand_for_them(models: Path) -> None:
    X = np.random.default_rng(0).normal(size=(90, 3))
    output = Output(OutputKind.CLASS, (0, 1), probabilities=True, label_names=("no", "yes"))
    model = table(models, LogisticRegression().fit(X, (X[:, 0] > 0).astype(int)), numbers(*"xyz"), output)
    found = why(model, [2.0, 0.0, 0.0], X[:5].tolist())
    assert found["class"] == "yes"
    assert found["value"] > 0.5


def test_answers_that_are_not_finite_are_refused(models: Path) -> None:
    class Logarithm:
        def predict(self, X: Any) -> Any:
            return np.log(X[:, 0])

    with pytest.raises(ModelgateError) as refused, np.errstate(all="ignore"):
        why(table(models, Logarithm(), numbers("a", "b")), [1.0, 1.0], [[-1.0, 0.0]])
    assert refused.value.failure.code == Code.MODEL_ERROR
    assert "not finite" in refused.value.failure.message


def test_a_step_that_raises_fails_as_the_model_would(models: Path) -> None:
    class Refusing(StandardScaler):  # type: ignore[misc]
        def transform(self, X: Any, copy: Any = None) -> Any:
            raise KeyError("no such thing")

    X = np.random.default_rng(0).normal(size=(9, 2))
    line = make_pipeline(StandardScaler(), LinearRegression()).fit(X, X[:, 0])
    line.steps[0] = ("refusing", Refusing().fit(X))
    with pytest.raises(ModelgateError) as refused:
        why(table(models, line, numbers("a", "b")), [1.0, 1.0], [[0.0, 0.0]])
    assert refused.value.failure.code == Code.MODEL_ERROR


def test_more_trees_than_pay_are_asked_as_any_other_model(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, (background, rows) = specimen(models, "forest of classes", MODELS["forest of classes"]), specimens.cases("f")
    monkeypatch.setattr("scoring.explain.structure._MOST_NODES", 10)
    assert why(model, rows[0], background)["rows"] > 100


# Texts and records


def _texts(models: Path) -> Loaded:
    words = make_pipeline(CountVectorizer(token_pattern=r"\S+"), LogisticRegression())
    words.fit(["good film", "bad film", "good good", "bad bad"], ["yes", "no", "yes", "no"])
    output = Output(OutputKind.CLASS, ("no", "yes"), probabilities=True)
    signature = Signature((Field("text", Kind.STRING),), (output,), format=RowFormat.TEXTS)
    return loaded(models, words, signature, InputFormat.TEXTS)


def test_a_text_is_explained_by_its_words(models: Path) -> None:
    model = _texts(models)
    text = "good  film, good\tbad "
    found = why(model, [text], label="yes")
    assert found["value"] == model.estimator.predict_proba([text])[0][1]
    assert found["base"] == model.estimator.predict_proba([""])[0][1]
    assert list(found["contributions"]) == ["good", "bad", "film,"], "the strongest comes first"
    assert found["contributions"]["good"] > 0 > found["contributions"]["bad"]
    assert found["contributions"]["film,"] == 0.0


@pytest.mark.slow
def test_of_many_words_the_strongest_are_told(models: Path) -> None:
    text = " ".join([*(f"word{number}" for number in range(3000)), "good"])
    found = why(_texts(models), [f"good {text}"], label="yes")
    assert len(found["contributions"]) == 21
    assert next(iter(found["contributions"])) == "good"
    assert math.fsum([found["base"], *found["contributions"].values()]) == pytest.approx(found["value"])
    assert "other words" in found["contributions"]


@pytest.mark.parametrize("text", [" ", "x"])
def test_a_text_without_known_words_contributes_nothing(models: Path, text: str) -> None:
    found = why(_texts(models), [text], label="yes")
    assert found["value"] == pytest.approx(found["base"])
    assert set(found["contributions"].values()) <= {0.0}


def test_a_record_is_explained_by_its_names(models: Path) -> None:
    records = [{"size": 1.0, "town": "Rom"}, {"size": 2.0, "town": "Ulm"}, {"size": 3.0, "tags": ["a", "b"]}]
    line = make_pipeline(DictVectorizer(), LinearRegression()).fit(records, [1.0, 2.0, 4.0])
    signature = Signature((), (NUMBER,), format=RowFormat.RECORDS)
    model = loaded(models, line, signature, InputFormat.RECORDS)
    found = why(model, [records[2]])
    assert found["value"] == pytest.approx(line.predict(records[2:])[0])
    assert found["base"] == pytest.approx(line.predict([{}])[0])
    assert list(found["contributions"]) == ["size", "tags"]


def test_scaled_numbers_are_explained_in_a_table_of_their_own(models: Path) -> None:
    """A null is a value like others."""
    model, (background, rows) = (
        specimen(models, "table: ridge", MODELS["table: ridge"]),
        specimens.cases("table: ridge"),
    )
    row = [*rows[0]]
    row[2], row[8] = None, None
    found = why(model, row, [[*background[0]]])
    assert found["exact"]
    assert found["contributions"]["town"] != 0 or background[0][8] is None
    assert StandardScaler in map(type, model.estimator[0].transformers_[0][1])
