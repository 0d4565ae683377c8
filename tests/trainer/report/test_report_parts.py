"""The parts of a report agree with scikit-learn on the same rows."""

from __future__ import annotations

import dataclasses
import json
import shlex
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import partial_dependence
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import (
    PrecisionRecallDisplay,
    RocCurveDisplay,
    classification_report,
    confusion_matrix,
    precision_score,
    recall_score,
)
from sklearn.tree import DecisionTreeClassifier

from contract.model.manifest import InputFormat
from contract.model.report_placeholders import ADDRESS
from contract.model.signature import Decision, Field, Kind
from tests.trainer.report.evidences import evidence_of, published
from trainer.report.classification import TOLERANCE, Classes, by_class, confusion, precision_recall, roc, thresholds
from trainer.report.dependence import dependence
from trainer.report.evidence import Evidence
from trainer.report.facts import usage
from trainer.report.importance import importance
from trainer.report.page import _value
from trainer.report.parts import NotShown
from trainer.report.pictures import draw_all
from trainer.report.regression import Numbers, actual_by_predicted, error_curve
from trainer.report.worst import worst

ROUNDED = 1e-4
"""How far apart figures with five digits may be."""


def of_share(share: float, rows: int = 4000) -> Evidence:
    """Classes "no" and "yes", the latter in this share of the rows; the first of three columns is informative."""
    X = np.random.default_rng(0).normal(size=(rows, 3))
    noise = np.random.default_rng(1).normal(size=rows)
    told = X[:, 0] + 0.7 * noise
    return evidence_of(
        LogisticRegression(), X.tolist(), np.where(told > np.quantile(told, 1 - share), "yes", "no").tolist()
    )


def positives(evidence: Evidence, label: str = "yes") -> tuple[Any, Any]:
    """Which test rows are of the class, and the probabilities that scikit-learn gives them."""
    column = evidence.estimator.classes_.tolist().index(label)
    return evidence.y_test == label, evidence.estimator.predict_proba(evidence.X_test)[:, column]


def farthest(points: Any, line: Any) -> float:
    """Of all `points` (n × 2), the largest distance from the line through the vertices `line` (m × 2)."""
    starts, steps = line[:-1], np.diff(line, axis=0)
    lengths = np.maximum((steps**2).sum(axis=1), 1e-300)
    nearest = np.full(len(points), np.inf)
    for start, step, length in zip(starts, steps, lengths, strict=True):
        along = np.clip((points - start) @ step / length, 0, 1)
        nearest = np.minimum(nearest, np.hypot(*(points - start - along[:, None] * step).T))
    return float(nearest.max())


def dense(line: Any, points: int = 40) -> Any:
    """Points all along a line, not only where it bends."""
    shares = np.linspace(0, 1, points)[:, None, None]
    return (line[:-1] + shares * np.diff(line, axis=0)).reshape(-1, 2)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.003])
@pytest.mark.parametrize("name", ["roc", "precision_recall"])
def test_a_curve_equals_that_of_scikit_learn(name: str, share: float) -> None:
    evidence = of_share(share, rows=20_000 if share < 0.01 else 4000)
    if name == "roc":
        facts = roc(Classes.of(evidence))
        display = RocCurveDisplay.from_predictions(*positives(evidence), ax=Figure().subplots())
        full = np.column_stack([display.fpr, display.tpr])
    else:
        facts = precision_recall(Classes.of(evidence))
        display = PrecisionRecallDisplay.from_predictions(*positives(evidence), ax=Figure().subplots())
        full = np.column_stack([np.repeat(display.recall, 2)[1:], np.repeat(display.precision, 2)[:-1]])
        assert display.line_.get_drawstyle() == "steps-post"
    (curve,) = facts["curves"]
    shown = np.column_stack([curve["x"], curve["y"]])
    assert curve["label"] == "yes"
    assert len(shown) < 400
    assert farthest(dense(full, 3), shown) < TOLERANCE + ROUNDED
    assert farthest(dense(shown), full) < TOLERANCE + ROUNDED
    assert curve["area"] == pytest.approx(display.roc_auc if name == "roc" else display.average_precision, abs=ROUNDED)


