"""The report of a version has all parts for all kinds of models, and can be made of any data."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

import trainer.report.facts
from contract.model.manifest import InputFormat
from contract.model.report_placeholders import ADDRESS, PARTS, STATUS
from contract.model.signature import Field, Kind
from tests.support import PROJECT, numbers
from tests.trainer.report.evidences import evidence_of, published
from trainer.recipe import Candidate
from trainer.report.evidence import ComparisonOutcome, Evidence, Leak, VersionComparison
from trainer.report.importance import importance
from trainer.report.page import draw_report
from trainer.training.verdict import compared_in_words

VOID = {"meta", "br", "input"}


@pytest.fixture(autouse=True)
def no_bugs(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if a part of a report fails, which a report only logs."""
    yield
    if "bug" not in request.node.name:
        logged = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.WARNING]
        assert not logged


class Page(HTMLParser):
    """Parses a page; fails on an unclosed tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def write(folder: Path, evidence: Evidence) -> None:
    folder.mkdir(exist_ok=True)
    for name, data in draw_report(trainer.report.facts.gather(evidence))(published(evidence)).items():
        (folder / name).write_bytes(data)


def reported(evidence: Evidence, folder: Path) -> tuple[Page, dict[str, Any]]:
    """Return the page and the facts, after checking what every report guarantees."""
    write(folder / "report", evidence)
    text = (folder / "report" / "report.html").read_text(encoding="utf-8")
    facts = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    page = Page(text)
    assert not {"script", "iframe", "link", "object", "form", "base"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "http:" not in text.replace(ADDRESS, "")
    assert "https:" not in text
    assert text.count(STATUS) == 1
    assert all(str(a["href"]).startswith("#") for tag, a in page.tags if "href" in a)
    identifiers = [a["id"] for _, a in page.tags if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    assert all(a.get("aria-label") for a in page.all("svg"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert len(page.all("h1")) == 1
    assert len(text) < 250_000
    return page, facts


def two_classes(rows: int = 120, columns: int = 3, **more: Any) -> Evidence:
    """The first column decides, the others are noise."""
    X = np.random.default_rng(0).normal(size=(rows, columns))
    noise = np.random.default_rng(1).normal(size=rows)
    return evidence_of(LogisticRegression(), X.tolist(), ["yes" if x > 0 else "no" for x in X[:, 0] + noise], **more)


def a_number(**more: Any) -> Evidence:
    X = np.random.default_rng(0).normal(size=(120, 3))
    y = 3 * X[:, 0] + np.random.default_rng(1).normal(size=120)
    return evidence_of(LinearRegression(), X.tolist(), y.tolist(), **more)


def missing(facts: Any) -> list[str]:
    """The reasons of all parts that are missing, wherever they are."""
    if isinstance(facts, list):
        return [reason for item in facts for reason in missing(item)]
    if not isinstance(facts, dict):
        return []
    return [facts["missing"]] if "missing" in facts else missing(list(facts.values()))


def test_two_classes_have_every_part(tmp_path: Path) -> None:
    tried = [Candidate("tree", "accuracy", 0.7, 0.05, 0.1), Candidate("line", "accuracy", 0.8, 0.02, 0.2)]
    metrics, before = {"accuracy": 0.8, "log_loss": 0.4}, {"accuracy": 0.7, "log_loss": 0.5}
    evidence = two_classes(
        candidates=tried,
        remarks=["x1 says little"],
        notes="for\nspring",
        target="stays",
        verdict="Better than version 2.",
        comparison=VersionComparison(
            2, 60, metrics, before, "log loss", 0.4, 0.5, 0.99, 0.01, ComparisonOutcome.BETTER
        ),
    )
    evidence = dataclasses.replace(evidence, previous=published(evidence, 2))
    page, facts = reported(evidence, tmp_path)
    assert missing(facts) == []
    assert (facts["model"], facts["version"], facts["recipe"], facts["notes"]) == ("model", 3, "tabular", "for\nspring")
    assert facts["metrics"]["accuracy"] == pytest.approx(evidence.draft.metrics["accuracy"], rel=1e-5)
    assert [item["name"] for item in facts["candidates"]["items"]] == ["line", "tree"]
    counts = facts["answers"]["confusion"]["counts"]
    assert (counts[0][0] + counts[1][1]) / 30 == pytest.approx(evidence.draft.metrics["accuracy"])
    assert [curve["label"] for curve in facts["answers"]["roc"]["curves"]] == ["yes"]
    assert facts["answers"]["roc"]["curves"][0]["area"] > 0.7
    assert facts["importance"]["columns"][0]["name"] == "x0"
    assert facts["libraries"]["scikit-learn"]
    assert [item["value"] for item in facts["data"]["target"]["top"]].count("yes") == 1
    for words in ("ROC curve", "x1 says little", "stays", "Better than version 2.", "for\nspring", "+0.100"):
        assert words in page.text
    for words in ("false positive rate", "true positive rate", "recall", "precision", "fraction of positives"):
        assert words in page.text
    assert len(page.all("figure")) == 6 + 3


def test_the_class_of_the_curves_is_the_rare_one_and_can_be_changed(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(200, 3))
    states = ["fault" if x > 1.2 else "none" for x in X[:, 0]]
    page, facts = reported(evidence_of(LogisticRegression(), X.tolist(), states, test_rows=range(200)), tmp_path)
    answers, others = facts["answers"], facts["answers"]["other_class"]
    assert [curve["label"] for curve in answers["roc"]["curves"]] == ["fault"]
    assert [curve["label"] for curve in others["roc"]["curves"]] == ["none"]
    assert (answers["thresholds"]["label"], others["thresholds"]["label"]) == ("fault", "none")
    assert answers["thresholds"]["share"] + others["thresholds"]["share"] == pytest.approx(1)
    choices = [attributes for attributes in page.all("input") if attributes["type"] == "radio"]
    assert ["checked" in choice for choice in choices] == [True, False]
    assert len(page.all("figure")) == 6 + 3


def test_a_long_text_among_the_worst_rows_is_shortened_and_opens(tmp_path: Path) -> None:
    texts = [f"{number} {'very ' * 40}late" for number in range(80)]
    inputs = [Field("words", Kind.STRING), Field("x", Kind.NUMBER)]
    model = DummyClassifier(strategy="constant", constant="no")
    rows = [(text, float(at)) for at, text in enumerate(texts)]
    reported(evidence_of(model, rows, ["yes", "no"] * 40, inputs, input_format=InputFormat.DATAFRAME), tmp_path)
    html = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    cells = re.findall(r'<details class="cell"><summary>(.*?) …</summary>(.*?)</details>', html)
    assert cells and all(whole.startswith(short) and whole in texts for short, whole in cells)


def test_what_is_rarely_read_is_folded_and_the_contents_lead_to_all_parts(tmp_path: Path) -> None:
    page, _ = reported(two_classes(), tmp_path)
    folds = [attributes for attributes in page.all("details") if attributes.get("class") == "part"]
    assert ["open" in fold for fold in folds] == [True, False, False, False, False, False]
    linked = [str(link["href"]).removeprefix("#") for link in page.all("a")]
    assert linked == list(PARTS)
    assert set(linked) <= {str(attributes["id"]) for _, attributes in page.tags if "id" in attributes}


def test_a_class_that_begins_with_an_underscore_is_in_the_legend(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(120, 3))
    page, _ = reported(evidence_of(LogisticRegression(), X.tolist(), ["_no", "_yes"] * 60), tmp_path)
    assert re.search(r"Class _yes: area under the curve 0\.\d{3}", page.text)


def test_three_classes_have_a_curve_each(tmp_path: Path) -> None:
    iris = load_iris(as_frame=False)
    kinds = [str(iris.target_names[kind]) for kind in iris.target]
    page, facts = reported(evidence_of(LogisticRegression(max_iter=500), iris.data.tolist(), kinds), tmp_path)
    curves = facts["answers"]["roc"]["curves"]
    assert [curve["label"] for curve in curves] == ["setosa", "versicolor", "virginica"]
    assert all(curve["area"] > 0.9 for curve in curves)
    assert facts["answers"]["calibration"]["label"] is None
    assert "chose it without cross-validation" in page.text
    assert "no version that this one would replace" in page.text


def test_a_number_has_residuals(tmp_path: Path) -> None:
    page, facts = reported(a_number(target="price"), tmp_path)
    assert facts["kind"] == "regression"
    assert len(facts["answers"]["points"]["actual"]) == 30
    assert abs(facts["answers"]["residuals"]["mean"]) < 1
    assert sum(facts["answers"]["residuals"]["histogram"]["counts"]) == 30
    assert facts["answers"]["error_curve"]["y"][-1] == 1
    assert len(facts["answers"]["actual_by_predicted"]["actual"]) == 3
    assert facts["importance"]["metric"] == "R²"
    assert facts["data"]["target"]["histogram"]
    assert "in the unit of price" in page.text
    assert len(page.all("figure")) == 6


def test_a_data_frame_with_words_times_and_nulls_is_profiled_and_exchanged(tmp_path: Path) -> None:
    inputs = [
        Field("plan", Kind.STRING, categories=("basic", "plus")),
        Field("since", Kind.DATETIME, nullable=True),
        Field("months", Kind.INTEGER),
        Field("empty", Kind.NUMBER, nullable=True),
    ]
    rows = [
        (("basic", "plus")[n % 2], None if n % 5 == 0 else f"2024-01-{n % 28 + 1:02}T00:00:00+00:00", n, None)
        for n in range(60)
    ]
    estimator = ReadsOne("plan")
    evidence = evidence_of(estimator, rows, [n % 2 for n in range(60)], inputs, input_format=InputFormat.DATAFRAME)
    page, facts = reported(evidence, tmp_path)
    plan, since, months, empty = facts["data"]["columns"]
    assert plan["top"] == [{"value": "basic", "rows": 30}, {"value": "plus", "rows": 30}]
    assert (since["nulls"], since["min"], since["max"]) == (12, "2024-01-01", "2024-01-28")
    assert (months["min"], months["median"], months["max"], months["distinct"]) == (0, 29.5, 59, 60)
    assert (empty["nulls"], empty["distinct"]) == (60, 0)
    assert "no values" in page.text
    assert "date and time" in page.text and "whole number" in page.text
    measured = {column["name"]: column["mean"] for column in facts["importance"]["columns"]}
    assert measured["plan"] > 0.3
    assert measured["months"] == measured["since"] == measured["empty"] == 0


class ReadsOne:
    """Predicts whether a column of a DataFrame is `plus`; refuses a column of another type."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fit(self, X: Any, y: Any) -> None:
        self.classes_, self.types = np.unique(y), X.dtypes

    def predict(self, X: Any) -> Any:
        assert (X.dtypes == self.types).all()
        return (X[self.name] == "plus").to_numpy().astype(int)


