"""The page to try a model: why the answer to a row is this one, and what would change it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from broker.records.job_kinds import EXPLANATION
from broker.sides.scorer import BatchJob, BatchLimits, ScorerQueue
from broker.sides.supervisor import Leases
from contract.errors import Failure
from contract.model.experiments import Experiment, ExperimentKind, ExperimentPlan
from contract.model.manifest import Golden
from contract.model.row_profile import profile_of
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from contract.settings import Settings
from contract.work.api_keys import Detail, Key, Scope
from contract.work.jobs import PredictionOutcome
from gateway.app import create_app
from storage.models.repository_writer import RepositoryWriter
from tests.gateway.callers import ADMIN_KEY
from tests.gateway.pages.browsers import Browser, words
from tests.support import Sum, write_version
from trainer.publishing.aliases import change_settings

INPUTS = (
    Field("income", Kind.NUMBER),
    Field("area", Kind.STRING, categories=("rural", "urban")),
    Field("years", Kind.INTEGER, nullable=True),
)
CLASSES = Output(OutputKind.CLASS, ("no", "yes"), probabilities=True)
ROWS = [[1_000.0 + 10 * number, ("rural", "urban")[number % 2], number % 30] for number in range(500)]
GOLDEN = Golden((tuple(ROWS[0]),), ("no",))
ROW = {"form_version": "1", "input-income": "2900", "input-area": "rural", "input-years": "3"}
NAMES = {2: "risk"}
"""The name of the output of a version."""
PAGE = "/ui/models/loan/try"
OPEN = {"Modelgate-Part": "1"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A queue that takes the rows of a search."""
    return replace(settings, max_queue_rows=10_000)


@pytest.fixture
def browser(settings: Settings, models: Path) -> Browser:
    """One at a gateway whose model `loan` says yes to incomes of 3,412 and more. All requests to it are logged."""
    profile = profile_of(Signature(INPUTS, (CLASSES,)), ROWS, ["no"] * len(ROWS))
    example = {"income": 2900.0, "area": "rural", "years": 3}
    write_version(models, "loan", Sum(), INPUTS, CLASSES, golden=GOLDEN, profile=profile, example=example)
    change_settings(RepositoryWriter(models), "loan", {"logging": {"share": 1}})
    return Browser(create_app(settings).test_client())


@pytest.fixture
def scorer(redis: Redis) -> Iterator[list[BatchJob]]:
    """Answers and explains, and yields the jobs that it has got."""
    leases, queue, stop = Leases(redis, lease=60), ScorerQueue(redis, "w-0-test"), threading.Event()
    leases.register("w-0-test")
    jobs: list[BatchJob] = []

    def score() -> None:
        kinds = (BatchLimits(), BatchLimits(kind=EXPLANATION))
        while not stop.is_set():
            batches = [batch for limits in kinds if (batch := queue.take(limits))]
            for batch in batches:
                jobs.extend(batch.jobs)
                queue.finish({job.id: outcome_of(job, NAMES.get(batch.version)) for job in batch.jobs})
            if not batches:
                queue.wait_for_work(kinds[0])

    thread = threading.Thread(target=score)
    thread.start()
    yield jobs
    stop.set()
    with suppress(RedisError):
        redis.rpush("mg:bell", "")  # it waits no longer
    thread.join()


def outcome_of(job: BatchJob, name: str | None) -> PredictionOutcome | Failure:
    if job.explain:
        if job.rows[0][2] == 13:
            return Failure("model_error", "the model raises for 13 years")
        return PredictionOutcome([explanation(job.explain.label)], None, ["a remark"], 0.5, 1)
    answers = ["yes" if not isinstance(row[0], str) and row[0] >= 3_412 else "no" for row in job.rows]
    sure = [{"no": 0.2, "yes": 0.8} if answer == "yes" else {"no": 0.8, "yes": 0.2} for answer in answers]
    if name:
        return PredictionOutcome([{name: one} for one in answers], [{name: one} for one in sure], [], 0.5, 1)
    return PredictionOutcome(answers, sure, [], 0.5, 1)


def explanation(label: str | None) -> Mapping[str, Any]:
    contributions = {"income": 0.25, "area": -0.04, "years": 0.09}
    return {
        "class": label or "no",
        "value": 0.8,
        "base": 0.5,
        "contributions": contributions,
        "errors": dict.fromkeys(contributions, 0.01),
        "exact": False,
        "rows": 4_096,
    }


