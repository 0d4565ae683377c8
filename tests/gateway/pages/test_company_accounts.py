"""People whom a proxy signs in: whose header counts, what they may do, and under which name."""

from __future__ import annotations

import http.client
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.access.audit_log import Stream
from broker.access.key_store import Keys
from contract.errors import SettingsError
from contract.settings import Settings
from contract.work.api_keys import EVERY_USER, Key, Scope, entry_of, new_token
from gateway.app import create_app
from gateway.commands import key_commands
from gateway.door import authentication, sessions
from gateway.door.authentication import DefaultKeys
from tests.gateway.callers import ADMIN_KEY, Caller, store
from tests.gateway.door.test_audit import entries
from tests.gateway.pages.browsers import TOKEN, Browser, words
from tests.stacks.gateways import Gateway, serving
from tests.support import until

pytestmark = pytest.mark.waits

PROXY, STRANGER = "127.0.0.2", "127.0.0.3"
HEADER = "X-Forwarded-Email"
ANN, BOB = "ann@corp.com", "bob@corp.com"
ENTRY = Key("k-ann", "ann", "risk", frozenset({Scope.READ, Scope.TRAIN}), user=ANN)


def let_in(redis: Redis, key: Key) -> None:
    assert key.user
    Keys(redis).add(entry_of(key.user), key)


@pytest.fixture
def behind(settings: Settings) -> Settings:
    return replace(settings, trusted_proxies=(PROXY,), trusted_user_header=HEADER)


