"""The list of models: what needs attention comes first; search, filters, order, pages, and what a key sees of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.metrics.table import MODEL_SECONDS
from broker.metrics.traffic import Period
from broker.state.boards import HealthBoard
from contract.errors import Code, Failure
from contract.model.manifest import TrainingData
from contract.model.model_health import HealthState, ModelHealth
from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from gateway.app import create_app
from gateway.pages.wording import breakable
from tests.broker import samples
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.gateway.conftest import without_redis
from tests.gateway.pages.browsers import Browser, words
from tests.support import Sum, numbers, write_version

ME = Key("k-me", "ada", "team", frozenset(Scope) - {Scope.ADMIN})
LONG = "credit_risk-of_small-companies_with-a-long-history_2026-quarter1"
AT = "2026-11-27T09:00:00+00:00"


@pytest.fixture
def browser(client: FlaskClient) -> Browser:
    return Browser(client)


@pytest.fixture
def publish(models: Path) -> Callable[..., None]:
    """Writes a model, and what people say of it."""

    def write(name: str, about: dict[str, Any] | None = None, **changes: Any) -> None:
        write_version(models, name, Sum(), numbers("a", "b"), **changes)
        if about:
            (models / name / "settings.json").write_text(json.dumps({"about": about}))

    return write


def listed(page: str) -> list[str]:
    """Return the names of the models on a page, in its order."""
    return re.findall(r'id="model-([^"]*)"', page)


def row_of(page: str, model: str) -> str:
    """Return the words in the row of a model."""
    return words(next(row for row in page.split("<tr>") if f'id="model-{model}"' in row).partition("</tr>")[0])


def traffic(redis: Redis, model: str, *, answered: int = 0, refused: int = 0, slow: bool = False) -> None:
    """Record requests of this quarter of an hour."""
    period = Period.DAY
    slot = int(redis.time()[0]) // period.step  # type: ignore[index]
    buckets = [0] * len(MODEL_SECONDS.buckets)
    buckets[-1 if slow else 0] = answered
    numbers_of_slot = [slot, 0, 0, answered, refused, 0, answered, *buckets]
    redis.hset(f"mg:traffic:{period.step}:{model}", str(slot % period.points), " ".join(map(str, numbers_of_slot)))


def test_a_model_without_a_current_version_is_listed_first_and_the_page_says_so(
    browser: Browser, publish: Callable[..., None]
) -> None:
    publish("zebra", current=False)
    page = browser.get("/ui").text
    assert listed(page) == ["zebra", "sum"]
    assert "not served No version is current, so requests are refused." in row_of(page, "zebra")
    assert "2 models . 1 needs attention." in words(page)
    assert "current" not in row_of(page, "sum")


def test_a_version_that_cannot_be_read_needs_attention(browser: Browser, models: Path) -> None:
    (models / "sum/versions/1/manifest.json").write_text('{"schema_version": 3, "name": "<b>"')
    row = row_of(browser.get("/ui").text, "sum")
    assert "unreadable Version 1 of the model" in row and "is not JSON" in row
    (models / "sum/versions/1/manifest.json").unlink()
    assert "unreadable" in row_of(browser.get("/ui").text, "sum")


@pytest.mark.parametrize(
    ("state", "label"), [(HealthState.DEGRADED, "worse than promised"), (HealthState.DRIFTED, "rows have changed")]
)
def test_findings_about_the_current_version_are_a_reason(
    browser: Browser, redis: Redis, state: HealthState, label: str
) -> None:
    HealthBoard(redis).say("sum@1", ModelHealth(state, ("<i>age</i> moved", "more"), AT))
    HealthBoard(redis).say("sum@2", ModelHealth(state, ("of another version",), AT))
    page = browser.get("/ui").text
    assert f"{label} <i>age</i> moved." in row_of(page, "sum") and "<i>age" not in page


@pytest.mark.parametrize(
    ("answered", "refused", "said"),
    [(95, 5, "many errors 5.0 % of 100 requests were refused or failed in two hours."), (96, 4, None), (14, 5, None)],
)
def test_many_errors_are_a_reason_but_not_few_of_few_requests(
    browser: Browser, redis: Redis, answered: int, refused: int, said: str | None
) -> None:
    traffic(redis, "sum", answered=answered, refused=refused)
    row = row_of(browser.get("/ui").text, "sum")
    assert said in row if said else "many errors" not in row


def test_a_failed_training_is_a_reason_until_a_version_is_made(
    closed: FlaskClient, redis: Redis, publish: Callable[..., None]
) -> None:
    trainer = samples.trainer(redis, ["iris"])
    me = Browser.with_key(closed, redis, ME)
    program = Caller.with_key(closed.application.test_client(), redis, replace(ME, id="k-program", name="program"))
    assert program("POST", "/v1/models/sum/train", json={"recipe": "iris"}).status_code == 202
    owned = trainer.begin([])
    assert owned
    trainer.finish(owned.id, Failure(Code.NO_DATA, "iris.csv is not there"))
    assert "training failed The last training failed: iris.csv is not there." in row_of(me.get("/ui").text, "sum")
    other = Browser.with_key(closed, redis, replace(ME, id="k-other", name="bob", owner="others"))
    assert "training failed" not in row_of(other.get("/ui").text, "sum")
    publish("sum", version=2, created_at="2999-01-02T03:04:05Z")
    assert "training failed" not in row_of(me.get("/ui").text, "sum")


def test_the_most_urgent_comes_first(browser: Browser, redis: Redis, publish: Callable[..., None]) -> None:
    for name in ("a", "b", "c", "d"):
        publish(name, current=name != "d")
    HealthBoard(redis).say("b@1", ModelHealth(HealthState.DRIFTED, ("moved",), AT))
    HealthBoard(redis).say("c@1", ModelHealth(HealthState.DEGRADED, ("worse",), AT))
    assert listed(browser.get("/ui").text) == ["d", "c", "b", "a", "sum"]
    assert listed(browser.get("/ui?sort=-attention").text) == ["b", "c", "d", "a", "sum"]
    assert listed(browser.get("/ui?attention=1").text) == ["d", "c", "b"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("RISK", ["risk", "scores"]),
        ("team-z", ["scores"]),
        ("prices", ["risk"]),
        ("approved", ["loan"]),
        ("houses", ["risk"]),
        ("risk prices", ["risk"]),
        ("risk approved", []),
        ("<script>", []),
    ],
)
def test_a_search_finds_names_owners_tags_descriptions_and_targets(
    browser: Browser, publish: Callable[..., None], text: str, names: list[str]
) -> None:
    publish("risk", {"description": "What Houses cost", "tags": ["prices"]})
    publish("scores", {"owner": "Team-Z", "description": "the risk of default"})
    publish("loan", training_data=TrainingData("loan.csv", 614, "x", "approved"))
    page = browser.get("/ui", query_string={"q": text}).text
    assert sorted(listed(page)) == names
    assert f'value="{text.replace("<", "&lt;").replace(">", "&gt;")}"' in page
    assert ("No matching models" in page) is not names


def test_a_search_has_the_model_of_that_name_first(browser: Browser, publish: Callable[..., None]) -> None:
    publish("a-loan")
    publish("about", {"description": "beside loan"})
    publish("loan")
    assert listed(browser.get("/ui?q=loan").text) == ["loan", "a-loan", "about"]
    assert listed(browser.get("/ui?q=loan&sort=name").text) == ["a-loan", "about", "loan"]


def test_of_models_that_need_attention_alike_the_most_asked_come_first(
    browser: Browser, redis: Redis, publish: Callable[..., None]
) -> None:
    for name in ("a", "b"):
        publish(name)
        traffic(redis, name, answered=30 if name == "a" else 90, refused=30)
    assert listed(browser.get("/ui?attention=1").text) == ["b", "a"]


def test_a_tag_filters_and_a_filter_keeps_the_others(browser: Browser, publish: Callable[..., None]) -> None:
    publish("a", {"tags": ["x", "y"]})
    publish("b", {"tags": ["y"]})
    page = browser.get("/ui?tag=y&q=a&sort=-name").text
    assert listed(page) == ["a"] and "<option>x</option><option selected>y</option>" in page
    assert "1 model of 3." in words(page)
    heads = re.findall(r'<th scope="col"[^>]*><a href="([^"]*)">(\w+)', page)
    assert ("/ui?q=a&amp;tag=y&amp;sort=requests", "requests") in heads
    assert 'data-live="/ui?q=a&amp;tag=y&amp;sort=-name"' in page
    assert listed(browser.get("/ui?tag=none").text) == []


def test_mine_are_those_of_the_owner_of_the_key(
    closed: FlaskClient, redis: Redis, publish: Callable[..., None]
) -> None:
    publish("ours", {"owner": "Team"})
    publish("theirs", {"owner": "others"})
    samples.trainer(redis, ["iris"])
    program = Caller.with_key(closed.application.test_client(), redis, replace(ME, id="k-program", name="program"))
    assert listed(Browser.with_key(closed, redis, ME).get("/ui?mine=1").text) == ["ours"]
    other = Browser.with_key(closed, redis, replace(ME, id="k-other", name="bob", owner="others"))
    assert listed(other.get("/ui?mine=1").text) == ["theirs"]
    assert program("GET", "/v1/models").status_code == 200
    part = {"Modelgate-Part": "1"}
    assert listed(other.get("/ui?mine=1", headers=part).text) == ["theirs"]
    assert listed(Browser.with_key(closed, redis, replace(ME, id="k-3")).get("/ui?mine=1", headers=part).text) == [
        "ours"
    ]


def test_a_model_is_mine_if_its_schedule_is(settings: Settings, redis: Redis) -> None:
    client = create_app(replace(settings, admin_key=ADMIN_KEY), lambda command: {}).test_client()
    samples.trainer(redis, ["iris"])
    program = Caller.with_key(client, redis, replace(ME, id="k-program", name="program"))
    schedule = {"cron": "0 3 * * 1", "request": {"recipe": "iris"}}
    assert program("PUT", "/v1/models/sum/schedule", json=schedule).status_code == 200
    assert listed(Browser.with_key(client, redis, ME).get("/ui?mine=1").text) == ["sum"]
    admin = Caller(client)
    assert admin("GET", "/v1/schedules").get_json()["items"], "an admin sees the schedule of others"
    browser = Browser(client.application.test_client())
    browser.sign_in(ADMIN_KEY)
    assert listed(browser.get("/ui?mine=1").text) == []


def test_without_keys_nothing_is_mine(browser: Browser) -> None:
    assert 'name="mine"' not in browser.get("/ui").text
    assert listed(browser.get("/ui?mine=1").text) == []


def test_a_key_for_some_models_sees_nothing_of_others(
    closed: FlaskClient, redis: Redis, publish: Callable[..., None]
) -> None:
    publish("secret", {"tags": ["quarry"], "owner": "team"}, current=False)
    publish("busy", {"tags": ["quarry"]})
    traffic(redis, "busy", answered=70_000, refused=7)
    traffic(redis, "sum", answered=40)
    me = Browser.with_key(closed, redis, replace(ME, models=frozenset({"sum"})))
    for query in ("", "?mine=1", "?q=quarry", "?tag=quarry"):
        page = me.get(f"/ui{query}").text
        assert set(listed(page)) <= {"sum"}
        assert not re.search("secret|busy|70,0", page) and "of 2" not in page and "of 3" not in page
    assert "up to 40 requests in 15 minutes" in words(me.get("/ui").text)
    assert "quarry" not in me.get("/ui").text


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("name", ["a", "b", "c", "sum"]),
        ("-name", ["sum", "c", "b", "a"]),
        ("requests", ["b", "a", "c", "sum"]),
        ("-requests", ["c", "sum", "a", "b"]),
        ("errors", ["a", "b", "c", "sum"]),
        ("latency", ["a", "b", "c", "sum"]),
        ("-latency", ["b", "a", "c", "sum"]),
        ("changed", ["c", "a", "b", "sum"]),
    ],
)
def test_each_column_sorts_and_models_without_a_value_come_last(
    browser: Browser, redis: Redis, publish: Callable[..., None], sort: str, names: list[str]
) -> None:
    for name in ("a", "b"):
        publish(name)
    publish("c", created_at="2026-02-02T03:04:05Z")
    traffic(redis, "a", answered=9, refused=1, slow=True)
    traffic(redis, "b", answered=30, refused=1)
    page = browser.get(f"/ui?sort={sort}").text
    assert listed(page) == names
    order = "ascending" if sort in ("name", "-requests", "-latency") else "descending"
    (head,) = re.findall(r'<th scope="col" aria-sort="(\w+)"><a href="[^"]*">(\w+)</a>', page)
    assert head[0] == order and head[1] in ("model", sort.removeprefix("-"))
    assert re.search(rf'<option value="{sort}" selected>', page)


def test_a_page_has_fifty_models_and_leads_to_the_others(
    browser: Browser, models: Path, publish: Callable[..., None]
) -> None:
    publish("m000")
    text = (models / "m000/versions/1/manifest.json").read_text()
    for number in range(1, 119):
        name = f"m{number:03}"
        (models / name / "versions/1").mkdir(parents=True)
        (models / name / "versions/1/manifest.json").write_text(text.replace('"m000"', f'"{name}"'))
        (models / name / "aliases.json").write_text('{"current": 1}')
    page = browser.get("/ui?sort=name&q=m").text
    assert listed(page) == [f"m{number:03}" for number in range(50)] and "1 to 50 of 120" in words(page)
    (after,) = re.findall(r'rel="next" href="([^"]*)"', page)
    second = browser.get(unescape(after)).text
    assert listed(second) == [f"m{number:03}" for number in range(50, 100)] and "51 to 100 of 120" in words(second)
    assert 'rel="prev" href="/ui?q=m&amp;sort=name"' in second
    last = browser.get("/ui?sort=name&q=m&page=3").text
    assert len(listed(last)) == 20 and "101 to 120 of 120" in words(last) and 'rel="next"' not in last
    assert listed(browser.get("/ui?sort=name&q=m&page=999999999").text) == listed(last)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("page=0", "page='0' is not the number of a page"),
        ("page=x", "page='x'"),
        ("page=-1", "page='-1'"),
        ("page=9999999999", "page='9999999999'"),
        ("page=%C2%B2", "is not the number of a page"),
        ("sort=size", "sort='size' is not one of attention, name, requests"),
        ("sort=--name", "sort='--name'"),
        ("q=" + "x" * 201, "q has 201 characters; send at most 200"),
    ],
)
def test_a_query_that_means_nothing_is_refused_with_what_to_send(browser: Browser, query: str, said: str) -> None:
    answer = browser.get(f"/ui?{query}")
    assert answer.status_code == 400 and said.lower() in words(answer.text).lower()


def test_all_curves_have_the_scale_of_all_models_not_only_of_the_page(
    browser: Browser, redis: Redis, publish: Callable[..., None]
) -> None:
    publish("busy")
    traffic(redis, "busy", answered=60, refused=20)
    traffic(redis, "sum", answered=36, refused=4)
    page = browser.get("/ui?q=sum").text
    assert listed(page) == ["sum"] and "up to 80 requests in 15 minutes, and up to 25.0 % errors" in words(page)
    tops = [
        round(26 - min(float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path.replace(" L", "L"))), 1)
        for path in re.findall(r'class="line" d="([^"]*)"', page)
    ]
    assert tops == [12.0, 9.6]


def test_without_redis_the_list_still_says_what_the_repository_knows(
    settings: Settings, publish: Callable[..., None]
) -> None:
    publish("zebra", current=False)
    page = without_redis(settings).get("/ui").text
    assert listed(page) == ["zebra", "sum"] and "Redis does not answer" in page


def test_a_row_has_the_headline_metric_the_owner_and_the_tags(browser: Browser, publish: Callable[..., None]) -> None:
    about = {"owner": "Risk & Co", "tags": ["eu-west"]}
    publish("loan", about, metrics={"baseline_accuracy": 0.6, "accuracy": 0.8125, "log_loss": 0.4})
    row = row_of(browser.get("/ui").text, "loan")
    assert row.startswith("loan Risk & Co eu-west 1 ") and "0.812 accuracy" in row


@pytest.mark.slow
def test_names_break_after_their_joints_alone(browser: Browser, publish: Callable[..., None]) -> None:
    assert str(breakable("a-b__c_d1<x>")) == "a-<wbr>b__<wbr>c_<wbr>d1&lt;x&gt;"
    publish(LONG, {"owner": LONG})
    base = f"/ui/models/{LONG}"
    tabs = ("", "/versions", "/versions/1", "/traffic", "/failures", "/health", "/experiments", "/log", "/remove")
    for address in ("/ui", *(base + tab for tab in (*tabs, "/describe", "/promotions"))):
        page = browser.get(address).text
        shown = re.sub(r"(?s)<(title|pre|option)\b.*?</\1>|<code>(modelgate|GET|POST) .*?</code>|<[^>]+>", " ", page)
        assert str(breakable(LONG)) in page and LONG not in shown, address


def test_the_summary_of_a_version_is_read_once(models: Path, publish: Callable[..., None]) -> None:
    publish("loan")
    repository = Repository(models)
    first = repository.summary("loan", 1)
    (models / "loan/versions/1/manifest.json").unlink()
    assert repository.summary("loan", 1) is first


def test_a_process_reads_ahead_what_can_be_read(settings: Settings, models: Path, publish: Callable[..., None]) -> None:
    publish("loan")
    publish("draft", current=False)
    (models / "loan/versions/1/manifest.json").write_text("{")
    app = create_app(settings)
    app.extensions["read_ahead"]()
    (models / "sum/versions/1/manifest.json").unlink()
    page = app.test_client().get("/ui").text
    assert listed(page) == ["draft", "loan", "sum"] and "a number, from 2 inputs" in row_of(page, "sum")


def test_the_list_takes_as_many_round_trips_for_many_models_as_for_one(
    settings: Settings, redis: Redis, publish: Callable[..., None]
) -> None:
    def commands() -> int:
        client = create_app(settings).test_client()
        client.get("/ui/jobs")
        before = redis.info("commandstats")
        client.get("/ui")
        after = redis.info("commandstats")
        return sum(
            after[name]["calls"] - before.get(name, {"calls": 0})["calls"]  # type: ignore[index,attr-defined]
            for name in after  # type: ignore[union-attr]
            if name not in ("cmdstat_info", "cmdstat_hmget")
        )

    few = commands()
    for number in range(20):
        publish(f"m{number}")
    assert commands() <= few
