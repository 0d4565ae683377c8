"""API keys at the door: who passes, and who does not."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from broker.access.key_store import KEYS, USED, Keys
from broker.sides.supervisor import Leases
from contract.work.api_keys import EVERYBODY, NOBODY, TOKEN, Key, Scope, fingerprint, new_token
from gateway.door import attempts as door_attempts
from gateway.door import authentication as door_keys
from gateway.door.attempts import MOST_FAILURES, WINDOW, FailedAttempts
from gateway.http.rules import Level, RouteLevel
from tests.gateway.callers import ADMIN_KEY, store
from tests.gateway.problems.test_refusals import problem
from tests.support import DEADLINE, Clock

PATH = "/v1/models/sum/predict"
ROW = {"a": 1, "b": 2}

REPRESENTATIVES = {
    Level.OPEN: ("GET", "/health/live", 200),
    Level.OWN: ("GET", "/v1/jobs", 200),
    Scope.READ: ("GET", "/v1/models", 200),
    Scope.PREDICT: ("POST", PATH, 202),
    Scope.TRAIN: ("DELETE", "/v1/models/sum/schedule", 404),
    Scope.PUBLISH: ("DELETE", "/v1/models/sum/versions/9", 404),
    Scope.APPROVE: ("POST", "/v1/models/nope/promotions/p1/reject", 404),
    Scope.LOG: ("GET", "/v1/models/sum/predictions?limit=0", 400),
    Scope.ADMIN: ("GET", "/v1/keys", 200),
}
"""A request for each level, and its status once it has passed the door."""


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request reads its key again."""
    monkeypatch.setattr(door_keys, "CACHED", 0)


