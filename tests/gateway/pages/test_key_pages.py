"""The pages of keys: their use, their form, and what is said of keys that expire or name unknown models."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.access.key_use import UseCounts
from broker.link.scripts import Scripts
from contract.settings import Settings
from contract.work.api_keys import Key, Limits, Scope, fingerprint, new_token
from contract.work.jobs import timestamp
from gateway.app import create_app
from gateway.protocols.key_requests import key_request
from tests.gateway.callers import ADMIN_KEY, Caller, store
from tests.gateway.pages.browsers import Browser, words
from tests.support import until

ME = Key("k-me", "ada", "team", frozenset({Scope.READ, Scope.PREDICT}))
PREDICT = "/v1/models/sum/predict"


@pytest.fixture
def admin(closed: FlaskClient) -> Browser:
    browser = Browser(closed.application.test_client())
    browser.sign_in(ADMIN_KEY)
    return browser


def in_days(days: float) -> str:
    return timestamp(datetime.now(UTC) + timedelta(days=days))


def used(client: FlaskClient, redis: Redis, key: Key) -> None:
    """Send three rows and a wrong one."""
    caller = Caller.with_key(client, redis, key)
    for body in (*[{"a": 1, "b": 2}] * 3, {"a": "x"}):
        caller("POST", PREDICT, json=body)
    client.application.extensions["outbox"].flush()


def stored(closed: FlaskClient, key_id: str = "k-me") -> dict[str, Any]:
    key: dict[str, Any] = Caller(closed)("GET", f"/v1/keys/{key_id}").get_json()
    return key


def row(html: str, name: str) -> str:
    """Return the text of the row of a key in the list."""
    rows = [words(part) for part in re.findall(r"<tr>.*?</tr>", html, re.DOTALL)]
    return next(text for text in rows if text.startswith(f"{name} "))


def edit(browser: Browser, key_id: str = "k-me", **changes: Any) -> Any:
    """Send the form of a key's page as it is shown, but for some fields."""
    html = browser.get(f"/ui/keys/{key_id}").text
    form = html[html.index(f'action="/ui/keys/{key_id}"') :]
    form = form[: form.index("</form>")]
    inputs = re.findall(r'<input (?:type="hidden" )?name="([^"]+)"(?: id="[^"]+")? value="([^"]*)"', form)
    fields: dict[str, Any] = {name: unescape(value) for name, value in inputs if name != "token"}
    fields |= {"scopes": re.findall(r'name="scopes" value="(\w+)" checked', form), "expires": "keep"}
    fields["detail"] = re.findall(r"<option selected>(\w+)</option>", form)[0]
    return browser.send(f"/ui/keys/{key_id}", f"/ui/keys/{key_id}", **{**fields, **changes})


def test_the_list_and_the_page_of_a_key_show_its_use(closed: FlaskClient, admin: Browser, redis: Redis) -> None:
    used(closed, redis, ME)
    assert "all 4 25.0 % 3 " in row(admin.get("/ui/keys").text, "ada")
    page = words(admin.get("/ui/keys/k-me").text)
    assert "requests in 30 days 4 of them refused or failed 1 25.0 % rows 3" in page
    assert "sum 100 % 4 1 3" in page
    assert admin.get("/ui/keys/nope").status_code == 404


def test_callers_that_are_no_key_have_a_table(closed: FlaskClient, admin: Browser) -> None:
    Caller(closed)("POST", PREDICT, json={"a": 1, "b": 2})
    closed.application.extensions["outbox"].flush()
    assert "Other callers caller requests errors rows models ADMIN_KEY 1 0 1 sum" in words(admin.get("/ui/keys").text)


def test_a_key_is_edited_and_only_what_was_changed_is(closed: FlaskClient, admin: Browser, redis: Redis) -> None:
    store(redis, new_token(), replace(ME, limits=Limits(rows_waiting=9)))
    before = stored(closed)
    answer = edit(admin, **{"scopes": ["predict"], "models": "sum", "limits.rows_per_second": "100"})
    assert answer.headers["Location"] == "/ui/keys/k-me?changed=1"
    assert "The key is changed" in admin.get("/ui/keys/k-me?changed=1").text
    changed = {"scopes": ["predict"], "models": ["sum"], "limits": {"rows_per_second": 100, "rows_waiting": 9}}
    assert stored(closed) == {**before, **changed}
    edit(admin, **{"limits.rows_waiting": "", "models": "", "expires": "30d", "detail": "terse"})
    after = stored(closed)
    assert (after["models"], after["limits"], after["detail"]) == (None, {"rows_per_second": 100}, "terse")
    assert after["expires_at"] < in_days(31)
    edit(admin, expires="")
    assert stored(closed)["expires_at"] is None
    assert '<th scope="row">changed a key' in admin.get("/ui/audit?action=change_key").text