def test_without_scripts_the_page_says_why_and_what_would_change_it(browser: Browser, scorer: list[BatchJob]) -> None:
    page = browser.send(PAGE, PAGE, **ROW)
    text = words(page.text)
    assert '<p class="answer">no</p>' in page.text and "data-then" not in page.text
    assert "With income 3,412 instead of 2,900 , the answer would be yes ." in text
    assert "How the inputs move the probability of no from its average to that of this row" in text
    assert "average 0.500 income 2,900 +0.250 ± 0.010 years 3 +0.090 ± 0.010 area rural −0.040" in text
    assert "this row 0.800 Shapley values, estimated" in text and "The model was asked 4,096 rows. A remark." in text
    assert page.text.count('class="error"') == 3


def test_an_output_with_a_name_is_answered_and_explained_as_one_without(
    browser: Browser, scorer: list[BatchJob], models: Path
) -> None:
    profile = profile_of(Signature(INPUTS, (CLASSES,)), ROWS, ["no"] * len(ROWS))
    output = replace(CLASSES, name="risk")
    write_version(models, "loan", Sum(), INPUTS, output, version=2, current=False, golden=GOLDEN, profile=profile)
    page = browser.send(PAGE, f"{PAGE}?version=2", **{**ROW, "form_version": "2", "version": "2"}).text
    assert '<p class="answer">no</p>' in page and "80.0 %" in words(page)
    assert "With income 3,412 instead of 2,900 , the answer would be yes ." in words(page)


def test_a_class_can_be_chosen(browser: Browser, scorer: list[BatchJob]) -> None:
    page = browser.send(PAGE, PAGE, **ROW, **{"class": "yes"}).text
    assert "the probability of yes from its average" in words(page) and "<option selected>yes</option>" in page
    text = words(browser.send(PAGE, PAGE, **ROW, **{"class": "maybe"}).text)
    assert "has no class 'maybe': its classes are 'no', 'yes'." in text


def test_an_open_page_gets_the_answer_first_and_asks_for_the_rest(browser: Browser, scorer: list[BatchJob]) -> None:
    sent = {"token": browser.token(PAGE), **ROW}
    page = browser.post(PAGE, data=sent, headers=OPEN).text
    assert len(scorer) == 1 and '<p class="answer">no</p>' in page
    addresses = re.findall(r'id="(\w+)" data-then="([^"]+)" data-form="row-form"', page)
    assert addresses == [("otherwise", f"{PAGE}/otherwise"), ("why", f"{PAGE}/why")]
    why = browser.post(f"{PAGE}/why", data=sent, headers=OPEN)
    assert "income 2,900 +0.250" in words(why.text) and "data-then" not in why.text
    otherwise = browser.post(f"{PAGE}/otherwise", data=sent, headers=OPEN)
    assert "With income 3,412 instead of 2,900" in words(otherwise.text)


def test_a_value_that_changes_is_answered_without_the_form_and_without_a_trace(
    browser: Browser, scorer: list[BatchJob]
) -> None:
    assert f'data-typed="{PAGE}?draft" data-part="reply"' in browser.get(PAGE).text
    sent = {"token": browser.token(PAGE), **ROW}
    page = browser.post(f"{PAGE}?draft", data={**sent, "input-income": "5000"}, headers=OPEN).text
    assert '<p class="answer">yes</p>' in page and "data-reveal" not in page
    half = browser.post(f"{PAGE}?draft", data={**sent, "input-income": "5e"}, headers=OPEN)
    assert half.status_code == 422
    assert "income : 'income' must be a finite number; it is '5e'" in words(half.text[half.text.index('id="reply"') :])
    for part in ("why", "otherwise"):
        browser.post(f"{PAGE}/{part}", data=sent, headers=OPEN)
    assert scorer and not any(job.logged for job in scorer)
    browser.post(PAGE, data=sent, headers=OPEN)
    assert [job.logged is not None for job in scorer].count(True) == 1


def test_the_version_of_the_form_answers_whatever_a_canary_takes(
    settings: Settings, browser: Browser, models: Path, scorer: list[BatchJob]
) -> None:
    write_version(models, "loan", Sum(), INPUTS, CLASSES, version=2, current=False)
    plan, now = ExperimentPlan(ExperimentKind.CANARY), "2026-01-02T03:04:05Z"
    canary = Experiment("x1", 1, 2, plan, now, "2099-01-02T03:04:05Z", 1.0, now)
    (models / "loan" / "settings.json").write_text(json.dumps({"experiments": [canary.to_json()]}))
    visitor = Browser(create_app(settings).test_client())
    row = {"income": 2900, "area": "rural", "years": 3}
    job = visitor.client.post("/v1/models/loan/predict", json=row, headers={"Prefer": "wait=30"}).get_json()
    assert job["model"]["version"] == 2
    assert "by version 1." in words(visitor.send(PAGE, PAGE, **ROW).text)


