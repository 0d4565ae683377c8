"""API keys over HTTP: made, listed, rotated, revoked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from broker.access.key_store import KEYS, USED, Keys
from contract.settings import Settings
from contract.work.api_keys import TOKEN, Key, Scope, fingerprint, new_token
from gateway.app import create_app
from gateway.door import authentication as door_keys
from tests.gateway.door.test_authentication import ADMIN_KEY, bearer
from tests.gateway.problems.test_refusals import problem
from tests.support import until

ROW = {"a": 1, "b": 2}


@pytest.fixture
def admin(settings: Settings) -> FlaskClient:
    """A closed gateway; its client sends the ADMIN_KEY unless a test sends something else."""
    client = create_app(replace(settings, admin_key=ADMIN_KEY)).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ADMIN_KEY}"
    return client


def make(client: FlaskClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/keys", json={"name": "ci", "scopes": ["predict"], **body})
    assert answer.status_code == 201, answer.get_data()
    made: dict[str, Any] = answer.get_json()
    return made


def status(client: FlaskClient, secret: str, path: str = "/v1/jobs") -> int:
    return client.get(path, headers=bearer(secret)).status_code


def test_a_key_is_made_shown_listed_and_revoked(admin: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_keys, "CACHED", 0)
    made = make(admin, models=["sum"], expires="90d", limits={"rows_per_second": 100})
    secret = made.pop("secret")
    assert TOKEN.fullmatch(secret)
    lasts = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert abs(lasts - timedelta(days=90)) < timedelta(minutes=1)
    assert made | {"id": "", "created_at": "", "expires_at": ""} == {
        "id": "",
        "name": "ci",
        "owner": "ci",
        "scopes": ["predict"],
        "models": ["sum"],
        "limits": {"rows_per_second": 100},
        "detail": "terse",
        "created_at": "",
        "expires_at": "",
        "last_used_at": None,
        "warnings": [],
        "previous_secret": None,
        "user": None,
        "use": {"days": 30, "requests": 0, "errors": 0, "rows": 0, "last_request_at": None, "models": []},
    }
    assert admin.get(f"/v1/keys/{made['id']}").get_json() == made
    assert admin.get("/v1/keys").get_json() == {"items": [made], "others": []}
    assert status(admin, secret) == 200
    assert admin.delete(f"/v1/keys/{made['id']}").status_code == 204
    assert status(admin, secret) == 401
    problem(admin.delete(f"/v1/keys/{made['id']}"), 404, "unknown_key")
    problem(admin.get(f"/v1/keys/{made['id']}"), 404, "unknown_key")
    problem(admin.post(f"/v1/keys/{made['id']}/rotate"), 404, "unknown_key")


def test_models_of_a_key_that_do_not_exist_are_named(admin: FlaskClient) -> None:
    made = make(admin, models=["sums", "sum"])
    assert made["warnings"] == ["there is no model 'sums' yet (did you mean 'sum'?)"]
    assert admin.post(f"/v1/keys/{made['id']}/rotate").get_json()["warnings"] == made["warnings"]
    assert make(admin, name="all")["warnings"] == []


def test_a_key_that_shares_the_jobs_of_admin_key_says_so(admin: FlaskClient) -> None:
    assert make(admin, name="admin")["warnings"] == [
        "its owner is 'admin', so it reads, cancels and deletes what ADMIN_KEY has made"
    ]


def test_a_secret_is_answered_once_and_never_stored_by_a_cache(admin: FlaskClient) -> None:
    answer = admin.post("/v1/keys", json={"name": "ci", "scopes": ["read"]})
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Location"] == f"/v1/keys/{answer.get_json()['id']}"
    assert answer.get_json()["secret"] not in admin.get("/v1/keys").get_data(as_text=True)


@pytest.mark.parametrize(
    ("scopes", "detail"), [(["predict"], "terse"), (["predict", "read"], "full"), (["admin"], "full")]
)
def test_errors_say_less_to_a_key_that_may_not_read(admin: FlaskClient, scopes: list[str], detail: str) -> None:
    assert make(admin, scopes=scopes)["detail"] == detail


def test_rotation_keeps_everything_but_the_secret(admin: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_keys, "CACHED", 0)
    made = make(admin, owner="risk", models=["sum"], expires="30d")
    rotated = admin.post(f"/v1/keys/{made['id']}/rotate").get_json()
    assert rotated["secret"] != made["secret"]
    assert {**rotated, "secret": ""} == {**made, "secret": ""}
    assert [status(admin, key["secret"]) for key in (made, rotated)] == [401, 200]


def test_the_previous_secret_works_for_the_overlap(
    admin: FlaskClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_keys, "CACHED", 0)
    first = make(admin)
    second = admin.post(f"/v1/keys/{first['id']}/rotate", json={"overlap": "1h"}).get_json()
    left = datetime.fromisoformat(second["previous_secret"]["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert [status(admin, key["secret"]) for key in (first, second)] == [200, 200]
    third = admin.post(f"/v1/keys/{first['id']}/rotate", json={"overlap": "1s"}).get_json()
    assert [status(admin, key["secret"]) for key in (first, second, third)] == [401, 200, 200]
    until(lambda: status(admin, second["secret"]) == 401, "the end of the overlap")
    assert admin.get(f"/v1/keys/{first['id']}").get_json()["previous_secret"] is None
    make(admin, name="other")
    assert redis.hlen(KEYS) == 2, "a change removes expired secrets"


def test_revoking_also_ends_a_previous_secret(admin: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_keys, "CACHED", 0)
    first = make(admin)
    second = admin.post(f"/v1/keys/{first['id']}/rotate", json={"overlap": "1h"}).get_json()
    admin.delete(f"/v1/keys/{first['id']}")
    assert [status(admin, key["secret"]) for key in (first, second)] == [401, 401]


def test_an_expired_key_is_rotated_with_another_expiry(admin: FlaskClient, redis: Redis) -> None:
    token = new_token()
    Keys(redis).add(
        fingerprint(token), Key("k1", "old", "old", frozenset({Scope.READ}), expires_at="2026-01-01T00:00:00.000000Z")
    )
    problem(admin.get("/v1/models", headers=bearer(token)), 401, "expired_key")
    problem(admin.post("/v1/keys/k1/rotate"), 409, "key_expired")
    rotated = admin.post("/v1/keys/k1/rotate", json={"expires": "1d"}).get_json()
    assert status(admin, rotated["secret"], "/v1/models") == 200


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ([], None, "not_an_object"),
        ({"name": None}, "name", "missing_field"),
        ({"name": "My key"}, "name", "not_a_name"),
        ({"name": "a:b"}, "name", "not_a_name"),
        ({"owner": 3}, "owner", "not_a_name"),
        ({"scopes": None}, "scopes", "not_a_list"),
        ({"scopes": []}, "scopes", "not_a_list"),
        ({"scopes": "predict"}, "scopes", "not_a_list"),
        ({"scopes": ["predictt"]}, "scopes", "unknown_scope"),
        ({"scopes": [["predict"]]}, "scopes", "unknown_scope"),
        ({"models": []}, "models", "not_a_list"),
        ({"models": ["loan@3"]}, "models", "not_a_name"),
        ({"models": ["loan"], "scopes": ["admin"]}, "models", "not_taken"),
        ({"expires": "90"}, "expires", "not_a_time"),
        ({"expires": 90}, "expires", "not_a_time"),
        ({"expires": "2030-01-01T00:00:00"}, "expires", "not_a_time"),
        ({"expires": "2020-01-01T00:00:00Z"}, "expires", "out_of_range"),
        ({"expires": "99999d"}, "expires", "out_of_range"),
        ({"expires": "0001-01-01T00:00:00+23:59"}, "expires", "out_of_range"),
        ({"limits": []}, "limits", "not_an_object"),
        ({"limits": {"rows_per_second": 0}}, "limits.rows_per_second", "out_of_range"),
        ({"limits": {"rows_per_second": True}}, "limits.rows_per_second", "out_of_range"),
        ({"limits": {"rows_per_sec": 1}}, "limits.rows_per_sec", "unknown_field"),
        ({"detail": "short"}, "detail", "unknown_detail"),
        ({"detail": ["full"]}, "detail", "unknown_detail"),
        ({"scope": ["predict"]}, "scope", "unknown_field"),
    ],
)
def test_a_wrong_member_is_named(admin: FlaskClient, body: Any, field: str | None, code: str) -> None:
    sent = {"name": "ci", "scopes": ["predict"], **body} if isinstance(body, dict) else body
    answer = admin.post("/v1/keys", json=sent)
    problem(answer, 422, "invalid_key_request")
    assert [(error["field"], error["code"]) for error in answer.get_json(force=True)["errors"]] == [(field, code)]


def test_every_wrong_member_is_named_at_once(admin: FlaskClient) -> None:
    answer = admin.post("/v1/keys", json={"nme": "ci", "scopes": ["write"], "expires": "soon"})
    messages = {error["field"]: error["message"] for error in answer.get_json(force=True)["errors"]}
    assert messages.keys() == {"nme", "name", "scopes", "expires"}
    assert "did you mean 'name'?" in messages["nme"]


@pytest.mark.parametrize("body", [{"overlap": "31d"}, {"overlap": 60}, {"overlap": "1"}, {"owner": "risk"}])
def test_a_wrong_rotation_is_refused(admin: FlaskClient, body: dict[str, Any]) -> None:
    made = make(admin)
    problem(admin.post(f"/v1/keys/{made['id']}/rotate", json=body), 422, "invalid_key_request")


def test_a_body_that_is_not_json_is_refused(admin: FlaskClient) -> None:
    problem(admin.post("/v1/keys", data="name=ci"), 400, "malformed_body")
    problem(admin.post("/v1/keys", data='{"name": "a", "name": "b", "scopes": ["read"]}'), 422, "invalid_key_request")


def test_two_keys_cannot_have_one_name(admin: FlaskClient) -> None:
    make(admin)
    problem(admin.post("/v1/keys", json={"name": "ci", "scopes": ["read"]}), 409, "name_taken")


def test_only_one_of_many_admins_gets_a_name_that_all_ask_for_at_once(admin: FlaskClient) -> None:
    def post(_: int) -> TestResponse:
        client = admin.application.test_client()
        return client.post("/v1/keys", json={"name": "ci", "scopes": ["read"]}, headers=bearer(ADMIN_KEY))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(16)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 15
    assert len(admin.get("/v1/keys").get_json()["items"]) == 1


def test_many_keys_made_at_once_are_all_there(admin: FlaskClient) -> None:
    def post(number: int) -> str:
        client = admin.application.test_client()
        body = {"name": f"k{number}", "scopes": ["read"]}
        secret: str = client.post("/v1/keys", json=body, headers=bearer(ADMIN_KEY)).get_json()["secret"]
        return secret

    with ThreadPoolExecutor(8) as pool:
        secrets = list(pool.map(post, range(16)))
    assert [status(admin, secret) for secret in secrets] == [200] * 16


def test_there_are_at_most_a_thousand_keys(admin: FlaskClient, redis: Redis) -> None:
    first = make(admin, name="k0")
    entry = redis.hget(KEYS, fingerprint(first["secret"])).decode()  # type: ignore[union-attr]
    others = {f"f{n}": entry.replace(first["id"], f"key_{n}").replace('"k0"', f'"k{n}"') for n in range(1, 1000)}
    redis.hset(KEYS, mapping=others)
    problem(admin.post("/v1/keys", json={"name": "more", "scopes": ["read"]}), 409, "too_many_keys")
    assert admin.post(f"/v1/keys/{first['id']}/rotate").status_code == 200
    assert admin.delete("/v1/keys/key_5").status_code == 204
    make(admin, name="more")


def test_keys_can_be_revoked_and_rotated_while_redis_is_full(
    admin: FlaskClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_keys, "CACHED", 0)
    first, other = make(admin, name="one"), make(admin, name="other")
    redis.config_set("maxmemory", 1)
    try:
        assert admin.delete(f"/v1/keys/{first['id']}").status_code == 204
        rotated = admin.post(f"/v1/keys/{other['id']}/rotate", json={"overlap": "1h"}).get_json()
    finally:
        redis.config_set("maxmemory", 0)
    assert [status(admin, key["secret"]) for key in (first, other, rotated)] == [401, 200, 200]


def test_the_last_use_is_shown_and_reported_once_a_minute(admin: FlaskClient, redis: Redis) -> None:
    outbox = admin.application.extensions["outbox"]
    made = make(admin)
    assert status(admin, made["secret"]) == 200
    outbox.flush()
    shown = admin.get(f"/v1/keys/{made['id']}").get_json()["last_used_at"]
    assert datetime.now(UTC) - datetime.fromisoformat(shown) < timedelta(seconds=30)
    redis.delete(USED)
    assert status(admin, made["secret"]) == 200
    outbox.flush()
    assert not redis.exists(USED)


def test_a_late_report_leaves_nothing_of_a_revoked_key(admin: FlaskClient, redis: Redis) -> None:
    made = make(admin)
    assert status(admin, made["secret"]) == 200
    admin.delete(f"/v1/keys/{made['id']}")
    admin.application.extensions["outbox"].flush()
    assert not redis.exists(USED)


def test_an_entry_that_cannot_be_read_opens_nothing(admin: FlaskClient, redis: Redis) -> None:
    tokens = [new_token() for _ in range(3)]
    for token, text in zip(tokens, ["", "[]", '{"id": "k", "scopes": ["everything"]}'], strict=True):
        redis.hset(KEYS, fingerprint(token), text)
    assert [status(admin, token) for token in tokens] == [401] * 3
    assert admin.get("/v1/keys").get_json() == {"items": [], "others": []}


def change(client: FlaskClient, key_id: str, **body: Any) -> TestResponse:
    return client.patch(f"/v1/keys/{key_id}", json=body)


def test_a_key_is_changed_and_its_secrets_stay(admin: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_keys, "CACHED", 0)
    made = make(admin, expires="30d", limits={"rows_per_second": 5, "rows_waiting": 9})
    second = admin.post(f"/v1/keys/{made['id']}/rotate", json={"overlap": "1h"}).get_json()
    assert [status(admin, key["secret"], "/v1/models") for key in (made, second)] == [403, 403]
    changes = {
        "scopes": ["read"],
        "models": ["sum"],
        "expires": None,
        "limits": {"rows_waiting": None},
        "detail": "full",
    }
    changed = change(admin, made["id"], **changes).get_json()
    assert changed == admin.get(f"/v1/keys/{made['id']}").get_json()
    kept = {name: made[name] for name in ("id", "name", "owner", "created_at")}
    assert kept | {"scopes": ["read"], "models": ["sum"], "expires_at": None, "detail": "full"} == {
        name: changed[name] for name in (*kept, "scopes", "models", "expires_at", "detail")
    }
    assert changed["limits"] == {"rows_per_second": 5}
    assert [status(admin, key["secret"], "/v1/models") for key in (made, second)] == [200, 200]
    assert changed["previous_secret"]["expires_at"] == second["previous_secret"]["expires_at"]
    again = change(admin, made["id"], models=None, limits={"jobs_in_flight": 3}).get_json()
    assert (again["models"], again["limits"]) == (None, {"rows_per_second": 5, "jobs_in_flight": 3})
    assert change(admin, made["id"]).get_json() == again


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"name": "other"}, "name", "unknown_field"),
        ({"owner": "other"}, "owner", "unknown_field"),
        ({"scopes": []}, "scopes", "not_a_list"),
        ({"models": []}, "models", "not_a_list"),
        ({"expires": "soon"}, "expires", "not_a_time"),
        ({"limits": {"rows_waiting": 0}}, "limits.rows_waiting", "out_of_range"),
        ({"detail": "short"}, "detail", "unknown_detail"),
        ({"scopes": ["admin"]}, "models", "not_taken"),
    ],
)
def test_a_wrong_member_of_a_change_is_named(admin: FlaskClient, body: Any, field: str, code: str) -> None:
    made = make(admin, models=["sum"])
    answer = change(admin, made["id"], **body)
    problem(answer, 422, "invalid_key_request")
    assert [(error["field"], error["code"]) for error in answer.get_json(force=True)["errors"]] == [(field, code)]
    unchanged = admin.get(f"/v1/keys/{made['id']}").get_json()
    assert unchanged == {name: value for name, value in made.items() if name != "secret"}


def test_only_a_key_that_exists_is_changed(admin: FlaskClient) -> None:
    problem(change(admin, "key_0", scopes=["read"]), 404, "unknown_key")
    problem(admin.patch("/v1/keys/key_0", data="x"), 400, "malformed_body")


def test_the_last_admin_keeps_its_scope_unless_there_is_an_admin_key(
    client: FlaskClient, admin: FlaskClient, redis: Redis
) -> None:
    first = client.post("/v1/keys", json={"name": "me", "scopes": ["admin"]}).get_json()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {first['secret']}"
    problem(change(client, first["id"], scopes=["read"]), 409, "last_admin")
    over = Key("k1", "over", "over", frozenset({Scope.ADMIN}), expires_at="2026-01-01T00:00:00.000000Z")
    Keys(redis).add(fingerprint(new_token()), over)
    second = make(client, name="two", scopes=["admin", "read"])
    assert change(client, second["id"], scopes=["read"]).status_code == 200
    problem(change(client, first["id"], scopes=["read"]), 409, "last_admin")
    assert change(admin, first["id"], scopes=["read"]).status_code == 200


def test_changes_of_many_admins_at_once_all_stay(admin: FlaskClient) -> None:
    made = make(admin)
    limits = ["rows_per_second", "rows_waiting", "jobs_in_flight", "trainings_waiting", "upload_mb_per_day"]

    def patch(limit: str) -> int:
        client = admin.application.test_client()
        body = {"limits": {limit: 7}}
        return client.patch(f"/v1/keys/{made['id']}", json=body, headers=bearer(ADMIN_KEY)).status_code

    with ThreadPoolExecutor(5) as pool:
        assert set(pool.map(patch, limits)) == {200}
    assert admin.get(f"/v1/keys/{made['id']}").get_json()["limits"] == dict.fromkeys(limits, 7)


def test_who_makes_the_first_key_learns_that_nobody_is_an_admin_then(settings: Settings) -> None:
    client = create_app(settings).test_client()
    made = client.post("/v1/keys", json={"name": "ci", "scopes": ["predict"]})
    assert made.status_code == 201
    assert made.get_json()["warnings"] == [
        "no key opens everything; one for yourself does: python -m gateway key add --name me --scopes admin"
    ]