def test_what_another_admin_changes_while_the_form_is_open_stays(
    closed: FlaskClient, admin: Browser, redis: Redis
) -> None:
    store(redis, new_token(), ME)
    shown = re.findall(r'name="shown" value="([^"]+)"', admin.get("/ui/keys/k-me").text)[0]
    Caller(closed)("PATCH", "/v1/keys/k-me", json={"models": ["sum"], "limits": {"jobs_in_flight": 5}})
    edit(admin, **{"shown": unescape(shown), "models": "", "limits.jobs_in_flight": "", "scopes": ["train"]})
    after = stored(closed)
    assert (after["scopes"], after["models"], after["limits"]) == (["train"], ["sum"], {"jobs_in_flight": 5})


@pytest.mark.parametrize("shown", ["", "[]", "{", "[" * 5000, '"x"'])
def test_any_text_in_a_hidden_field_is_harmless(admin: Browser, redis: Redis, shown: str) -> None:
    store(redis, new_token(), ME)
    assert edit(admin, shown=shown).status_code == 303


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("limits.rows_waiting", "many", "Enter a whole number from 1 to a billion"),
        ("limits.rows_waiting", "0", "Enter a whole number from 1 to a billion"),
        ("limits.rows_waiting", "9" * 5000, "Enter a whole number from 1 to a billion"),
        ("models", "loan@3", "cannot be the name of a model"),
        ("scopes", [], "Choose at least one thing that the key may do."),
        ("expires", "soon", "Expires must be a duration"),
        ("detail", "x", "Detail must be full or terse"),
    ],
)
def test_an_error_stands_at_its_field_and_what_was_entered_stays(
    closed: FlaskClient, admin: Browser, redis: Redis, field: str, value: Any, said: str
) -> None:
    store(redis, new_token(), ME)
    refused = edit(admin, **{field: value})
    assert refused.status_code == 422 and said in unescape(refused.text)
    assert f'id="{field}-wrong"' in refused.text or field == "scopes"
    if field.startswith("limits."):
        assert f'value="{value}"' in refused.text and '<details class="below" open>' in refused.text
    assert stored(closed)["limits"] == {} and stored(closed)["models"] is None


def test_a_key_is_made_with_limits(closed: FlaskClient, admin: Browser) -> None:
    limits = {f"limits.{name}": "7" for name in Limits.__dataclass_fields__}
    made = admin.send("/ui/keys", "/ui/keys", name="ci", scopes="read", detail="terse", **limits)
    (secret,) = re.findall(r"mg_[A-Za-z0-9_-]{43}", made.text)
    (key,) = Caller(closed)("GET", "/v1/keys").get_json()["items"]
    assert key["limits"] == dict.fromkeys(Limits.__dataclass_fields__, 7) and key["detail"] == "terse" and secret
    refused = admin.send("/ui/keys", "/ui/keys", name="b", scopes="read", **{"limits.rows_waiting": "x"})
    assert 'id="limits.rows_waiting-wrong"' in refused.text and refused.status_code == 422


def test_every_limit_has_a_field(admin: Browser) -> None:
    html = admin.get("/ui/keys").text
    assert all(f'name="limits.{name}"' in html for name in Limits.__dataclass_fields__)


def test_the_last_admin_is_told_why_it_keeps_its_scope(settings: Settings, redis: Redis) -> None:
    client = create_app(settings).test_client()
    browser = Browser.with_key(client, redis, replace(ME, scopes=frozenset({Scope.ADMIN})))
    refused = edit(browser, scopes=["read"])
    assert refused.status_code == 409 and "No other key has the scope admin" in refused.text


def test_models_that_do_not_exist_are_named_in_the_list_and_on_the_page(admin: Browser, redis: Redis) -> None:
    store(redis, new_token(), replace(ME, models=frozenset({"sums", "sum"})))
    for path in ("/ui/keys", "/ui/keys/k-me"):
        assert "There is no model 'sums' yet (did you mean 'sum'?)." in words(admin.get(path).text)