def test_a_model_that_cannot_be_explained_says_why_and_answers(
    browser: Browser, models: Path, scorer: list[BatchJob]
) -> None:
    page = browser.send(PAGE, PAGE, **{**ROW, "input-years": "13"}).text
    assert '<p class="answer">no</p>' in page and "Why The model raises for 13 years." in words(page)
    write_version(models, "bare", Sum(), INPUTS, CLASSES, example={"income": 1.0, "area": "urban", "years": 1})
    text = words(browser.send("/ui/models/bare/try", "/ui/models/bare/try", **ROW).text)
    assert "Version 1 of the model 'bare' has no rows to explain its answers against: train it again" in text
    assert "What would change it Nothing says what the training of version 1 saw." in text


def test_a_row_that_nothing_changes_says_so(browser: Browser, models: Path, scorer: list[BatchJob]) -> None:
    rows = [[1_000.0 + number, "rural", number] for number in range(50)]
    profile = profile_of(Signature(INPUTS, (CLASSES,)), rows, ["no"] * len(rows))
    write_version(models, "low", Sum(), INPUTS, CLASSES, golden=GOLDEN, profile=profile, example={})
    text = words(browser.send("/ui/models/low/try", "/ui/models/low/try", **{**ROW, "input-income": "1020"}).text)
    assert re.search(r"None of \d+ changes of one or two inputs, within what training saw, changes the answer\.", text)


def test_a_limit_of_rows_is_told_where_it_matters(settings: Settings, browser: Browser, scorer: list[BatchJob]) -> None:
    small = Browser(create_app(replace(settings, max_queue_rows=20)).test_client())
    page = small.send(PAGE, PAGE, **ROW).text
    assert '<p class="answer">no</p>' in page
    assert "What would change it The request has more rows than may wait" in words(page)


@pytest.mark.parametrize(
    ("output", "row_format", "shown"),
    [
        (Output(OutputKind.NUMBER), RowFormat.TABLE, ["why"]),
        (CLASSES, RowFormat.TEXTS, ["why"]),
        (CLASSES, RowFormat.TABLE, ["otherwise", "why"]),
    ],
)
def test_what_would_change_it_is_offered_for_classes_of_columns(
    browser: Browser, models: Path, scorer: list[BatchJob], output: Output, row_format: RowFormat, shown: list[str]
) -> None:
    inputs = [Field("text", Kind.STRING)] if row_format is RowFormat.TEXTS else INPUTS
    manifest = write_version(models, "other", Sum(), inputs, output, golden=GOLDEN, current=False)
    signature = replace(manifest.signature, format=row_format)
    file = models / "other" / "versions" / "1" / "manifest.json"
    file.write_text(replace(manifest, signature=signature).dumps())
    (models / "other" / "aliases.json").write_text('{"current": 1}')
    sent = {"token": browser.token("/ui/models/other/try"), **ROW, **({"row": "5000 0 0"} if len(inputs) == 1 else {})}
    page = browser.post("/ui/models/other/try", data=sent, headers=OPEN).text
    assert re.findall(r'id="(\w+)" data-then', page) == shown


def test_a_key_that_may_not_learn_the_inputs_learns_no_reasons(
    settings: Settings, browser: Browser, redis: Redis, scorer: list[BatchJob]
) -> None:
    client = create_app(replace(settings, admin_key=ADMIN_KEY)).test_client()
    terse = Key("k-t", "bob", "team", frozenset({Scope.PREDICT}), detail=Detail.TERSE)
    visitor = Browser.with_key(client, redis, terse)
    sent = {"form_version": "1", "row": '{"income": 2900, "area": "rural", "years": 3}'}
    page = visitor.send(PAGE, PAGE, **sent).text
    assert '<p class="answer">no</p>' in page and 'id="why"' not in page and 'id="otherwise"' not in page
    for part in ("why", "otherwise"):
        answer = visitor.send(f"{PAGE}/{part}", PAGE, **sent)
        assert answer.status_code == 403 and "income" not in answer.text