@pytest.mark.parametrize("input_format", [InputFormat.TEXTS, InputFormat.SERIES])
def test_a_pipeline_of_texts_has_the_importance_of_its_input(input_format: InputFormat, tmp_path: Path) -> None:
    texts = [(f"{'win a prize' if spam else 'lunch today'} {word}",) for spam in (True, False) for word in range(40)]
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    labels = ["spam"] * 40 + ["ham"] * 40
    evidence = evidence_of(pipeline, texts, labels, [Field("text", Kind.STRING)], input_format=input_format)
    _, facts = reported(evidence, tmp_path)
    assert not [reason for reason in missing(facts) if "could not be made" in reason]
    assert facts["importance"]["columns"][0]["mean"] > 0.2


def test_a_pipeline_of_records_has_the_data_of_its_inputs(tmp_path: Path) -> None:
    rows: Any = [({"city": "Oslo", "visits": 1.0},), ({"city": ["Rome", "Bonn"]},)] * 20
    fields = [Field("city", Kind.STRING), Field("visits", Kind.NUMBER)]
    pipeline = make_pipeline(DictVectorizer(), LogisticRegression())
    wrong = ["a", "b"] * 19 + ["b", "a"]
    draft = {"example": dict(rows[0][0])}
    evidence = evidence_of(pipeline, rows, wrong, fields, input_format=InputFormat.RECORDS, draft=draft, **all_rows(40))
    _, facts = reported(evidence, tmp_path)
    city, visits = facts["data"]["columns"]
    assert (city["top"][1], visits["nulls"]) == ({"value": "Rome, Bonn", "rows": 20}, 20)
    assert "records" in facts["importance"]["missing"]
    assert {tuple(item["values"]) for item in facts["worst"]["items"]} == {("Oslo", 1.0), ("Rome, Bonn", None)}


