"""The page Log of a model: what is kept, what was answered, and what a key without the scope sees."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.metrics.table import MODEL_COUNTS
from broker.state import waited_jobs
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.gateway.observed import gateway, make_scorer, models, observer, scoring, settings
from tests.gateway.pages.browsers import Browser, words
from tests.stacks.observer_process import ObserverProcess

__all__ = ["make_scorer", "models", "observer", "scoring", "settings"]

PAGE = "/ui/models/sum/log"
WAIT = {"Prefer": "wait=30"}
ME = Key("k-me", "ada", "team", frozenset(Scope))


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    return gateway(replace(settings, admin_key=ADMIN_KEY))


@pytest.fixture
def me(client: FlaskClient, redis: Redis) -> Browser:
    return Browser.with_key(client, redis, ME)


def test_a_log_is_switched_on_searched_and_a_person_deleted(
    me: Browser, observer: ObserverProcess, scoring: None
) -> None:
    assert "Nothing is logged" in words(me.get(PAGE).text)
    form = {"share": "100", "leave_out": "b\n", "keep_days": "30"}
    changed = me.send("/ui/models/sum/logging", PAGE, **form)
    assert "100 % of the requests to sum are logged, without b, for 30 days." in words(
        me.get(changed.headers["Location"]).text
    )
    program = Caller(me.client)
    for key in ("<b>Erika</b>", "Max"):
        answer = program("POST", "/v1/models/sum/predict", json={"a": 1, "b": 2, "key": key}, headers=WAIT)
        assert answer.status_code == 200
    found = me.get(f"{PAGE}?id=Max")
    assert "Max 3.0 1 current 2 values a 1.0 b left out" in words(found.text)
    assert "Erika" not in found.text
    assert "&lt;b&gt;Erika" in me.get(PAGE).text
    gone = me.send(f"{PAGE}/forget", PAGE, id="Max")
    assert "1 row deleted." in words(me.get(gone.headers["Location"]).text)
    assert "No such rows" in me.get(f"{PAGE}?id=Max").text


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"share": "x", "keep_days": "30"}, "Share must be a number from 0"),
        ({"share": "101", "keep_days": "30"}, "Share must be a number from 0"),
        ({"share": "1", "keep_days": ""}, "Keep_days must be a whole number"),
        ({"share": "1", "keep_days": "1", "leave_out": "c"}, "No version has an input 'c'"),
    ],
)
def test_a_form_that_cannot_be_used_says_why(me: Browser, form: dict[str, str], says: str) -> None:
    answer = me.send("/ui/models/sum/logging", PAGE, **form)
    assert answer.status_code == 422
    assert says in words(answer.text)


def test_a_key_without_the_scope_sees_no_row(client: FlaskClient, redis: Redis) -> None:
    reader = Browser.with_key(client, redis, replace(ME, id="k-reader", scopes=frozenset({Scope.READ})))
    page = reader.get(PAGE)
    assert "a key needs the scope log" in words(page.text)
    assert "<form" not in page.text.split("<main")[1]


def test_without_an_observer_the_page_says_that_predictions_go_on(me: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waited_jobs, "START_TIMEOUT", 0.1)
    page = me.get(PAGE)
    assert page.status_code == 200
    assert "The log cannot be read now: no observer answers" in words(page.text)


def test_rows_that_could_not_be_kept_are_counted(me: Browser, redis: Redis) -> None:
    redis.hset(f"{MODEL_COUNTS}sum", mapping={"log_rows_total|dropped": 1204, "log_rows_total|unreadable": 1})
    shown = words(me.get(PAGE).text)
    assert "1,204 rows could not be kept: too many waited for the observer" in shown
    assert "1 record could not be read, each with one row or more" in shown