def test_keys_that_expire_are_announced_to_admins_and_to_who_uses_them(
    closed: FlaskClient, admin: Browser, redis: Redis
) -> None:
    holder = Browser.with_key(closed, redis, replace(ME, expires_at=in_days(3.5)))
    for key_id, days in (("later", 60), ("soon", 13), ("over", -2)):
        store(redis, new_token(), replace(ME, id=f"k-{key_id}", name=key_id, expires_at=in_days(days)))
    listed = admin.get("/ui/keys").text
    assert "2 keys expire within two weeks: ada in 3 days , soon in 12 days ." in words(listed)
    assert "expired" in row(listed, "over") and "expired" not in row(listed, "later")
    assert "Your key expires in 3 days" in words(holder.get("/ui/jobs").text)
    assert "Ask an admin to extend it" in words(holder.get("/ui").text)
    assert "Your key expires" not in admin.get("/ui/jobs").text
    edit(admin, expires="365d")
    assert "1 key expires within two weeks: soon" in words(admin.get("/ui/keys").text)


def test_a_key_that_was_used_until_it_expired_is_marked(closed: FlaskClient, admin: Browser, redis: Redis) -> None:
    used(closed, redis, ME)
    edit(admin, models="sum")
    Caller(closed)("PATCH", "/v1/keys/k-me", json={"models": None})
    (name,) = [name for name in redis.hkeys("mg-gateway:keys") if b"k-me" in redis.hget("mg-gateway:keys", name)]
    redis.hset("mg-gateway:keys", name, json.dumps({**ME.to_json(), "expires_at": in_days(-1)}))
    assert "expired 1 day ago , was in use" in row(admin.get("/ui/keys").text, "ada")


def test_a_thousand_keys_have_pages_of_fifty_and_a_search(admin: Browser, redis: Redis) -> None:
    key = key_request({"name": "x", "scopes": ["read"]})
    entries = {
        fingerprint(f"t{number}"): json.dumps(
            replace(key, id=f"key_{number}", name=f"key-{number:03}", owner=f"owner-{number % 7}").to_json()
        )
        for number in range(1000)
    }
    redis.hset("mg-gateway:keys", mapping=entries)  # type: ignore[arg-type]
    first = admin.get("/ui/keys").text
    assert first.count('href="/ui/keys/key_') == 50 and "Page 1 of 20, 1,000 keys" in words(first)
    assert "/ui/keys/key_999" in admin.get("/ui/keys?page=20").text
    for number in ("21", "999999999999999999999", "-1", "x"):
        assert "of 20" in admin.get(f"/ui/keys?page={number}").text
    found = admin.get("/ui/keys?q=OWNER-3").text
    assert "Page 1 of 3, 143 keys" in words(found) and 'href="/ui/keys?q=OWNER-3&amp;page=2"' in found
    assert "No matching keys" in admin.get("/ui/keys?q=<b>").text


def callers(browser: Browser) -> str:
    html = browser.get("/ui/models/sum").text
    section = html[html.index('id="callers"') :]
    return words(section[: section.index("</section>")])


def test_the_overview_of_a_model_names_its_callers_to_admins_alone(
    closed: FlaskClient, admin: Browser, redis: Redis
) -> None:
    assert "Nobody has asked it in the last 30 days." in callers(admin)
    for number in range(2):
        used(closed, redis, replace(ME, id=f"k-{number}", name=f"secret-{number}"))
    mine = Browser.with_key(closed, redis, ME)
    used(closed, redis, ME)
    until(lambda: "secret" in callers(admin), "the use")
    seen = callers(admin)
    for name in ("ada", "secret-0", "secret-1"):
        assert f"{name} 33.3 %" in seen
    assert 'href="/ui/keys/k-me"' in admin.get("/ui/models/sum").text
    eve = Browser.with_key(closed, redis, replace(ME, id="k-eve", name="eve"))
    for browser, said in ((mine, "your key 33.3 % 2 other keys 66.7 %"), (eve, "3 other keys 100 %")):
        assert said in callers(browser) and "secret" not in callers(browser)
        assert "/ui/keys" not in browser.get("/ui/models/sum").text
    Caller(closed)("DELETE", "/v1/keys/k-1")
    until(lambda: "a revoked key 33.3 %" in callers(admin), "the revocation")


def test_the_overview_names_ten_callers_and_adds_up_the_others(admin: Browser, redis: Redis) -> None:
    counts = UseCounts()
    for number in range(12):
        for _ in range(number + 1):
            counts.add(f"k{number}", "sum", 1, failed=False)
    Scripts(redis).send(counts.steps())
    assert callers(admin).count("a revoked key") == 10
    assert "2 other keys 3.8 %" in callers(admin)
