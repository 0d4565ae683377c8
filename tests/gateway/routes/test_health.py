"""`/health/ready` says what a prediction would meet now, with the reason by name, and never takes longer than a
second."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.access.key_store import KEYS
from broker.link.connection import connect
from broker.link.faults import FULL
from broker.link.scripts import Durability, Scripts, source
from broker.sides.gateway.system_health import HealthCheck, SystemHealth
from broker.sides.supervisor import Leases
from broker.state.load_status import LoadFailure, LoadStatus, LoadStatusPublisher
from broker.state.mirrors import MirrorLink, MirrorReport
from broker.state.presence import STUCK
from broker.state.webhook_store import MOST_WAITING
from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.api_keys import new_token
from gateway.app import create_app
from gateway.serving import readiness
from gateway.serving.readiness import KEEP, Readiness
from tests.stacks.redis_process import RedisProcess
from tests.stacks.slow_redis import slow_redis
from tests.support import DEADLINE, Sum, numbers, until, write_version

pytestmark = pytest.mark.waits

PREDICT = "/v1/models/sum/predict"
ROW = {"a": 1, "b": 2}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps no answer for a second, so that a test waits for no old one."""
    monkeypatch.setattr(readiness, "KEEP", 0.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisProcess]:
    """A Redis that a test may break, with a worker."""
    folder = tmp_path / "own-redis"
    folder.mkdir()
    with RedisProcess(folder) as server, server.connect() as redis:
        Leases(redis, lease=60).register("w-0-test")
        yield server


@pytest.fixture
def own_client(settings: Settings, server: RedisProcess) -> FlaskClient:
    """A gateway on that Redis."""
    settings = dataclasses.replace(settings, redis_url=server.url, submit_timeout=1)
    return create_app(settings).test_client()


def ready_with(client: FlaskClient, what: str) -> dict[str, Any]:
    """The answer, once its first reason is `what` or, without a reason, its status."""

    def current() -> dict[str, Any] | None:
        answer: dict[str, Any] = client.get("/health/ready").get_json(force=True)
        reason = answer["reasons"][0]["code"] if "reasons" in answer else answer["status"]
        return answer if reason == what else None

    answer: dict[str, Any] = until(current, what)
    return answer


def refusal(client: FlaskClient) -> tuple[int, str]:
    response = client.post(PREDICT, json=ROW)
    assert int(response.headers["Retry-After"]) >= 1
    return response.status_code, response.get_json(force=True)["code"]


def test_a_full_redis_takes_no_predictions_but_repairs(own_client: FlaskClient, server: RedisProcess) -> None:
    assert ready_with(own_client, "ok") == {"status": "ok", "models": 1, "workers": 1}
    job = own_client.post(PREDICT, json=ROW).get_json()["id"]
    with server.connect() as redis:
        redis.config_set("maxmemory", 1)
        answer = ready_with(own_client, "redis_full")
        assert (answer["status"], answer["code"], answer["repairs"]) == (503, "not_ready", True)
        assert refusal(own_client) == (503, "redis_full")
        lease = f"mg:lease:{redis.srandmember('mg:incs').decode()}"
        redis.rename(lease, "kept")
        reasons = until(lambda: (found := ready_with(own_client, "redis_full")["reasons"])[1:] and found, "both")
        assert [reason["code"] for reason in reasons] == ["redis_full", "no_worker"], "nobody scores what fills it"
        assert "until workers have scored some" in reasons[0]["detail"]
        redis.rename("kept", lease)
        assert own_client.delete(f"/v1/jobs/{job}").status_code == 200
        redis.config_set("maxmemory", 0)
    ready_with(own_client, "ok")
    assert own_client.post(PREDICT, json=ROW).status_code == 202


def test_a_redis_that_was_full_counts_as_full_until_it_has_room_for_many_jobs(server: RedisProcess) -> None:
    def limit(share: float) -> None:
        redis.config_set("maxmemory", round(server.info("memory")["used_memory"] / share))

    with server.connect() as redis:
        for number in range(300):  # so that a change of the buffers of connections is a small share
            redis.set(f"filling {number}", os.urandom(100_000))
        check = HealthCheck(redis, 100, Durability(0, 1))
        limit(0.98)
        assert check.run().fault is None
        limit(1.02)
        assert check.run().fault is FULL
        limit(0.98)
        health = check.run()
        assert (health.fault, health.repairs, health.workers) == (FULL, True, 1)
        limit(0.9)
        assert check.run().fault is None
        limit(0.98)
        assert check.run().fault is None


