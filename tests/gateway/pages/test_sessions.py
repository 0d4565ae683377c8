"""Sessions of browsers: what opens and ends them, and what they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import quote

import pytest
import requests
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.serving import make_server

from broker.access.key_store import KEYS, MOST_SESSIONS, Sessions
from contract.retention import Retention
from contract.settings import Settings
from contract.work.api_keys import Key, Scope, fingerprint, new_token
from gateway.app import Gateway, create_app
from gateway.door import authentication, sessions
from gateway.door.sessions import cookie_of
from tests.gateway.callers import ADMIN_KEY, store
from tests.gateway.pages.browsers import TOKEN, Browser
from tests.support import InThreads, until

pytestmark = pytest.mark.waits

COOKIE = cookie_of({"HTTP_HOST": "localhost"})
READER = Key("k-read", "ada", "team", frozenset({Scope.READ}))


@pytest.fixture
def client(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A gateway that needs keys, and soon notices when they change."""
    for module in (authentication, sessions):
        monkeypatch.setattr(module, "CACHED", 0.1)
    return create_app(replace(settings, admin_key=ADMIN_KEY)).test_client()


@pytest.fixture
def token(redis: Redis) -> str:
    store(redis, made := new_token(), READER)
    return made


def test_a_visitor_is_asked_for_a_key_and_then_sees_what_was_asked_for(client: FlaskClient, token: str) -> None:
    browser = Browser(client)
    asked = browser.get("/ui/models/sum/versions?a=1")
    assert (asked.status_code, asked.headers["Location"]) == (
        303,
        f"/ui/login?next={quote('/ui/models/sum/versions?a=1')}",
    )
    assert 'value="/ui/models/sum/versions?a=1"' in browser.get(asked.headers["Location"]).text
    answer = browser.sign_in(token, next="/ui/models/sum/versions?a=1")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/models/sum/versions?a=1")
    assert "ada" in browser.get("/ui").text


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/ui\\evil", "/uix", "/v1/models", "/ui/login", "/ui/\r\nx: y"]
)
def test_a_sign_in_leads_to_no_other_site(client: FlaskClient, token: str, target: str) -> None:
    assert Browser(client).sign_in(token, next=target).headers["Location"] == "/ui"


def test_the_cookie_is_kept_from_scripts_other_sites_and_other_addresses(client: FlaskClient, token: str) -> None:
    browser = Browser(client)
    planted = browser.get("/ui/login").headers["Set-Cookie"]
    answer = browser.sign_in(token).headers["Set-Cookie"]
    assert answer.startswith(f"{COOKIE}=") and answer.split(";")[0] != planted.split(";")[0]
    assert {part.strip() for part in answer.split(";")[1:]} == {"HttpOnly", "Path=/ui", "SameSite=Strict"}
    secure = client.application.test_client().get("/ui/login", base_url="https://localhost")
    assert "Secure" in secure.headers["Set-Cookie"]


@pytest.mark.parametrize("cookie", ["a=\xff\xfe", 'a="\xff\\377"', "\xff", "a=1;=\xc3("])
def test_a_cookie_of_another_program_that_is_not_utf_8_signs_nobody_out(
    client: FlaskClient, token: str, cookie: str
) -> None:
    """Browsers send it to all ports of its host."""
    browser = Browser(client)
    browser.sign_in(token)
    session = client.get_cookie(COOKIE, path="/ui")
    assert session is not None
    client = client.application.test_client(use_cookies=False)
    assert "ada" in client.get("/ui", headers={"Cookie": f"{cookie}; {COOKIE}={session.value}"}).text
    assert client.get("/ui", headers={"Cookie": cookie}).status_code == 303


def test_no_other_route_takes_the_cookie(client: FlaskClient, redis: Redis) -> None:
    browser = Browser.with_key(client, redis, replace(READER, scopes=frozenset({Scope.ADMIN})))
    session = browser.client.get_cookie(COOKIE, path="/ui")
    assert session is not None
    for path in ("/v1/models", "/openapi.json", "/metrics"):
        answer = client.get(path, headers={"Cookie": f"{COOKIE}={session.value}"})
        assert (answer.status_code, answer.json["code"]) == (401, "missing_key")


def test_no_page_takes_a_key_in_a_header(client: FlaskClient, token: str) -> None:
    assert client.get("/ui", headers={"Authorization": f"Bearer {token}"}).status_code == 303


