"""`GET /v1/system`: workers and what each holds, queues, Redis, and what is wrong."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.link.scripts import Scripts
from broker.records.job_kinds import REPOSITORY_COMMAND, TRAINING
from broker.records.lease_groups import TRAINERS
from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.supervisor import Leases
from broker.state.load_status import LoadFailure, LoadStatus, LoadStatusPublisher, memory_key
from broker.state.presence import GATEWAYS, SENDERS
from contract.errors import Failure
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from contract.work.jobs import PredictionOutcome
from gateway.app import create_app
from gateway.serving import metrics as serving
from gateway.serving import readiness
from gateway.serving import system_state as system_serving
from gateway.serving.announcements import LEAST_ERRORS, LEAST_SHARE, WINDOW
from gateway.serving.readiness import WEBHOOKS_LATE
from gateway.serving.system_state import MOST_JOBS, QUEUE_AGE, REDIS_CRITICAL, REDIS_WARNING, RUNNING_AGE
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.gateway.conftest import without_redis
from tests.support import PROJECT, Sum, numbers, write_version

ROW = {"a": 1, "b": 2}


@pytest.fixture(autouse=True)
def every_answer_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "KEEP", -1.0)
    monkeypatch.setattr(serving, "KEEP_FACTOR", -1)
    monkeypatch.setattr(readiness, "KEEP", -1.0)
    monkeypatch.setattr(system_serving, "KEEP", -1.0)


def system(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/v1/system")
    assert answer.status_code == 200
    state: dict[str, Any] = answer.get_json()
    return state


def test_a_worker_shows_its_scorers_and_what_they_hold(client: FlaskClient, redis: Redis) -> None:
    leases = Leases(redis, lease=60)
    for slot in range(2):
        leases.register(f"w-{slot}-x", host="alpha")
    LoadStatusPublisher(redis, 60).publish(
        "w", LoadStatus(["sum@1"], failures={"sum@2": LoadFailure("it is broken", "2026-01-02T03:04:05Z")})
    )
    redis.set(memory_key("w"), "1000 20")
    client.post("/v1/models/sum/predict", json=ROW)
    ScorerQueue(redis, "w-0-x").take(BatchLimits())
    (worker,) = system(client)["workers"]
    assert worker == {
        "name": "w",
        "host": "alpha",
        "busy": 1,
        "idle": 1,
        "models": None,
        "loaded": ["sum@1"],
        "memory": {"shared": 1000, "own": 20},
        "failures": [{"version": "sum@2", "reason": "it is broken", "since": "2026-01-02T03:04:05Z"}],
        "silent": False,
        "environment": "",
        "asleep": False,
    }


def test_a_pool_without_scorers_sleeps_until_its_worker_is_gone(client: FlaskClient, redis: Redis) -> None:
    pool = LoadStatusPublisher(redis, 60)
    pool.publish("w~sklearn-1.2", LoadStatus(environment="sklearn-1.2"))
    redis.set(memory_key("w~sklearn-1.2"), "1000 20")  # of the scorer that has ended
    LoadStatusPublisher(redis, 60).publish("starting", LoadStatus())
    (worker,) = system(client)["workers"]
    assert (worker["name"], worker["environment"], worker["asleep"]) == ("w~sklearn-1.2", "sklearn-1.2", True)
    assert (worker["busy"], worker["idle"], worker["silent"], worker["memory"]) == (0, 0, False, None)
    assert "asleep" in client.get("/ui/system").text
    Leases(redis, lease=60).register("w~sklearn-1.2-0-x", host="alpha")
    (worker,) = system(client)["workers"]
    assert (worker["asleep"], worker["idle"], worker["environment"]) == (False, 1, "sklearn-1.2")
    redis.delete("mg:lease:w~sklearn-1.2-0-x")
    pool.withdraw("w~sklearn-1.2")
    assert system(client)["workers"] == []


def test_a_worker_without_a_lease_is_gone_and_one_that_reports_nothing_is_silent(
    client: FlaskClient, redis: Redis
) -> None:
    for name in ("here", "gone"):
        Leases(redis, lease=60).register(f"{name}-0-x")
    redis.delete("mg:lease:gone-0-x")
    redis.set("mg:loaded:here", "what is this?")
    workers = system(client)["workers"]
    assert [(worker["name"], worker["silent"]) for worker in workers] == [("here", True)]


def test_what_waits_is_shown_by_model_and_queue(client: FlaskClient, redis: Redis) -> None:
    Leases(redis, lease=60, group=TRAINERS).register("t-0-x", host="beta", queues=[TRAINING.queue])
    assert system(client)["queues"] == []
    client.post("/v1/models/sum/predict", json=[ROW, ROW])
    state = system(client)
    (queue,) = state["queues"]
    assert (queue["model"], queue["waiting"], queue["rows"], queue["running"]) == ("sum", 1, 2, 0)
    assert state["trainers"] == [{"host": "beta", "queue": "training", "busy": False, "job": None}]
    assert [queue["name"] for queue in state["trainer_queues"]] == ["publishing", "training"]
    assert state["redis"]["bytes"] > sum(state["redis"]["shares"].values()) * 0.99 > 0


def test_the_reasons_of_readiness_are_alerts(client: FlaskClient) -> None:
    state = system(client)
    assert state["status"] == "degraded"
    codes = [(alert["code"], alert["severity"]) for alert in state["alerts"]]
    assert codes == [("no_worker", "critical"), ("missing_workers", "warning"), ("missing_trainers", "warning")]


def test_processes_that_are_gone_are_alerts(settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"gateways": 2, "workers": 2, "trainers": 1, "replicas": 1, "sentinels": 3}
    monkeypatch.setattr(Settings, "expected", expected)
    client = create_app(replace(settings, webhook_secret="s" * 32)).test_client()

    def missing() -> dict[str, str]:
        return {alert["code"]: alert["detail"] for alert in system(client)["alerts"] if "missing" in alert["code"]}

    Leases(redis, lease=60).register("w-0-x")
    trainers = Leases(redis, lease=60, group=TRAINERS)
    trainers.register(f"t-{TRAINING.queue}-0-x")
    sentinels = [redis.pubsub() for _ in range(2)]
    for sentinel in sentinels:
        sentinel.subscribe("__sentinel__:hello")
    redis.zadd(GATEWAYS, {"one": time.time() * 1000, "gone": (time.time() - 15) * 1000})
    assert missing() == {
        "missing_gateways": "of 2 expected gateways, 1 are alive: requests go to the others",
        "missing_workers": "of 2 expected workers, 1 are alive: jobs wait longer",
        "missing_trainers": "of 1 expected trainers, 0 are alive: trainings wait, and changes of models may be refused",
        "missing_replicas": "of 1 expected replicas, 0 are alive: Redis has fewer copies to fail over to",
        "missing_sentinels": "of 3 expected sentinels, 2 are alive: Redis fails over only while most of them agree",
        "missing_senders": "of 1 expected senders, 0 are alive: webhooks wait",
    }
    Leases(redis, lease=60).register("v-0-x")
    trainers.register(f"t-{REPOSITORY_COMMAND.queue}-0-x")
    scripts = Scripts(redis)
    scripts.run("report_alive", GATEWAYS, "two")
    scripts.run("report_alive", SENDERS, "one")
    assert [*missing()] == ["missing_replicas", "missing_sentinels"]
    for sentinel in sentinels:
        sentinel.close()


def test_a_prediction_that_runs_for_long_and_a_full_disk_are_alerts(
    client: FlaskClient, settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    Leases(redis, lease=60).register("w-0-x")
    job = client.post("/v1/models/sum/predict", json=ROW).get_json()["id"]
    ScorerQueue(redis, "w-0-x").take(BatchLimits())
    assert "model_hangs" not in [alert["code"] for alert in system(client)["alerts"]]
    redis.hset(f"rq:job:{job}", mapping=dict.fromkeys(("enqueued_at", "started_at"), "2026-01-02T03:04:05.000000Z"))
    monkeypatch.setattr(serving, "free_share", lambda _: 0.04)
    codes = [alert["code"] for alert in system(create_app(settings).test_client())["alerts"]]
    assert "model_hangs" not in codes and "queue_age" in codes, "its worker is dead, and the model well"
    LoadStatusPublisher(redis, 60).publish("w", LoadStatus())
    alerts = {alert["code"]: alert["detail"] for alert in system(client)["alerts"]}
    assert alerts["model_hangs"].startswith("a prediction with sum has been running for ")
    assert "queue_age" not in alerts
    assert alerts["disk_filling"] == "the disk of the models has 4% left"


def test_a_prediction_that_waits_long_is_an_alert(client: FlaskClient, redis: Redis) -> None:
    Leases(redis, lease=60).register("w-0-x")
    job = client.post("/v1/models/sum/predict", json=ROW).get_json()["id"]
    redis.hset(f"rq:job:{job}", "enqueued_at", "2026-01-02T03:04:05.000000Z")
    alerts = {alert["code"]: alert["detail"] for alert in system(client)["alerts"]}
    assert alerts["queue_age"].startswith("a prediction with sum has waited for ")


@pytest.mark.parametrize(
    ("failing", "alert"), [(19, None), (20, ("jobs_failing", "warning")), (50, ("most_jobs_failing", "critical"))]
)
def test_a_model_whose_predictions_fail_is_an_alert(
    client: FlaskClient, redis: Redis, failing: int, alert: tuple[str, str] | None
) -> None:
    Leases(redis, lease=60).register("w-0-x")
    extensions, queue = client.application.extensions, ScorerQueue(redis, "w-0-x")
    extensions["traffic_recorder"].record()
    outcomes = [Failure("artifact_corrupt", "it is cut off"), PredictionOutcome([1.0], None, [], 1.0, 1)]
    for number in range(60):
        job = client.post("/v1/models/sum/predict", json=ROW).get_json()["id"]
        assert queue.take(BatchLimits())
        queue.finish({job: outcomes[number >= failing]})
    extensions["outbox"].flush()
    redis.delete("mg:traffic:lease")
    extensions["traffic_recorder"].record()
    found = [entry for entry in system(client)["alerts"] if "jobs_failing" in entry["code"]]
    assert [(entry["code"], entry["severity"]) for entry in found] == [alert] * bool(alert)
    for entry in found:
        assert f"{failing / 60:.0%} of the predictions with sum failed within 5 minutes" in entry["detail"]
        title = "Most predictions of a model fail" if failing > 30 else "Predictions of a model fail"
        assert title in client.get("/ui/system").get_data(as_text=True)


def test_a_current_version_that_cannot_be_loaded_is_critical(client: FlaskClient, redis: Redis) -> None:
    Leases(redis, lease=60).register("w-0-x")
    failure = LoadFailure("it is broken", "2026-01-02T03:04:05Z")
    LoadStatusPublisher(redis, 60).publish("w", LoadStatus(failures={"sum@1": failure, "sum@2": failure}))
    found = [alert for alert in system(client)["alerts"] if alert["code"] == "model_not_loaded"]
    assert [alert["severity"] for alert in found] == ["critical", "warning"], "of sum@1 and sum@2"


def test_a_redis_that_is_nearly_full_is_an_alert(client: FlaskClient, redis: Redis) -> None:
    try:
        for share, code in ((0.8, "redis_70_percent"), (1.2, "redis_90_percent")):  # what is used changes a little
            redis.config_set("maxmemory", round(system(client)["redis"]["bytes"] / share))
            assert code in [alert["code"] for alert in system(client)["alerts"]]
    finally:
        redis.config_set("maxmemory", 0)


def test_the_thresholds_are_those_of_the_alert_rules() -> None:
    rules = (PROJECT / "monitoring" / "alerts.yml").read_text()
    thresholds = dict(re.findall(r"alert: (\w+)\n +expr: .* > ([\d.]+)\n", rules))
    named = {"QueueAge": QUEUE_AGE, "Redis70Percent": REDIS_WARNING, "Redis90Percent": REDIS_CRITICAL}
    named |= {"ModelHangs": RUNNING_AGE}
    assert {name: float(thresholds[name]) for name in (*named, "WebhooksLate")} == {
        **named,
        "WebhooksLate": WEBHOOKS_LATE,
    }
    failing = re.findall(r"\[(\d)m\]\)\) > ([\d.]+)\n.*\[\1m\]\)\) >= (\d+)", rules)
    assert failing == [(str(WINDOW), str(share), str(LEAST_ERRORS)) for share in (LEAST_SHARE, MOST_JOBS)]


def test_it_answers_without_redis(settings: Settings) -> None:
    state = system(without_redis(settings))
    assert (state["status"], state["redis"], state["workers"]) == ("not_ready", None, [])
    assert state["alerts"][0]["code"] == "redis_unavailable"


def test_a_key_for_some_models_sees_no_other(settings: Settings, redis: Redis) -> None:
    write_version(settings.models_dir, "other", Sum(), numbers("a", "b"))
    client = create_app(replace(settings, admin_key=ADMIN_KEY)).test_client()
    Leases(redis, lease=60).register("w-0-x")
    failures = {"sum@2": LoadFailure("it is broken", "2026-01-02T03:04:05Z")}
    status = LoadStatus(["sum@1", "other@1"], models=["sum", "other"], failures=failures)
    LoadStatusPublisher(redis, 60).publish("w", status)
    Caller(client)("POST", "/v1/models/sum/predict", json=ROW)
    key = Key("k", "ci", "team", frozenset({Scope.READ}), models=frozenset({"other"}))
    answer = Caller.with_key(client, redis, key)("GET", "/v1/system")
    assert "sum" not in answer.get_data(as_text=True)
    (worker,) = answer.get_json()["workers"]
    assert (worker["loaded"], worker["models"]) == (["other@1"], ["other"])
