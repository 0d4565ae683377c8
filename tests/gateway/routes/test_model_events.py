"""`GET /v1/models/{name}/traffic`: what has happened to a model meanwhile, and who may know it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.access.audit_log import SCHEDULE, AuditEntry, AuditLog, Outcome
from broker.state.boards import HealthBoard
from broker.state.starts import STARTS
from contract.errors import Code, Failure
from contract.model.experiments import Ending, Experiment, ExperimentKind, ExperimentPlan
from contract.model.model_health import HealthState, ModelHealth
from contract.settings import Settings
from contract.work.api_keys import Key, Scope
from contract.work.jobs import timestamp
from gateway.app import create_app
from gateway.serving import model_events
from storage.models.repository_writer import RepositoryWriter
from tests.broker import samples
from tests.gateway.callers import ADMIN_KEY, Caller

READER = Key("k-reader", "bob", "others", frozenset({Scope.READ}))
TRAINER = Key("k-trainer", "ada", "team", frozenset({Scope.READ, Scope.TRAIN}))


@pytest.fixture(autouse=True)
def every_answer_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_events, "KEEP", -1.0)
    monkeypatch.setattr(model_events, "ttl_of_cost", lambda *_: -1.0)


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    return create_app(replace(settings, admin_key=ADMIN_KEY)).test_client()


def ago(hours: float) -> str:
    return timestamp(datetime.now(UTC) - timedelta(hours=hours))


def events(caller: Caller, query: str = "period=1d", kind: str = "") -> list[dict[str, Any]]:
    answer = caller("GET", f"/v1/models/sum/traffic?{query}")
    assert answer.status_code == 200, answer.text
    return [event for event in answer.get_json()["events"] if kind in ("", event["kind"])]


def test_each_version_that_became_current_is_an_event_and_admins_see_who_did_it(
    client: FlaskClient, redis: Redis, settings: Settings
) -> None:
    log = AuditLog(redis, settings.retention.audit_days)
    for entry in (
        AuditEntry("import", "ada", model="sum", version=1, alias="current"),
        AuditEntry("move_alias", "ada", model="sum", version=2, alias="canary"),
        AuditEntry("move_alias", "ada", model="sum", version=2, alias="current"),
        AuditEntry("move_alias", "ada", model="sum", version=2, alias="current"),
        AuditEntry("move_alias", "eve", Outcome.REFUSED, model="sum", version=3, alias="current"),
        AuditEntry("move_alias", "ada", model="other", version=4, alias="current"),
        AuditEntry("roll_back", "bob", model="sum", version=1),
        AuditEntry("ask_promotion", "ada", model="sum", version=3),
        AuditEntry("approve_promotion", "eve", model="sum", version=3),
    ):
        log.write(entry)
    happened = [
        "version 1 became current",
        "version 2 became current",
        "version 1 became current again, by a rollback",
        "version 3 became current",
    ]
    for caller, names in (
        (Caller(client), ["ada", "ada", "bob", "eve"]),
        (Caller.with_key(client, redis, READER), [None] * 4),
    ):
        seen = events(caller, kind="promotion")
        assert [(event["text"], event["by"]) for event in seen] == list(zip(happened, names, strict=True))


def test_a_failed_training_is_an_event_for_those_who_may_see_its_job(client: FlaskClient, redis: Redis) -> None:
    trainer = samples.trainer(redis, ["tabular"], {"tabular": []})
    ada = Caller.with_key(client, redis, TRAINER)
    assert (
        ada(
            "POST", "/v1/models/sum/train", json={"recipe": "tabular", "target": "y", "data": {"path": "x.csv"}}
        ).status_code
        == 202
    )
    owned = trainer.begin([])
    assert owned
    trainer.finish(owned.id, Failure(Code.TRAINING_FAILED, "it did not work"))
    for caller in (ada, Caller(client)):
        (event,) = events(caller, kind="training_failed")
        assert (event["text"], event["job"]) == ("a training failed", owned.id)
    assert events(Caller.with_key(client, redis, READER), kind="training_failed") == []


def test_drift_and_its_end_are_events_of_the_version(client: FlaskClient, redis: Redis) -> None:
    spells = ((HealthState.DRIFTED, ago(5), ago(4)), (HealthState.DEGRADED, ago(3), None))
    board = HealthBoard(redis)
    board.say("sum@2", ModelHealth(HealthState.DEGRADED, ("worse",), ago(3), spells))
    board.say("summer@1", ModelHealth(HealthState.DRIFTED, ("a",), ago(3), spells))
    assert [event["text"] for event in events(Caller(client), kind="drift")] == [
        "version 2 began to drift",
        "version 2 no longer drifted",
        "version 2 was found to be worse than promised",
    ]


def test_an_experiment_is_an_event_when_it_begins_and_when_it_ends(client: FlaskClient, settings: Settings) -> None:
    plan, end = ExperimentPlan(ExperimentKind.SHADOW), ago(-9)
    ended = Experiment("e1", 1, 2, plan, ago(3), end, 1.0, ago(3), "ada", Ending.ROLLED_BACK, ago(2))
    runs = Experiment("e2", 1, 3, plan, ago(1), end, 1.0, ago(1), "ada")
    writer = RepositoryWriter(settings.models_dir)
    writer.change("sum", lambda state: state.settings.update(experiments=[runs.to_json(), ended.to_json()]))
    assert [(event["text"], event["by"]) for event in events(Caller(client), kind="experiment")] == [
        ("version 2 began as a shadow beside version 1", "ada"),
        ("the experiment with version 2 ended: rolled back", None),
        ("version 3 began as a shadow beside version 1", "ada"),
    ]


def test_starts_of_redis_gateways_and_workers_are_events_together_if_at_the_same_time(
    client: FlaskClient, redis: Redis
) -> None:
    client.application.extensions["outbox"].flush()  # type: ignore[attr-defined]
    started = (datetime.now(UTC) - timedelta(hours=2)).replace(second=1).timestamp()
    for name in ("w1", "w2", "w3", "w4"):
        redis.zadd(STARTS, {f"{started:.3f} worker {name}": started})
    redis.zadd(STARTS, {f"{started - 3600:.3f} worker w1": started - 3600})
    redis.zadd(STARTS, {b"\xff": 1.0, "1 cat w9": 1.0, "2 worker": "inf", "3": "-inf"})  # a worker may write anything
    first, workers, *others = events(Caller(client), kind="start")
    assert first["text"] == "worker w1 started"
    assert (workers["text"], workers["by"]) == ("4 workers started: w1, w2, w3 and 1 more", None)
    texts = sorted(event["text"] for event in others)
    assert texts[0] == "Redis started" and texts[1].startswith("gateway ") and texts[1].endswith(" started")


def test_events_are_those_of_the_time_of_the_chart(client: FlaskClient, redis: Redis, settings: Settings) -> None:
    spells = ((HealthState.DRIFTED, ago(30), ago(20)),)
    HealthBoard(redis).say("sum@1", ModelHealth(HealthState.OK, (), ago(20), spells))
    AuditLog(redis, settings.retention.audit_days).write(
        AuditEntry("move_alias", SCHEDULE, model="sum", version=7, alias="current")
    )
    caller = Caller(client)
    assert [event["kind"] for event in events(caller, "period=2h") if event["kind"] != "start"] == ["promotion"]
    drifted = ["version 1 began to drift", "version 1 no longer drifted"]
    assert [event["text"] for event in events(caller, f"from={ago(31)}&to={ago(10)}")] == drifted


def test_all_models_together_have_no_events(client: FlaskClient) -> None:
    assert "events" not in Caller(client)("GET", "/v1/traffic").get_json()
