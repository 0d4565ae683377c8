"""The page that lays two versions over each other: curves, classes, rows, and what it says where there are none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from broker.sides.scorer import BatchJob
from contract.model.manifest import Golden, TrainingData
from contract.model.repository import Repository
from contract.model.signature import Field, Kind, Output, OutputKind, Signature
from contract.settings import Settings
from contract.work.jobs import PredictionOutcome
from contract.work.request_ids import RequestIds
from gateway.app import create_app
from gateway.pages.charts.curves import curves_of
from gateway.pages.same_rows import ComparedMetric, SameRows
from tests.gateway.conftest import scorer
from tests.gateway.pages.browsers import Browser, words
from tests.support import Sum, numbers, write_version

BOTH = "/ui/models/sum/compare?a=2&b=3"

ERRORS = {"x": [0.0, 1.0, 2.0, 4.0, 90.0], "y": [0.0, 0.25, 0.5, 0.96, 1.0]}
MEANS = {"predicted": [10.0, 20.0], "actual": [12.0, 18.0]}
OF_NUMBERS = {"error_curve": ERRORS, "actual_by_predicted": MEANS}


def of_classes(*labels: str, left_out: int = 0) -> dict[str, Any]:
    """The curves of a classifier for these classes; their areas are 0.5, 0.6 and so on."""
    curves = [
        {"label": label, "area": 0.5 + n / 10, "x": [0, 0.2, 1], "y": [0, 0.9, 1]} for n, label in enumerate(labels)
    ]
    part = {"curves": curves, "one_sided": [], "classes_left_out": left_out}
    return {"roc": part, "precision_recall": part}


def compared(before: dict[str, Any], now: dict[str, Any], version: int = 2, **more: Any) -> dict[str, Any]:
    """The facts of a version that was compared with an earlier one; these are the curves of both."""
    metrics = [
        {"name": "roc_auc", "before": 0.7, "now": 0.8},
        {"name": "mean_absolute_error", "before": 1.5, "now": 2.5},
    ]
    figures = {"outcome": "better", "loss": "log loss", "loss_before": 0.6, "loss_now": 0.5, "metrics": metrics}
    curves = {"curves": {"now": now, "before": before}}
    return {"comparison": {"version": version, "rows": 154, **figures, **curves, **more}}


@pytest.fixture
def browser(settings: Settings, models: Path) -> Browser:
    """One at a gateway without keys. The model has versions 1, 2 and 3."""
    shared = (3.0, 4.0)
    for version, rows in ((2, ((1.0, 2.0), shared)), (3, (shared, (5.0, 6.0)))):
        golden = Golden(rows, tuple(map(sum, rows)))
        write_version(models, "sum", Sum(), numbers("a", "b"), version=version, golden=golden)
    return Browser(create_app(settings).test_client())


def report(models: Path, version: int, facts: dict[str, Any]) -> None:
    folder = Repository(models).files("sum", version).folder / "report"
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_text(json.dumps(facts))


def pair(before: dict[str, Any], now: dict[str, Any]) -> SameRows:
    return SameRows("", 154, [ComparedMetric("r2", [0.1, 0.2], 1)], {2: before, 3: now})


def notes(before: dict[str, Any], now: dict[str, Any]) -> str:
    return " ".join(curves_of(pair(before, now)).notes)


def test_the_errors_of_two_regressors_lie_over_each_other(browser: Browser, models: Path) -> None:
    now = {**OF_NUMBERS, "error_curve": {"x": [0.0, 8.0], "y": [0.0, 1.0]}}
    report(models, 3, compared(OF_NUMBERS, now))
    page = browser.get(BOTH).text
    lines = re.findall(r'<g class="(line-[01])"><polyline points="([^"]*)"', page)
    # The longer axis, to 8, holds for both. The line to an error of 90 is cut there.
    assert lines[0] == ("line-0", "0.0,100.0 12.5,75.0 25.0,50.0 50.0,4.0 100.0,3.81 ")
    assert lines[1] == ("line-1", "0.0,100.0 100.0,0.0 ")
    assert "mean absolute error 1.500 for version 2, 2.500 for version 3" in page
    assert len(lines) == 4 and page.count('class="even"') == 1 and page.count("<circle") == 4
    assert "Actual by predicted value" in words(page)


def test_two_classifiers_are_compared_by_the_class_that_is_asked_for(browser: Browser, models: Path) -> None:
    report(models, 3, compared(of_classes("cat", "dog & co"), of_classes("ape", "dog & co", "cat")))
    page = browser.get(BOTH).text
    assert '<option value="cat" selected>cat</option><option value="dog &amp; co">dog &amp; co</option>' in page
    assert page.count("<small>class cat</small>") == 2
    assert "area under the curve 0.500 for version 2, 0.700 for version 3" in page
    page = browser.get(f"{BOTH}&class=dog+%26+co").text
    assert '<option value="cat">cat</option><option value="dog &amp; co" selected>dog &amp; co</option>' in page
    assert "area under the curve 0.600 for version 2, 0.600 for version 3" in page
    assert 'action="/ui/models/sum/compare?v=2&amp;v=3&amp;class=dog%20%26%20co#rows"' in page
    assert "Only version 3 has curves for 'ape'." in words(page)
    assert "class ape" not in browser.get(f"{BOTH}&class=ape").text, "only one version has it"


def test_one_class_needs_no_choice(browser: Browser, models: Path) -> None:
    report(models, 3, compared(of_classes("yes"), of_classes("yes")))
    page = browser.get(BOTH).text
    assert 'name="class"' not in page and page.count("<small>class yes</small>") == 2


@pytest.mark.parametrize(
    ("now", "after"),
    [
        ({}, ": log loss 0.500 against 0.600, and chance explains the difference."),
        (
            {"loss_now": 0.6, "metrics": [{"name": "roc_auc", "before": 0.7, "now": 0.7}]},
            ": log loss 0.600 against 0.600.",
        ),
    ],
)
def test_chance_explains_a_difference_if_there_is_one(
    browser: Browser, models: Path, now: dict[str, Any], after: str
) -> None:
    report(models, 3, compared(of_classes("yes"), of_classes("yes"), outcome="as good", **now))
    assert f"version 3 is as good as version 2{after}" in words(browser.get(BOTH).text)


def test_table_curves_and_sentence_are_of_the_same_rows_whichever_way_round(browser: Browser, models: Path) -> None:
    (models / "sum" / "aliases.json").write_text('{"current": 3, "previous": 2}')
    # Each report also has its version's own figures, of other rows: they must appear nowhere.
    figures = {
        "answers": of_classes("yes", "yes"),
        "metrics": {"roc_auc": 0.9},
        "verdict": "ROC AUC 0.9 on held-out rows.",
    }
    report(models, 2, figures)
    report(models, 3, {**figures, **compared(of_classes("no", "yes"), of_classes("yes"))})
    said = "On the same 154 rows, which neither learnt from, version 3 is better than version 2: log loss 0.500 against"
    for path, table in ((BOTH, "ROC AUC 0.700 0.800"), ("/ui/models/sum/compare?a=3&b=2", "ROC AUC 0.800 0.700")):
        page = browser.get(path).text
        assert said in words(page) and table in words(page)
        assert '<td class="num best">0.800</td>' in page
        assert "0.9" not in re.sub("<svg.*?</svg>", "", page, flags=re.DOTALL).split("<h1>")[1]
    assert "area under the curve 0.500 for version 3, 0.600 for version 2" in page
    for path in ("versions/2/promote", "rollback"):
        page = browser.get(f"/ui/models/sum/{path}").text
        assert said in words(page) and "ROC AUC 0.800 0.700" in words(page)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({}, "it was compared with no other one. Make version 2 current and train again"),
        ({"comparison": {"missing": "There is no version that this one would replace."}}, "with no other one. Make"),
        (compared({}, {}, version=1), "it was compared with version 1. Make version 2 current and train again"),
        (
            compared({}, {}, metrics=[], outcome=None, reason="version 2 was trained on all of the held-out rows"),
            "Versions 2 and 3 cannot be compared: version 2 was trained on all of the held-out rows.",
        ),
    ],
    ids=["no report", "the first", "with another", "no rows"],
)
def test_versions_without_rows_that_neither_learnt_from_cannot_be_compared(
    browser: Browser, models: Path, facts: dict[str, Any], why: str
) -> None:
    (models / "sum" / "aliases.json").write_text('{"current": 3, "previous": 2}')
    report(models, 2, {"answers": OF_NUMBERS, "metrics": {"r2": 0.9}})
    report(models, 3, {"answers": OF_NUMBERS, "metrics": {"r2": 0.7}, **facts})
    for path in (BOTH, "/ui/models/sum/compare?a=3&b=2", "/ui/models/sum/rollback"):
        page = browser.get(path).text
        assert why in words(page) and "Versions 2 and 3 cannot be compared" in words(page)
        assert "<polyline" not in page and "R²" not in page, path


def test_too_few_rows_decide_nothing_and_their_figures_are_shown(browser: Browser, models: Path) -> None:
    why = "only 12 held-out rows are new to both versions; a comparison needs 50"
    report(models, 3, compared(OF_NUMBERS, OF_NUMBERS, outcome=None, rows=12, reason=why))
    page = words(browser.get(BOTH).text)
    assert f"Versions 2 and 3 cannot be compared: {why}." in page and "ROC AUC 0.700 0.800" in page


def test_data_for_which_neither_version_is_of_use_look_wrong(browser: Browser, models: Path) -> None:
    figures = {"accuracy": (0.54, 0.51), "log_loss": (0.9, 0.77), "baseline_accuracy": (0.53, 0.53)}
    figures["baseline_log_loss"] = (0.69, 0.69)
    metrics = [{"name": name, "before": before, "now": now} for name, (before, now) in figures.items()]
    report(models, 3, compared(of_classes("yes"), of_classes("yes"), metrics=metrics))
    for path in (BOTH, "/ui/models/sum/compare?a=3&b=2"):
        page = words(browser.get(path).text)
        assert (
            "The new data look wrong: on them, both versions are no better than always giving the same answer" in page
        )
        assert "(log loss 0.77 and 0.9, against 0.69). On the same 154 rows" in page


def test_a_version_compared_with_itself_has_no_figures(browser: Browser, models: Path) -> None:
    report(models, 2, {"answers": OF_NUMBERS})
    page = browser.get("/ui/models/sum/compare?a=2&b=2").text
    assert "<polyline" not in page and "with itself" in words(page) and "cannot be compared" not in words(page)


def test_curves_that_are_missing_are_named() -> None:
    none = {"missing": "The model gives no probabilities."}
    certain = {"roc": none, "precision_recall": none}
    assert notes(certain, of_classes("a")) == "Version 2 has no curves: The model gives no probabilities."
    failed = {"missing": "This part could not be made."}
    assert notes(failed, failed).count("has no curves: This part could not be made.") == 2
    apart = notes(of_classes("yes"), of_classes("no"))
    assert "Only version 2 has curves for 'yes'. Only version 3 has curves for 'no'." in apart
    assert "Of two classes, the rarer one has curves." in apart
    assert "4 less frequent classes of version 3" in notes(of_classes("a"), of_classes("a", left_out=4))


@pytest.mark.parametrize("x", [[], [None, None], [5.0, 5.0], [-1e-9, 3.0], [1e12, 3e12], [-1.7e308, 1.7e308]])
def test_a_curve_of_any_numbers_is_drawn_or_left_out(x: list[float | None]) -> None:
    errors = [value and abs(value) for value in x]
    means, curve = {"predicted": x, "actual": x}, {"x": errors, "y": [0.0, 1.0][: len(x)]}
    curves = {"actual_by_predicted": means, "error_curve": curve}
    for chart in curves_of(pair(curves, curves)).charts:
        assert all(0 <= coordinate <= 100 for line in chart.lines for point in line for coordinate in point)
        assert 1 <= len(chart.x.ticks) <= 7 and len({text for _, text in chart.x.ticks}) == len(chart.x.ticks)


def test_without_rows_or_with_other_inputs_no_version_is_asked(browser: Browser, models: Path) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"), version=4)
    page = browser.get("/ui/models/sum/compare?a=1&b=4").text
    assert "All take the same inputs." in browser.get(BOTH).text  # their rows are not known, as of imports
    for version in (6, 7):
        known = TrainingData("CSV file sums.csv", 90, "")
        write_version(models, "sum", Sum(), numbers("a", "b"), version=version, training_data=known)
    page_of_both = browser.get("/ui/models/sum/compare?a=6&b=7").text
    assert "All take the same inputs, and were trained on as many rows of the same source." in page_of_both
    assert "None was published with rows to try." in page and "Ask both versions" not in words(page)
    write_version(models, "sum", Sum(), numbers("a", "c"), version=5)
    assert "They take different inputs" in browser.get("/ui/models/sum/compare?a=2&b=5").text
    asked = browser.send("/ui/models/sum/compare?a=2&b=5", BOTH)
    assert asked.status_code == 200 and "They take different inputs" in asked.text


def test_what_changed_comes_first_and_parameters_of_one_version_are_folded_away(browser: Browser, models: Path) -> None:
    town = Field("town", Kind.STRING, nullable=True, categories=("Bonn", "Köln"))
    price = (Output(OutputKind.NUMBER),)
    inputs = {4: (Field("a", Kind.NUMBER), Field("tax", Kind.NUMBER)), 5: (Field("a", Kind.INTEGER), town)}
    parameters = {4: {"seconds": 300, "forest__depth": 3}, 5: {"seconds": 60, "ridge__alpha": 0.5}}
    for version, fields in inputs.items():
        signature = Signature(fields, price)
        write_version(models, "sum", Sum(), [], version=version, signature=signature, parameters=parameters[version])
        chosen = [{"name": "blend", "chosen": version == 4}, {"name": "ridge", "chosen": version == 5}]
        report(models, version, {"candidates": {"items": chosen}})
    page = browser.get("/ui/models/sum/compare?a=4&b=5").text
    main, one_sided = page.split("<details", 1)
    for row in ("estimator blend ridge", "input a number whole number", "input tax number –", "seconds 300 60"):
        assert row in words(main), row
    assert "input town – text: 'Bonn', 'Köln', may be empty" in words(main)
    assert "forest__depth" not in main and "2 parameters that only one of them has" in words(one_sided)
    assert "forest__depth 3 –" in words(one_sided) and main.index("What changed") < len(main)


def joined(before: float, now: float, version: int = 1, rows: int = 90) -> dict[str, Any]:
    """The facts of a version that was compared with an earlier one on rows of which only the metric is known."""
    metrics = [{"name": "roc_auc", "before": before, "now": now}]
    return compared(of_classes("yes"), of_classes("yes"), version, metrics=metrics, rows=rows)


@pytest.mark.parametrize(
    ("second", "third", "why"),
    [
        (joined(0.7, 0.8), joined(0.7, 0.9), ""),
        (joined(0.7, 0.8), joined(0.8, 0.9, version=2), ""),
        (joined(0.7, 0.8), joined(0.71, 0.9), "the first version has another value, so the rows are others"),
        (joined(0.7, 0.8), joined(0.7, 0.9, rows=91), "one more row"),
        (joined(0.7, 0.8), {}, "no comparison"),
    ],
)
def test_three_versions_have_figures_if_all_were_tested_on_the_same_rows(
    browser: Browser, models: Path, second: dict[str, Any], third: dict[str, Any], why: str
) -> None:
    report(models, 2, second)
    report(models, 3, third)
    page = browser.get("/ui/models/sum/compare?v=3&v=1&v=2").text
    text = words(page)
    assert "Versions 3, 1 and 2" in text
    if why:
        assert "Versions 1, 2, 3 cannot be compared" in text and "<polyline" not in page and "90 rows" not in text
    else:
        assert "On the same 90 rows, which none of them learnt from, version 3 has the best ROC AUC" in text
        assert "ROC AUC 0.900 0.700 0.800" in text and '<td class="num best">0.900</td>' in page
        assert [*dict.fromkeys(re.findall('<g class="(line-.)"', page))] == ["line-0", "line-1", "line-2"]


def test_versions_without_rows_in_common_show_the_headline_metric_of_each(browser: Browser, models: Path) -> None:
    for version, r2 in ((4, 0.5), (5, 0.25)):
        write_version(models, "sum", Sum(), numbers("a", "b"), version=version, metrics={"mae": 3.0, "r2": r2})
        report(models, version, {"headline": "r2"})
    assert "R², each on its own test 0.250 0.500" in words(browser.get("/ui/models/sum/compare?v=5&v=4").text)
    report(models, 5, {"headline": "r2", **compared({}, {}, version=4)})
    assert "each on its own test" not in browser.get("/ui/models/sum/compare?v=5&v=4").text


def test_each_version_but_the_current_one_can_be_made_current_there(browser: Browser, models: Path) -> None:
    (models / "sum" / "aliases.json").write_text('{"current": 2}')
    page = browser.get("/ui/models/sum/compare?v=1&v=2&v=3").text
    assert re.findall(r'href="/ui/models/sum/versions/(\d)/promote"', page) == ["1", "3"]


def test_the_rows_on_which_three_versions_differ_are_shown(
    browser: Browser, models: Path, asked: list[BatchJob]
) -> None:
    write_version(models, "sum", Sum(), numbers("a", "b"), version=4)
    path = "/ui/models/sum/compare?v=2&v=3&v=4"
    page = words(browser.send(path, path).text)
    assert len(asked) == 3 and "version 2 version 3 version 4 difference a b 11 12.5 12.5 1.5 5 6" in page


@pytest.mark.parametrize("query", ["v=1", "v=1&v=2&v=3&v=1&v=2&v=3"])
def test_one_version_or_six_cannot_be_compared(browser: Browser, query: str) -> None:
    answer = browser.get(f"/ui/models/sum/compare?{query}")
    assert answer.status_code == 400 and "choose two to 5" in words(answer.text)


def test_the_current_and_the_newest_version_are_compared_by_default(browser: Browser, models: Path) -> None:
    (models / "sum" / "aliases.json").write_text('{"current": 1}')
    first, second = browser.get("/ui/models/sum/compare").text.split('<select name="a"')[1].split('<select name="b"')
    assert "<option selected>1</option>" in first and "<option selected>3</option>" in second
    ticked = re.findall(r'name="v" value="(\d)"[^>]* checked', browser.get("/ui/models/sum/versions").text)
    assert ticked == ["3", "1"]
    (models / "sum" / "aliases.json").write_text('{"current": 3}')
    assert "Versions 2 and 3" in words(browser.get("/ui/models/sum/compare").text)
    report(models, 3, compared(of_classes("yes"), of_classes("yes"), version=1))
    assert "Versions 1 and 3" in words(browser.get("/ui/models/sum/compare").text), (
        "these have figures of the same rows"
    )


@pytest.fixture
def asked(redis: Redis) -> Iterator[list[BatchJob]]:
    """The jobs of a scorer that answers as the first version asked, and then as one that differs in the last two rows,
    in the last one most."""
    jobs: list[BatchJob] = []

    def answer(job: BatchJob) -> PredictionOutcome:
        jobs.append(job)
        sums = [sum(row) for row in job.rows]
        return PredictionOutcome(sums if len(jobs) == 1 else [sums[0], 6.5, 12.5], None, [], 0.5, 1)

    with scorer(redis, answer):
        yield jobs


def test_the_rows_on_which_two_versions_differ_are_shown(browser: Browser, asked: list[BatchJob]) -> None:
    assert "Send all 3 to both" in words(browser.get(BOTH).text)
    page = words(browser.send(BOTH, BOTH).text)
    assert [[list(row) for row in job.rows] for job in asked] == [[[1, 2], [3, 4], [5, 6]]] * 2
    assert "They differ on 2 of 3 rows." in page
    assert "version 2 version 3 difference a b 11 12.5 1.5 5 6 7 6.5 −0.5 3 4" in page


def test_the_inputs_that_matter_most_come_first(browser: Browser, models: Path, asked: list[BatchJob]) -> None:
    report(models, 3, {"importance": {"columns": [{"name": "b"}, {"name": "gone"}]}})
    page = words(browser.send(BOTH, BOTH).text)
    assert "version 2 version 3 difference b a 11 12.5 1.5 6 5" in page
    assert "sorted by how much they matter to version 3" in page


@pytest.mark.parametrize("request_id", [None, "of-the-client"])
def test_both_jobs_have_an_id_of_their_own_and_that_of_the_request(
    browser: Browser, asked: list[BatchJob], request_id: str | None
) -> None:
    data = {"token": browser.token(BOTH)}
    answer = browser.post(BOTH, data=data, headers={"X-Request-ID": request_id} if request_id else {})
    first, second = (job.id for job in asked)
    assert first != second and all(re.fullmatch("[0-9a-f]{32}", job_id) for job_id in (first, second))
    requests = {RequestIds.of_job(job.request, job.id).request_id for job in asked}
    assert requests == {request_id or first} == {answer.headers["X-Request-ID"]}


def test_classes_written_as_numbers_have_no_difference(settings: Settings, models: Path, asked: list[BatchJob]) -> None:
    signature = Signature((Field("a", Kind.NUMBER), Field("b", Kind.NUMBER)), (Output(OutputKind.CLASS, (0, 1)),))
    golden = Golden(((1.0, 2.0), (3.0, 4.0), (5.0, 6.0)), (0, 1, 1))
    for version in (1, 2):
        write_version(models, "two", Sum(), [], version=version, signature=signature, golden=golden)
    browser, path = Browser(create_app(settings).test_client()), "/ui/models/two/compare?a=1&b=2"
    page = words(browser.send(path, path).text)
    assert "They differ on 2 of 3 rows." in page and "version 1 version 2 a b" in page
