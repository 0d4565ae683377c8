"""What a key may not see does not reach its browser: each page with each scope."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from redis import Redis

from contract.settings import Settings
from contract.work.api_keys import Detail, Key, Scope
from gateway.app import create_app
from gateway.http.rules import Level, Route
from tests.gateway.callers import ADMIN_KEY
from tests.gateway.pages.browsers import Browser
from tests.support import Sum, numbers, write_version

KEY = Key("k", "ada", "team", frozenset())
SCOPES = [None, *Scope]

VALUES = {"name": "sum", "version": "1", "digest": "x", "asset": "x", "path": "x"}


@pytest.fixture
def client(settings: Settings, models: Path) -> FlaskClient:
    """A gateway that needs keys, with the models `sum` and `payroll`; `sum` has a second version."""
    write_version(models, "payroll", Sum(), numbers("secret_input", "b"))
    write_version(models, "sum", Sum(), numbers("a", "b"), version=2)
    (models / "sum" / "aliases.json").write_text('{"current": 1, "previous": 2}')
    return create_app(replace(settings, admin_key=ADMIN_KEY)).test_client()


def pages(client: FlaskClient) -> Iterator[tuple[Route, str]]:
    """Yield each page with an address of it."""
    for rule in client.application.url_map.iter_rules():
        ours = isinstance(rule, Route) and rule.page and "GET" in (rule.methods or ())
        if isinstance(rule, Route) and ours and rule.arguments <= VALUES.keys():
            yield rule, str(rule.build({n: VALUES[n] for n in rule.arguments})[1])  # type: ignore[index]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_page_opens_for_the_keys_of_its_level_alone(client: FlaskClient, redis: Redis, scope: Scope | None) -> None:
    key = replace(KEY, scopes=frozenset({scope} if scope else ()))
    browser, asked = Browser.with_key(client, redis, key), 0
    for rule, path in pages(client):
        answer = browser.get(path)
        if rule.level not in (Level.OPEN, Level.OWN):
            refused = not key.allows(Scope(rule.level))
            assert (answer.status_code == 403 and "missing_scope" in answer.text) == refused, (path, answer.status_code)
            asked += 1
    assert asked >= 6


ACTIONS: Mapping[str, Scope] = {
    'action="/ui/models/sum/try"': Scope.PREDICT,
    'href="/ui/models/sum/api"': Scope.PREDICT,
    'href="/ui/models/sum/versions/2/promote"': Scope.PUBLISH,
    'href="/ui/models/sum/rollback"': Scope.PUBLISH,
    'href="/ui/models/sum/remove"': Scope.PUBLISH,
    'action="/ui/models/sum/compare"': Scope.READ,
    'href="/ui/train"': Scope.TRAIN,
    'href="/ui/models/sum/traffic"': Scope.READ,
    'href="/ui/models/sum/failures"': Scope.READ,
}
"""What leads to an action, and the scope that it needs."""


@pytest.mark.parametrize("scope", list(Scope))
def test_no_page_shows_an_action_that_the_key_may_not_do(client: FlaskClient, redis: Redis, scope: Scope) -> None:
    """Every key has `read` besides, or it would see few pages."""
    key = replace(KEY, scopes=frozenset({scope, Scope.READ}))
    browser = Browser.with_key(client, redis, key)
    shown = "".join(answer.text for _, path in pages(client) if (answer := browser.get(path)).status_code == 200)
    for action, needed in ACTIONS.items():
        assert (action in shown) == key.allows(needed), action


def test_a_key_of_some_models_sees_no_other(client: FlaskClient, redis: Redis) -> None:
    every = replace(KEY, scopes=frozenset(Scope) - {Scope.ADMIN}, models=frozenset({"sum"}))
    browser = Browser.with_key(client, redis, every)
    for rule, path in pages(client):
        assert "payroll" not in browser.get(path).text, path
        if "name" in rule.arguments:
            answer = browser.get(path.replace("/sum", "/payroll"))
            assert answer.status_code == 404 and "secret_input" not in answer.text, path
            absent = browser.get(path.replace("/sum", "/absent"))
            assert absent.text.replace("absent", "payroll") == answer.text, path


@pytest.mark.parametrize(("detail", "shown"), [(Detail.FULL, True), (Detail.TERSE, False)])
def test_a_terse_key_learns_no_inputs(client: FlaskClient, redis: Redis, detail: Detail, shown: bool) -> None:
    key = replace(KEY, scopes=frozenset({Scope.PREDICT}), detail=detail)
    browser = Browser.with_key(client, redis, key)
    for path in ("/ui/models/payroll/try", "/ui/models/payroll/api"):
        answer = browser.get(path)
        assert answer.status_code == 200 and ("secret_input" in answer.text) is shown, path


@pytest.mark.parametrize("fields", [{}, {"row": "{}"}, {"input-a": "1", "input-secret_input": "2"}])
def test_a_terse_key_learns_no_inputs_by_trying(
    client: FlaskClient, redis: Redis, scoring: None, fields: dict[str, str]
) -> None:
    key = replace(KEY, scopes=frozenset({Scope.PREDICT}), detail=Detail.TERSE)
    browser = Browser.with_key(client, redis, key)
    answer = browser.send("/ui/models/payroll/try", "/ui/models/payroll/try", form_version="1", **fields)
    assert answer.status_code in (400, 422) and "secret_input" not in answer.text


QUERY = ("version", "a", "b", "now", "period", "cursor", "status", "kind", "model", "next", "action", "actor")


@pytest.mark.parametrize("value", ["9" * 5000, "²", "a\r\nb", "\x00", "x@y"])
def test_no_value_in_an_address_breaks_a_page(client: FlaskClient, redis: Redis, value: str) -> None:
    browser = Browser.with_key(client, redis, replace(KEY, scopes=frozenset(Scope)))
    for _, path in pages(client):
        assert browser.get(path, query_string=dict.fromkeys(QUERY, value)).status_code != 500, path


def test_a_key_that_may_not_publish_changes_nothing(client: FlaskClient, redis: Redis) -> None:
    key = replace(KEY, scopes=frozenset({Scope.READ, Scope.PREDICT, Scope.TRAIN}))
    browser = Browser.with_key(client, redis, key)
    for path in ("/ui/models/sum/versions/2/promote", "/ui/models/sum/rollback", "/ui/models/sum/remove"):
        answer = browser.send(path)
        assert answer.status_code == 403 and "missing_scope" in answer.text


def test_the_limits_of_a_key_count_for_its_sessions(client: FlaskClient, redis: Redis) -> None:
    limits = replace(KEY.limits, rows_waiting=1)
    key = replace(KEY, scopes=frozenset({Scope.READ, Scope.PREDICT}), limits=limits)
    browser = Browser.with_key(client, redis, key)
    file = (io.BytesIO(b"a,b\n1,2\n3,4\n"), "rows.csv")
    path = f"/ui/models/sum/try/file?token={browser.token()}"
    answer = browser.post(path, data={"file": file})
    assert answer.status_code == 413 and "of the owner &#39;team&#39; (1, rows_waiting)" in answer.text