def test_a_redis_with_a_full_disk_refuses_what_writes_and_answers_what_reads(
    own_client: FlaskClient, server: RedisProcess
) -> None:
    job = own_client.post(PREDICT, json=ROW).get_json()["id"]
    with server.disk_full():
        answer = ready_with(own_client, "redis_disk_full")
        assert (answer["status"], answer["repairs"]) == (503, False)
        assert "File too large" in answer["detail"], "Redis' own reason"
        with server.connect() as redis:
            redis.config_set("slowlog-log-slower-than", 0)  # all commands
            assert refusal(own_client) == (503, "redis_disk_full")
            sha1 = source("submit")[1].encode()
            submits = [entry for entry in redis.slowlog_get(100) if sha1 in entry["command"]]
        assert len(submits) == 1, "it is not tried again and again"
        assert own_client.get(f"/v1/jobs/{job}").get_json()["status"] == "queued"
        assert own_client.get(f"/v1/jobs/{job}?wait=1").get_json()["status"] == "queued"
        refused = own_client.delete(f"/v1/jobs/{job}")
        assert (refused.status_code, refused.get_json(force=True)["code"]) == (503, "redis_disk_full")
        assert own_client.get("/health/live").status_code == 200
    ready_with(own_client, "ok")
    assert own_client.delete(f"/v1/jobs/{job}").get_json()["status"] == "canceled"


def test_a_slow_disk_degrades_and_refuses_jobs_that_would_wait_too_long(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "own-redis"
    folder.mkdir()
    with slow_redis(folder) as slow, slow.server.connect() as redis:
        Leases(redis, lease=60).register("w-0-test")
        client = create_app(dataclasses.replace(settings, redis_url=slow.server.url, submit_timeout=1)).test_client()
        ready_with(client, "ok")
        slow.begin_sync()
        assert ready_with(client, "redis_disk_slow")["status"] == "degraded"
        assert refusal(client) == (503, "redis_disk_slow")


def test_a_replica_takes_nothing(own_client: FlaskClient, server: RedisProcess) -> None:
    with server.connect() as redis:
        redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        assert ready_with(own_client, "redis_read_only")["repairs"] is False
        assert refusal(own_client) == (503, "redis_read_only")
        redis.execute_command("REPLICAOF", "NO", "ONE")
    ready_with(own_client, "ok")


def test_a_redis_that_reads_its_data_is_loading_and_opens_nothing(
    own_client: FlaskClient, settings: Settings, server: RedisProcess
) -> None:
    with connect(server.url, DEADLINE) as redis:  # it saves 30 MB
        redis.config_set("appendonly", "no")
        redis.hset(KEYS, "a fingerprint", "a key")
        for number in range(1500):  # 15 s; while it loads, it answers every 0.2 MB, which is every 0.1 s
            redis.set(f"key {number}", os.urandom(20_000))
        redis.save()
    server.stop()
    slowly = ("--key-load-delay", "10000", "--loading-process-events-interval-bytes", "200000")
    restarted = RedisProcess(server.folder, *slowly, "--appendonly", "no")
    restarted.launch()
    try:
        ready_with(own_client, "redis_loading")
        started = create_app(dataclasses.replace(settings, redis_url=server.url)).test_client()
        without_key, with_key = {}, {"X-API-Key": new_token()}
        for headers in (without_key, with_key):  # 401 once it has loaded the key
            assert started.get("/v1/models", headers=headers).status_code in (401, 503)
    finally:
        restarted.stop()


def test_a_wrong_password_is_named(own_client: FlaskClient, server: RedisProcess) -> None:
    with server.connect() as redis:
        redis.config_set("requirepass", "secret")
        redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        ready_with(own_client, "redis_denied")
        assert refusal(own_client) == (503, "redis_denied")


@pytest.mark.parametrize("most", [DEADLINE, pytest.param(1, marks=pytest.mark.slow)])
def test_a_frozen_redis_is_noticed_by_one_attempt(own_client: FlaskClient, server: RedisProcess, most: float) -> None:
    """An answer takes less than a second, unless the machine is busy."""
    ready_with(own_client, "ok")

    def ask(_: int) -> tuple[int, float]:
        began = time.monotonic()
        return own_client.application.test_client().get("/health/ready").status_code, time.monotonic() - began

    with server.frozen():
        with ThreadPoolExecutor(30) as pool:
            until(lambda: ask(0)[0] == 503, "it is noticed")
            answers = list(pool.map(ask, range(60)))
        assert {status for status, _ in answers} == {503}
        assert max(seconds for _, seconds in answers) < most
        assert [thread.name for thread in threading.enumerate()].count("readiness") <= 1
    ready_with(own_client, "ok")


def test_the_answer_does_not_wait_for_a_check_that_hangs(models: Path) -> None:
    goes_on = threading.Event()

    def check() -> SystemHealth:
        goes_on.wait(30)
        return SystemHealth(None, workers=1)

    readiness = Readiness(check, Repository(models), lambda: False)
    try:
        assert readiness.report().reasons[0].code == "redis_unavailable"
    finally:
        goes_on.set()


def test_many_probes_make_one_attempt_a_second(
    own_client: FlaskClient, server: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "KEEP", KEEP)

    def attempts() -> int:
        return int(server.info("commandstats")["cmdstat_evalsha"]["calls"]) // 2

    ready_with(own_client, "ok")
    before, began = attempts(), time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: own_client.application.test_client().get("/health/ready"), range(300)))
    assert attempts() - before <= (time.monotonic() - began) / KEEP + 1


