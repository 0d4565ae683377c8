"""The pages for trainings, jobs, the system, keys and the audit log: what they show, do, and keep from a key."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from broker.access.audit_log import AuditLog
from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.single_jobs import SingleJobs
from broker.sides.supervisor import Leases
from broker.state.load_status import LoadFailure, LoadStatus, LoadStatusPublisher
from contract.errors import Code, Failure, ModelgateError
from contract.model.experiments import ExperimentKind, ExperimentLimits, ExperimentPlan, Requirement
from contract.model.manifest import TrainingData
from contract.model.parameters import RecipeParameter
from contract.model.signature import Field, Kind, Output, OutputKind
from contract.settings import Settings
from contract.work.api_keys import Key, Scope, new_token
from contract.work.jobs import Job, PredictionOutcome, Status
from contract.work.training import (
    ANYWAY,
    KINDS,
    ColumnPreview,
    ColumnUse,
    ComparedFigures,
    Gate,
    Progress,
    RepositoryCommand,
    Task,
    TrainingPreview,
    TrainingRequest,
    TrainingResult,
)
from gateway.app import create_app
from gateway.http.rules import Level, Route
from gateway.pages.audit_words import ACTIONS
from gateway.pages.job_pages import shown_output
from gateway.pages.wording import FILTERS
from tests.broker import samples
from tests.gateway.callers import ADMIN_KEY, Caller, store
from tests.gateway.pages.browsers import Browser, words
from tests.support import PROJECT, Sum, write_version

ROW = {"a": 1, "b": 2}
ME = Key("k-me", "ada", "team", frozenset(Scope) - {Scope.ADMIN})
OTHER = replace(ME, id="k-other", name="bob", owner="others")
SHOWN = TrainingPreview(
    "uploaded CSV file churn.csv",
    2000,
    True,
    [
        ColumnPreview("<b>region</b>", ColumnUse.FEATURE, "string", False, ["east", "west"], ["east", "west"], 2, 0),
        ColumnPreview("months", ColumnUse.FEATURE, "number", True, None, ["1", "2"], 72, 20, ["holds ?"]),
        ColumnPreview("stays", ColumnUse.TARGET, "string", False, None, ["yes", "no"], 2, 0),
    ],
    "stays",
    Task.CLASSIFICATION,
    [],
    [],
)


def answer(command: RepositoryCommand) -> dict[str, Any]:
    asked = TrainingRequest.from_json(command.training or {})
    if asked.target == "z":
        raise ModelgateError(Code.NO_DATA, "target names 'z', which is not a column of the data")
    problems = ["'months' cannot be read as yes or no (boolean): it holds 1"] if asked.kinds else []
    return replace(SHOWN, problems=problems).to_json()


@pytest.fixture
def closed_settings(settings: Settings) -> Settings:
    """The settings of a gateway that needs keys."""
    return replace(settings, admin_key=ADMIN_KEY)


@pytest.fixture
def client(closed_settings: Settings) -> FlaskClient:
    return create_app(closed_settings, answer).test_client()


@pytest.fixture
def trainer(redis: Redis) -> SingleJobs:
    return samples.trainer(redis, ["tabular"], {"tabular": []}, host="beta")


@pytest.fixture
def me(client: FlaskClient, redis: Redis) -> Browser:
    return Browser.with_key(client, redis, ME)


@pytest.fixture
def admin(client: FlaskClient) -> Browser:
    browser = Browser(client.application.test_client())
    browser.sign_in(ADMIN_KEY)
    return browser


def program(client: FlaskClient, redis: Redis, key: Key) -> Caller:
    """A program with another secret of a key."""
    store(redis, token := new_token(), key)
    return Caller(client.application.test_client(), token)


def predicted(client: FlaskClient, redis: Redis, key: Key) -> str:
    return str(program(client, redis, key)("POST", "/v1/models/sum/predict", json=ROW).get_json()["id"])


def form(browser: Browser, path: str, page: str = "/ui/train", **fields: Any) -> TestResponse:
    """Send a form with a file."""
    file = (io.BytesIO(b"months,stays\n1,yes\n"), "Churn 2026.csv")
    token = re.search(r"token=([^\"&]+)", browser.get(page).text)
    assert token
    return browser.post(f"{path}?token={token[1]}", data={"file": file, **fields})


# Who sees what

OPEN: Mapping[str, frozenset[Scope]] = {
    "/ui/jobs": frozenset(Scope),
    "/ui/train": frozenset({Scope.TRAIN, Scope.ADMIN}),
    "/ui/system": frozenset({Scope.READ, Scope.ADMIN}),
    "/ui/keys": frozenset({Scope.ADMIN}),
    "/ui/audit": frozenset({Scope.ADMIN}),
}


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("path", OPEN)
def test_each_scope_opens_its_pages_and_links_to_no_others(
    client: FlaskClient, redis: Redis, trainer: SingleJobs, path: str, scope: Scope
) -> None:
    browser = Browser.with_key(client, redis, replace(ME, scopes=frozenset({scope})))
    answered = browser.get(path)
    assert answered.status_code == (200 if scope in OPEN[path] else 403)
    linked = set(re.findall(r'href="(/ui/\w+)"', answered.text)) & OPEN.keys()
    assert linked == {page for page, scopes in OPEN.items() if scope in scopes}


def test_every_page_for_work_asks_for_what_its_route_in_the_http_interface_asks_for(client: FlaskClient) -> None:
    rules = [rule for rule in client.application.url_map.iter_rules() if isinstance(rule, Route)]
    levels = {(rule.rule, method): rule.level for rule in rules for method in rule.methods or ()}
    same = {
        ("/ui/train", "POST"): ("/v1/models/<name>/train", "POST"),
        ("/ui/train/preview", "POST"): ("/v1/models/<name>/train", "POST"),
        ("/ui/jobs", "GET"): ("/v1/jobs", "GET"),
        ("/ui/jobs/<job_id>", "GET"): ("/v1/jobs/<job_id>", "GET"),
        ("/ui/jobs/<job_id>/cancel", "POST"): ("/v1/jobs/<job_id>/cancel", "POST"),
        ("/ui/system", "GET"): ("/v1/system", "GET"),
        ("/ui/keys", "POST"): ("/v1/keys", "POST"),
        ("/ui/keys/<key_id>", "GET"): ("/v1/keys/<key_id>", "GET"),
        ("/ui/keys/<key_id>", "POST"): ("/v1/keys/<key_id>", "PATCH"),
        ("/ui/keys/<key_id>/rotate", "POST"): ("/v1/keys/<key_id>/rotate", "POST"),
        ("/ui/keys/<key_id>/revoke", "POST"): ("/v1/keys/<key_id>", "DELETE"),
        ("/ui/audit", "GET"): ("/v1/audit", "GET"),
    }
    assert {page: levels[page] for page in same} == {page: levels[route] for page, route in same.items()}
    assert Level.OPEN not in {levels[page] for page in same}


def test_a_form_of_another_site_changes_nothing(client: FlaskClient, me: Browser, admin: Browser, redis: Redis) -> None:
    job = predicted(client, redis, ME)
    for browser, path in ((me, f"/ui/jobs/{job}/cancel"), (me, "/ui/train"), (admin, "/ui/keys")):
        assert browser.post(path, data={"name": "x", "scopes": "read"}).status_code == 403
    assert "cancelled" not in me.get(f"/ui/jobs/{job}").text.lower()
    assert ">x<" not in admin.get("/ui/keys").text


# Jobs


def test_jobs_of_other_owners_are_not_on_any_page(client: FlaskClient, redis: Redis, me: Browser) -> None:
    mine, theirs = predicted(client, redis, ME), predicted(client, redis, OTHER)
    listed = me.get("/ui/jobs").text
    assert mine[:8] in listed and theirs[:8] not in listed
    assert me.get(f"/ui/jobs/{mine}").status_code == 200
    hidden = me.get(f"/ui/jobs/{theirs}")
    assert hidden.status_code == 404 and "others" not in hidden.text
    assert me.send(f"/ui/jobs/{theirs}/cancel").status_code == 404


def test_jobs_of_models_that_a_key_may_not_use_are_not_on_any_page(client: FlaskClient, redis: Redis) -> None:
    job = predicted(client, redis, ME)
    browser = Browser.with_key(client, redis, replace(ME, models=frozenset({"none"})))
    assert job[:8] not in browser.get("/ui/jobs").text
    assert browser.get(f"/ui/jobs/{job}").status_code == 404
    assert "sum" not in browser.get("/ui/system").text


def test_a_job_is_cancelled_and_says_so(client: FlaskClient, redis: Redis, me: Browser) -> None:
    job = predicted(client, redis, ME)
    shown = me.get(f"/ui/jobs/{job}").text
    assert "Cancel this prediction" in shown and "data-live" in shown
    answered = me.send(f"/ui/jobs/{job}/cancel")
    assert (answered.status_code, answered.headers["Location"]) == (303, f"/ui/jobs/{job}")
    shown = me.get(f"/ui/jobs/{job}").text
    assert "Cancelled" in shown and "Cancel this" not in shown and "data-live" not in shown


def test_half_of_a_surrogate_pair_is_shown_as_a_question_mark(client: FlaskClient, redis: Redis, me: Browser) -> None:
    job = predicted(client, redis, ME)
    queue = samples.scorer(Leases(redis), redis)
    assert samples.take(queue) == [job]
    queue.finish({job: PredictionOutcome(["cut \ud83d"], None, [], 0.5, 1)})
    assert "cut ?" in me.get(f"/ui/jobs/{job}").text


def test_a_key_that_may_not_cancel_gets_no_button(client: FlaskClient, redis: Redis) -> None:
    job = predicted(client, redis, ME)
    browser = Browser.with_key(client, redis, replace(ME, id="k-r", scopes=frozenset({Scope.READ})))
    assert "Cancel this" not in browser.get(f"/ui/jobs/{job}").text
    assert browser.send(f"/ui/jobs/{job}/cancel").status_code == 403


def test_jobs_are_filtered_and_come_in_pages(client: FlaskClient, redis: Redis, me: Browser) -> None:
    ask = program(client, redis, ME)
    for _ in range(4):
        made = ask("POST", "/v1/models/sum/predict", json=ROW)
        ask("POST", f"/v1/jobs/{made.get_json()['id']}/cancel")
    waiting = predicted(client, redis, ME)
    assert waiting[:8] in me.get("/ui/jobs?status=queued&kind=prediction&model=sum").text
    assert waiting[:8] not in me.get("/ui/jobs?status=canceled").text
    assert "No matching jobs" in me.get("/ui/jobs?status=failed").text
    assert me.get("/ui/jobs?cursor=nonsense").status_code == 400
    assert me.get("/ui/jobs?status=nonsense").status_code == 200


def test_models_versions_and_keys_are_links_where_they_are_named(
    client: FlaskClient, redis: Redis, me: Browser, admin: Browser
) -> None:
    model, version = 'href="/ui/models/sum">sum</a>', 'href="/ui/models/sum/versions/1">'
    job = predicted(client, redis, ME)
    LoadStatusPublisher(redis, 60).publish("w", LoadStatus(["sum@1"]))
    Leases(redis, lease=60).register("w-0-x")
    for path in ("/ui/jobs", f"/ui/jobs/{job}"):
        page = me.get(path).text
        assert model in page and version in page, path
    assert f"{version}sum@1</a>" in me.get("/ui/system").text
    may_not_read = Browser.with_key(client, redis, replace(ME, scopes=frozenset({Scope.PREDICT})))
    page = may_not_read.get(f"/ui/jobs/{job}").text
    assert model in page and version not in page
    admin.send("/ui/keys", "/ui/keys", name="ci", scopes="read", models="sum")
    audit = admin.get("/ui/audit?action=make_key").text
    assert re.search(r'href="/ui/keys/(key_[0-9a-f]+)">\1</a>', audit)
    assert model in admin.get("/ui/keys").text


def test_a_training_shows_its_progress_its_log_and_its_verdict(me: Browser, trainer: SingleJobs) -> None:
    path = form(me, "/ui/train", model="churn", target="stays").headers["Location"]
    second = form(me, "/ui/train", model="second", target="stays").headers["Location"]
    assert "It waits for the trainer." in me.get(path).text
    assert "It waits for the trainer: 1 training is before it." in me.get(second).text
    owned = trainer.begin([])
    assert owned
    progress = Progress("fitting", 0.5, 2, 5, "candidates", 0.81, 12.0, "roc_auc").to_json()
    trainer.report_progress(owned.id, progress, b"forest: <script>\n", 0)
    shown = me.get(path).text
    assert all(text in shown for text in ("Fitting", "50.0 %", "2 of 5", "ROC AUC", "0.81"))
    assert "time left" not in shown, "the trainer's estimate leaves out the last fit and the report"
    assert "forest: &lt;script&gt;" in shown and "forest: <script>" not in shown
    result = TrainingResult(
        "churn", 3, {"accuracy": 0.8}, False, f"it is worse{ANYWAY}PUT /v1", None, "Accuracy 0.8", ["a finding"]
    )
    trainer.finish(owned.id, result.to_json())
    shown = me.get(path).text
    sentences = ("published, but did not become current", "Accuracy 0.8.", "It is worse.", "A finding.")
    assert [text for text in sentences if text not in shown] == []
    assert '"/ui/models/churn/versions/3"' in shown
    assert "PUT /v1" not in shown and '"/ui/models/churn/versions/3/promote"' in shown


BETTER = ComparedFigures(1, 40, "accuracy", 0.8, 0.7, decisive=False)


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (TrainingResult("churn", 2, {"accuracy": 0.8}, True, comparison=BETTER), None),
        (TrainingResult("churn", 1, {"accuracy": 0.8, "baseline_accuracy": 0.7}, True), None),
        (TrainingResult("churn", 2, {"accuracy": 0.8}, True), "without a comparison"),
    ],
)
def test_a_version_that_became_current_unproven_is_not_shown_as_a_success(
    me: Browser, trainer: SingleJobs, models: Path, result: TrainingResult, says: str | None
) -> None:
    for version in range(1, result.version + 1):
        write_version(models, "churn", Sum(), [Field("a", Kind.NUMBER)], version=version)
    path = form(me, "/ui/train", model="churn", target="stays").headers["Location"]
    owned = trainer.begin([])
    assert owned
    trainer.finish(owned.id, result.to_json())
    shown = me.get(path).text
    assert ('class="card verdict good"' in shown) is (says is None)
    assert ("Check it before you rely on it." in shown) is (says is not None)
    assert (says or "") in shown and '"/ui/train?model=churn"' in shown


@pytest.mark.parametrize(("level", "shown_as"), [("bad", "bad"), ("warn", "held"), ("good", "good"), ("", "good")])
def test_a_training_is_as_green_as_the_first_sentence_of_its_verdict(
    me: Browser, trainer: SingleJobs, models: Path, level: str, shown_as: str
) -> None:
    write_version(models, "churn", Sum(), [Field("a", Kind.NUMBER)])
    path = form(me, "/ui/train", model="churn", target="stays").headers["Location"]
    owned = trainer.begin([])
    assert owned
    result = TrainingResult("churn", 1, {"accuracy": 0.8}, True, verdict="Finds none of 20.", level=level)
    trainer.finish(owned.id, result.to_json())
    shown = me.get(path).text
    assert f'<div class="card verdict {shown_as}">' in shown
    assert f'<p class="lead{" bad-text" if level == "bad" else ""}">Finds none of 20.</p>' in shown


def test_a_training_that_is_started_twice_trains_once(me: Browser, trainer: SingleJobs, spool: Path) -> None:
    (once,) = re.findall(r'name="once" value="([^"]+)"', me.get("/ui/train").text)
    (other,) = re.findall(r'name="once" value="([^"]+)"', me.get("/ui/train").text)
    fields = {"model": "churn", "target": "stays"}
    with ThreadPoolExecutor(2) as clicks:
        sent = [clicks.submit(form, me, "/ui/train", **fields, once=once) for _ in range(2)]
    first, second = (each.result() for each in sent)
    assert first.status_code == second.status_code == 303
    assert first.headers["Location"] == second.headers["Location"]
    assert len(list(spool.glob("*.upload"))) == 1, "the file of the second is gone"
    for another in ({**fields, "once": other}, {**fields, "target": "months", "once": once}):
        assert form(me, "/ui/train", **another).headers["Location"] != first.headers["Location"]


def test_a_training_is_cancelled_only_after_a_question(me: Browser, trainer: SingleJobs) -> None:
    path = form(me, "/ui/train", model="churn", target="stays").headers["Location"]
    question = re.search(r"<details id=\"cancel\">(.*?)</details>", me.get(path).text, re.DOTALL)
    assert question and "Nothing is published" in question[1] and 'form="cancelling">Cancel it<' in question[1]
    assert me.send(f"{path}/cancel", path).status_code == 303
    assert "nothing published" in words(me.get("/ui/jobs").text).lower()


CANDIDATES: Mapping[str, Any] = {
    "metric": "log_loss",
    "items": [
        {"name": "forest <b>", "mean": 0.4312, "spread": 0.0216, "seconds": 1.25, "chosen": False},
        {"name": "linear", "mean": None, "spread": None, "seconds": 0.05, "chosen": False},
    ],
    "left_out": 3,
}


def text_of(shown: str, part: str) -> str:
    """The words of a card of a page, by its id."""
    card = re.search(rf'<div class="card" id="{part}">(.*?)</div>', shown, re.DOTALL)
    return " ".join(re.sub("<[^>]*>", " ", card[1]).split()) if card else ""


def test_a_training_shows_its_candidates_as_they_are_tried(me: Browser, trainer: SingleJobs) -> None:
    path = form(me, "/ui/train", model="churn", target="stays").headers["Location"]
    assert text_of(me.get(path).text, "candidates") == ""
    owned = trainer.begin([])
    assert owned
    assert "None has been tried yet." in text_of(me.get(path).text, "candidates")
    progress = Progress("fitting", 0.5, 2, 5, "candidates", -0.43, 12.0, "neg_log_loss", CANDIDATES)
    trainer.report_progress(owned.id, progress.to_json(), b"", 0)
    shown = me.get(path).text
    card = text_of(shown, "candidates")
    assert "forest &lt;b&gt; 0.431 ± 0.022 1.2 s linear – 50 ms and 3 more" in card
    assert "log loss of cross-validation (lower is better)" in card and "chosen" not in card
    assert "so far" not in shown, "the best score is the first of the table"
    chosen = [{**candidate, "chosen": candidate["name"] == "linear"} for candidate in CANDIDATES["items"]]
    candidates = {**CANDIDATES, "metric": "r2", "items": chosen}
    result = TrainingResult("churn", 3, {"accuracy": 0.8}, True, candidates=candidates)
    trainer.finish(owned.id, result.to_json())
    card = text_of(me.get(path).text, "candidates")
    assert "linear chosen" in card and "forest &lt;b&gt; chosen" not in card
    assert "R² of cross-validation:" in card and "lower is better" not in card


@pytest.mark.parametrize(
    ("end", "says"),
    [
        (TrainingResult("churn", 3, {}, True).to_json(), "train with it"),
        (Failure(Code.NO_DATA, "there are no rows"), "The log says how far it came."),
    ],
)
def test_a_training_without_candidates_says_what_to_do(
    me: Browser, trainer: SingleJobs, end: Mapping[str, Any] | Failure, says: str
) -> None:
    path = form(me, "/ui/train", model="churn", target="stays").headers["Location"]
    owned = trainer.begin([])
    assert owned
    trainer.finish(owned.id, end)
    assert says in text_of(me.get(path).text, "candidates")


def test_a_training_that_failed_keeps_the_candidates_that_it_had_tried(me: Browser, trainer: SingleJobs) -> None:
    path = form(me, "/ui/train", model="churn", target="stays").headers["Location"]
    owned = trainer.begin([])
    assert owned
    trainer.report_progress(owned.id, Progress("fitting", 0.5, candidates=CANDIDATES).to_json(), b"", 0)
    trainer.finish(owned.id, Failure(Code.OUT_OF_MEMORY, "it needs more memory"))
    assert "0.431 ± 0.022" in text_of(me.get(path).text, "candidates")


def test_of_a_long_log_only_the_end_is_read_and_shown(me: Browser, trainer: SingleJobs, redis: Redis) -> None:
    path = form(me, "/ui/train", model="churn", target="stays").headers["Location"]
    owned = trainer.begin([])
    assert owned
    lines = b"".join(b"line %06d of \xc3\xa4 long log\n" % number for number in range(20_000))
    trainer.report_progress(owned.id, None, lines, 0)

    def sent() -> int:
        return int(redis.info("stats")["total_net_output_bytes"])  # type: ignore[index]

    before = sent()
    shown = me.get(path).text
    assert sent() - before < 200_000 < len(lines)
    log = re.search(r'<pre class="log"[^>]*>(.*?)</pre>', shown, re.DOTALL)
    assert log
    first, *_, last = log[1].splitlines()
    assert re.fullmatch("line [0-9]{6} of ä long log", first) and last == "line 019999 of ä long log"
    assert 63_000 < len(log[1].encode()) <= 64_000


@pytest.mark.parametrize("scope", Scope)
def test_the_page_of_a_job_names_who_took_it_to_those_who_may_see_the_system(
    client: FlaskClient, redis: Redis, trainer: SingleJobs, scope: Scope
) -> None:
    browser = Browser.with_key(client, redis, replace(ME, scopes=frozenset({scope})))
    Leases(redis, lease=60).register("w7-0-x", host="alpha")
    caller = program(client, redis, replace(ME, id="k-maker", name="maker"))
    predicted = caller("POST", "/v1/models/sum/predict", json=ROW).get_json()["id"]
    asked = {"recipe": "tabular", "target": "y", "data": {"path": "loan.csv"}}
    trained = caller("POST", "/v1/models/m/train", json=asked).get_json()["id"]
    ScorerQueue(redis, "w7-0-x").take(BatchLimits())
    trainer.begin([])
    knows = scope in (Scope.READ, Scope.ADMIN)
    for job, taken in (
        (predicted, 'Taken by <a id="step-2" href="/ui/system#workers">w7</a>'),
        (trained, 'Taken by <a id="step-2" href="/ui/system#queues">t</a>'),
    ):
        shown = browser.get(f"/ui/jobs/{job}").text
        assert (taken in shown) is knows and ("<b>Taken</b>" in shown) is not knows


def test_a_failed_training_says_why_in_words(me: Browser, trainer: SingleJobs) -> None:
    path = form(me, "/ui/train", model="churn", target="stays").headers["Location"]
    owned = trainer.begin([])
    assert owned
    trainer.finish(owned.id, Failure(Code.NO_DATA, "the target 'stays' is 'yes' in every row"))
    shown = me.get(path).text
    assert "The target &#39;stays&#39; is &#39;yes&#39; in every row." in shown and "no_data" in shown


def test_of_a_large_output_only_what_is_shown_is_written() -> None:
    class Prediction:
        written = 0

        def __str__(self) -> str:
            Prediction.written += 1
            return "yes"

    output = {"predictions": [Prediction() for _ in range(50_000)]}
    shown = shown_output(Job("j", Status.SUCCEEDED, "sum", 1, None, output=output))
    assert shown and shown.startswith('{\n  "predictions": [\n    "yes",\n') and shown.endswith("\n…")
    assert len(shown) == 20_002
    assert Prediction.written < 20_000


# Training


def test_a_file_shows_its_columns_and_a_name(me: Browser, trainer: SingleJobs, tmp_path: Path) -> None:
    shown = form(me, "/ui/train/preview", target="stays").text
    assert 'name="model" value="churn-2026"' in shown
    assert "&lt;b&gt;region&lt;/b&gt;" in shown and "<b>region" not in shown
    assert "classification" in shown and "only these values are accepted" in shown and "1.0 %" in shown
    assert not list((tmp_path / "spool").glob("*.upload")) and trainer.begin([]) is None


def test_a_target_is_asked_for_and_one_is_suggested(me: Browser, trainer: SingleJobs) -> None:
    shown = form(me, "/ui/train/preview").text
    assert '<select name="target" id="target" required><option value="">choose …</option>' in shown
    assert ' selected value="stays"' not in shown and "classification" not in shown
    assert "The target is probably stays : it is the last column." in words(shown)
    assert "Choose the target first." in words(shown)
    refused = form(me, "/ui/train", model="churn")
    assert refused.status_code == 422 and "needs target: the column to predict" in words(refused.text)
    shown = form(me, "/ui/train/preview", target="stays").text
    assert '<option selected value="stays">' in shown
    assert "choose …" not in shown and "probably" not in shown and "Choose the target first" not in shown


def test_columns_are_drawn_and_those_in_doubt_are_marked(
    closed_settings: Settings, client: FlaskClient, redis: Redis, trainer: SingleJobs
) -> None:
    region, months, stays = SHOWN.columns
    columns = [
        replace(region, histogram=[1500, 500]),
        replace(months, bounds=[0.5, 72], histogram=[9, 0, 3, 4, 5, 6, 7, 8, 1, 2]),
        ColumnPreview("customer", ColumnUse.IGNORED, None, False, None, ["a", "b"], 2000, 0, histogram=[1, 1]),
        stays,
    ]
    app = create_app(closed_settings, lambda _: replace(SHOWN, columns=columns).to_json())
    shown = form(Browser.with_key(app.test_client(), redis, ME), "/ui/train/preview").text
    assert re.findall('aria-label="(Rows[^"]+)"', shown) == [
        "Rows in ten equal parts of the range: 9, 0, 3, 4, 5, 6, 7, 8, 1, 2"
    ]
    assert "0.500 to 72" in words(shown) and "east 75.0 %" in words(shown) and "a b" in words(shown)
    assert "2 of 4 columns are used" in words(shown)
    assert re.findall(r'<tr class="([^"]+)"', shown) == ["feature", "feature doubtful", "ignored doubtful", "target"]


def test_a_thousand_columns_take_less_than_a_kilobyte_each(
    closed_settings: Settings, redis: Redis, trainer: SingleJobs
) -> None:
    months = replace(SHOWN.columns[1], bounds=[0.5, 72], histogram=[90, 80, 30, 40, 50, 60, 70, 80, 10, 20])
    columns = [replace(months, name=f"measurement_{at}") for at in range(999)]
    app = create_app(closed_settings, lambda _: replace(SHOWN, columns=[*columns, SHOWN.columns[2]]).to_json())
    assert len(form(Browser.with_key(app.test_client(), redis, ME), "/ui/train/preview").data) < 1_000_000


MORE = {
    "parameters.estimator": "forest",
    "parameters.seconds": "60",
    "gate.metric": "accuracy",
    "gate.floor": "0.7",
    "gate.margin": "0",
    "gate.require_comparison": "true",
    "gate.experiment.kind": "canary",
    "gate.experiment.share": "0.05",
    "gate.experiment.steps": "[0.01, 0.03]",
    "gate.experiment.require": "better",
    "gate.experiment.promote": "false",
    "gate.experiment.limits.slowdown": "2",
    "alias": "current",
    "notes": "42",
}


def test_what_a_training_may_say_more_is_what_the_http_interface_takes(me: Browser, redis: Redis) -> None:
    parameters = [
        RecipeParameter("estimator", (), ("best", "forest"), "best"),
        RecipeParameter("seconds", ("int",), (), 300),
    ]
    trainer = samples.trainer(redis, ["tabular"], {"tabular": parameters}, host="beta")
    shown = form(me, "/ui/train/preview", **MORE).text
    assert all(f'name="{name}"' in shown for name in MORE), "without script they stay as entered"
    assert '<option selected value="forest">' in shown and 'value="60"' in shown and ">42</textarea>" in shown
    assert form(me, "/ui/train", model="churn", target="stays", **MORE).status_code == 303
    owned = trainer.begin([])
    assert owned
    asked = TrainingRequest.from_json(owned.payload)
    assert (asked.parameters, asked.notes, asked.alias) == ({"estimator": "forest", "seconds": 60}, "42", "current")
    assert replace(asked.gate, experiment=None) == Gate("accuracy", 0.7, 0, True)
    assert asked.gate.experiment == ExperimentPlan(
        ExperimentKind.CANARY,
        share=0.05,
        steps=(0.01, 0.03),
        require=Requirement.BETTER,
        promote=False,
        limits=ExperimentLimits(slowdown=2),
    )


def test_a_training_may_be_repeated_on_a_schedule_with_rows_of_the_server(
    client: FlaskClient, me: Browser, redis: Redis, trainer: SingleJobs
) -> None:
    ask = program(client, redis, replace(ME, id="k-program", name="program"))
    chosen = {"model": "churn", "target": "stays", "features": '["months"]', "notes": "weekly"}
    assert form(me, "/ui/train", **chosen, **{"cron": "0 3 * * 1", "data.path": "churn.csv"}).status_code == 303
    schedule = ask("GET", "/v1/models/churn/schedule").get_json()
    request = schedule["request"]
    assert (schedule["cron"], schedule["owner"], request["data"]) == ("0 3 * * 1", "team", {"path": "churn.csv"})
    assert (request["target"], request["features"], request["notes"]) == ("stays", ["months"], "weekly")
    owned = trainer.begin([])
    assert owned and TrainingRequest.from_json(owned.payload).upload, "this training learns from the file that was sent"
    entries = AuditLog(redis, 1).page({"model": "churn"}, 10, None).items
    assert {entry["action"]: entry["job_id"] for entry in entries} == {"train": owned.id, "set_schedule": None}
    assert form(me, "/ui/train", **chosen, cron="@alarm").status_code == 303
    request = ask("GET", "/v1/models/churn/schedule").get_json()["request"]
    assert set(request["data"]) == {"outcomes"}
    long = {**chosen, "kinds": json.dumps({f"column {at}": "number" for at in range(1000)})}
    refused = form(me, "/ui/train", **long, cron="@alarm")
    assert refused.status_code == 422 and "longer than 16 KB" in words(refused.text)


@pytest.mark.parametrize(
    ("name", "entered"),
    [
        ("parameters.estimator", "forrest"),
        ("parameters.a.b", "1"),
        ("gate.floor", "much"),
        ("gate.floor", "[" * 5000),
        ("gate.margin", "-1"),
        ("gate.metric", "acuracy"),
        ("gate.experiment.kind", "both"),
        ("gate.experiment.share", "2"),
        ("gate.experiment.limits.failures", "many"),
        ("cron", "every monday"),
        ("data.path", "../churn.csv"),
        ("alias", "7"),
    ],
)
def test_a_wrong_entry_is_said_with_the_name_of_its_field(me: Browser, redis: Redis, name: str, entered: str) -> None:
    parameters = [RecipeParameter("estimator", (), ("best", "forest"), "best")]
    samples.trainer(redis, ["tabular"], {"tabular": parameters}, host="beta")
    kind = {"gate.experiment.kind": "canary", "gate.experiment.share": "0.5"} if "experiment" in name else {}
    refused = form(me, "/ui/train", model="churn", target="stays", **{**kind, name: entered})
    assert refused.status_code == 422
    previewed = form(me, "/ui/train/preview", **{name: entered})
    assert previewed.status_code == 200, "the columns of a file are shown while it is still being entered"
    (errors,) = re.findall(r'data-errors="([^"]*)"', refused.text)
    assert list(json.loads(unescape(errors))) == [name]


def test_a_sample_is_offered_where_there_is_no_file(me: Browser, trainer: SingleJobs) -> None:
    offered = re.search(r'href="([^"]+)" download="churn.csv"', me.get("/ui/train").text)
    assert offered and 'download="churn.csv"' not in form(me, "/ui/train/preview").text
    sample = me.get(offered[1])
    assert sample.content_type == "text/csv; charset=utf-8"
    assert (PROJECT / "docs" / "tutorial" / "churn.csv").read_text().startswith(sample.text)
    assert sample.text.count("\n") == 501


def named(shown: str) -> str:
    """Return the name of the model in the form."""
    field = re.search(r'<input name="model" value="([^"]*)"', shown)
    assert field
    return field[1]


def test_a_name_that_is_filled_in_is_free_and_follows_the_file(me: Browser, trainer: SingleJobs, models: Path) -> None:
    write_version(models, "churn-2026", Sum(), [Field("months", Kind.NUMBER)])
    write_version(models, "churn-2026-2", Sum(), [Field("months", Kind.NUMBER)])
    shown = form(me, "/ui/train/preview").text
    assert named(shown) == "churn-2026-3" and "exists:" not in shown
    assert named(form(me, "/ui/train/preview", model="big", suggested="big").text) == "churn-2026-3"
    assert named(form(me, "/ui/train/preview", model="mine", suggested="big").text) == "mine"


def test_a_name_that_is_taken_says_what_it_is_and_what_will_happen(
    client: FlaskClient, redis: Redis, me: Browser, trainer: SingleJobs, models: Path
) -> None:
    data = TrainingData("churn.csv", 40, "f", target="stays")
    output = Output(OutputKind.CLASS, ("no", "yes"))
    write_version(models, "churn", Sum(), [Field("months", Kind.NUMBER)], output, training_data=data)
    for shown in (form(me, "/ui/train/preview", model="churn").text, me.get("/ui/train?model=churn").text):
        assert "churn exists: version 1" in words(shown) and "predicts stays (no, yes)" in words(shown)
        assert "which may replace it" in shown and '"/ui/models/churn/versions/1"' in shown
    assert "exists:" not in me.get("/ui/train?model=other").text
    for key in (replace(ME, id="k-t", scopes=frozenset({Scope.TRAIN})), replace(ME, id="k-m", models=frozenset({"x"}))):
        assert "stays" not in Browser.with_key(client, redis, key).get("/ui/train?model=churn").text


def test_training_again_begins_with_target_id_and_kinds_of_the_version(
    client: FlaskClient, redis: Redis, trainer: SingleJobs, models: Path, closed_settings: Settings
) -> None:
    asked: list[TrainingRequest] = []

    def previewed(command: RepositoryCommand) -> dict[str, Any]:
        asked.append(TrainingRequest.from_json(command.training or {}))
        return answer(command)

    browser = Browser.with_key(create_app(closed_settings, previewed).test_client(), redis, replace(ME, id="k-again"))
    inputs = [Field("months", Kind.STRING), Field("gone", Kind.NUMBER)]
    data = TrainingData("churn.csv", 40, "f", target="stays")
    write_version(models, "churn", Sum(), inputs, training_data=data)
    assert "Train churn again" in browser.get("/ui/train?model=churn").text
    shown = form(browser, "/ui/train/preview", model="churn", again="churn").text
    assert (asked[0].target, asked[0].kinds) == ("stays", {"months": "string"})
    assert named(shown) == "churn" and 'name="again" value="churn"' in shown
    form(browser, "/ui/train/preview", model="churn", again="churn", target="months")
    assert (asked[1].target, asked[1].kinds) == ("months", {}), "what the visitor has chosen stays"


def test_kinds_have_the_same_words_on_all_pages(me: Browser, trainer: SingleJobs, models: Path) -> None:
    shown = form(me, "/ui/train/preview").text
    assert '<option value="">text</option>' in shown and '<option value="integer">whole number</option>' in shown
    words = {kind: re.search(f'<option value="{kind}">([^<]+)</option>', shown) for kind in KINDS}
    assert len({word[1] for word in words.values() if word}) == len(KINDS)
    write_version(models, "kinds", Sum(), [Field(str(kind), kind) for kind in Kind])
    tried = me.get("/ui/models/kinds/try").text
    for kind in Kind:
        word = words[kind]
        assert word and f'">{kind}</label><small>{word[1]}</small>' in tried


def test_a_problem_of_a_file_keeps_the_training_from_starting(me: Browser, trainer: SingleJobs) -> None:
    shown = form(me, "/ui/train/preview", kinds='{"months": "boolean"}').text
    assert "&#39;months&#39; cannot be read as yes or no" in shown
    assert re.search(r'<button class="primary" disabled>', shown)
    assert re.search(r'value="boolean" selected', shown), "what was chosen stays chosen"


def test_what_was_chosen_arrives_at_the_trainer(me: Browser, trainer: SingleJobs) -> None:
    chosen = {"target": "stays", "kinds": '{"months": "number"}', "features": '["months"]', "id_field": ""}
    assert form(me, "/ui/train", model="churn", **chosen).status_code == 303
    owned = trainer.begin([])
    assert owned
    asked = TrainingRequest.from_json(owned.payload)
    assert (asked.model, asked.recipe, asked.target, asked.id_field) == ("churn", "tabular", "stays", None)
    assert (asked.kinds, list(asked.features or ()), asked.upload_name) == (
        {"months": "number"},
        ["months"],
        "Churn 2026.csv",
    )


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"model": "Churn!", "target": "stays"}, 422),
        ({"model": "churn", "target": "z"}, 422),
        ({"model": "churn", "target": "stays", "kinds": "{"}, 400),
    ],
)
def test_a_wrong_form_is_answered_with_a_page_and_leaves_no_file(
    me: Browser, trainer: SingleJobs, tmp_path: Path, fields: dict[str, str], status: int
) -> None:
    answered = form(me, "/ui/train", **fields)
    assert answered.status_code == status and answered.content_type.startswith("text/html")
    assert not list((tmp_path / "spool").glob("*.upload"))


@pytest.mark.parametrize("path", ["/ui/train", "/ui/train/preview"])
def test_a_form_with_more_than_it_needs_is_refused_and_leaves_no_file(
    me: Browser, trainer: SingleJobs, tmp_path: Path, path: str
) -> None:
    fields = {"token": me.token(), "model": "churn", "target": "stays"}
    files = {name: (io.BytesIO(b"stays,a\nyes,1\nno,2\n"), f"{name}.csv") for name in ("file", "second")}
    address = f"{path}?token={fields['token']}"
    assert me.client.post(address, data={**fields, **files}).status_code == 422
    assert form(me, path, model="churn", target="stays", notes="x" * 300_000).status_code == 413
    assert not list((tmp_path / "spool").glob("*.upload"))


def test_a_key_trains_no_model_that_it_may_not_use(client: FlaskClient, redis: Redis, trainer: SingleJobs) -> None:
    browser = Browser.with_key(client, redis, replace(ME, models=frozenset({"loan"})))
    assert form(browser, "/ui/train", model="churn", target="stays").status_code == 403
    assert form(browser, "/ui/train", model="loan", target="stays").status_code == 303


# The system


def test_the_system_shows_workers_and_what_is_wrong(closed_settings: Settings, redis: Redis, me: Browser) -> None:
    assert "No worker is alive" in me.get("/ui/system").text
    Leases(redis, lease=60).register("w-0-x", host="alpha")
    failures = {"sum@2": LoadFailure("its <file> is gone", "2026-01-02T03:04:05Z")}
    LoadStatusPublisher(redis, 60).publish("w", LoadStatus(["sum@1"], failures=failures))
    other = create_app(closed_settings).test_client()  # the first one keeps what it has read for some seconds
    shown = Browser.with_key(other, redis, ME).get("/ui/system").text
    assert all(text in shown for text in ("alpha", "sum@1", "its &lt;file&gt; is gone", "something is wrong"))


@pytest.mark.parametrize("page", ["/ui/system", "/ui"])
def test_a_running_training_is_named_with_its_share_to_those_who_see_the_job(
    client: FlaskClient, redis: Redis, me: Browser, trainer: SingleJobs, page: str
) -> None:
    assert "trains" not in me.get(page).text
    path = form(me, "/ui/train", model="churn", target="stays").headers["Location"]
    owned = trainer.begin([])
    assert owned
    assert f'href="{path}">trains churn</a>, started' in me.get(page).text
    trainer.report_progress(owned.id, Progress("fitting", 0.32).to_json(), b"", 0)
    assert f'href="{path}">trains churn</a>, 32.0 % done, started' in me.get(page).text
    trainer.report_progress(owned.id, Progress("fitting", 0.32, seconds_left=150.2).to_json(), b"", 0)
    assert f'href="{path}">trains churn</a>, 32.0 % done, about 2 min left, started' in me.get(page).text
    for shown in (me.get(path).text, me.get("/ui/jobs").text):
        assert "about 2 min left" in words(shown) or "left about 2 min" in words(shown)
    assert "churn" not in Browser.with_key(client, redis, OTHER).get(page).text


# Keys and the audit log


def test_the_audit_log_has_words_for_whatever_is_done(client: FlaskClient) -> None:
    rules: Any = client.application.url_map.iter_rules()
    done = {rule.audit for rule in rules if isinstance(rule.audit, str)}
    assert len(done) > 30 and done <= ACTIONS.keys()


def test_a_key_is_made_rotated_and_revoked_and_its_secret_shown_once(
    client: FlaskClient, admin: Browser, redis: Redis
) -> None:
    made = admin.send("/ui/keys", "/ui/keys", name="ci", scopes="read", models="sum, loan", expires="30d")
    (secret,) = re.findall(r"mg_[A-Za-z0-9_-]{43}", made.text)
    assert made.headers["Cache-Control"] == "no-store"
    ask = Caller(client.application.test_client(), secret)
    assert ask("GET", "/v1/models").status_code == 200
    listed = admin.get("/ui/keys").text
    assert "ci" in listed and '>loan</a>, <a href="/ui/models/sum">sum</a>' in listed and secret not in listed
    (key_id,) = re.findall(r"/ui/keys/(key_\w+)", listed)
    rotated = admin.send(f"/ui/keys/{key_id}/rotate", "/ui/keys", overlap="")
    (second,) = re.findall(r"mg_[A-Za-z0-9_-]{43}", rotated.text)
    assert second != secret
    assert admin.send(f"/ui/keys/{key_id}/revoke", "/ui/keys").headers["Location"] == "/ui/keys"
    assert "There are no keys" in admin.get("/ui/keys").text
    actions = re.findall(r'<tr><th scope="row">([\w ]+)', admin.get("/ui/audit").text)
    assert [action.strip() for action in actions[:3]] == ["revoked a key", "rotated a key", "made a key"]


def test_a_key_for_a_model_that_does_not_exist_is_made_with_the_warning_of_the_http_interface(admin: Browser) -> None:
    fields = {"scopes": "read", "expires": "30d"}
    made = admin.send("/ui/keys", "/ui/keys", name="a", models="sun", **fields).text
    assert "There is no model &#39;sun&#39; yet" in made and "mg_" in made
    assert "banner" not in admin.send("/ui/keys", "/ui/keys", name="b", models="sum", **fields).text


@pytest.mark.parametrize(
    ("values", "shown"),
    [([7.105, 9, 12.97], "7.1 · 9.0 · 13.0"), ([2, 4, 5], "2 · 4 · 5"), ([-0.12345, 0, 0.1], "−0.123 · 0.000 · 0.100")],
)
def test_quartiles_have_the_decimals_of_the_greatest(values: list[float], shown: str) -> None:
    assert FILTERS["quartiles"](values) == shown


def test_backticks_of_a_message_are_code_on_every_page() -> None:
    shown = FILTERS["sentence"]("run `make <x>`")
    assert shown == "Run <code>make &lt;x&gt;</code>."
    assert FILTERS["sentence"]("a ` alone") == "A ` alone."


def test_a_key_that_is_refused_says_why_and_keeps_what_was_entered(admin: Browser) -> None:
    fields = {"name": "ci", "owner": "<team>", "models": "loan, churn", "expires": "30d"}
    refused = admin.send("/ui/keys", "/ui/keys", **fields)
    assert refused.status_code == 422 and "Choose at least one thing that the key may do." in refused.text
    for part in ('id="name" value="ci"', 'value="&lt;team&gt;"', 'value="loan, churn"', 'value="30d" selected'):
        assert part in refused.text
    assert 'value="predict" checked' not in refused.text
    refused = admin.send("/ui/keys", "/ui/keys", **fields, scopes="read")
    assert "Owner cannot be &#39;&lt;team&gt;&#39;" in refused.text and 'value="read" checked' in refused.text
    assert "There are no keys" in refused.text
    assert admin.send("/ui/keys", "/ui/keys").status_code == 422


def test_the_audit_log_is_filtered(admin: Browser) -> None:
    admin.send("/ui/keys", "/ui/keys", name="ci", scopes="read")
    assert '<th scope="row">made a key' in admin.get("/ui/audit?action=make_key").text
    assert "No matching entries" in admin.get("/ui/audit?action=roll_back").text
    assert admin.get("/ui/audit?cursor=nonsense").status_code == 400