def test_each_class_has_the_figures_of_the_classification_report() -> None:
    draw = np.random.default_rng(0)
    X = draw.normal(size=(600, 4))
    kinds = np.array(["a", "b", "c"])[(X[:, 0] > 0).astype(int) + (X[:, 1] > 1)]
    evidence = evidence_of(DecisionTreeClassifier(max_depth=2), X.tolist(), kinds.tolist())
    answered = evidence.estimator.predict(evidence.X_test)
    expected = classification_report(evidence.y_test, answered, output_dict=True, zero_division=0)
    facts = by_class(Classes.of(evidence))
    for item in facts["items"]:
        theirs = expected[item["label"]]
        figures = (item["precision"], item["recall"], item["f1"], item["rows"])
        assert figures == pytest.approx(
            (theirs["precision"], theirs["recall"], theirs["f1-score"], theirs["support"]), abs=ROUNDED
        )
    mean = expected["macro avg"]
    assert tuple(facts["mean"].values()) == pytest.approx(
        (mean["precision"], mean["recall"], mean["f1-score"]), abs=ROUNDED
    )
    assert confusion(Classes.of(evidence))["counts"] == confusion_matrix(evidence.y_test, answered).tolist()


def test_a_threshold_has_the_figures_of_the_table() -> None:
    evidence = of_share(0.05)
    positive, probabilities = positives(evidence)
    facts = thresholds(Classes.of(evidence), recommended=0.25)
    assert [item["threshold"] for item in facts["items"] if item["served"]] == [0.5]
    assert [item["threshold"] for item in facts["items"] if item["recommended"]] == [0.25]
    for item in facts["items"]:
        flagged = probabilities >= item["threshold"]
        assert item["flagged"] == flagged.sum()
        assert item["recall"] == pytest.approx(recall_score(positive, flagged), abs=ROUNDED)
        assert item["precision"] == pytest.approx(precision_score(positive, flagged, zero_division=0), abs=ROUNDED)
    for wanted in (0.95, 0.9, 0.75, 0.5, 0.25):
        assert any(wanted <= item["recall"] < wanted + 0.05 for item in facts["items"])


def test_the_report_looks_at_the_rarer_of_two_classes() -> None:
    evidence = of_share(0.9)
    assert [curve["label"] for curve in precision_recall(Classes.of(evidence))["curves"]] == ["no"]
    assert thresholds(Classes.of(evidence))["label"] == "no"


def test_a_model_with_its_own_threshold_is_recognised() -> None:
    evidence = of_share(0.2)
    facts = thresholds(Classes.of(dataclasses.replace(evidence, estimator=AtAThird(evidence.estimator))))
    (served,) = [item for item in facts["items"] if item["served"]]
    assert 0.3 < served["threshold"] < 0.36


def test_a_version_with_a_decision_shows_its_threshold_instead_of_the_models_own() -> None:
    evidence = of_share(0.2)
    signature = evidence.draft.signature
    output = dataclasses.replace(signature.output, decision=Decision("yes", 0.123))
    draft = dataclasses.replace(evidence.draft, signature=dataclasses.replace(signature, outputs=(output,)))
    decided = Classes.of(dataclasses.replace(evidence, draft=draft))
    items = thresholds(decided)["items"]
    (item,) = [item for item in items if item["decided"]]
    assert item["threshold"] == 0.123 and not any(item["served"] for item in items)
    assert item["flagged"] == (decided.predicted == 1).sum() != (Classes.of(evidence).predicted == 1).sum()
    about_no = thresholds(dataclasses.replace(decided, interesting=[0]))["items"]
    assert not any(item["decided"] or item["served"] for item in about_no)


class AtAThird:
    def __init__(self, estimator: Any) -> None:
        self.estimator, self.classes_ = estimator, estimator.classes_

    def predict(self, X: Any) -> Any:
        return self.classes_.take((self.predict_proba(X)[:, 1] > 1 / 3).astype(int))

    def predict_proba(self, X: Any) -> Any:
        return self.estimator.predict_proba(X)


def test_partial_dependence_is_that_of_scikit_learn() -> None:
    X = np.random.default_rng(0).normal(size=(300, 3))
    y = np.sin(2 * X[:, 0]) + X[:, 1]
    evidence = evidence_of(RandomForestRegressor(20, random_state=0), X.tolist(), y.tolist())
    for item in dependence(evidence, ["x1", "x0"])["items"]:
        column, values = int(item["name"][1]), np.array(item["values"])
        theirs = partial_dependence(
            evidence.estimator, evidence.X_test, [column], method="brute", custom_values={column: values}
        )
        assert item["lines"][0] == pytest.approx(theirs["average"][0].tolist(), abs=ROUNDED)