def test_a_worker_that_falls_silent_degrades_before_its_leases_end(client: FlaskClient, redis: Redis) -> None:
    Leases(redis, lease=60).register("w-0-test")
    status = LoadStatusPublisher(redis, 0.2)
    status.publish("w", LoadStatus())
    client.get("/v1/models")  # from now on it is known that there are no keys, so everybody may read
    answer = ready_with(client, "worker_silent")
    assert (answer["status"], answer["workers"], answer["reasons"][0]["worker"]) == ("degraded", 1, "w")
    LoadStatusPublisher(redis, 60).publish("w", LoadStatus())
    ready_with(client, "ok")
    status.withdraw("w")  # as a worker does that finishes its jobs and stops
    until(lambda: not redis.exists("mg:loaded:w"), "it has withdrawn")
    ready_with(client, "ok")


def test_a_stuck_process_is_named_as_long_as_it_is_reported(client: FlaskClient, redis: Redis) -> None:
    Leases(redis, lease=60).register("w-0-test")
    client.get("/v1/models")  # from now on it is known that there are no keys, so everybody may read
    process = "the template of the worker 'w'"

    def report() -> None:
        Scripts(redis).run("report_stuck", process)
        redis.zadd(STUCK, {process: (time.time() + 60) * 1000}, xx=True)  # as if it were reported again and again

    report()
    answer = ready_with(client, "process_stuck")
    assert (answer["status"], answer["reasons"][0]["process"]) == ("degraded", process)
    assert "\nmodelgate_stuck_processes 1.0\n" in client.get("/metrics").text
    assert "process_stuck" in [alert["code"] for alert in client.get("/v1/system").get_json()["alerts"]]
    redis.zadd(STUCK, {process: (time.time() - 6) * 1000})
    ready_with(client, "ok")
    report()
    ready_with(client, "process_stuck")
    redis.set(STUCK, "what a worker garbles counts as none")
    ready_with(client, "ok")


def test_a_full_queue_and_a_model_that_cannot_be_loaded_degrade(client: FlaskClient, redis: Redis) -> None:
    Leases(redis, lease=60).register("w-0-test")
    for _ in range(5):
        assert client.post(PREDICT, json=ROW).status_code == 202
    assert refusal(client) == (503, "queue_full")
    failure = LoadFailure("its artifact is corrupt", "2026-01-02T03:04:05.000006Z")
    LoadStatusPublisher(redis, 10).publish("w", LoadStatus(failures={"loan@3": failure}))
    answer = ready_with(client, "queue_full")
    assert answer["status"] == "degraded"
    assert answer["repairs"] is True
    assert answer["reasons"][0]["model"] == "sum"
    assert {key: value for key, value in answer["reasons"][1].items() if key != "detail"} == {
        "code": "model_not_loaded",
        "model": "loan",
        "version": 3,
        "since": failure.since,
        "reason": failure.reason,
    }
    redis.set("mg:loaded:w:failures", "[]")
    until(lambda: len(client.get("/health/ready").get_json()["reasons"]) == 1, "what a worker garbles counts as none")


