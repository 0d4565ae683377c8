"""Who took a job: shown with the name of `GET /v1/system`, and only to callers who may know it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.records.job_kinds import TRAINING
from broker.sides.file_tasks import FileTasks
from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.single_jobs import SingleJobs
from broker.sides.supervisor import Leases, incarnation
from contract.work.api_keys import Detail, Key, Scope
from contract.work.jobs import PredictionOutcome
from tests.broker import samples
from tests.gateway.callers import Caller

pytestmark = pytest.mark.waits

ROW = {"a": 1, "b": 2}
PREDICT = "/v1/models/sum/predict"
MAKER = Key("k-maker", "maker", "team", frozenset(Scope) - {Scope.ADMIN})
REQUEST = {"recipe": "tabular", "target": "y", "data": {"path": "loan.csv"}}


@pytest.fixture
def scorer(redis: Redis) -> ScorerQueue:
    """A scorer of the worker box-1."""
    inc = incarnation("box-1", 3)
    Leases(redis, lease=60).register(inc, host="alpha")
    return ScorerQueue(redis, inc)


@pytest.fixture
def trainer(redis: Redis) -> SingleJobs:
    """The trainer of the host gamma-2, as it names itself."""
    inc = incarnation(f"gamma-2-{TRAINING.queue}", 0)
    return samples.trainer(redis, ["tabular"], {"tabular": []}, inc, "gamma-2")


def taken_by(client: FlaskClient | Caller, job_id: str) -> object:
    """The worker in the answer; None if it has none."""
    path = f"/v1/jobs/{job_id}"
    answer = client("GET", path) if isinstance(client, Caller) else client.get(path)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.get_json()
    assert job.get("worker") != ""
    return job.get("worker")


def finish(scorer: ScorerQueue, job_id: str) -> None:
    scorer.finish({job_id: PredictionOutcome([3.0], None, [], 0.5, 1)})


def test_a_prediction_names_the_worker_that_took_it_as_the_system_does(
    client: FlaskClient, scorer: ScorerQueue
) -> None:
    job = client.post(PREDICT, json=ROW).get_json()["id"]
    assert taken_by(client, job) is None
    scorer.take(BatchLimits())
    (worker,) = client.get("/v1/system").get_json()["workers"]
    assert taken_by(client, job) == worker["name"] == "box-1"
    finish(scorer, job)
    assert taken_by(client, job) == "box-1"
    (listed,) = client.get("/v1/jobs").get_json()["items"]
    assert listed["worker"] == "box-1"


def test_a_training_names_its_trainer_as_the_system_does(client: FlaskClient, trainer: SingleJobs) -> None:
    job = client.post("/v1/models/m/train", json=REQUEST).get_json()["id"]
    assert taken_by(client, job) is None
    trainer.begin([])
    (process,) = client.get("/v1/system").get_json()["trainers"]
    assert taken_by(client, job) == process["host"] == "gamma-2"
    trainer.finish(job, {"version": 1})
    assert taken_by(client, job) == "gamma-2"


def test_a_job_that_went_back_to_its_queue_names_nobody(client: FlaskClient, scorer: ScorerQueue, redis: Redis) -> None:
    job = client.post(PREDICT, json=ROW).get_json()["id"]
    scorer.take(BatchLimits())
    assert taken_by(client, job) == "box-1"
    (inc,) = (member.decode() for member in redis.smembers("mg:incs"))  # type: ignore[union-attr]
    Leases(redis).give_back(inc)
    assert taken_by(client, job) is None
    assert client.post(f"/v1/jobs/{job}/cancel").get_json().get("worker") is None


def test_a_file_prediction_names_nobody(closed: FlaskClient, scorer: ScorerQueue, redis: Redis) -> None:
    admin = Caller(closed)
    made = admin("POST", "/v1/models/sum/predict-file", data=b"a,b\n1,2\n", content_type="text/csv")
    (inc,) = (member.decode() for member in redis.smembers("mg:incs"))  # type: ignore[union-attr]
    assert FileTasks(redis, inc).take()
    job = admin("GET", f"/v1/jobs/{made.get_json()['id']}").get_json()
    assert (job["status"], job.get("worker")) == ("running", None)


@pytest.mark.usefixtures("scoring")
def test_the_answer_of_a_request_that_waited_may_lack_the_worker(client: FlaskClient) -> None:
    job = client.post(PREDICT, json=ROW, headers={"Prefer": "wait=30"}).get_json()
    assert job["status"] == "succeeded" and job.get("worker", "w") == "w"
    assert taken_by(client, job["id"]) == "w"


@pytest.mark.parametrize("detail", Detail)
@pytest.mark.parametrize("scope", Scope)
def test_only_a_key_that_may_read_the_system_in_full_learns_who_took_a_job(
    closed: FlaskClient, redis: Redis, scorer: ScorerQueue, scope: Scope, detail: Detail
) -> None:
    maker = Caller.with_key(closed, redis, MAKER)
    job = maker("POST", PREDICT, json=ROW).get_json()["id"]
    scorer.take(BatchLimits())
    finish(scorer, job)
    key = replace(MAKER, id="k-1", name="one", scopes=frozenset({scope}), detail=detail)
    caller = Caller.with_key(closed, redis, key)
    knows = scope in (Scope.READ, Scope.ADMIN) and detail is Detail.FULL
    assert (taken_by(caller, job) == "box-1") is knows
    for path in ("/v1/jobs", f"/v1/jobs/{job}", f"/v1/jobs/{job}?wait=1", f"/v1/jobs/{job}/events"):
        answer = caller("GET", path)
        assert answer.status_code == 200 and ("box-1" in answer.text) is knows, path


@pytest.mark.parametrize("scope", [Scope.PREDICT, Scope.READ])
def test_a_repeated_request_tells_no_more_than_reading_its_job(
    closed: FlaskClient, redis: Redis, scorer: ScorerQueue, trainer: SingleJobs, scope: Scope
) -> None:
    scopes = frozenset({Scope.PREDICT, Scope.TRAIN, scope})
    caller = Caller.with_key(closed, redis, replace(MAKER, scopes=scopes))

    def repeated(path: str, body: object) -> dict[str, Any]:
        job: dict[str, Any] = caller("POST", path, json=body, headers={"Idempotency-Key": path[-16:]}).get_json()
        return job

    for path, body, take in (
        (PREDICT, ROW, lambda: scorer.take(BatchLimits())),
        ("/v1/models/m/train", REQUEST, lambda: trainer.begin([])),
    ):
        job = repeated(path, body)["id"]
        assert take()
        again = repeated(path, body)
        assert again["id"] == job and ("worker" in again) is (scope is Scope.READ)
