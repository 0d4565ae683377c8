"""Problems of the OpenAPI document that no other test of the gateway provokes (`tests.provoked` names those)."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.state.load_status import LoadStatus, LoadStatusPublisher
from contract.errors import Code, Failure, ModelgateError
from contract.model.signature import Field, Kind
from contract.settings import Settings
from contract.work.jobs import PredictionOutcome
from gateway.app import create_app
from gateway.serving import group_commit
from tests.gateway.conftest import scorer
from tests.gateway.protocols.test_other_protocols import BODIES, INFER, MLFLOW
from tests.stacks.ports import free_port
from tests.support import DEADLINE, InThreads, Sum, until, write_version

PREDICT = "/v1/models/sum/predict"
OLD = {"python": "3.11.7", "scikit-learn": "1.2.2", "numpy": "1.26.4"}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.MODEL_ERROR, 422),
        (Code.OUT_OF_MEMORY, 422),
        (Code.WORKER_CRASHED, 422),
        (Code.ARTIFACT_CORRUPT, 503),
        (Code.ARTIFACT_MISSING, 503),
        (Code.JOB_REFUSED, 503),
        (Code.MODEL_NOT_FOUND, 503),
        (Code.NOT_TRUSTED, 503),
        (Code.VERSION_MISMATCH, 503),
        (Code.TIMEOUT, 504),
    ],
)
def test_a_failed_prediction_is_an_error_of_a_protocol_without_jobs(
    client: FlaskClient, redis: Redis, code: Code, status: int
) -> None:
    expected = {path: 400 if path == MLFLOW and status == 422 else status for path in BODIES}
    with scorer(redis, lambda _: Failure(code, "it failed")):
        assert {path: client.post(path, json=body).status_code for path, body in BODIES.items()} == expected


def test_a_prediction_that_somebody_cancels_is_503_in_a_protocol_without_jobs(settings: Settings, redis: Redis) -> None:
    app = create_app(settings)

    def cancel(job: Any) -> PredictionOutcome:
        assert app.test_client().delete(f"/v1/jobs/{job.id}").status_code == 200
        return PredictionOutcome([3.0], None, [], 0.5, 1)

    with scorer(redis, cancel):
        assert app.test_client().post(INFER, json=BODIES[INFER]).status_code == 503


def test_an_output_that_the_protocol_does_not_have_is_400(client: FlaskClient) -> None:
    asked = {**BODIES[INFER], "outputs": [{"name": "predict"}, {"name": "transform"}]}
    assert client.post(INFER, json=asked).status_code == 400


def test_an_alias_of_a_version_that_no_worker_can_load_is_409(settings: Settings) -> None:
    def refuse(_: object) -> NoReturn:
        raise ModelgateError(Code.NOT_LOADED, "no worker can load the version")

    answer = create_app(settings, refuse).test_client().put("/v1/models/sum/aliases/canary", json={"version": 1})
    assert (answer.status_code, answer.json["code"]) == (409, "not_loaded")


def test_an_alias_that_finds_no_room_on_the_disk_is_507(settings: Settings) -> None:
    def refuse(_: object) -> NoReturn:
        raise ModelgateError(Code.MODELS_FULL, "the model repository cannot be written (No space left on device)")

    answer = create_app(settings, refuse).test_client().put("/v1/models/sum/aliases/canary", json={"version": 1})
    assert (answer.status_code, answer.json["code"]) == (507, "models_full")


@pytest.mark.parametrize("path", ["predict-file", "train"])
def test_a_file_that_the_object_store_does_not_take_is_503(
    settings: Settings, redis: Redis, tmp_path: Path, path: str
) -> None:
    redis.set("mg:trainer:recipes", '["sum"]')
    options = {"aws_endpoint": f"http://127.0.0.1:{free_port()}", "aws_region": "us-east-1"}
    (tmp_path / "store.json").write_text(json.dumps(options | {"aws_access_key_id": "a", "aws_secret_access_key": "b"}))
    away = replace(settings, spool_url="s3://bucket/uploads", store_options_file=tmp_path / "store.json")
    client, rows = create_app(away).test_client(), b"a,b\n1,2\n"
    if path == "train":
        answer = client.post("/v1/models/sum/train", data={"file": (io.BytesIO(rows), "rows.csv")})
    else:
        answer = client.post("/v1/models/sum/predict-file", data=rows, content_type="text/csv")
    assert (answer.status_code, answer.json["code"]) == (503, "store_away"), answer.json
    assert answer.headers["Retry-After"] == "10"


def test_a_gateway_that_is_stopping_is_not_alive(settings: Settings) -> None:
    app = create_app(settings)
    app.extensions["stopping"].set()
    answer = app.test_client().get("/health/live")
    assert (answer.status_code, answer.json["code"]) == (503, "stopping")


def test_a_job_that_no_replica_confirms_is_503(settings: Settings, redis: Redis) -> None:
    app = create_app(replace(settings, redis_replicas=1, submit_timeout=1))
    answer = app.test_client().post(PREDICT, json={"a": 1, "b": 2})
    assert (answer.status_code, answer.json["code"]) == (503, "too_few_replicas")


def test_more_bytes_than_may_wait_for_redis_are_503(
    settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis takes no writes until one of two requests is refused; the other one waits for it."""
    monkeypatch.setattr(group_commit, "PENDING_BYTES", 1)
    app = create_app(replace(settings, submit_timeout=round(DEADLINE)))
    assert app.test_client().get("/v1/jobs").status_code == 200
    redis.execute_command("CLIENT", "PAUSE", round(DEADLINE * 1000), "WRITE")
    answers: list[Any] = []

    def post() -> None:
        answers.append(app.test_client().post(PREDICT, json={"a": 1, "b": 2}))

    with InThreads(post, post):
        try:
            until(lambda: answers, "one is refused")
        finally:
            redis.execute_command("CLIENT", "UNPAUSE")
    assert {answer.status_code for answer in answers} == {202, 503}
    assert [answer.json["code"] for answer in answers if answer.status_code == 503] == ["overloaded"]


def test_a_version_whose_environment_no_worker_serves_is_503_at_once(
    client: FlaskClient, settings: Settings, redis: Redis
) -> None:
    write_version(
        settings.models_dir, "old", Sum(), [Field("a", Kind.NUMBER)], environment="sklearn-1.2", libraries=OLD
    )
    answers = [
        client.post("/v1/models/old/predict", json=[{"a": 1}], headers={"Prefer": "wait=30"}),
        client.post("/v1/models/old/predict-file", data="a\n1\n", content_type="text/csv"),
        client.post("/v2/repository/models/old/load"),
        client.post("/v1/models/old/invocations", json={"inputs": [[1]]}),
    ]
    assert [answer.status_code for answer in answers] == [503] * 4
    for answer in answers[:2]:
        assert (answer.json["code"], answer.json["environment"]) == ("environment_not_served", "sklearn-1.2")
    assert all("`modelgate environment make sklearn-1.2`" in answer.text for answer in answers)
    LoadStatusPublisher(redis, ttl=60).publish("w~sklearn-1.2", LoadStatus(environment="sklearn-1.2"))
    assert client.post("/v1/models/old/predict", json=[{"a": 1}]).status_code == 202
    assert client.post("/v1/models/sum/predict", json=[{"a": 1, "b": 2}]).status_code in (202, 422)
    listed = {item["name"]: item["environment"] for item in client.get("/v1/models").json["items"]}
    old = {"name": "sklearn-1.2", "scikit_learn": "1.2.2", "unsupported_since": "2023-06-30"}
    assert (listed["old"], listed["sum"]) == (old, None)