def test_webhooks_that_nobody_sends_and_too_many_of_an_owner_degrade(client: FlaskClient, redis: Redis) -> None:
    Leases(redis, lease=60).register("w-0-test")
    redis.zadd("mg-events:due", {"risk": (time.time() - 61) * 1000})
    redis.hset("mg-events:waiting", mapping={"risk": MOST_WAITING, "": MOST_WAITING})
    client.get("/v1/models")  # from now on it is known that there are no keys, so everybody may read
    answer = ready_with(client, "webhooks_late")
    assert [reason["code"] for reason in answer["reasons"]] == ["webhooks_late", "webhooks_full", "webhooks_full"]
    assert "should have been sent 6" in answer["detail"] and answer["reasons"][2]["owner"] == "risk"
    assert "webhooks of callers without a key wait" in answer["reasons"][1]["detail"]
    redis.delete("mg-events:due", "mg-events:waiting")
    ready_with(client, "ok")
    redis.rpush("mg:webhooks:ended", '{"at": "2026-01-02T03:04:05.000006Z"}')
    ready_with(client, "webhooks_late")
    redis.delete("mg:webhooks:ended")
    redis.set("mg:webhooks:ended", "what a worker garbles counts as none")
    ready_with(client, "ok")


def test_a_model_whose_rows_time_out_degrades(client: FlaskClient, redis: Redis) -> None:
    Leases(redis, lease=60).register("w-0-test")
    redis.zadd("mg:timeouts", {"sum": (time.time() + 600) * 1000, "past": (time.time() - 1) * 1000})
    client.get("/v1/models")
    (reason,) = ready_with(client, "model_times_out")["reasons"]
    assert reason["model"] == "sum" and "in the last 10 minutes: one scorer takes none of them" in reason["detail"]
    assert 'modelgate_model_timed_out{model="sum"} 1' in client.get("/metrics").text
    redis.delete("mg:timeouts")
    ready_with(client, "ok")
    redis.set("mg:timeouts", "what a worker garbles counts as none")
    ready_with(client, "ok")


def test_callers_who_may_not_read_get_no_names(tmp_path: Path) -> None:
    secret = ["secret"]
    mappings = {
        "failures": {"secret@1": LoadFailure("secret", "secret")},
        "mirrors": {"secret": MirrorReport(away="secret")},
    }
    names: dict[str, Any] = {
        field.name: mappings.get(field.name, secret)
        for field in dataclasses.fields(SystemHealth)
        if str(field.type).startswith(("Collection", "Sequence", "Mapping"))
    }
    write_version(tmp_path, "secret", Sum(), numbers("a"))
    report = Readiness(lambda: SystemHealth(None, **names), Repository(tmp_path), lambda: False).report()
    assert sum("secret" in reason.detail for reason in report.reasons) == len(names)
    assert "secret" not in str(report.without_names())


def test_a_mirror_that_has_lost_the_store_or_lacks_a_model_degrades(client: FlaskClient, redis: Redis) -> None:
    Leases(redis, lease=60).register("w-0-test")
    link = MirrorLink(redis)
    link.report("north", MirrorReport(7, {}, "the store answers 403"))
    link.report("south", MirrorReport(7, {"sum": "sum@2 is damaged"}))
    client.get("/v1/models")  # from now on it is known that there are no keys, so everybody may read
    answer = ready_with(client, "store_away")
    assert [reason["code"] for reason in answer["reasons"]] == ["store_away", "mirror_behind"]
    assert answer["reasons"][0]["mirror"] == "north" and "403" in answer["reasons"][0]["detail"]
    assert (answer["reasons"][1]["mirror"], answer["reasons"][1]["model"]) == ("south", "sum")
    states = {
        state: f'modelgate_mirrors{{state="{state}"}} {n}' for state, n in (("away", 1), ("behind", 1), ("current", 0))
    }
    until(lambda: all(line in client.get("/metrics").text for line in states.values()), "the metrics")
    redis.set("mg:mirror:south", "what is garbled counts as none")
    link.withdraw("north")
    ready_with(client, "ok")


def test_a_closed_gateway_without_any_key_degrades(client: FlaskClient, redis: Redis) -> None:
    Leases(redis, lease=60).register("w-0-test")
    ready_with(client, "ok")
    assert client.post("/v1/keys", json={"name": "first", "scopes": ["predict"]}).status_code == 201
    redis.delete(KEYS)  # as in a backup from before the first key
    answer = ready_with(client, "no_key")
    assert answer["status"] == "degraded" and "python -m gateway key add" in answer["detail"]


def test_admin_key_needs_no_key_in_redis(settings: Settings, redis: Redis) -> None:
    Leases(redis, lease=60).register("w-0-test")
    ready_with(create_app(dataclasses.replace(settings, admin_key="a" * 40)).test_client(), "ok")
