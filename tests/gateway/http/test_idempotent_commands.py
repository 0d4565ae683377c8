"""A training or a change of the model repository that is repeated with its Idempotency-Key is carried out once."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from broker.records.job_kinds import REPOSITORY_COMMAND
from broker.records.lease_groups import TRAINERS
from broker.sides.single_jobs import SingleJobs
from broker.sides.supervisor import Leases
from broker.state import waited_jobs
from contract.errors import Failure
from contract.settings import Settings
from gateway.app import create_app
from tests.broker import samples
from tests.gateway.http.test_idempotency import replayed
from tests.gateway.problems.test_refusals import problem
from tests.support import DEADLINE, SIGNER, until

TRAIN, ROLL_BACK, VERSIONS = "/v1/models/m/train", "/v1/models/sum/rollback", "/v1/models/sum/versions"
REQUEST = {"recipe": "tabular", "target": "y", "data": {"path": "loan.csv"}}
PUBLISHED = {"name": "sum", "version": 3, "versions": [3], "aliases": {"current": 3}, "warnings": []}


@pytest.fixture
def client(settings: Settings, redis: Redis, patient_callers: None) -> FlaskClient:
    samples.trainer(redis, ["iris", "tabular"], {"iris": [], "tabular": []})
    return create_app(replace(settings, spool_mb=1, allow_upload="1")).test_client()


@contextmanager
def trainer(redis: Redis, outcome: dict[str, Any] | Failure, go: threading.Event | None = None) -> Iterator[list[str]]:
    """A trainer that carries out commands, one after the other, as soon as `go` is set; yields their ids."""
    Leases(redis, group=TRAINERS).register("t-1-x", queues=[REPOSITORY_COMMAND.queue])
    queue, stop, begun = SingleJobs(redis, "t-1-x", REPOSITORY_COMMAND, SIGNER), threading.Event(), list[str]()

    def work() -> None:
        while not stop.wait(0.01):
            if job := queue.begin([]):
                begun.append(job.id)
                if go:
                    go.wait(60)
                queue.finish(job.id, outcome)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield begun
    finally:
        stop.set()
        thread.join()


def send(client: FlaskClient, path: str, key: str = "k", **options: Any) -> TestResponse:
    return client.post(path, headers={"Idempotency-Key": key}, **options)


def form(content: bytes = b"a,y\n1,2\n", name: str = "rows.csv", **fields: str) -> dict[str, Any]:
    return {"data": {**fields, "file": (io.BytesIO(content), name)}, "content_type": "multipart/form-data"}


def files(spool: Path) -> list[str]:
    return [path.name for path in spool.iterdir() if path.name != ".lock"]


def test_a_training_is_submitted_once(client: FlaskClient, redis: Redis) -> None:
    first, second = (send(client, TRAIN, json=REQUEST) for _ in range(2))
    assert first.json and second.json and first.json["id"] == second.json["id"]
    assert (first.status_code, second.status_code, replayed(second)) == (202, 202, True)
    assert redis.llen("rq:queue:training") == 1
    problem(send(client, TRAIN, json={**REQUEST, "notes": "x"}), 422, "idempotency_key_reused")
    assert send(client, TRAIN, key="k2", json=REQUEST).json["id"] != first.json["id"]  # type: ignore[index]


def test_a_training_with_a_file_is_submitted_once_and_its_second_file_deleted(
    client: FlaskClient, redis: Redis, spool: Path
) -> None:
    first, second = (send(client, TRAIN, **form(target="y")) for _ in range(2))
    assert first.status_code == 202, first.text
    assert first.json and second.json and first.json["id"] == second.json["id"]
    assert (redis.llen("rq:queue:training"), len(files(spool))) == (1, 1)
    problem(send(client, TRAIN, **form(b"a,y\n1,3\n", target="y")), 422, "idempotency_key_reused")
    assert len(files(spool)) == 1


def test_a_reset_is_submitted_once(client: FlaskClient, redis: Redis) -> None:
    first, second = (send(client, "/v1/models/iris/reset") for _ in range(2))
    assert first.status_code == 202, first.text
    assert first.json and second.json and first.json["id"] == second.json["id"]
    assert redis.llen("rq:queue:training") == 1


@pytest.mark.parametrize("kind", ["rollback", "edit", "upload"])
def test_a_command_is_carried_out_once(client: FlaskClient, redis: Redis, spool: Path, kind: str) -> None:
    def once(key: str = "k") -> TestResponse:
        if kind == "rollback":
            return send(client, ROLL_BACK, key)
        if kind == "edit":
            return send(client, VERSIONS, key, json={"from": 1, "signature": {"inputs": {"a": {"aliases": ["AA"]}}}})
        return send(client, VERSIONS, key, **form(b"pickle", "m.pkl"))

    with trainer(redis, PUBLISHED) as commands:
        first, second = once(), once()
        assert (first.status_code, first.json) == (200 if kind == "rollback" else 201, PUBLISHED)
        assert (second.status_code, second.json) == (first.status_code, PUBLISHED)
        assert (replayed(first), replayed(second), len(commands)) == (False, True, 1)
        assert not replayed(once("another")) and len(commands) == 2
    assert kind != "upload" or files(spool) == []


def test_a_command_that_failed_is_answered_with_the_same_failure(client: FlaskClient, redis: Redis) -> None:
    with trainer(redis, Failure("no_previous", "there is no previous version")) as commands:
        answers = [send(client, ROLL_BACK) for _ in range(2)]
        assert [problem(answer, 409, "no_previous")["detail"] for answer in answers]
        assert (len(commands), list(map(replayed, answers))) == (1, [False, True])


def test_a_command_that_is_being_carried_out_is_in_flight(client: FlaskClient, redis: Redis) -> None:
    go = threading.Event()
    with trainer(redis, PUBLISHED, go) as commands:
        first = threading.Thread(target=lambda: send(client.application.test_client(), ROLL_BACK))
        first.start()
        until(lambda: commands, "the command begins")
        assert problem(send(client, ROLL_BACK), 409, "request_in_flight")
        go.set()
        first.join()
        assert replayed(send(client, ROLL_BACK)) and len(commands) == 1


def test_a_command_that_no_trainer_took_may_be_sent_again(
    client: FlaskClient, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waited_jobs, "START_TIMEOUT", 0.2)
    problem(send(client, ROLL_BACK), 503, "no_trainer")
    monkeypatch.setattr(waited_jobs, "START_TIMEOUT", DEADLINE)
    with trainer(redis, PUBLISHED) as commands:
        answer = send(client, ROLL_BACK)
        assert (answer.status_code, replayed(answer), len(commands)) == (200, False, 1)


def test_the_answer_to_a_command_is_kept_as_long_as_a_result(client: FlaskClient, redis: Redis) -> None:
    with trainer(redis, PUBLISHED) as commands:
        send(client, ROLL_BACK)
        (record,) = redis.keys("mg:idempotency:*")
        assert 60 < redis.ttl(record) <= 3600 and 60 < redis.ttl(f"rq:job:{commands[0]}") <= 3600
