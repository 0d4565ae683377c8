"""What a key with a single scope needs from its first request to its result, and where it ends."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.sides.single_jobs import SingleJobs
from contract.errors import Code, version_error
from contract.model.parameters import RecipeParameter
from contract.settings import Settings
from contract.work.api_keys import Detail, Key, Scope
from contract.work.training import Progress, RepositoryAction, RepositoryCommand
from gateway.app import create_app
from tests.broker import samples
from tests.gateway.callers import ADMIN_KEY, Caller

COMMANDS: list[RepositoryCommand] = []


def execute(command: RepositoryCommand) -> dict[str, Any]:
    COMMANDS.append(command)
    if command.alias == "blue":
        raise version_error(Code.NOT_TRUSTED, command.model, 1, "is not signed; sign it with python -m trainer sign")
    return {"name": command.model, "version": 1, "versions": [1], "aliases": {"current": 1}, "warnings": []}


@pytest.fixture
def client(settings: Settings, tmp_path: Path) -> FlaskClient:
    COMMANDS.clear()
    changed = replace(settings, admin_key=ADMIN_KEY, allow_upload="1")
    return create_app(changed, execute).test_client()


@pytest.fixture
def holder(client: FlaskClient, redis: Redis) -> Callable[[Scope], Caller]:
    """Make a key with one scope. Its errors are terse, as those of a key without `read` are by default."""

    def made(scope: Scope) -> Caller:
        return Caller.with_key(client, redis, Key(scope, scope, scope, frozenset({scope}), detail=Detail.TERSE))

    return made


@pytest.fixture
def trainer(redis: Redis) -> SingleJobs:
    return samples.trainer(redis, ["loan", "tabular"], {"loan": [RecipeParameter("depth", ["int"], [], None)]})


def statuses(caller: Caller, *asked: tuple[str, str]) -> list[int]:
    return [caller(method, path).status_code for method, path in asked]


def test_a_key_with_predict_gets_its_results(holder: Callable[[Scope], Caller], scoring: None) -> None:
    caller = holder(Scope.PREDICT)
    made = caller("POST", "/v1/models/sum/predict", json={"a": 1, "b": 2})
    path = made.headers["Location"]
    assert caller("GET", f"{path}?wait=30").json["output"]["predictions"] == [3.0]
    assert [job["id"] for job in caller("GET", "/v1/jobs").json["items"]] == [made.json["id"]]
    assert caller("GET", "/v1/models/sum/predict?a=1&b=2").json["status"] == "succeeded"
    assert caller("DELETE", path).status_code == 204
    closed = [("POST", "/v1/models/sum/train"), ("GET", "/v1/models/sum"), ("POST", "/v1/models/sum/rollback")]
    assert statuses(caller, *closed, ("GET", "/metrics")) == [403] * 4


def test_a_key_with_train_follows_its_training_to_the_end(
    holder: Callable[[Scope], Caller], trainer: SingleJobs
) -> None:
    caller = holder(Scope.TRAIN)
    wrong = caller("POST", "/v1/models/loan/train", json={"parameters": {"dept": 3}})
    assert "did you mean" in wrong.text and "depth" in wrong.text  # a training is not written without its parameters
    ended, canceled = (caller("POST", "/v1/models/loan/train", json={"parameters": {"depth": 3}}) for _ in range(2))
    assert (ended.status_code, canceled.status_code) == (202, 202)
    waiting, path = canceled.headers["Location"], ended.headers["Location"]
    assert caller("GET", waiting).json["progress"]["total"] == 1
    begun = trainer.begin([])
    assert begun is not None
    trainer.report_progress(begun.id, Progress("fit", 0.5).to_json(), b"half\n", 0)
    assert caller("GET", path).json["progress"]["phase"] == "fit"
    assert caller("GET", f"{path}/log").text == "half\n"
    assert caller("DELETE", waiting).json["status"] == "canceled"
    trainer.finish(begun.id, {"model": "loan", "version": 4})
    assert caller("GET", f"{path}?wait=1").json["output"]["version"] == 4
    assert [job["id"] for job in caller("GET", "/v1/jobs?model=loan&status=succeeded").json["items"]] == [begun.id]
    schedule = "/v1/models/loan/schedule"
    assert caller("PUT", schedule, json={"cron": "0 3 * * 1"}).status_code == 200
    assert statuses(caller, ("GET", schedule), ("GET", "/v1/schedules"), ("DELETE", schedule)) == [200, 200, 204]
    closed = [("GET", "/v1/models"), ("GET", "/v1/models/sum/predict?a=1&b=2"), ("POST", "/v1/models/sum/rollback")]
    assert statuses(caller, *closed) == [403, 403, 403]


def test_a_key_with_publish_uploads_and_moves_aliases(holder: Callable[[Scope], Caller], trainer: SingleJobs) -> None:
    caller = holder(Scope.PUBLISH)
    data = {"file": (io.BytesIO(b"pickle"), "model.pkl")}
    made = caller("POST", "/v1/models/new/versions", data=data, content_type="multipart/form-data")
    assert (made.status_code, made.json["version"]) == (201, 1)
    assert caller("PUT", "/v1/models/sum/aliases/canary", json={"version": 1}).json["aliases"] == {"current": 1}
    assert caller("POST", "/v1/models/sum/rollback").status_code == 200
    assert caller("DELETE", "/v1/models/sum/versions/1").status_code == 200
    edited = {"from": 1, "signature": {"inputs": {"a": {"name": "first"}}}}
    assert caller("POST", "/v1/models/sum/versions", json=edited).status_code == 201
    assert [command.action for command in COMMANDS] == [
        RepositoryAction.IMPORT,
        RepositoryAction.MOVE_ALIAS,
        RepositoryAction.ROLL_BACK,
        RepositoryAction.DELETE_VERSION,
        RepositoryAction.EDIT_SIGNATURE,
    ]
    refused = caller("PUT", "/v1/models/sum/aliases/blue", json={"version": 1})
    assert refused.status_code == 409 and refused.json["detail"].endswith("sign it with python -m trainer sign")
    closed = [("POST", "/v1/models/sum/train"), ("GET", "/v1/models/sum"), ("POST", "/v1/models/sum/predict")]
    assert statuses(caller, *closed) == [403, 403, 403]


def test_a_key_with_read_changes_nothing(holder: Callable[[Scope], Caller], trainer: SingleJobs) -> None:
    caller = holder(Scope.READ)
    opened = [("GET", path) for path in ("/v1/models", "/v1/models/sum", "/v1/models/sum/versions/1", "/metrics")]
    assert statuses(caller, *opened, ("GET", "/v1/jobs"), ("GET", "/v1/schedules")) == [200] * 6
    closed = ["/v1/models/sum/predict", "/v1/models/sum/train", "/v1/models/sum/rollback", "/v1/models/sum/versions"]
    assert statuses(caller, *(("POST", path) for path in closed)) == [403] * 4


def test_metrics_name_the_models_of_the_key_alone(client: FlaskClient, redis: Redis) -> None:
    key = Key("k", "k", "k", frozenset({Scope.READ}))
    readers = [
        Caller.with_key(client, redis, reader) for reader in (key, replace(key, id="k2", models=frozenset({"other"})))
    ]
    whole, few = (reader("GET", "/metrics").text for reader in readers)
    of_sum = [line for line in whole.splitlines() if 'model="sum"' in line]
    assert of_sum
    assert few.splitlines() == [line for line in whole.splitlines() if line not in of_sum]