def test_the_median_of_a_skewed_column_is_drawn_at_its_place(tmp_path: Path) -> None:
    columns = [[1.0, 2.0, 11.0], [1.0, 10.0, 11.0], [5.0, 5.0, 5.0]]
    page, _ = reported(
        evidence_of(DummyRegressor(), list(zip(*columns, strict=True)) * 20, [1.0, 2.0, 3.0] * 20), tmp_path
    )
    widths = [int(str(svg["viewbox"]).split()[2]) for svg in page.all("svg") if svg.get("class") == "bars"]
    lines = [float(str(line["x1"])) for line in page.all("line") if line.get("y2") == "30"]
    shares = [round(x / width, 1) for x, width in zip(lines, widths, strict=True)]
    assert shares == [0.5, 0.1, 0.9, 0.5]  # the target comes first
    styles = [div["style"] for div in page.all("div") if div.get("class") == "median"]
    assert styles[1:3] == ["padding-left:10.0%", "text-align:right;padding-right:10.0%"]


def only_yes() -> Evidence:
    evidence = two_classes()
    chosen = evidence.y_test == "yes"
    return dataclasses.replace(evidence, X_test=evidence.X_test[chosen], y_test=evidence.y_test[chosen])


def never_learnt() -> Evidence:
    evidence = two_classes()
    return dataclasses.replace(evidence, y_test=np.array(["never learnt", *evidence.y_test[1:]]))