@pytest.fixture
def for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was read is known for as long as a test takes."""
    monkeypatch.setattr(door_keys, "CACHED", DEADLINE)


def made(redis: Redis, *scopes: Scope, **changes: object) -> str:
    """Make a key, and return it as its holder has it."""
    token = new_token()
    key = Key("k1", "ci", "ci", frozenset(scopes))
    store(redis, token, replace(key, **changes))  # type: ignore[arg-type]
    return token


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def send(client: FlaskClient, level: RouteLevel, headers: dict[str, str]) -> TestResponse:
    method, path, _ = REPRESENTATIVES[level]
    return client.open(path, method=method, json=ROW if method == "POST" else None, headers=headers)


def test_a_request_without_a_key_is_refused(closed: FlaskClient) -> None:
    refused = closed.post(PATH, json=ROW)
    assert (refused.status_code, refused.json["code"]) == (401, "missing_key")
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert closed.get("/health/live").status_code == 200


def test_the_admin_key_opens_everything(closed: FlaskClient) -> None:
    assert closed.post(PATH, json=ROW, headers=bearer(ADMIN_KEY)).status_code == 202
    assert closed.get("/v1/models", headers={"X-API-Key": ADMIN_KEY}).status_code == 200


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("level", [*Level, *Scope])
def test_a_scope_opens_the_routes_of_its_level_only(
    closed: FlaskClient, redis: Redis, level: RouteLevel, scope: Scope
) -> None:
    answer = send(closed, level, bearer(made(redis, scope)))
    if level in (Level.OPEN, Level.OWN) or scope in (Scope.ADMIN, str(level)):
        assert answer.status_code == REPRESENTATIVES[level][2]
    else:
        assert (answer.status_code, answer.json["code"], answer.json["scope"]) == (403, "missing_scope", str(level))


@pytest.mark.parametrize("level", [Level.OWN, *Scope])
def test_requests_with_no_key_an_unknown_a_revoked_or_an_expired_one_are_refused(
    closed: FlaskClient, redis: Redis, at_once: None, level: RouteLevel
) -> None:
    problem(send(closed, level, {}), 401, "missing_key")
    problem(send(closed, level, bearer(new_token())), 401, "invalid_key")
    token = made(redis, Scope.ADMIN)
    assert send(closed, level, bearer(token)).status_code == REPRESENTATIVES[level][2]
    redis.hdel(KEYS, fingerprint(token))
    problem(send(closed, level, bearer(token)), 401, "invalid_key")
    expired = made(redis, Scope.ADMIN, expires_at="2026-01-01T00:00:00.000000Z")
    problem(send(closed, level, bearer(expired)), 401, "expired_key")


def test_an_address_that_no_route_has_needs_a_key(closed: FlaskClient) -> None:
    problem(closed.get("/v1/none"), 401, "missing_key")
    problem(closed.get("/v1/none", headers=bearer(ADMIN_KEY)), 404, "not_found")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Authorization": "Bearer"}, 401, "missing_key"),
        ({"Authorization": "Bearer "}, 401, "missing_key"),
        ({"Authorization": "Basic YTpi"}, 401, "missing_key"),
        ({"Authorization": "{key}"}, 401, "missing_key"),
        ({"Authorization": "Bearer {key}x"}, 401, "invalid_key"),
        ({"Authorization": "Bearer {key} {key}"}, 401, "invalid_key"),
        ({"Authorization": "Bearer {key},Bearer {key}"}, 401, "invalid_key"),
        ({"Authorization": "Bearer mg_é\x80"}, 401, "invalid_key"),
        ({"Authorization": "Bearer " + "x" * 8000}, 401, "invalid_key"),
        ({"Authorization": "Bearer {digest}"}, 401, "invalid_key"),
        ({"Authorization": "bearer   {key}"}, 200, None),
        ({"X-API-Key": " {key} "}, 200, None),
        ({"Authorization": "Basic YTpi", "X-API-Key": "{key}"}, 200, None),
        ({"Authorization": "Bearer {key}", "X-API-Key": "{key}"}, 200, None),
        ({"Authorization": "Bearer {key}", "X-API-Key": "other"}, 400, "malformed_request"),
    ],
)
def test_a_malformed_header_opens_nothing(
    closed: FlaskClient, redis: Redis, headers: dict[str, str], status: int, code: str | None
) -> None:
    token = made(redis, Scope.READ)
    sent = {name: value.format(key=token, digest=fingerprint(token)) for name, value in headers.items()}
    answer = closed.get("/v1/models", headers=sent)
    assert (answer.status_code, (answer.get_json(force=True)).get("code")) == (status, code)
    assert token not in answer.get_data(as_text=True)


def test_a_key_passes_under_any_host(closed: FlaskClient, redis: Redis) -> None:
    headers = {**bearer(made(redis, Scope.PREDICT)), "Host": "models.example", "Origin": "https://page.example"}
    assert closed.post(PATH, json=ROW, headers=headers).status_code == 202


def test_metrics_need_read_once_there_are_keys(closed: FlaskClient, client: FlaskClient, redis: Redis) -> None:
    assert client.get("/metrics", headers={"Host": "10.0.0.7"}).status_code == 200
    problem(closed.get("/metrics"), 401, "missing_key")
    problem(closed.get("/metrics", headers=bearer(made(redis, Scope.PREDICT))), 403, "missing_scope")
    assert closed.get("/metrics", headers=bearer(made(redis, Scope.READ))).status_code == 200


def test_readiness_names_models_and_workers_only_to_keys_with_read(closed: FlaskClient, redis: Redis) -> None:
    Leases(redis, lease=60).register("secret-worker-0-test")
    redis.hset("mg:rows", "predict:sum", 5)
    redis.sadd("mg:workers", "secret-worker")

    def ready(headers: dict[str, str]) -> Any:
        return closed.get("/health/ready", headers=headers).get_json()

    told = ready(bearer(made(redis, Scope.READ)))
    assert {(reason["code"], reason.get("model")) for reason in told["reasons"]} >= {("queue_full", "sum")}
    others = bearer(made(redis, Scope.READ, models=frozenset({"sum"})))
    for headers in ({}, bearer(made(redis, Scope.PREDICT)), others, bearer(new_token()), {"X-API-Key": "x"}):
        answer = ready(headers)
        assert answer["status"] == told["status"] and answer["models"] == 1
        assert {reason["code"] for reason in answer["reasons"]} == {reason["code"] for reason in told["reasons"]}
        assert all(reason.keys() == {"code", "detail"} for reason in answer["reasons"])
        assert "sum" not in str(answer) and "secret-worker" not in str(answer)


@pytest.mark.usefixtures("for_long")
def test_a_key_is_read_once_in_a_while(closed: FlaskClient, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    find = Keys.find
    monkeypatch.setattr(Keys, "find", lambda keys, digest: (asked.append(digest), find(keys, digest))[1])
    token = made(redis, Scope.READ)
    for _ in range(5):
        assert closed.get("/v1/models", headers=bearer(token)).status_code == 200
    assert asked == [fingerprint(token)]


def known_keys(client: FlaskClient) -> Any:
    """Return the entries of the process's cache of keys."""
    return client.application.extensions["door"].keys._known._entries