@pytest.fixture
def client(behind: Settings, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A gateway behind a proxy, which soon notices when keys change."""
    for module in (authentication, sessions):
        monkeypatch.setattr(module, "CACHED", 0.1)
    return create_app(behind).test_client()


def person(client: FlaskClient, user: str = ANN, peer: str = PROXY, **headers: str) -> Browser:
    """The browser of somebody whom the proxy has signed in."""
    application = client.application.test_client()
    application.environ_base |= {"REMOTE_ADDR": peer, f"HTTP_{HEADER.upper().replace('-', '_')}": user}
    application.environ_base |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    return Browser(application)


@pytest.mark.parametrize("user", [ANN, "Ann@Corp.COM", f" {ANN} "])
def test_a_person_is_let_in_with_the_rights_of_their_entry(client: FlaskClient, redis: Redis, user: str) -> None:
    let_in(redis, ENTRY)
    page = person(client, user, X_FORWARDED_FOR="192.0.2.7").get("/ui")
    assert page.status_code == 200 and ANN in page.text and "Sign out" not in page.text
    sections = page.text[: page.text.index("</nav>")]
    assert "/ui/train" in sections and "/ui/keys" not in sections
    refused = person(client).get("/ui/keys")
    assert refused.status_code == 403 and f"The person '{ANN}' lacks the scope admin" in words(refused.text)


@pytest.mark.parametrize("forwarded", ["", PROXY, f"{PROXY}, {PROXY}"])
def test_nobody_else_can_say_who_somebody_is(
    client: FlaskClient, redis: Redis, caplog: pytest.LogCaptureFixture, forwarded: str
) -> None:
    let_in(redis, ENTRY)
    with caplog.at_level(logging.WARNING, "gateway"):
        for _ in range(3):
            answer = person(client, peer=STRANGER, X_FORWARDED_FOR=forwarded).get("/ui")
            assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/login")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1 and f"{HEADER} from {STRANGER}, which is not in TRUSTED_PROXIES" in said[0]


def test_the_peer_counts_whatever_it_forwards(client: FlaskClient, redis: Redis) -> None:
    let_in(redis, ENTRY)
    assert person(client, X_FORWARDED_FOR="203.0.113.9").get("/ui").status_code == 200


def test_the_http_interface_takes_no_person(client: FlaskClient, redis: Redis) -> None:
    let_in(redis, ENTRY)
    for path in ("/v1/models", "/metrics", "/openapi.json"):
        answer = person(client).client.get(path)
        assert (answer.status_code, answer.json["code"]) == (401, "missing_key")  # type: ignore[index]


@pytest.mark.parametrize(
    "user",
    [BOB, "x" * 300, "ann@corp.com,bob@corp.com", "änn@corp.com".encode().decode("latin-1"), EVERY_USER, "user:ann"],
)
def test_a_person_without_an_entry_is_told_so_and_can_use_a_key(client: FlaskClient, redis: Redis, user: str) -> None:
    let_in(redis, ENTRY)
    browser = person(client, user)
    refused = browser.get("/ui")
    assert refused.status_code == 403 and "has no entry here" in refused.text and "unknown_user" in refused.text
    assert "<nav" not in refused.text and 'href="/ui/login"' in refused.text
    store(redis, token := new_token(), Key("k-key", "spare", "team", frozenset({Scope.READ})))
    assert browser.get("/ui/login").status_code == 200
    assert browser.sign_in(token).headers["Location"] == "/ui"
    assert "spare" in browser.get("/ui").text
    client.application.extensions["outbox"].flush()
    (entry,) = (entry for entry in entries(redis, Stream.ANYBODY) if entry["code"] == "unknown_user")
    assert (entry["outcome"], entry["key_id"]) == ("refused", None)
    assert user != BOB or entry["actor"] == BOB


def test_an_empty_header_names_nobody(client: FlaskClient, redis: Redis) -> None:
    let_in(redis, replace(ENTRY, user=EVERY_USER))
    for user in ("", " "):
        assert person(client, user).get("/ui").headers["Location"] == "/ui/login"


def test_an_entry_that_ends_takes_the_rights_with_it(client: FlaskClient, redis: Redis) -> None:
    let_in(redis, ENTRY)
    browser = person(client)
    assert browser.get("/ui").status_code == 200
    Keys(redis).revoke(ENTRY.id)
    until(lambda: "has no entry here" in browser.get("/ui").text, "the entry is gone")
    let_in(redis, replace(ENTRY, expires_at="2020-01-01T00:00:00Z"))
    let_in(redis, replace(ENTRY, id="k-all", name="all", user=EVERY_USER))
    expired = browser.get("/ui")
    assert expired.status_code == 403 and "may no longer use Modelgate (2020-01-01" in expired.text
    assert browser.get("/ui/login").status_code == 200


def test_everybody_may_have_an_entry_and_each_owns_what_they_make(client: FlaskClient, redis: Redis) -> None:
    let_in(redis, ENTRY)
    let_in(redis, replace(ENTRY, id="k-all", name="everybody", owner="everybody", user=EVERY_USER))
    callers = {}

    def note(exchange: Any) -> None:
        callers[exchange.caller.name] = (exchange.caller.owner, exchange.caller.id)

    client.application.extensions["door"].observers.append(note)
    for user in (ANN, BOB):
        assert user in person(client, user).get("/ui/jobs").text
    assert callers == {ANN: ("risk", "k-ann"), BOB: (BOB, "k-all")}


def test_a_form_needs_its_token_and_the_audit_log_has_the_person(client: FlaskClient, redis: Redis) -> None:
    let_in(redis, replace(ENTRY, scopes=frozenset({Scope.ADMIN}), user=EVERY_USER))
    browser = person(client, BOB)
    fields = {"name": "carol", "user": "Carol@corp.com", "scopes": "read"}
    assert "foreign_form" in browser.post("/ui/keys", data=fields).text
    foreign = {"token": browser.token("/ui/keys"), **fields}
    for site in ("cross-site", "same-site"):
        assert browser.post("/ui/keys", data=foreign, headers={"Sec-Fetch-Site": site}).status_code == 403
    assert browser.send("/ui/keys", "/ui/keys", **fields).headers["Location"] == "/ui/keys"
    listed = words(browser.get("/ui/keys").text)
    assert "carol carol@corp.com" in listed and "everybody without an entry" in listed
    (entry,) = entries(redis)
    assert (entry["action"], entry["actor"], entry["owner"], entry["key_id"]) == ("make_key", BOB, BOB, ENTRY.id)
    assert Keys(redis).of_user("carol@corp.com").scopes == {Scope.READ}  # type: ignore[union-attr]
    shown = browser.get(f"/ui/keys/{ENTRY.id}").text
    assert re.findall(rf'action="/ui/keys/{ENTRY.id}/(\w+)"', shown) == ["revoke"]


def test_a_link_on_another_site_leads_through_our_own(client: FlaskClient, redis: Redis) -> None:
    """The browser holds the cookie back, which could be that of a key."""
    let_in(redis, ENTRY)
    browser = person(client)
    foreign = {"Sec-Fetch-Site": "cross-site"}
    sent = browser.get("/ui/jobs?status=failed", headers=foreign)
    assert (sent.status_code, sent.headers["Location"]) == (303, "/ui/login?next=/ui/jobs%3Fstatus%3Dfailed")
    again = browser.get(sent.headers["Location"], headers=foreign)
    assert again.status_code == 200 and "Set-Cookie" not in again.headers and 'http-equiv="refresh"' in again.text
    back = browser.get(sent.headers["Location"], headers={"Sec-Fetch-Site": "same-origin"})
    assert (back.status_code, back.headers["Location"]) == (303, "/ui/jobs?status=failed")


def test_the_cookie_of_a_key_goes_before_the_header(client: FlaskClient, redis: Redis) -> None:
    let_in(redis, ENTRY)
    store(redis, token := new_token(), Key("k-key", "spare", "team", frozenset({Scope.READ})))
    browser = person(client)
    assert browser.get("/ui/login").headers["Location"] == "/ui"
    assert 'href="/ui/login?as=key"' in browser.get("/ui").text
    form = TOKEN.search(browser.get("/ui/login?as=key").text)
    assert form and browser.post("/ui/login", data={"token": form[1], "key": token}).status_code == 303
    page = browser.get("/ui").text
    assert "spare" in page and ANN not in page and "Sign out" in page
    assert browser.send("/ui/logout").headers["Location"] == "/ui/login"
    until(lambda: ANN in browser.get("/ui").text, "she is herself again")
    assert browser.post("/ui/login", data={"token": browser.token("/ui/login?as=key"), "key": token}).status_code == 303
    Keys(redis).revoke("k-key")
    until(lambda: ANN in browser.get("/ui").text, "the key is gone, and she is not")


def test_without_any_entry_the_gateway_is_closed_all_the_same(client: FlaskClient) -> None:
    assert client.get("/v1/models").status_code == 401
    assert client.get("/ui").headers["Location"] == "/ui/login"
    assert person(client).get("/ui").status_code == 403


def test_an_entry_has_no_secret(client: FlaskClient, redis: Redis, behind: Settings) -> None:
    admin = Caller(create_app(replace(behind, admin_key=ADMIN_KEY)).test_client())
    made = admin("POST", "/v1/keys", json={"name": "ann", "user": "Ann@corp.com", "scopes": ["read"]})
    assert (made.status_code, made.json["secret"], made.json["user"]) == (201, None, ANN)  # type: ignore[index]
    rotated = admin("POST", f"/v1/keys/{made.json['id']}/rotate")  # type: ignore[index]
    assert rotated.status_code == 422 and "has no secret to rotate" in rotated.json["detail"]  # type: ignore[index]
    again = admin("POST", "/v1/keys", json={"name": "ann2", "user": ANN, "scopes": ["read"]})
    assert (again.status_code, again.json["code"]) == (409, "name_taken")  # type: ignore[index]
    for token in (entry_of(ANN), ANN, "ann"):
        assert Caller(client, token)("GET", "/v1/models").status_code == 401
    assert DefaultKeys(Keys(redis), lambda _: None).key("ann") is None


@pytest.mark.parametrize(
    "user", ["", "a b", "a,b", "ä@corp.com", "x" * 129, "user:ann", "a\nb", 7, ["ann"], "*@corp.com"]
)
def test_what_no_proxy_can_say_is_no_person(closed: FlaskClient, user: object) -> None:
    answer = Caller(closed)("POST", "/v1/keys", json={"name": "ann", "user": user, "scopes": ["read"]})
    assert answer.status_code == 422
    (error,) = answer.json["errors"]  # type: ignore[index]
    assert (error["field"], error["code"]) == ("user", "not_a_user")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"TRUSTED_USER_HEADER": HEADER}, "needs TRUSTED_PROXIES.*name there the address of the proxy"),
        ({"TRUSTED_USER_HEADER": "X_Forwarded_Email", "TRUSTED_PROXIES": PROXY}, "no name of a header"),
        ({"TRUSTED_USER_HEADER": "X-User: ann", "TRUSTED_PROXIES": PROXY}, "no name of a header"),
        ({"TRUSTED_USER_HEADER": HEADER, "TRUSTED_PROXIES": f"{PROXY},0.0.0.0/0"}, "all addresses"),
        ({"TRUSTED_USER_HEADER": HEADER, "TRUSTED_PROXIES": "::/0"}, "all addresses"),
    ],
)
def test_a_header_that_everybody_could_send_is_refused(environ: Mapping[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings.from_environ(environ)
    assert Settings.from_environ({"TRUSTED_PROXIES": "0.0.0.0/0"}).trusted_user_header == ""


def test_the_command_lets_a_person_in(
    redis: Redis, behind: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", behind.redis_url)
    monkeypatch.setenv("STATE_DIR", str(behind.state_dir))
    assert key_commands.main(["add", "--name", "ann", "--user", ANN, "--scopes", "read"]) == 0
    said = capsys.readouterr()
    assert said.out == "" and f"{ANN} has the rights ann" in said.err
    assert key_commands.main(["list"]) == 0
    assert re.search(rf"^ann .*{ANN}$", capsys.readouterr().out, re.MULTILINE)
    assert key_commands.main(["rotate", "ann"]) == 2


@pytest.fixture
def server(settings: Settings, redis: Redis) -> Iterator[Gateway]:
    let_in(redis, ENTRY)
    with serving(settings, TRUSTED_PROXIES=PROXY, TRUSTED_USER_HEADER=HEADER) as server:
        yield server


def test_a_real_gateway_reads_the_header_as_its_proxy_sends_it(server: Gateway) -> None:
    def status(lines: list[tuple[str, str]], peer: str = PROXY) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60, source_address=(peer, 0))
        connection.putrequest("GET", "/ui")
        for name, value in lines:
            connection.putheader(name, value.encode())
        connection.endheaders()
        answer = connection.getresponse().status
        connection.close()
        return answer

    assert status([(HEADER, ANN)]) == 200
    assert status([(HEADER.lower(), ANN), ("X-Forwarded-For", "192.0.2.7")]) == 200
    assert status([(HEADER, ANN)], STRANGER) == status([]) == status([(HEADER, "")]) == 303
    assert status([("X-Forwarded-For", PROXY), (HEADER, ANN)], STRANGER) == 303
    # A proxy that replaces the header lets other spellings through.
    assert status([("X_Forwarded_Email", ANN)]) == status([("X-Forwarded_Email", ANN)]) == 303
    assert status([(HEADER, BOB), ("X_Forwarded_Email", ANN)]) == 403
    assert status([(HEADER, ANN), (HEADER, BOB)]) == status([(HEADER, ANN), (HEADER, ANN)]) == 403
    assert status([(HEADER, "x" * 300)]) == status([(HEADER, "änn@corp.com")]) == 403
    assert status([(HEADER, "ann\x00@corp.com")]) == status([(HEADER, "ann\x1b@corp.com")]) == 400
    until(lambda: f"ignored {HEADER} from {STRANGER}" in server.log, "the log says it")
    assert server.log.count(f"ignored {HEADER} from") == 1
