"""The page Notifications: where events are sent, with a form for it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.state.webhook_store import EVENTS, Webhooks
from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from contract.work.webhooks import AllowedTargets, Format, in_words
from events.sender import Sender
from events.service import Service
from gateway.app import create_app
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.gateway.door.test_audit import entries
from tests.gateway.pages.browsers import Browser, words
from tests.stacks.receiver import receiver
from tests.support import until

PAGE = "/ui/notifications"
URL = "https://hooks.example.org/x"
FIELDS: dict[str, Any] = {"name": "ops", "url": URL, "models": "", "format": "standard", "events": ["model.failing"]}


@pytest.fixture
def gateway(settings: Settings) -> FlaskClient:
    settings = replace(settings, admin_key=ADMIN_KEY, webhook_secret="set", webhook_allow=("127.0.0.1",))
    return create_app(settings).test_client()


@pytest.fixture
def browser(gateway: FlaskClient, redis: Redis) -> Browser:
    """A browser of an admin."""
    return Browser.with_key(gateway, redis, Key("k-admin", "ada", "ada", frozenset({Scope.ADMIN})))


def publisher(gateway: FlaskClient, redis: Redis, **changes: Any) -> Browser:
    return Browser.with_key(gateway, redis, Key("k-pub", "bob", "team", frozenset({Scope.PUBLISH}), **changes))


def test_a_notification_is_made_changed_and_deleted(browser: Browser, redis: Redis) -> None:
    assert "There are no notifications yet" in browser.get(PAGE).text
    assert browser.send(PAGE, PAGE, **FIELDS).headers["Location"] == PAGE
    page = words(browser.get(PAGE).text)
    assert f"ops {URL} many more requests than usual are refused or fail" in page and "none yet" in page
    form = browser.get(f"{PAGE}?edit=ops").text
    assert f'value="{URL}"' in form and 'value="model.failing" checked' in form and "readonly" in form
    changed = {**FIELDS, "events": ["training.failed", "key.expiring"], "models": "sum, loan", "format": "chat"}
    assert browser.send(PAGE, f"{PAGE}?edit=ops", **changed).status_code == 303
    (stored,) = Webhooks(redis).all()
    assert (stored.events, stored.models, stored.format) == (
        ("training.failed", "key.expiring"),
        ("loan", "sum"),
        Format.CHAT,
    )
    assert browser.send(f"{PAGE}/ops/delete", PAGE).status_code == 303
    assert Webhooks(redis).all() == []
    assert browser.send(f"{PAGE}/ops/delete", PAGE).status_code == 404
    assert [entry["action"] for entry in entries(redis)] == ["set_webhook", "set_webhook", "delete_webhook"]


@pytest.mark.parametrize(
    ("wrong", "field", "text"),
    [
        ({"name": "O p s"}, "name", "cannot be the name of a webhook"),
        ({"url": "http://10.0.0.1/"}, "url", "is not a public address"),
        ({"url": "javascript:alert(1)"}, "url", "is not a URL"),
        ({"events": []}, "events", "Choose at least one."),
        ({"events": ["model.cursed"]}, "events", "is no event"),
        ({"models": "Loan!"}, "models", "is no model that your key may use"),
        ({"format": "fax"}, "format", "Format must be standard or chat"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    browser: Browser, redis: Redis, wrong: dict[str, Any], field: str, text: str
) -> None:
    answer = browser.send(PAGE, PAGE, **{**FIELDS, **wrong})
    assert answer.status_code == 422 and Webhooks(redis).all() == []
    said = re.search(rf'id="wrong-{field}" role="alert">([^<]*)', answer.text)
    assert said and text in words(said[1])
    assert 'value="ops"' in answer.text or field == "name"


def test_a_test_arrives_signed_and_the_page_says_how_it_went(
    browser: Browser, gateway: FlaskClient, settings: Settings, redis: Redis
) -> None:
    service = Service(redis, Repository(settings.models_dir), Sender([b"s" * 32], AllowedTargets(["127.0.0.1"])))
    try:
        with receiver() as hook:
            browser.send(PAGE, PAGE, **{**FIELDS, "url": hook.url})
            sent = browser.send(f"{PAGE}/ops/test", PAGE)
            assert sent.headers["Location"] == f"{PAGE}?tested=ops"
            assert "A test is on its way to ops" in words(browser.get(sent.headers["Location"]).text)

            def arrived() -> bool:
                service.step()
                return "delivered (204)" in browser.get(PAGE).text

            until(arrived, "the page says that it arrived")
            (message,) = hook.received
            assert message.json["type"] == "test" and message.json["data"] == {"name": "ops"}
            assert message.headers["webhook-signature"].startswith("v1,")
            answered = Caller(gateway)("POST", "/v1/webhooks/ops/test")
            assert (answered.status_code, answered.json["last_try"]["status"]) == (202, 204)  # type: ignore[index]
            hook.answers.append((500, {}))

            def refused() -> bool:
                service.step()
                return "its receiver answered 500" in browser.get(PAGE).text

            until(refused, "the page says that it was refused")
    finally:
        service.close(lambda: 0)


def test_a_key_sees_its_own_and_nothing_of_other_models(browser: Browser, gateway: FlaskClient, redis: Redis) -> None:
    browser.send(PAGE, PAGE, **FIELDS)
    other = publisher(gateway, redis, models=frozenset({"sum"}))
    page = other.get(PAGE).text
    assert "ops" not in words(page).split() and "key.expiring" not in page
    for path in (f"{PAGE}?edit=ops",):
        assert other.get(path).status_code == 404
    for action in ("test", "delete"):
        assert other.send(f"{PAGE}/ops/{action}", PAGE).status_code == 404
    taken = other.send(PAGE, PAGE, **FIELDS)
    assert taken.status_code == 409 and 'id="wrong-name"' in taken.text
    for wrong in ({"models": "loan"}, {"events": ["key.expiring"]}):
        assert other.send(PAGE, PAGE, **{**FIELDS, "name": "mine", **wrong}).status_code == 422
    assert other.send(PAGE, PAGE, **{**FIELDS, "name": "mine"}).status_code == 303
    mine = Webhooks(redis).get("mine")
    assert mine and (mine.owner, mine.models) == ("team", ("sum",))
    assert f"{PAGE}?edit=mine" not in browser.get(PAGE).text, "an admin who saves it would get all jobs sent there"


def test_only_keys_that_may_publish_have_the_page(gateway: FlaskClient, redis: Redis) -> None:
    reader = Browser.with_key(gateway, redis, Key("k-read", "eve", "eve", frozenset({Scope.READ})))
    assert reader.get(PAGE).status_code == 403 and PAGE not in reader.get("/ui").text


def test_without_a_secret_the_page_says_so(settings: Settings, redis: Redis) -> None:
    browser = Browser(create_app(settings).test_client())
    assert "WEBHOOK_SECRET" in words(browser.get(PAGE).text).partition("Tell somebody")[0]
    assert browser.send(PAGE, PAGE, **FIELDS).status_code == 403


def test_each_event_is_in_words_of_its_own(browser: Browser) -> None:
    said = [in_words(event) for event in EVENTS]
    assert len(set(said)) == len(EVENTS) and not any("." in text or "_" in text for text in said)
    assert all(f'value="{event}"' in browser.get(PAGE).text for event in EVENTS)