def make_due(client: FlaskClient, token: str) -> None:
    """Let the process read a known key again at the next request, as it does after some seconds."""
    known_keys(client)[fingerprint(token)].expires = time.monotonic()


@pytest.mark.usefixtures("for_long")
def test_a_revoked_key_is_refused_once_it_has_to_be_read_again(closed: FlaskClient, redis: Redis) -> None:
    token = made(redis, Scope.READ)
    assert closed.get("/v1/models", headers=bearer(token)).status_code == 200
    redis.hdel(KEYS, fingerprint(token))
    assert closed.get("/v1/models", headers=bearer(token)).status_code == 200, "for a while"
    make_due(closed, token)
    for _ in range(3):
        problem(closed.get("/v1/models", headers=bearer(token)), 401, "invalid_key")


def test_metrics_answer_a_key_in_use_while_redis_is_away(
    closed: FlaskClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or Prometheus could not tell that Redis is down, however long it is."""
    used, fresh, other = made(redis, Scope.READ), made(redis, Scope.READ), made(redis, Scope.PREDICT)
    brief = made(redis, Scope.READ, expires_at="2999-01-01T00:00:00Z")
    for token in (used, other, brief):
        closed.get("/metrics", headers=bearer(token))
    known = known_keys(closed)
    with monkeypatch.context() as patched:
        connection = closed.application.extensions["door"].keys._keys._redis
        patched.setattr(connection, "connection_pool", Redis.from_url("redis://127.0.0.1:1").connection_pool)
        for away in (0, 100 * door_keys.RECENT_USE):
            known[fingerprint(used)].expires = time.monotonic() - away
            assert closed.get("/metrics", headers=bearer(used)).status_code == 200
        problem(closed.get("/metrics", headers=bearer(fresh)), 503, "redis_unavailable")
        make_due(closed, other)
        problem(closed.get("/metrics", headers=bearer(other)), 403, "missing_scope")
        make_due(closed, brief)
        entry = known[fingerprint(brief)]
        entry.value = entry.value._replace(expires=time.time())
        problem(closed.get("/metrics", headers=bearer(brief)), 401, "expired_key")
    redis.hdel(KEYS, fingerprint(used))
    problem(closed.get("/metrics", headers=bearer(used)), 401, "invalid_key")


def test_a_key_that_has_to_be_read_again_is_refused_while_redis_is_away(
    closed: FlaskClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = made(redis, Scope.READ)
    assert closed.get("/v1/models", headers=bearer(token)).status_code == 200
    make_due(closed, token)
    connection = closed.application.extensions["door"].keys._keys._redis
    with monkeypatch.context() as patched:
        patched.setattr(connection, "connection_pool", Redis.from_url("redis://127.0.0.1:1").connection_pool)
        for _ in range(2):
            problem(closed.get("/v1/models", headers=bearer(token)), 503, "redis_unavailable")
        problem(closed.post(PATH, json=ROW, headers=bearer(token)), 503, "redis_unavailable")
        assert closed.get("/v1/models", headers=bearer(ADMIN_KEY)).status_code == 200
        assert closed.get("/health/live", headers=bearer(token)).status_code == 200
    assert closed.get("/v1/models", headers=bearer(token)).status_code == 200


def test_many_keys_and_many_guesses_take_no_memory(closed: FlaskClient, redis: Redis) -> None:
    check = closed.application.extensions["door"].keys
    for number in range(2 * door_keys.MOST + 50):
        check._known.put(f"f{number}", check._used(f"f{number}", EVERYBODY), door_keys.CACHED)
    assert len(check._known) == 2 * door_keys.MOST
    before = len(check._known)
    for number in range(50):
        headers = bearer(new_token())
        closed.get("/v1/models", headers=headers, environ_base={"REMOTE_ADDR": f"10.0.0.{number}"})
    assert len(check._known) == before


def guess(client: FlaskClient, address: str, token: str | None = None) -> TestResponse:
    return client.get("/v1/models", headers=bearer(token or new_token()), environ_base={"REMOTE_ADDR": address})


def test_after_some_guesses_an_address_is_refused_without_a_check(
    closed: FlaskClient, redis: Redis, at_once: None
) -> None:
    used, fresh = made(redis, Scope.READ), made(redis, Scope.READ)
    assert guess(closed, "192.0.2.1", used).status_code == 200
    for _ in range(MOST_FAILURES):
        problem(guess(closed, "192.0.2.1"), 401, "invalid_key")
    refused = guess(closed, "192.0.2.1")
    problem(refused, 429, "too_many_attempts")
    assert 0 < int(refused.headers["Retry-After"]) <= WINDOW
    assert guess(closed, "192.0.2.1", used).status_code == 200, "a key in use works on"
    problem(guess(closed, "192.0.2.1", fresh), 429, "too_many_attempts")
    problem(guess(closed, "192.0.2.1", ADMIN_KEY), 429, "too_many_attempts")
    assert guess(closed, "192.0.2.2", fresh).status_code == 200, "from elsewhere it works"
    assert guess(closed, "192.0.2.1", fresh).status_code == 200, "it is in use now"


def test_guesses_lock_out_no_key_that_has_answered_at_another_gateway_within_a_day(
    closed: FlaskClient, redis: Redis, at_once: None
) -> None:
    """Or one client behind a proxy would lock out all others after each start of a gateway."""
    used, old = made(redis, Scope.READ), made(redis, Scope.READ)
    for token, days in ((used, 0.9), (old, 1.1)):
        redis.hset(USED, fingerprint(token), int(time.time() - 86_400 * days))
    for _ in range(MOST_FAILURES):
        guess(closed, "192.0.2.1")
    assert guess(closed, "192.0.2.1", used).status_code == 200
    for token in (old, new_token()):
        problem(guess(closed, "192.0.2.1", token), 429, "too_many_attempts")


def test_a_request_without_a_key_is_no_guess(closed: FlaskClient) -> None:
    for _ in range(MOST_FAILURES + 5):
        problem(closed.get("/v1/models"), 401, "missing_key")
    problem(guess(closed, "127.0.0.1"), 401, "invalid_key")


def test_guesses_are_counted_and_audited(closed: FlaskClient, redis: Redis) -> None:
    for _ in range(MOST_FAILURES + 3):
        guess(closed, "192.0.2.1")
    closed.application.extensions["outbox"].flush()
    counts: Any = redis.hgetall("mg:counts:gateway")
    refusals = {name.decode(): int(value) for name, value in counts.items() if b"refusals" in name}
    assert refusals == {"refusals_total|invalid_key": MOST_FAILURES, "refusals_total|too_many_attempts": 3}
    listed = closed.get("/v1/audit?outcome=refused", headers=bearer(ADMIN_KEY)).get_json()["items"]
    assert {(entry["client"], entry["code"]) for entry in listed} == {
        ("192.0.2.1", "invalid_key"),
        ("192.0.2.1", "too_many_attempts"),
    }


def test_guesses_at_open_routes_count_as_everywhere(closed: FlaskClient, redis: Redis) -> None:
    redis.hset("mg:rows", "predict:sum", 5)

    def told(token: str) -> bool:
        answer = closed.get("/health/ready", headers=bearer(token), environ_base={"REMOTE_ADDR": "192.0.2.1"})
        return any("model" in reason for reason in answer.get_json()["reasons"])

    assert told(made(redis, Scope.READ))
    for _ in range(MOST_FAILURES + 3):
        assert not told(new_token())
    assert not told(made(redis, Scope.READ)), "it is not checked any more"
    problem(guess(closed, "192.0.2.1"), 429, "too_many_attempts")
    closed.application.extensions["outbox"].flush()
    counts: Any = redis.hgetall("mg:counts:gateway")
    assert int(counts[b"refusals_total|invalid_key"]) == MOST_FAILURES
    listed = closed.get("/v1/audit?outcome=refused&code=invalid_key", headers=bearer(ADMIN_KEY)).get_json()["items"]
    assert [(entry["client"], entry["route"]) for entry in listed] == [("192.0.2.1", "GET /health/ready")]


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


def fail(attempts: FailedAttempts, address: str, times: int = MOST_FAILURES) -> None:
    for _ in range(times):
        attempts.add(address)


def test_a_minute_after_the_first_guess_an_address_may_try_again(clock: Clock) -> None:
    attempts = FailedAttempts(clock)
    fail(attempts, "192.0.2.1")
    assert attempts.wait("192.0.2.1") == WINDOW
    clock.now += WINDOW - 1
    assert attempts.wait("192.0.2.1") == 1
    clock.now += 1
    assert attempts.wait("192.0.2.1") == 0
    attempts.add("192.0.2.1")
    assert attempts.wait("192.0.2.1") == 0, "it counts from 1 again"


def test_addresses_of_one_ipv6_network_count_together(clock: Clock) -> None:
    attempts = FailedAttempts(clock)
    for number in range(MOST_FAILURES):
        attempts.add(f"2001:db8:1:2::{number:x}")
    assert attempts.wait("2001:db8:1:2:ffff::1") > 0
    assert attempts.wait("2001:db8:1:3::1") == 0
    fail(attempts, "::ffff:192.0.2.1")
    assert attempts.wait("192.0.2.1") > 0
    fail(attempts, "not an address: at all")
    assert attempts.wait("not an address: at all") > 0


def test_the_addresses_that_are_counted_are_limited(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_attempts, "MOST_ADDRESSES", 3)
    attempts = FailedAttempts(clock)
    for number in range(5):
        fail(attempts, f"192.0.2.{number}")
    assert [attempts.wait(f"192.0.2.{number}") > 0 for number in range(5)] == [False, False, True, True, True]
    clock.now += WINDOW
    attempts.forget()
    assert attempts._counts == {}


def test_secrets_have_256_random_bits_and_one_form() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000 and all(map(TOKEN.fullmatch, tokens))
    assert NOBODY.scopes == frozenset()


@pytest.mark.usefixtures("for_long")
def test_the_check_of_a_key_that_expires_meanwhile_does_not_wait_for_redis(closed: FlaskClient, redis: Redis) -> None:
    token = made(redis, Scope.READ)
    assert closed.get("/v1/models", headers=bearer(token)).status_code == 200
    entry = known_keys(closed)[fingerprint(token)]
    entry.value = entry.value._replace(expires=time.time() - 1)
    problem(closed.get("/v1/models", headers=bearer(token)), 401, "expired_key")
