"""The overview of a model: what people say of it, its verdict, its figures, and where to look further."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.sides.gateway.trainer_client import TrainerClient
from broker.state.boards import HEALTH, HealthBoard
from contract.errors import Code, Failure
from contract.model.experiments import Experiment, ExperimentKind, ExperimentPlan
from contract.model.manifest import TrainingData
from contract.model.model_health import HealthState, ModelHealth
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from contract.work.training import TrainingRequest
from gateway.app import create_app
from gateway.serving import traffic as serving
from storage.models.repository_writer import RepositoryWriter
from tests.broker import samples
from tests.gateway.callers import ADMIN_KEY
from tests.gateway.conftest import without_redis
from tests.gateway.pages.browsers import Browser, words
from tests.gateway.routes.test_traffic import record
from tests.support import SIGNER, Sum, numbers, write_version
from trainer.jobs.commands import HANDLERS, CommandParts
from trainer.publishing.aliases import move_alias, roll_back

pytestmark = pytest.mark.waits

PAGE, DESCRIBE = "/ui/models/sum", "/ui/models/sum/describe"
ADA = Key("k", "ada", "team", frozenset({Scope.READ, Scope.PUBLISH, Scope.TRAIN}))
FINE = "Nothing needs attention."

NewBrowser = Callable[..., Browser]


@pytest.fixture
def client(settings: Settings, redis: Redis) -> FlaskClient:
    """A gateway with keys whose commands run at once."""
    parts = CommandParts(settings, redis)
    closed = replace(settings, admin_key=ADMIN_KEY)
    return create_app(closed, lambda command: HANDLERS[command.action](parts, command)).test_client()


@pytest.fixture
def ada(client: FlaskClient, redis: Redis) -> Browser:
    return Browser.with_key(client, redis, ADA)


def verdict(browser: Browser, model: str = "sum") -> str:
    """Return the verdict on the page of a model, which is the only one."""
    (found,) = re.findall(
        r'class="card verdict[^"]*"><p class="lead">(.*?)</p>', browser.get(f"/ui/models/{model}").text, re.S
    )
    return words(found)


def current(models: Path, version: int | None) -> None:
    aliases = {} if version is None else {"current": version}
    new = models / "sum" / "aliases.new"
    new.write_text(json.dumps(aliases))
    new.rename(models / "sum" / "aliases.json")


def test_what_people_say_is_shown_as_text(ada: Browser) -> None:
    assert "Nobody has said yet what this model is for." in words(ada.get(PAGE).text)
    fields = {
        "description": "Adds <b>up</b>, see `a`.\r\n\r\nMore: http://x.test/",
        "owner": "R&D",
        "tags": "toy, eu.prod",
    }
    answer = ada.send(DESCRIBE, DESCRIBE, was_description="", was_owner="", was_tags="", **fields)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{PAGE}?described=1")
    page = ada.get(f"{PAGE}?described=1").text
    assert "The description is saved." in page
    assert '<p class="lines lead">Adds &lt;b&gt;up&lt;/b&gt;, see <code>a</code>.</p>' in page
    assert '<p class="lines">More: http://x.test/</p>' in page and "R&amp;D" in page
    assert 'href="/ui?tag=toy"' in page and 'href="/ui?tag=eu.prod"' in page


def test_the_form_holds_what_is_said_and_changes_only_what_was_edited(ada: Browser, client: FlaskClient) -> None:
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    client.patch(
        "/v1/models/sum", json={"description": "One\n\ntwo", "owner": "Ann", "tags": ["a", "b"]}, headers=admin
    )
    form = ada.get(DESCRIBE).text
    assert ">One\n\ntwo</textarea>" in form and 'value="Ann"' in form and 'name="tags" value="a, b"' in form
    client.patch("/v1/models/sum", json={"owner": "Eve"}, headers=admin)  # somebody else, meanwhile
    sent = {"description": "One\r\n\r\ntwo", "owner": "Ann", "tags": "a"}
    ada.send(DESCRIBE, DESCRIBE, **sent, was_description="One\r\n\r\ntwo", was_owner="Ann", was_tags="a, b")
    about = client.get("/v1/models/sum", headers=admin).get_json()["about"]
    assert about == {"description": "One\n\ntwo", "owner": "Eve", "tags": ["a"]}
    history = words(ada.get(DESCRIBE).text)
    assert history.index("ada tags: a, b") < history.index("owner: Ann") < history.index("description: nothing")


def test_what_cannot_be_said_is_refused_with_the_reason(ada: Browser) -> None:
    answer = ada.send(DESCRIBE, DESCRIBE, tags="Toy!")
    assert answer.status_code == 422 and "'Toy!' cannot be a tag" in words(answer.text)


def test_only_keys_that_publish_get_the_form(client: FlaskClient, redis: Redis) -> None:
    reader = Browser.with_key(client, redis, replace(ADA, id="r", scopes=frozenset({Scope.READ})))
    assert 'name="description"' not in reader.get(DESCRIBE).text and "Describe it" not in reader.get(PAGE).text
    assert "Nobody has edited" in reader.get(DESCRIBE).text
    assert reader.send(DESCRIBE, owner="me").status_code == 403


def test_a_key_that_may_only_predict_gets_the_form_of_the_model(client: FlaskClient, redis: Redis) -> None:
    caller = Browser.with_key(client, redis, replace(ADA, scopes=frozenset({Scope.PREDICT})))
    answer = caller.get(PAGE)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{PAGE}/try")
    assert ">Overview<" not in caller.get(f"{PAGE}/try").text


def test_only_admins_see_who_made_the_last_change_and_the_way_to_the_audit_log(
    client: FlaskClient, redis: Redis, ada: Browser
) -> None:
    assert "last change –" in words(ada.get(PAGE).text)
    ada.send(DESCRIBE, DESCRIBE, owner="Ann")
    ada.send("/ui/models/sum/log/forget", DESCRIBE, id="7")  # refused: no change
    mine = ada.get(PAGE).text
    assert ": described the model" in words(mine) and "by ada" not in words(mine)
    assert "/ui/audit" not in mine and 'href="/ui/jobs?model=sum&amp;kind=training"' in mine
    admin = Browser.with_key(client, redis, replace(ADA, id="a", name="root", scopes=frozenset({Scope.ADMIN})))
    page = admin.get(PAGE).text
    assert "by ada: described the model" in words(page) and 'href="/ui/audit?model=sum"' in page


def test_it_says_where_the_current_version_comes_from(ada: Browser, models: Path) -> None:
    data = TrainingData("CSV file loan.csv", 1200, "", "repaid")
    write_version(models, "sum", Sum(), numbers("a"), version=2, training_data=data, recipe="tabular")
    text = words(ada.get(PAGE).text)
    assert "trained on 1,200 rows of CSV file loan.csv predicts repaid recipe tabular" in text


def test_the_headline_metric_is_drawn_by_version(ada: Browser, models: Path) -> None:
    assert 'class="card course"' not in ada.get(PAGE).text
    for version, r2 in ((2, 0.71), (3, 0.8), (5, 0.75)):
        metrics = {"mae": 1.0 + version, "r2": r2, "baseline_r2": 0.0}
        write_version(models, "sum", Sum(), numbers("a"), version=version, metrics=metrics)
    (models / "sum/versions/5/report").mkdir()
    (models / "sum/versions/5/report/report.json").write_text('{"headline": "r2"}')
    page = ada.get(PAGE).text
    assert 'aria-label="R² by version; the table below has the numbers"' in page
    assert re.findall(r"<circle[^>]*><title>([^<]+)<", page) == [
        "Version 2: 0.710",
        "Version 3: 0.800",
        "Version 5: 0.750",
    ]
    assert "5 (current) 0.750 3 0.800 2 0.710" in words(page)


def test_a_healthy_model_needs_no_attention(ada: Browser) -> None:
    assert verdict(ada) == FINE and 'class="card verdict good"' in ada.get(PAGE).text


def test_the_list_says_which_models_are_watched_and_healthy(ada: Browser, redis: Redis) -> None:
    assert "not watched" in words(ada.get("/ui").text)
    HealthBoard(redis).say("sum@1", ModelHealth(HealthState.OK, (), ""))
    assert "healthy" in words(ada.get("/ui").text) and "not watched" not in words(ada.get("/ui").text)


def test_a_model_without_a_current_version_says_so_first(ada: Browser, models: Path) -> None:
    current(models, None)
    assert verdict(ada) == "No version is current, so requests are refused. See its versions"


def test_a_current_version_that_cannot_be_read_says_why(ada: Browser, models: Path) -> None:
    write_version(models, "sum", Sum(), numbers("a"), version=2)
    (models / "sum/versions/2/manifest.json").write_text("{")
    assert "manifest" in verdict(ada) and ada.get(PAGE).status_code == 200


def test_findings_come_before_failures_and_versions(
    ada: Browser, client: FlaskClient, redis: Redis, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "KEEP", -1.0)
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    write_version(models, "sum", Sum(), numbers("a", "b"), version=2, current=False)
    assert verdict(ada).startswith("Version 2 is newer than the current one, and not promoted. See its versions")
    record(client, redis)
    for _ in range(21):
        client.post("/v1/models/sum/predict", json={"a": "x"}, headers=admin)
    record(client, redis)
    assert verdict(ada).startswith("100.0 % of 21 requests were refused or failed in two hours. See its failures")
    HealthBoard(redis).say("sum@1", ModelHealth(HealthState.DEGRADED, ("a<b>: moved", "more"), ""))
    assert verdict(ada).startswith("A<b>: moved. See its health")
    assert "Worse than promised" not in ada.get(PAGE).text, "the page has one verdict"
    HealthBoard(redis).say("sum@1", ModelHealth(HealthState.OK, (), ""))
    assert verdict(ada).startswith("100.0 % of 21")


def test_the_verdict_of_a_bad_report_comes_first_here_and_in_the_list(ada: Browser, models: Path) -> None:
    facts = {"level": "bad", "verdict": "Finds none of the 46 rows where x is 'fraud'. Accuracy 0.97 on held-out rows."}
    (models / "sum/versions/1/report").mkdir()
    (models / "sum/versions/1/report/report.json").write_text(json.dumps(facts))
    found = f"{facts['verdict']} See version 1"
    assert html.unescape(verdict(ada)) == found and 'class="card verdict good"' not in ada.get(PAGE).text
    listed = html.unescape(words(ada.get("/ui?attention=1").text))
    assert "1 model of" in listed and f"poor {facts['verdict']}" in listed


def test_a_few_failures_are_no_concern(
    ada: Browser, client: FlaskClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "KEEP", -1.0)
    record(client, redis)
    for _ in range(19):
        client.post("/v1/models/sum/predict", json={"a": "x"}, headers={"Authorization": f"Bearer {ADMIN_KEY}"})
    record(client, redis)
    assert verdict(ada) == FINE


def test_the_reason_of_the_gate_stands_beside_a_version_that_it_refused(ada: Browser, models: Path) -> None:
    write_version(models, "sum", Sum(), numbers("a"), version=2, current=False)
    (models / "sum/versions/2/report").mkdir()
    (models / "sum/versions/2/report/report.json").write_text('{"refused": "it is worse than version 1"}')
    assert "not promoted. It is worse than version 1. See its versions" in verdict(ada)


def test_a_version_that_was_rolled_back_from_is_no_version_that_was_forgotten(ada: Browser, models: Path) -> None:
    write_version(models, "sum", Sum(), numbers("a"), version=2, current=False)
    move_alias(RepositoryWriter(models), "sum", "current", 2)
    roll_back(RepositoryWriter(models), "sum", 1, 2)
    assert verdict(ada) == FINE


def test_a_candidate_of_an_experiment_is_no_version_that_was_forgotten(ada: Browser, models: Path) -> None:
    write_version(models, "sum", Sum(), numbers("a"), version=2, current=False)
    at = "2026-01-02T03:04:05Z"
    experiment = Experiment(
        "x1", 1, 2, ExperimentPlan(ExperimentKind.SHADOW), at, "2099-01-02T03:04:05Z", 1.0, at, "ada"
    )
    (models / "sum/settings.json").write_text(json.dumps({"experiments": [experiment.to_json()]}))
    assert verdict(ada) == FINE


def failed_training(redis: Redis, owner: Key, why: str) -> str:
    TrainerClient(redis, SIGNER, timeout=9, result_ttl=900).submit(TrainingRequest("sum", "tabular"), owner)
    trainer = samples.trainer(redis, ["tabular"])
    job = trainer.begin([])
    assert job
    trainer.finish(job.id, Failure(Code.TRAINING_FAILED, why))
    return job.id


def test_the_last_training_that_failed_says_why_until_there_is_a_newer_version(
    ada: Browser, redis: Redis, models: Path
) -> None:
    job = failed_training(redis, ADA, "there are no <rows>")
    assert verdict(ada) == "The last training failed: there are no <rows>. See the training"
    assert f'href="/ui/jobs/{job}"' in ada.get(PAGE).text
    write_version(models, "sum", Sum(), numbers("a"), version=2, created_at="2099-01-02T03:04:05Z")
    assert verdict(ada) == FINE


def test_the_training_of_another_owner_is_nobodys_business(ada: Browser, redis: Redis) -> None:
    failed_training(redis, replace(ADA, owner="others"), "secret")
    assert verdict(ada) == FINE


def test_without_redis_the_page_says_what_is_unknown(settings: Settings, models: Path) -> None:
    browser = Browser(without_redis(settings))
    assert verdict(browser) == "Redis does not answer, so health, traffic and trainings are unknown."
    current(models, None)
    assert verdict(browser).startswith("No version is current")


def test_a_board_that_cannot_be_read_hides_no_page(ada: Browser, redis: Redis) -> None:
    redis.set(HEALTH, "no hash")
    assert ada.get(PAGE).status_code == 200