def of_targets(estimator: Any, targets: Sequence[Any], **more: Any) -> Evidence:
    X = np.random.default_rng(0).normal(size=(len(targets), 2))
    return evidence_of(estimator, X.tolist(), targets, **more)


def all_rows(count: int) -> dict[str, Any]:
    return {"test_rows": list(range(count)), "held_out": False}


class NotFinite:
    """A regressor whose first `lost` predictions (None: all) are not finite."""

    def __init__(self, lost: int | None) -> None:
        self.lost = lost

    def fit(self, X: Any, y: Any) -> None:
        pass

    def predict(self, X: Any) -> Any:
        predictions = X[:, 0].copy()
        predictions[: self.lost] = np.nan
        return predictions


class NotFiniteProbabilities(DummyClassifier):
    def predict_proba(self, X: Any) -> Any:
        return np.full((len(X), 2), np.nan)


NO_METRICS: dict[str, Any] = {"draft": {"metrics": {}}}

ODD_EVIDENCE: dict[str, tuple[Callable[[], Evidence], list[str]]] = {
    "one class held out": (only_yes, ["All test rows are of one class."]),
    "two rows": (lambda: of_targets(DecisionTreeClassifier(), ["a", "b"], **all_rows(2)), []),
    "one row": (lambda: of_targets(LinearRegression(), [1.0], **all_rows(1)), ["needs at least two test rows"]),
    "two numbers": (lambda: of_targets(LinearRegression(), [1.0, 2.0], **all_rows(2)), []),
    "constant classes": (lambda: of_targets(DummyClassifier(), ["a", "b", "b", "b"] * 10), []),
    "constant numbers": (lambda: of_targets(DummyRegressor(), [1.0, 2.0, 4.0, 8.0] * 10), []),
    "a constant target": (lambda: of_targets(DummyRegressor(), [7.0] * 40), []),
    "no probabilities": (lambda: of_targets(LinearSVC(), ["a", "b"] * 30), ["The model gives no probabilities."]),
    "a class that was never learnt": (never_learnt, []),
    "true and false": (lambda: of_targets(LogisticRegression(), [True, False] * 30), []),
    "huge numbers": (lambda: of_targets(DummyRegressor(), [1e300, -1e300] * 20), ["too large to measure"]),
    "numbers side by side": (lambda: of_targets(DummyRegressor(), [1e17, 1e17 + 16] * 20), []),
    "some predictions not finite": (
        lambda: of_targets(NotFinite(3), [1.0, 2.0] * 30, **NO_METRICS),
        ["predictions that are not finite"],
    ),
    "no prediction finite": (
        lambda: of_targets(NotFinite(None), [1.0, 2.0] * 30, **NO_METRICS),
        ["None of the model's predictions", "not finite"],
    ),
    "probabilities not finite": (
        lambda: of_targets(NotFiniteProbabilities(), ["a", "b"] * 30),
        ["probabilities that are not finite numbers", "predictions that are not finite"],
    ),
}


@pytest.mark.parametrize("name", ODD_EVIDENCE)
def test_a_report_is_made_of(name: str, tmp_path: Path) -> None:
    make, reasons = ODD_EVIDENCE[name]
    page, facts = reported(
        dataclasses.replace(make(), candidates=[Candidate("x", "r2", math.nan, math.inf, 1)]), tmp_path
    )
    reasons_shown = {reason for reason in missing(facts) if "would replace" not in reason}
    for reason in reasons:
        assert reason in page.text
    expected = (*reasons, "every test row correctly", "Thresholds are shown for", "inputs are unknown")
    assert not [reason for reason in reasons_shown if not any(words in reason for words in expected)]