def test_partial_dependence_supports_words_integers_booleans_times_and_nulls() -> None:
    inputs = [
        Field("plan", Kind.STRING),
        Field("months", Kind.INTEGER),
        Field("since", Kind.DATETIME, nullable=True),
        Field("paid", Kind.BOOLEAN),
    ]
    rows = [
        (("basic", "plus")[n % 2], n % 7, None if n % 5 == 0 else f"2024-01-{n % 28 + 1:02}T00:00:00+00:00", n % 3 == 0)
        for n in range(80)
    ]
    estimator = PlusIsLikely()
    evidence = evidence_of(estimator, rows, [n % 2 for n in range(80)], inputs, input_format=InputFormat.DATAFRAME)
    facts = dependence(evidence, [field.name for field in inputs])
    plan, months, since, paid = facts["items"]
    assert (plan["values"], plan["lines"]) == (["basic", "plus"], [[0.1, 0.9]])
    assert (months["values"], paid["values"]) == (list(range(7)), ["False", "True"])
    assert since["values"][0] == "2024-01-01T00:00:00+00:00"
    assert len(since["values"]) == 12
    pictures = [
        draw_all({"answers": {}, "dependence": {**facts, "items": [{**since, "naive": n}]}}) for n in (False, True)
    ]
    assert [drawn["dependence-0"]["svg"].count(">UTC</text>") for drawn in pictures] == [1, 0]


class PlusIsLikely:
    def fit(self, X: Any, y: Any) -> None:
        self.classes_ = np.unique(y)

    def predict(self, X: Any) -> Any:
        return self.predict_proba(X).argmax(axis=1)

    def predict_proba(self, X: Any) -> Any:
        share = np.where(X["plan"] == "plus", 0.9, 0.1)
        return np.column_stack([1 - share, share])


def test_the_worst_rows_have_the_lowest_probability_of_the_actual_class() -> None:
    evidence = dataclasses.replace(of_share(0.3, rows=800), ids=[f"row {n}" for n in range(800)])
    facts = worst(evidence, Classes.of(evidence), ["x2", "x0"])
    table = evidence.estimator.predict_proba(evidence.X_test)
    of_actual = table[np.arange(len(table)), (evidence.y_test == "yes").astype(int)]
    assert [item["probability"] for item in facts["items"]] == pytest.approx(
        np.sort(of_actual)[:10].tolist(), abs=ROUNDED
    )
    assert facts["columns"] == ["x2", "x0", "x1"]
    assert facts["wrong"] == (evidence.estimator.predict(evidence.X_test) != evidence.y_test).sum()
    first = facts["items"][0]
    row = evidence.rows[first["row"] - 1]
    assert first["id"] == f"row {first['row'] - 1}"
    assert first["values"] == pytest.approx([row[2], row[0], row[1]])
    assert first["actual"] == evidence.targets[first["row"] - 1] != first["predicted"]


def test_a_cell_is_shown_without_midnight_and_float_noise() -> None:
    cells = ["2024-01-05T00:00:00+00:00", "2024-01-05T06:30:00+00:00", 0.1 + 0.2, None, "plus"]
    assert [_value(cell) for cell in cells] == ["2024-01-05", "2024-01-05T06:30:00+00:00", "0.3", "–", "plus"]


def test_a_large_cell_is_written_like_the_whole_numbers_beside_it() -> None:
    cells = [7_109_420_000_000.0, 4_551_230_000_000.0, -123_456.7, 12_345.678, 0.1234567, 1e300]
    assert [_value(cell) for cell in cells] == [
        *("7,109,420,000,000", "4,551,230,000,000", "−123,457", "12,345.7", "0.123457", "1 × 10³⁰⁰")
    ]


def test_the_worst_numbers_are_those_with_the_largest_residuals() -> None:
    X = np.random.default_rng(0).normal(size=(120, 2))
    y = X[:, 0] + np.random.default_rng(1).normal(size=120)
    evidence = evidence_of(LinearRegression(), X.tolist(), y.tolist())
    facts = worst(evidence, Numbers.of(evidence), [])
    residuals = evidence.y_test - evidence.estimator.predict(evidence.X_test)
    errors = [item["error"] for item in facts["items"]]
    assert errors == pytest.approx(sorted(residuals, key=abs, reverse=True)[:10], abs=ROUNDED)
    assert facts["items"][0]["actual"] == pytest.approx(y[facts["items"][0]["row"] - 1], abs=ROUNDED)