def test_a_form_without_the_token_of_its_session_does_nothing(client: FlaskClient, redis: Redis, token: str) -> None:
    browser, other = Browser.with_key(client, redis, READER), Browser(client.application.test_client())
    for data in ({}, {"token": "x"}, {"token": "ü"}, {"token": other.token("/ui/login")}):
        answer = browser.post("/ui/logout", data=data)
        assert answer.status_code == 403 and "foreign_form" in answer.text
    assert browser.get("/ui").status_code == 200
    assert client.post("/ui/login", data={"key": token}).status_code == 403


def test_signing_out_ends_the_session_everywhere(client: FlaskClient, redis: Redis) -> None:
    browser = Browser.with_key(client, redis, READER)
    session = browser.client.get_cookie(COOKIE, path="/ui")
    assert session is not None
    answer = browser.send("/ui/logout")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/login")
    assert client.get("/ui", headers={"Cookie": f"{COOKIE}={session.value}"}).status_code == 303
    assert Sessions(redis).find(session.value) is None


@pytest.mark.parametrize("change", ["revoked", "expired", "rotated"])
def test_a_session_ends_with_its_key(client: FlaskClient, redis: Redis, token: str, change: str) -> None:
    browser = Browser(client)
    browser.sign_in(token)
    assert browser.get("/ui").status_code == 200
    redis.hdel(KEYS, fingerprint(token))
    if change == "expired":
        store(redis, token, replace(READER, expires_at="2026-01-01T00:00:00.000000Z"))
    if change == "rotated":
        store(redis, new_token(), READER)
    until(lambda: browser.get("/ui").status_code == 303, "the end of the session")


def test_a_session_has_the_scopes_that_its_key_has_now(client: FlaskClient, redis: Redis, token: str) -> None:
    browser = Browser(client)
    browser.sign_in(token)
    store(redis, token, replace(READER, scopes=frozenset()))
    until(lambda: "lacks the scope" in browser.get("/ui").text, "the scopes of the key")


def test_sessions_end_after_a_working_day_and_are_limited(client: FlaskClient, redis: Redis, token: str) -> None:
    browser = Browser(client)
    browser.sign_in(token)
    session = browser.client.get_cookie(COOKIE, path="/ui")
    assert session is not None
    (stored,) = redis.keys("mg-gateway:session:*")
    assert session.value not in stored.decode() and Retention.sessions - 60 < redis.ttl(stored) <= Retention.sessions
    store_of_sessions = Sessions(redis)
    for number in range(MOST_SESSIONS):
        store_of_sessions.open(f"s{number}", fingerprint(token), Retention.sessions)
    assert store_of_sessions.find(session.value) is None and store_of_sessions.find("s0") is not None
    assert len(redis.keys("mg-gateway:session:*")) == MOST_SESSIONS


def test_wrong_keys_are_limited_and_audited(client: FlaskClient, redis: Redis, token: str) -> None:
    browser = Browser(client)
    form = browser.token("/ui/login")
    statuses = [
        client.post("/ui/login", data={"token": form, "key": f"mg_{number:043d}"}).status_code for number in range(25)
    ]
    assert statuses == [401] * 20 + [429] * 5
    late = client.post("/ui/login", data={"token": form, "key": token})
    assert late.status_code == 429 and "Too many invalid keys" in late.text and late.headers["Retry-After"]
    assert browser.get("/ui").status_code == 303


def test_a_sign_in_and_a_wrong_key_are_in_the_audit_log(client: FlaskClient, redis: Redis, token: str) -> None:
    browser = Browser(client)
    browser.sign_in("mg_" + "x" * 43)
    browser.sign_in(token)
    entries = client.get("/v1/audit", headers={"Authorization": f"Bearer {ADMIN_KEY}"}).json["items"]
    assert [(entry["action"], entry["actor"], entry["outcome"]) for entry in entries] == [("sign_in", "ada", "done")]


def test_the_admin_key_signs_in_and_a_new_one_ends_its_sessions(client: FlaskClient, settings: Settings) -> None:
    browser = Browser(client)
    browser.sign_in(ADMIN_KEY)
    assert browser.get("/ui").status_code == 200
    session = browser.client.get_cookie(COOKIE, path="/ui")
    assert session is not None
    other = create_app(replace(settings, admin_key="b" * 40)).test_client()
    assert other.get("/ui", headers={"Cookie": f"{COOKIE}={session.value}"}).status_code == 303


