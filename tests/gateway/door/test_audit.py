"""The audit log: each privileged action leaves one entry, refusals are counted, and no caller can spoil either."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.access.audit_log import FIELDS, AuditEntry, AuditLog, Outcome, Stream
from broker.link.connection import connect
from broker.link.scripts import Scripts
from contract.settings import Settings
from contract.work.api_keys import Key, Limits, Scope, new_token
from contract.work.training import RepositoryCommand
from gateway.app import create_app
from gateway.door import audit as door_audit
from gateway.door.attempts import MOST_FAILURES
from gateway.door.audit import MOST_GROUPS, SUMMARY_EVERY, Repetitions
from gateway.http.operations import Operation
from gateway.http.rules import Route
from runtime.logs import AUDIT
from tests.broker import samples
from tests.docs.test_http_api import PAGE
from tests.gateway.callers import ADMIN_KEY, store
from tests.gateway.conftest import without_redis
from tests.gateway.log_lines import LogLines, recorded

ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}
ROW = {"a": 1, "b": 2}
MODEL = "/v1/models/sum"


@pytest.fixture
def lines() -> Iterator[LogLines]:
    with recorded(AUDIT) as lines:
        yield lines


def answer(command: RepositoryCommand) -> dict[str, Any]:
    """Answer a command as the trainer does."""
    return {"name": command.model, "version": 3, "versions": [1, 3], "aliases": {"current": 3}, "warnings": []}


@pytest.fixture
def client(settings: Settings, redis: Redis) -> FlaskClient:
    """A closed gateway that takes uploads, and a trainer that obeys every command."""
    samples.trainer(redis, ["sum", "tabular"])
    closed = replace(settings, admin_key=ADMIN_KEY, allow_upload="1")
    return create_app(closed, answer).test_client()


def flush(client: FlaskClient) -> None:
    client.application.extensions["outbox"].flush()


LESSER = (Stream.OTHERS, Stream.ANYBODY)
"""The streams of entries that took no privilege."""


def entries(redis: Redis, *streams: str) -> list[dict[str, Any]]:
    """Return the entries of some streams, one after the other; by default those of privileged actions."""
    stored: Any = [entry for stream in streams or (Stream.PRIVILEGED,) for entry in redis.xrange(stream)]
    return [json.loads(values[b"entry"]) for _, values in stored]


def key(redis: Redis, *scopes: Scope) -> dict[str, str]:
    """Make a key, and return the header that sends it."""
    token = new_token()
    store(redis, token, Key("k1", "ci", "risk", frozenset(scopes)))
    return {"Authorization": f"Bearer {token}"}


KEY = "/v1/keys/k1"
ACTIONS: dict[str, tuple[Callable[[FlaskClient, dict[str, str]], Any], dict[str, Any]]] = {
    "train": (
        lambda client, headers: client.post(f"{MODEL}/train", json={"recipe": "sum"}, headers=headers),
        {"model": "sum", "status": 202, "route": "POST /v1/models/<name>/train"},
    ),
    "set_schedule": (
        lambda client, headers: client.put(f"{MODEL}/schedule", json={"cron": "0 3 * * 1"}, headers=headers),
        {"model": "sum", "status": 200},
    ),
    "move_alias": (
        lambda client, headers: client.put(f"{MODEL}/aliases/canary", json={"version": 1}, headers=headers),
        {"model": "sum", "version": 1, "alias": "canary", "status": 200},
    ),
    "delete_alias": (
        lambda client, headers: client.delete(f"{MODEL}/aliases/canary", headers=headers),
        {"model": "sum", "alias": "canary", "status": 200},
    ),
    "roll_back": (
        lambda client, headers: client.post(f"{MODEL}/rollback", headers=headers),
        {"model": "sum", "version": 3, "status": 200},
    ),
    "delete_version": (
        lambda client, headers: client.delete(f"{MODEL}/versions/1", headers=headers),
        {"model": "sum", "version": 1, "status": 200},
    ),
    "remove_model": (
        lambda client, headers: client.delete(f"{MODEL}?confirm=sum", headers=headers),
        {"model": "sum", "status": 200},
    ),
    "make_key": (
        lambda client, headers: client.post("/v1/keys", json={"name": "new", "scopes": ["read"]}, headers=headers),
        {"status": 201, "route": "POST /v1/keys"},
    ),
    "rotate_key": (lambda client, headers: client.post(f"{KEY}/rotate", headers=headers), {"on_key": "k1"}),
    "change_key": (
        lambda client, headers: client.patch(KEY, json={"detail": "terse"}, headers=headers),
        {"on_key": "k1", "route": "PATCH /v1/keys/<key_id>"},
    ),
    "revoke_key": (lambda client, headers: client.delete(KEY, headers=headers), {"on_key": "k1", "status": 204}),
    "upload": (
        lambda client, headers: client.post(
            f"{MODEL}/versions", data={"file": (io.BytesIO(b"x"), "x.pkl")}, headers=headers
        ),
        {"model": "sum", "version": 3, "status": 201},
    ),
    "edit_signature": (
        lambda client, headers: client.post(
            f"{MODEL}/versions",
            json={"from": 1, "signature": {"inputs": {"a": {"kind": "string"}}}},
            headers=headers,
        ),
        {"model": "sum", "version": 3, "status": 201},
    ),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_privileged_action_has_one_entry_and_one_line(
    client: FlaskClient, redis: Redis, lines: LogLines, action: str
) -> None:
    headers = {**key(redis, Scope.TRAIN, Scope.PUBLISH, Scope.ADMIN), "X-Request-ID": "deploy-17"}
    act, expected = ACTIONS[action]
    answered = act(client, headers)
    assert answered.status_code < 300, answered.text
    (entry,) = entries(redis)
    assert {name: entry[name] for name in ("action", "actor", "owner", "key_id", "client", "request_id")} == {
        "action": action,
        "actor": "ci",
        "owner": "risk",
        "key_id": "k1",
        "client": "127.0.0.1",
        "request_id": "deploy-17",
    }
    assert (entry["outcome"], entry["code"], entry["count"]) == ("done", None, 1)
    assert {name: entry[name] for name in expected} == expected
    if action == "make_key":
        assert entry["on_key"] == answered.json["id"] and answered.json["secret"] not in str(entry)
    if action == "train":
        assert entry["job_id"] == answered.json["id"]
    (line,) = lines.events
    assert line["level"] == "info" and line["action"] == action
    assert {name: line.get(name) for name in FIELDS} == entry
    flush(client)
    assert entries(redis, *LESSER) == [] and len(entries(redis)) == 1


def test_a_deleted_schedule_has_an_entry_and_a_missing_one_a_failure(client: FlaskClient, redis: Redis) -> None:
    client.put(f"{MODEL}/schedule", json={"cron": "0 3 * * 1"}, headers=ADMIN)
    for _ in range(2):
        client.delete(f"{MODEL}/schedule", headers=ADMIN)
    flush(client)
    assert [entry["action"] for entry in entries(redis)] == ["set_schedule", "delete_schedule"]
    (failed,) = entries(redis, *LESSER)
    assert (failed["action"], failed["status"], failed["code"]) == ("delete_schedule", 404, "no_schedule")


def test_the_reference_has_every_action_that_a_route_declares(client: FlaskClient) -> None:
    declared = {
        rule.audit if isinstance(rule.audit, str) else "upload"
        for rule in client.application.url_map.iter_rules()
        if isinstance(rule, Route) and rule.audit
    }
    assert {*ACTIONS, "delete_schedule", "delete_job"} <= declared | {"edit_signature"}
    assert [action for action in sorted(declared) if f"`{action}`" not in PAGE] == []


def test_an_installation_without_keys_has_the_audit_log_too(settings: Settings, redis: Redis) -> None:
    client = create_app(settings, answer).test_client()
    client.put(f"{MODEL}/aliases/canary", json={"version": 1})
    (entry,) = entries(redis)
    assert (entry["actor"], entry["owner"], entry["key_id"]) == ("anonymous", None, None)
    assert client.get("/v1/audit").json["items"][0]["action"] == "move_alias"


def test_a_cancelled_job_has_an_entry_that_displaces_no_privileged_one(client: FlaskClient, redis: Redis) -> None:
    job = client.post(f"{MODEL}/predict", json=ROW, headers=ADMIN).json
    assert client.delete(f"/v1/jobs/{job['id']}", headers=ADMIN).status_code == 200
    assert entries(redis) == []
    (entry,) = entries(redis, *LESSER)
    assert (entry["action"], entry["job_id"], entry["status"]) == ("delete_job", job["id"], 200)


def test_reads_and_predictions_have_no_entry(client: FlaskClient, redis: Redis, lines: LogLines) -> None:
    assert client.get("/v1/models", headers=ADMIN).status_code == 200
    assert client.post(f"{MODEL}/predict", json=ROW, headers=ADMIN).status_code == 202
    assert client.post(f"{MODEL}/predict", json={"a": "x"}, headers=ADMIN).status_code == 422
    assert client.options(f"{MODEL}/rollback", headers=ADMIN).status_code == 200
    flush(client)
    assert entries(redis) == entries(redis, *LESSER) == lines.events == []


def test_refused_and_failed_requests_have_an_entry(client: FlaskClient, redis: Redis) -> None:
    headers = key(redis, Scope.PUBLISH)
    assert client.get("/v1/models").status_code == 401
    assert client.post(f"{MODEL}/train", headers=headers).status_code == 403
    assert client.put(f"{MODEL}/aliases/canary", json={"version": "x"}, headers=headers).status_code == 422
    flush(client)
    refusals = [(e["action"], e["outcome"], e["status"], e["code"], e["route"]) for e in entries(redis, *LESSER)]
    assert refusals == [
        ("train", "refused", 403, "missing_scope", "POST /v1/models/<name>/train"),
        ("move_alias", "failed", 422, "invalid_body", "PUT /v1/models/<name>/aliases/<alias>"),
        ("request", "refused", 401, "missing_key", "GET /v1/models"),
    ]
    assert entries(redis) == []


def test_requests_beyond_a_limit_are_counted_by_key_or_address(client: FlaskClient, redis: Redis) -> None:
    token = new_token()
    limits = Limits(jobs_in_flight=1)
    store(redis, token, Key("k1", "ci", "risk", frozenset({Scope.PREDICT}), limits=limits))
    for _ in range(4):
        client.post(f"{MODEL}/predict", json=ROW, headers={"X-API-Key": token})
    for _ in range(MOST_FAILURES + 3):
        client.get("/v1/models", headers={"X-API-Key": "guess"})
    client.application.extensions["repetitions"].close()
    flush(client)
    counts: dict[tuple[Any, ...], int] = {}
    for entry in entries(redis, *LESSER):
        what = (entry["status"], entry["code"], entry["key_id"], entry["client"])
        counts[what] = counts.get(what, 0) + entry["count"]
    assert counts == {
        (429, "jobs_in_flight_limit", "k1", "127.0.0.1"): 3,
        (401, "invalid_key", None, "127.0.0.1"): MOST_FAILURES,
        (429, "too_many_attempts", None, "127.0.0.1"): 3,
    }


def test_guesses_are_counted(redis: Redis, lines: LogLines) -> None:
    now = [0.0]
    repetitions = Repetitions(AuditLog(redis, 90), clock=lambda: now[0])

    def write() -> None:
        if steps := repetitions.steps():
            Scripts(redis).send(steps)

    guess = AuditEntry("request", "anonymous", Outcome.REFUSED, client="192.0.2.7", status=401, code="invalid_key")
    for _ in range(10_000):
        repetitions.add(guess)
    write()
    assert [entry["count"] for entry in entries(redis, *LESSER)] == [1]
    now[0] = SUMMARY_EVERY
    write()
    assert [entry["count"] for entry in entries(redis, *LESSER)] == [1, 9999]
    now[0] *= 2
    write()
    repetitions.add(guess)
    write()
    assert [entry["count"] for entry in entries(redis, *LESSER)] == [1, 9999, 1]
    assert [event["count"] for event in lines.events] == [1, 9999, 1]


def test_guesses_from_many_addresses_cost_bounded_memory(redis: Redis) -> None:
    now = [0.0]
    repetitions = Repetitions(AuditLog(redis, 90), clock=lambda: now[0])
    for number in range(5000):
        address = f"192.0.{number // 256}.{number % 256}"
        repetitions.add(AuditEntry("request", "anonymous", Outcome.REFUSED, client=address, code="invalid_key"))
    (call,) = repetitions.steps()
    assert len(call.args) == 4 + 2 * (MOST_GROUPS + 1)
    now[0] = SUMMARY_EVERY
    (call,) = repetitions.steps()
    (entry,) = map(json.loads, call.args[5::2])  # type: ignore[arg-type]
    assert (entry["client"], entry["count"]) == (None, 5000 - MOST_GROUPS - 1)


def test_an_attack_without_a_key_hides_no_refusals_of_keys(redis: Redis) -> None:
    repetitions = Repetitions(AuditLog(redis, 90))
    for number in range(MOST_GROUPS + 5):
        repetitions.add(AuditEntry("request", "anonymous", Outcome.REFUSED, client=str(number), code="missing_key"))
    stolen = AuditEntry("train", "ci", Outcome.REFUSED, owner="team", key_id="k1", client="x", code="missing_scope")
    repetitions.add(stolen)
    for number in range(MOST_GROUPS + 5):
        repetitions.add(replace(stolen, client=str(number)))
    (call,) = repetitions.steps()
    written = [json.loads(text) for text in call.args[5::2]]  # type: ignore[arg-type]
    of_key = [(entry["action"], entry["actor"], entry["client"]) for entry in written if entry["key_id"] == "k1"]
    assert of_key[0] == ("train", "ci", "x")
    assert of_key[-1] == ("request", "ci", None) and len(of_key) == MOST_GROUPS + 1


@pytest.mark.parametrize("scope", [scope for scope in Scope if scope is not Scope.ADMIN])
def test_only_an_admin_reads_the_audit_log(client: FlaskClient, redis: Redis, scope: Scope) -> None:
    assert client.get("/v1/audit", headers=key(redis, scope)).status_code == 403
    assert client.get("/v1/audit").status_code == 401


def test_an_entry_has_all_fields_and_a_time(client: FlaskClient) -> None:
    client.put(f"{MODEL}/aliases/canary", json={"version": 1}, headers=ADMIN)
    (item,) = client.get("/v1/audit", headers=ADMIN).json["items"]
    assert list(item) == ["id", "time", *FIELDS]
    assert item["actor"] == "ADMIN_KEY" and item["time"].endswith("Z")


def test_pages_and_filters(client: FlaskClient, redis: Redis) -> None:
    log = AuditLog(redis, 90)
    for number in range(60):
        entry = AuditEntry(["train", "import"][number % 2], "ci", model=f"m{number % 3}", job_id=str(number))
        log.write(entry, privileged=number % 5 > 0)
    seen: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = client.get(f"/v1/audit?limit=7{cursor}", headers=ADMIN).json
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(int(item["job_id"]) for item in seen) == [*range(60)]
    times = [item["time"] for item in seen]
    assert times == sorted(times, reverse=True) and len(set(times)) > 5
    page = client.get("/v1/audit?action=train&model=m1&limit=500", headers=ADMIN).json
    assert {int(item["job_id"]) % 6 for item in page["items"]} == {4} and len(page["items"]) == 10
    middle = seen[30]["time"]
    later, earlier = (
        client.get("/v1/audit", query_string={name: middle, "limit": "500"}, headers=ADMIN).json["items"]
        for name in ("since", "until")
    )
    assert later + earlier == seen and earlier and all(item["time"] >= middle for item in later)
    assert client.get("/v1/audit?until=1970-01-01T00:00:00Z", headers=ADMIN).json["items"] == []
    bad_times = ("since=x", "until=2026-01-02T03:04:05", "since=1e99")
    for bad in (*bad_times, "limit=0", "limit=501", "limit=x", "cursor=x", "cursor=1-1-7", "who=ci", "outcome="):
        assert client.get(f"/v1/audit?{bad}", headers=ADMIN).json["code"] == "invalid_parameter", bad


def test_an_unknown_outcome_is_refused_with_the_known_ones(client: FlaskClient) -> None:
    answer = client.get("/v1/audit?outcome=denied", headers=ADMIN)
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_parameter")
    assert answer.json["detail"] == "outcome='denied' is none of done, refused, failed"
    assert client.get("/v1/audit?outcome=refused", headers=ADMIN).status_code == 200


def test_a_rare_entry_is_found_among_many_over_several_pages(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.access.audit_log._LOOK", 5)
    monkeypatch.setattr("broker.access.audit_log._LOOKS", 3)
    log = AuditLog(redis, 90)
    log.write(AuditEntry("import", "inbox", model="rare"))
    for number in range(100):
        log.write(AuditEntry("train", "ci"), privileged=number % 3 > 0)
    items, cursor, pages = [], None, 0
    while cursor or not pages:
        page = log.page({"model": "rare"}, 10, cursor)
        items += page.items
        cursor, pages = page.next_cursor, pages + 1
    assert len(items) == 1 and pages > 3


def test_old_entries_leave_without_new_ones(redis: Redis) -> None:
    redis.xadd(Stream.PRIVILEGED, {"entry": '{"action": "train"}'}, id="1000-0")
    redis.xadd(Stream.OTHERS, {"entry": '{"action": "request"}'}, id="1000-0")
    log = AuditLog(redis, 90)
    assert log.page({}, 10, None).items == []
    Scripts(redis).send(Repetitions(log).steps())
    assert redis.xlen(Stream.PRIVILEGED) == redis.xlen(Stream.OTHERS) == 0


def test_a_stream_keeps_within_its_bytes_and_says_so(
    redis: Redis, lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.access.audit_log.MOST_BYTES", 100_000)
    log = AuditLog(redis, 90)
    log.write(AuditEntry("import", "inbox", Outcome.FAILED))
    for number in range(1000):
        log.write(AuditEntry("train", "ci", job_id=str(number)))
    used: Any = redis.memory_usage(Stream.PRIVILEGED)
    assert used < 110_000
    assert entries(redis)[-1]["job_id"] == "999" and len(entries(redis, *LESSER)) == 1
    assert any("before their time was over" in event["message"] for event in lines.events)


def test_a_stream_takes_a_twentieth_of_a_small_redis(redis: Redis) -> None:
    memory: Any = redis.info("memory")
    redis.config_set("maxmemory", memory["used_memory"] + 1_000_000)
    try:
        for _ in range(1000):
            AuditLog(redis, 90).write(AuditEntry("train", "ci"))
        used: Any = redis.memory_usage(Stream.PRIVILEGED)
        assert used < 0.06 * (memory["used_memory"] + 1_000_000)
    finally:
        redis.config_set("maxmemory", 0)


@pytest.mark.parametrize(
    "forged",
    [
        {"entry": json.dumps({"action": "move_alias", "actor": "ci", "key_id": "k1", "client": "192.0.2.7"})},
        {"entry": json.dumps({"action": ["x"], "actor": {"a": 1}, "version": 1.5})},
        {"entry": "{"},
        {"entry": "[]"},
        {"other": "x"},
    ],
)
def test_the_trainer_can_neither_forge_the_entry_of_a_key_nor_spoil_the_log(
    client: FlaskClient, redis: Redis, forged: dict[str, str]
) -> None:
    client.put(f"{MODEL}/aliases/canary", json={"version": 1}, headers=ADMIN)
    redis.xadd(Stream.TRAINER, forged)  # type: ignore[arg-type]
    redis.xadd(Stream.TRAINER, {"entry": '{"action": "train"}'}, id="18446744073709551615-18446744073709551615")
    AuditLog(redis, 90).write(AuditEntry("delete_alias", "ci"))
    items = client.get("/v1/audit", headers=ADMIN).json["items"]
    assert [item["action"] for item in items if item["actor"] != "trainer"] == ["delete_alias", "move_alias"]
    assert [item["key_id"] for item in items] == [None] * (len(items) - 1) + ["admin"]


def test_a_trainer_that_replaces_its_stream_hides_no_other_entries(client: FlaskClient, redis: Redis) -> None:
    redis.set(Stream.TRAINER, "x")
    client.put(f"{MODEL}/aliases/canary", json={"version": 1}, headers=ADMIN)
    assert [item["action"] for item in client.get("/v1/audit", headers=ADMIN).json["items"]] == ["move_alias"]


def test_an_expired_key_is_named(client: FlaskClient, redis: Redis) -> None:
    token = new_token()
    expired = Key("k7", "ci", "risk", frozenset({Scope.READ}), expires_at="2026-01-02T03:04:05Z")
    store(redis, token, expired)
    assert client.get("/v1/models", headers={"X-API-Key": token}).status_code == 401
    flush(client)
    (entry,) = entries(redis, *LESSER)
    assert (entry["actor"], entry["code"], entry["on_key"]) == ("anonymous", "expired_key", "k7")


def test_an_entry_that_is_sent_again_is_written_once(redis: Redis) -> None:
    call = AuditLog(redis, 90).call([(Stream.PRIVILEGED, AuditEntry("train", "ci"))])
    for _ in range(3):
        Scripts(redis).send([call])
    assert len(entries(redis)) == 1


def test_a_full_redis_takes_entries(client: FlaskClient, redis: Redis) -> None:
    headers = key(redis, Scope.PUBLISH)
    used: Any = redis.info("memory")
    redis.config_set("maxmemory", used["used_memory"] // 2)
    try:
        assert client.put(f"{MODEL}/aliases/canary", json={"version": 1}, headers=headers).status_code == 200
        client.get("/v1/models")
        flush(client)
    finally:
        redis.config_set("maxmemory", 0)
    assert len(entries(redis)) == len(entries(redis, *LESSER)) == 1


def test_without_redis_the_line_says_what_is_missing_and_the_answer_leaves(
    settings: Settings, lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_audit, "TIMEOUT", 0.2)
    client = without_redis(settings, run_command=answer)
    assert client.put(f"{MODEL}/aliases/canary", json={"version": 1}).status_code == 200
    (line,) = lines.events
    assert (line["level"], line["action"], line["alias"]) == ("error", "move_alias", "canary")
    assert "Redis has not taken this entry" in line["message"]


def test_hostile_texts_are_cut_and_forge_nothing(client: FlaskClient, redis: Redis, lines: LogLines) -> None:
    headers = key(redis, Scope.PUBLISH)
    token = headers["Authorization"].removeprefix("Bearer ")
    for name in ("%0a2026%1b[2J%e2%80%a8", "x" * 5000, "%ff%fe", token, ADMIN_KEY, '{"action":"train"}'):
        client.delete(f"/v1/models/{name}/versions/1", headers=headers)
        client.get(f"/v1/models/{name}")
    client.get("/v1/models", headers={"X-Forwarded-For": "192.0.2.99", "X-Request-ID": token})
    client.get("/v1/models", headers={"Authorization": "Bearer " + "x" * 100_000})
    client.get("/v1/models/" + "x" * 100 + token)  # the end of the key would be cut
    flush(client)
    written = entries(redis, *LESSER)
    assert len(written) > 1
    assert {entry["client"] for entry in written} == {"127.0.0.1"}
    stored = str([redis.xrange(stream) for stream in LESSER]) + json.dumps(lines.events)
    assert token[:20] not in stored and ADMIN_KEY not in stored
    assert all(len(str(value)) <= 128 for entry in written for value in entry.values())


def test_entries_that_anybody_can_make_push_out_no_refusals_of_keys(
    client: FlaskClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.access.audit_log.MOST_BYTES", 20_000)
    predicting = key(redis, Scope.PREDICT)
    assert client.post(f"{MODEL}/train", headers=predicting).status_code == 403
    for number in range(150):
        job = client.post(f"{MODEL}/predict", json=ROW, headers=predicting).json
        assert client.delete(f"/v1/jobs/{job['id']}", headers=predicting).status_code == 200
        client.get("/v1/models", environ_base={"REMOTE_ADDR": f"192.0.2.{number}"})
    flush(client)
    assert [entry["code"] for entry in entries(redis, Stream.OTHERS)] == ["missing_scope"]
    written = entries(redis, Stream.ANYBODY)
    assert 0 < len(written) < 150
    listed = client.get("/v1/audit?limit=500", headers=ADMIN).json["items"]
    assert len(listed) == len(written) + 1


@pytest.mark.parametrize("level", [scope for scope in Scope if scope.audited])
def test_a_privileged_route_that_changes_something_declares_its_action(level: Scope) -> None:
    docs = Operation("x", "Does x", {})
    Route("/v1/x", level=level, docs=docs, methods=["GET"])
    Route("/v1/x", level=level, docs=docs, methods=["POST"], audit="train")
    with pytest.raises(TypeError, match="declares no action"):
        Route("/v1/x", level=level, docs=docs, methods=["DELETE"])


def test_connections_of_the_audit_log_are_its_own(redis_url: str) -> None:
    with connect(redis_url, door_audit.TIMEOUT, resends=1) as connection:
        AuditLog(connection, 1).write(AuditEntry("train", "ci"))
        assert len(AuditLog(connection, 1).page({}, 1, None).items) == 1