def test_a_rare_class_is_measured_on_all_of_its_rows() -> None:
    """One in 300 rows, so that 1,000 rows drawn by chance would hold three or four."""
    evidence = of_share(0.003, rows=20_000)
    facts = importance(evidence)
    assert facts["columns"][0]["name"] == "x0"
    assert facts["full"] == pytest.approx(roc(Classes.of(evidence))["curves"][0]["area"], abs=0.02)


def test_the_request_is_one_that_a_shell_and_python_send() -> None:
    example = {"it's": "a\u202e'b\" $(x)", "größe": 1.5, "none": None, "true": True}
    evidence = of_share(0.5, rows=40)
    facts = usage(dataclasses.replace(published(evidence), example=example))
    command, silent, url, *options = shlex.split(facts["curl"].replace("\\\n", ""))
    assert (command, silent, url) == ("curl", "-s", f"{ADDRESS}/v1/models/model@3/predict")
    assert json.loads(options[-1]) == example
    assert "\u202e" not in facts["curl"] + facts["python"]
    namespace: dict[str, Any] = {}
    exec(facts["python"].partition("request = ")[0], namespace)
    assert (namespace["gateway"], namespace["rows"]) == (ADDRESS, [example])
    compile(facts["python"], "request", "exec")


def test_an_example_that_is_too_long_is_left_out() -> None:
    evidence = of_share(0.5, rows=40)
    long = {f"column {n}": n for n in range(2000)}
    with pytest.raises(NotShown, match="too long"):
        usage(dataclasses.replace(published(evidence), example=long))


def of_errors(errors: Any, not_finite: int = 0) -> Numbers:
    """Answers whose actual values are 0, 1, 2 and so on, and whose predictions are off by these errors."""
    actual = np.arange(len(errors), dtype=float)
    return Numbers(actual, actual - errors, np.arange(len(errors)), not_finite)


@pytest.mark.parametrize("rows", [1, 7, 100, 5000])
def test_an_error_curve_says_how_many_rows_have_at_most_an_error(rows: int) -> None:
    errors = np.random.default_rng(0).standard_cauchy(rows)
    answers = of_errors(errors)
    curve = error_curve(answers)
    assert len(curve["x"]) == len(curve["y"]) <= 101
    assert (curve["y"][0], curve["y"][-1]) == (0, 1)
    distances = np.abs(answers.actual - answers.predicted)
    for x, y in zip(curve["x"], curve["y"], strict=True):
        share = (distances <= x * (1 + ROUNDED)).mean()
        assert y - ROUNDED <= share, "so many rows have at most this error"
        assert (distances < x * (1 - ROUNDED)).mean() <= y + ROUNDED, "and no smaller error would do"


def test_the_area_above_an_error_curve_is_the_mean_absolute_error() -> None:
    errors = np.random.default_rng(0).exponential(size=20_000)
    curve = error_curve(of_errors(errors))
    x, y = np.array([0.0, *curve["x"]]), np.array([0.0, *curve["y"]])
    area = np.trapezoid(1 - y, x)
    assert area == pytest.approx(errors.mean(), rel=0.02)


def test_a_prediction_that_is_not_finite_is_never_near_enough() -> None:
    assert error_curve(of_errors(np.ones(30), not_finite=10))["y"][-1] == 0.75


def test_predictions_that_are_right_on_average_are_calibrated_however_they_scatter() -> None:
    predicted = np.random.default_rng(0).normal(size=100_000)
    noise = np.random.default_rng(1).normal(size=100_000)
    right = actual_by_predicted(Numbers(predicted + noise, predicted, np.arange(100_000), 0))
    assert len(right["predicted"]) == 10
    assert right["actual"] == pytest.approx(right["predicted"], abs=0.05)
    narrow = actual_by_predicted(Numbers(predicted + noise, predicted / 2, np.arange(100_000), 0))
    assert narrow["actual"] == pytest.approx([2 * value for value in narrow["predicted"]], abs=0.05)


@pytest.mark.parametrize(("rows", "bins"), [(1, 1), (19, 1), (20, 2), (1000, 10)])
def test_a_bin_of_predictions_has_ten_rows_at_least(rows: int, bins: int) -> None:
    assert len(actual_by_predicted(of_errors(np.zeros(rows)))["predicted"]) == bins


def test_equal_predictions_are_one_bin() -> None:
    facts = actual_by_predicted(Numbers(np.arange(50.0), np.full(50, 3.0), np.arange(50), 0))
    assert facts == {"predicted": [3.0], "actual": [24.5]}