def test_after_a_link_on_another_site_the_browser_asks_again_with_its_cookie(client: FlaskClient, redis: Redis) -> None:
    """Browsers send a strict cookie only with requests from our own pages."""
    answer = client.get("/ui/login?next=/ui/models/sum", headers={"Sec-Fetch-Site": "cross-site"})
    assert 'http-equiv="refresh" content="0; url=/ui/login?next=/ui/models/sum"' in answer.text
    assert "Set-Cookie" not in answer.headers, "it would take the place of the cookie that the browser holds back"
    browser = Browser.with_key(client, redis, READER)
    assert browser.get("/ui/login?next=/ui/models/sum").headers["Location"] == "/ui/models/sum"


def test_no_error_after_a_link_on_another_site_replaces_the_cookie(client: FlaskClient, settings: Settings) -> None:
    """The browser holds the cookie back there, so the gateway cannot know of it."""
    linked = {"Sec-Fetch-Site": "cross-site"}
    away = create_app(replace(settings, redis_url="redis://127.0.0.1:1")).test_client()
    answers = [
        away.get("/ui/models/sum", headers=linked),
        client.post("/ui/login", headers={**linked, "Origin": "https://evil.example"}),
        create_app(settings).test_client().post("/ui/logout", headers={**linked, "Origin": "https://evil.example"}),
    ]
    assert [answer.status_code for answer in answers] == [503, 403, 403]
    assert not any("Set-Cookie" in answer.headers for answer in answers)


def test_two_modelgates_on_one_host_do_not_sign_each_other_out(settings: Settings, redis: Redis) -> None:
    """Browsers send a cookie to every port of its host."""
    databases = [f"{settings.redis_url}?db={number}" for number in (0, 1)]
    apps = [create_app(replace(settings, redis_url=url, admin_key=ADMIN_KEY)) for url in databases]
    with served(apps[0]) as first, served(apps[1]) as second, requests.Session() as browser:
        for address in (first, second):
            form = TOKEN.search(browser.get(f"{address}/login").text)
            assert form is not None
            browser.post(f"{address}/login", {"token": form[1], "key": ADMIN_KEY})
        assert [browser.get(address).url for address in (first, second)] == [first, second], "one leads to the sign-in"


@contextmanager
def served(app: Gateway) -> Iterator[str]:
    """Yield the address of the pages."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    with InThreads(server.serve_forever):
        try:
            yield f"http://127.0.0.1:{server.port}/ui"
        finally:
            server.shutdown()


def test_a_form_of_a_neighbouring_host_does_nothing_even_with_the_token(client: FlaskClient, redis: Redis) -> None:
    browser = Browser.with_key(client, redis, READER)
    form = {"token": browser.token()}
    answer = browser.post("/ui/logout", data=form, headers={"Sec-Fetch-Site": "same-site"})
    assert answer.status_code == 403 and browser.get("/ui").status_code == 200
    assert browser.post("/ui/logout", data=form, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303


def test_an_address_that_no_browser_has_leads_to_the_sign_in(client: FlaskClient) -> None:
    answer = client.get("/ui", headers={"Modelgate-Part": "1", "Referer": "http://[x"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/login")


def test_a_live_part_whose_session_has_ended_leads_to_the_sign_in(client: FlaskClient) -> None:
    headers = {"Modelgate-Part": "1", "Referer": "http://localhost/ui/models/sum/traffic?hours=3"}
    answer = client.get("/ui", headers=headers)
    assert (answer.status_code, answer.headers["Modelgate-Redirect"]) == (
        204,
        f"/ui/login?next={quote('/ui/models/sum/traffic?hours=3')}",
    )


def test_without_keys_the_pages_are_open_but_forms_need_their_token(settings: Settings) -> None:
    client = create_app(settings).test_client()
    assert client.get("/ui").status_code == 200
    assert client.get("/ui/login").headers["Location"] == "/ui"
    assert client.post("/ui/logout").status_code == 403
    linked = create_app(settings).test_client().get("/ui", headers={"Sec-Fetch-Site": "cross-site"})
    assert COOKIE in linked.headers["Set-Cookie"], "its forms need a token that counts"
    assert client.get("/ui", headers={"Host": "evil.example"}).status_code == 403


def test_only_browsers_are_sent_from_the_root_to_the_pages(client: FlaskClient) -> None:
    answer = client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui")
    for accept in ("*/*", "application/json"):
        answer = client.get("/", headers={"Accept": accept})
        assert (answer.status_code, answer.json) == (200, {"status": "alive"})
