"""The page Failures of a model: why requests fail, of which keys, with an example to copy."""

from __future__ import annotations

import re
from html import unescape

import pytest
from flask.testing import FlaskClient
from redis import Redis

from contract.settings import Settings
from contract.work.api_keys import Detail, Key, Scope
from tests.gateway.callers import Caller
from tests.gateway.pages.browsers import Browser, words
from tests.support import Sum, numbers, write_version

PAGE, PREDICT = "/ui/models/sum/failures", "/v1/models/sum/predict"


def refuse(client: FlaskClient, times: int = 1, caller: Caller | None = None) -> None:
    for _ in range(times):
        ask = caller or Caller(client, "none")
        ask("POST", PREDICT, json={"a": "Smith", "b": 1})
    client.application.extensions["outbox"].flush()


def test_the_page_says_first_what_most_requests_fail_of(client: FlaskClient) -> None:
    refuse(client, 3)
    client.post(PREDICT, json={"a": 1})
    client.application.extensions["outbox"].flush()
    page = client.get(PAGE).text
    text = words(page)
    assert re.search(r"a is not a number : 3 since \d{4}-\d\d-\d\d \d\d:\d\d UTC b is missing : 1 since", text)
    assert '<a href="#cause-1">' in page and 'id="cause-1"' in page
    assert "Smith" not in page


def test_the_example_is_a_request_to_copy(client: FlaskClient) -> None:
    refuse(client)
    snippet = unescape(re.findall(r"<pre[^>]*data-copy[^>]*>(.*?)</pre>", client.get(PAGE).text, re.DOTALL)[0])
    assert snippet.startswith("curl -s http://localhost/v1/models/sum/predict")
    assert '[{"a": "«text of 5 characters»", "b": "«whole number»"}]' in snippet


def test_each_cause_leads_to_its_input(client: FlaskClient) -> None:
    refuse(client)
    (address,) = re.findall(r'href="/ui/models/sum/api#(input-\d+)"', client.get(PAGE).text)
    api = client.get("/ui/models/sum/api").text
    assert re.search(rf'<tr id="{address}"><th scope="row">a\b', api)


def test_without_failures_the_page_says_so(client: FlaskClient) -> None:
    assert "No request to sum failed in 1 day" in words(client.get(PAGE).text)


def test_a_version_is_shown_alone(client: FlaskClient, settings: Settings) -> None:
    write_version(settings.models_dir, "sum", Sum(), numbers("a", "b"), version=2)
    client.post("/v1/models/sum@1/predict", json={"a": "x", "b": 1})
    refuse(client, 2)
    assert "a is not a number : 1 since" in words(client.get(f"{PAGE}?version=1").text)
    assert "a is not a number : 3 since" in words(client.get(f"{PAGE}?period=7d").text)
    assert client.get(f"{PAGE}?version=9").status_code == 404


def test_an_open_page_gets_its_newer_part(client: FlaskClient) -> None:
    page = client.get(PAGE).text
    refuse(client)
    (live,) = re.findall(r'id="failures" data-live="([^"]+)"', page)
    part = client.get(unescape(live), headers={"Modelgate-Part": "1"}).text
    assert "a is not a number" in part and "<h1>" not in part


@pytest.mark.parametrize(
    ("scopes", "shown", "hidden"),
    [({Scope.ADMIN}, ["shop", "nightly"], []), ({Scope.READ}, ["keys of risk", "other keys"], ["shop", "nightly"])],
)
def test_only_admins_see_the_names_of_keys(
    closed: FlaskClient, redis: Redis, scopes: set[Scope], shown: list[str], hidden: list[str]
) -> None:
    for number, (name, owner) in enumerate((("nightly", "risk"), ("shop", "sales"))):
        key = Key(f"k-{number}", name, owner, frozenset({Scope.PREDICT}))
        refuse(closed, caller=Caller.with_key(closed, redis, key))
    me = Browser.with_key(closed, redis, Key("k-me", "ada", "risk", frozenset(scopes)))
    text = words(me.get(PAGE).text)
    assert all(name in text for name in shown)
    assert not any(name in text for name in hidden)


def test_a_terse_key_sees_codes_alone(closed: FlaskClient, redis: Redis) -> None:
    refuse(closed, caller=Caller(closed))
    key = Key("k-me", "ada", "risk", frozenset({Scope.READ}), detail=Detail.TERSE)
    text = words(Browser.with_key(closed, redis, key).get(PAGE).text)
    assert "invalid instances : 1 since" in text
    assert "is not a number" not in text and "«" not in text


def test_traffic_leads_there(client: FlaskClient, redis: Redis) -> None:
    recorder = client.application.extensions["traffic_recorder"]
    recorder.record()
    refuse(client)
    redis.delete("mg:traffic:lease")
    recorder.record()
    assert f'<a href="{PAGE}">1</a>' in client.get("/ui/models/sum/traffic").text
    assert f'href="{PAGE}"' in client.get("/ui").text