def test_many_columns_and_classes_are_cut_and_counted(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    X, kinds = draw.normal(size=(400, 300)), [f"class {n % 25}" for n in range(400)]
    page, facts = reported(evidence_of(DecisionTreeClassifier(max_depth=4), X.tolist(), kinds), tmp_path)
    assert (len(facts["data"]["columns"]), facts["data"]["left_out"]) == (60, 240)
    assert (len(facts["importance"]["columns"]), facts["importance"]["left_out"]) == (20, 280)
    assert (len(facts["answers"]["confusion"]["labels"]), facts["answers"]["confusion"]["classes_left_out"]) == (10, 15)
    assert (len(facts["answers"]["roc"]["curves"]), facts["answers"]["roc"]["classes_left_out"]) == (10, 15)
    for sentence in ("240 more inputs are not shown.", "15 more classes are not shown."):
        assert sentence in page.text


def test_backticks_in_a_remark_are_code(tmp_path: Path) -> None:
    remark = "leave it out of `features`, <b>or</b> not"
    write(tmp_path, two_classes(remarks=[remark]))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<li>leave it out of <code>features</code>, &lt;b&gt;or&lt;/b&gt; not</li>" in page


HOSTILE = [
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "{{ 7 * 7 }}{% raw %}",
    "$\\frac{x$",
    "Größe 大きさ 🙂",
    "left\u202etfel\x00\x1b[31m\n\ud800",
    "long " * 1000,
]


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_data_in_a_report_is_always_escaped(kind: str, tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(160, len(HOSTILE)))
    evidence = evidence_of(
        DecisionTreeClassifier() if kind == "classification" else LinearRegression(),
        X.tolist(),
        HOSTILE * 20 if kind == "classification" else X[:, 0].tolist(),
        numbers(*HOSTILE),
        target=HOSTILE[0],
        notes="\n".join(HOSTILE),
        remarks=HOSTILE,
        candidates=[Candidate(name, name, 0.5, 0.1, 1) for name in HOSTILE],
        draft={"parameters": dict.fromkeys(HOSTILE, HOSTILE[1]), "metrics": dict.fromkeys(HOSTILE, 0.5)},
    )
    figures = dict.fromkeys(HOSTILE, 0.25)
    compared = VersionComparison(
        2, 60, figures, figures, HOSTILE[0], 0.1, 0.2, 0.3, 0.4, ComparisonOutcome.SAME, HOSTILE[1]
    )
    leak = Leak(HOSTILE[:1], HOSTILE[2])
    evidence = dataclasses.replace(evidence, comparison=compared, previous=published(evidence), leaks=[leak])
    page, facts = reported(
        dataclasses.replace(evidence, verdict=HOSTILE[0], refused=HOSTILE[1], ids=HOSTILE * 20), tmp_path
    )
    names = [column["name"] for column in facts["data"]["columns"]]
    assert names[:6] == HOSTILE[:6]
    assert names[6] == "left�tfel��[31m��"
    assert len(names[7]) == 80
    for name in HOSTILE[:6]:
        assert name in page.text
    assert "�tfel" in page.text
    assert "\u202e" not in page.text


def test_a_bug_in_one_part_is_named_in_its_place_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(evidence: Evidence) -> dict[str, Any]:
        raise ZeroDivisionError("<b>by zero</b>")

    monkeypatch.setattr(trainer.report.facts, "importance", wrong)
    page, facts = reported(two_classes(), tmp_path)
    assert facts["importance"]["missing"] == "This part could not be made: ZeroDivisionError: <b>by zero</b>"
    assert facts["importance"]["missing"] in page.text
    assert facts["answers"]["roc"]["curves"]
    assert "the part 'importance' of a report cannot be made" in caplog.text


def test_a_test_has_the_same_p_value_in_the_verdict_and_beside_the_comparison(tmp_path: Path) -> None:
    metrics = {"mean_absolute_error": 1.0}
    compared = VersionComparison(2, 60, metrics, metrics, "squared error", 1, 2, 0.789, 0.211, ComparisonOutcome.SAME)
    verdict = compared_in_words(compared, ComparisonOutcome.SAME)
    page, _ = reported(dataclasses.replace(a_number(comparison=compared), verdict=verdict), tmp_path)
    assert "(p = 0.79)" in page.text and "paired test: 0.79)" in page.text and "0.211" not in page.text


def test_versions_that_cannot_be_compared_are_reported_as_such(tmp_path: Path) -> None:
    evidence = a_number(comparison=VersionComparison(2, 12, missing="only 12 held-out rows are new to both versions"))
    fewer = dataclasses.replace(evidence.draft.signature, inputs=numbers("x0", "x1", "x9"))
    previous = dataclasses.replace(published(evidence, 2), signature=fewer)
    page, facts = reported(dataclasses.replace(evidence, previous=previous), tmp_path)
    comparison = facts["comparison"]
    assert (comparison["outcome"], comparison["metrics"]) == (None, [])
    assert comparison["inputs"]["new"]["names"] == ["x2"]
    assert comparison["inputs"]["gone"]["names"] == ["x9"]
    assert "cannot be compared" in page.text
    assert "only 12 held-out rows are new to both versions" in page.text
    assert "worse" not in page.text


def test_leaks_and_a_refusal_by_the_gate_come_first_on_the_page(tmp_path: Path) -> None:
    leak = Leak(["x0"], "x0 alone tells the target.")
    page, facts = reported(
        two_classes(leaks=[leak], remarks=[leak.sentence, "other"], refused="it is <worse>"), tmp_path
    )
    assert facts["remarks"] == ["other"]
    assert page.text.count(leak.sentence) == 1
    assert "Not promoted: it is <worse>" in page.text


def test_errors_are_shown_as_such_and_not_as_negative_scores(tmp_path: Path) -> None:
    tried = [Candidate("tree", "neg_log_loss", -0.7, 0.05, 0.1), Candidate("line", "neg_log_loss", -0.4, 0.02, 0.2)]
    page, facts = reported(two_classes(candidates=tried, chosen=tried[1]), tmp_path)
    assert [item["chosen"] for item in facts["candidates"]["items"]] == [True, False]
    assert "line chosen" in page.text and "tree chosen" not in page.text
    assert facts["candidates"]["metric"] == "log_loss"
    assert [(item["name"], item["mean"]) for item in facts["candidates"]["items"]] == [("line", 0.4), ("tree", 0.7)]
    assert "log loss of cross-validation (lower is better)" in page.text
    assert "neg" not in page.text


def test_the_same_evidence_makes_the_same_report(tmp_path: Path) -> None:
    evidence = two_classes()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        reported(evidence, tmp_path / name)
    for file in ("report.html", "report.json"):
        assert (tmp_path / "one" / "report" / file).read_bytes() == (tmp_path / "two" / "report" / file).read_bytes()


def test_a_slow_model_costs_rows_and_inputs_and_not_time() -> None:
    evidence = two_classes(rows=1200, columns=40)
    slow = Slow(evidence.estimator)
    facts = importance(dataclasses.replace(evidence, estimator=slow), seconds=0.3)
    assert slow.spent < 1.0
    assert facts["rows"] < 300
    assert facts["not_measured"] > 0
    assert facts["not_measured"] + len(facts["columns"]) + facts["left_out"] == 40


class Slow:
    """Takes 20 ms, and 0.1 ms a row."""

    def __init__(self, estimator: Any) -> None:
        self.estimator, self.spent = estimator, 0.0

    def predict(self, X: Any) -> Any:
        end = time.perf_counter() + 0.02 + len(X) * 1e-4
        while time.perf_counter() < end:
            pass
        self.spent += 0.02 + len(X) * 1e-4
        return self.estimator.predict(X)

    def predict_proba(self, X: Any) -> Any:
        return self.estimator.predict_proba(X)


@pytest.mark.slow
def test_a_process_without_a_home_makes_pictures_and_touches_no_global_state(tmp_path: Path) -> None:
    program = f"""
import sys
import time
from pathlib import Path
from tests.trainer.report.test_report import a_number, write
write(Path({str(tmp_path / "report")!r}), a_number())
assert "matplotlib.pyplot" not in sys.modules
"""
    environment = {**os.environ, "HOME": "/proc/nowhere", "PYTHONPATH": str(PROJECT)}  # which not even root can write
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "<figure class" in (tmp_path / "report" / "report.html").read_text()
