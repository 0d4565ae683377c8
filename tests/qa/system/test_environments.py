"""COMPOSE_PROFILES=sklearn-1.2: a worker of an older release, and the trainer with its libraries."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.qa.system.stack import Stack, until

pytestmark = pytest.mark.slow

WORKER = "worker-sklearn-1.2"
ROW = [0.25, -1.5]

_FIT = f"""
import base64, json, pickle, sklearn
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier
X, y = make_classification(200, 2, n_informative=2, n_redundant=0, random_state=0)
model = GradientBoostingClassifier(n_estimators=10, random_state=0).fit(X, y)
pickled = base64.b64encode(pickle.dumps(model)).decode()
answer = model.predict_proba([{ROW}])[0].tolist()
print(json.dumps({{"release": sklearn.__version__, "pickle": pickled, "answer": answer}}))
"""

_STOP_SCORERS = """
import os, signal
from pathlib import Path
for file in Path("/proc").glob("[0-9]*/cmdline"):
    if file.read_bytes().split(bytes(1))[2:3] == [b"worker.template"]:
        os.kill(int(file.parent.name), signal.SIGSTOP)
"""

_AUTO = """
from pathlib import Path
from runtime.environments import Environments
from trainer.importing import Refused
from trainer.importing.inbox.homes import Homes
homes = Homes(Environments(Path("/state/environments")), auto=True)
try:
    homes.examine(None, None, None, {"scikit-learn": "1.5.0"}, None)
except Refused as refused:
    print(refused)
"""


@pytest.fixture(scope="module")
def old(stack: Stack) -> Iterator[dict[str, Any]]:
    """The stack with the environment; returns what its model `old` answered where it was fitted."""
    with stack.settings(COMPOSE_PROFILES="monitoring-of-mine,sklearn-1.2", ALLOW_UPLOAD=1):
        stack.up("--build")
        try:
            (worker,) = stack.containers(WORKER)
            fitted: dict[str, Any] = json.loads(stack.execute(worker["Id"], "python", "-c", _FIT))
            file = {"file": ("old.pkl", base64.b64decode(fitted["pickle"]))}
            response = requests.post(f"{stack.url}/v1/models/old/versions", files=file, timeout=600)
            assert response.status_code == 201, response.text
            yield fitted
        finally:
            stack.compose("down", "--rmi", "local", WORKER)
    (trainer,) = stack.containers("trainer")
    stack.execute(trainer["Id"], "rm", "-rf", "/models/old")
    until(lambda: stack.get("/v1/models/old").status_code == 404)


def test_a_model_of_an_old_release_answers_as_there(stack: Stack, old: dict[str, Any]) -> None:
    assert old["release"].startswith("1.2.")
    assert stack.get("/v1/models/old/versions/1").json()["environment"]["name"] == "sklearn-1.2"
    output = stack.prediction("old", [ROW])
    assert list(output["probabilities"][0].values()) == old["answer"]


def test_jobs_of_a_killed_worker_are_not_lost(stack: Stack, old: dict[str, Any]) -> None:
    (worker,) = stack.containers(WORKER)
    stack.execute(worker["Id"], "python", "-c", _STOP_SCORERS)
    ids = stack.post_many("old", [[ROW]] * 100)
    assert not any(stack.get(f"/v1/jobs/{job}").json()["status"] == "succeeded" for job in ids)
    subprocess.run(["docker", "kill", worker["Id"]], check=True, capture_output=True)
    stack.up()
    assert {job["status"] for job in stack.finished(ids)} == {"succeeded"}


def test_the_trainer_in_a_container_says_how_it_gets_an_environment(stack: Stack, old: dict[str, Any]) -> None:
    (trainer,) = stack.containers("trainer")
    said = stack.execute(trainer["Id"], "python", "-c", _AUTO)
    assert "a trainer in a container cannot make" in said and "add sklearn-1.5 to COMPOSE_PROFILES in .env" in said


def test_without_its_worker_a_prediction_is_refused_at_once(stack: Stack, old: dict[str, Any]) -> None:
    stack.compose("stop", WORKER)
    until(lambda: stack.predict("old", [ROW]).status_code == 503)
    response = stack.predict("old", [ROW], wait=30)
    assert (response.status_code, response.json()["code"]) == (503, "environment_not_served")
    assert "add sklearn-1.2 to COMPOSE_PROFILES in .env" in response.json()["detail"]
    assert response.elapsed.total_seconds() < 15
