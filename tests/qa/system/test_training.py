"""Training in containers: an upload goes through a volume, and the gateway still writes nowhere else."""

from __future__ import annotations

import subprocess
import sys

import requests

from tests.qa.system.stack import Stack


def test_a_model_is_trained_on_an_upload_and_served(stack: Stack) -> None:
    rows = "\n".join(f"{x},{x * x},{int(x > 10)}" for x in range(20))
    files = {"file": ("points.csv", f"FEATURE_1,FEATURE_2,CLASS\n{rows}\n")}
    accepted = requests.post(f"{stack.url}/v1/models/blobs/train", files=files, timeout=60)
    assert accepted.status_code == 202, accepted.text
    (job,) = stack.finished([accepted.json()["id"]])
    assert job["status"] == "succeeded", job
    assert stack.get("/v1/models/blobs").json()["version"] == job["output"]["version"]
    assert "20 rows" in stack.get(f"/v1/jobs/{job['id']}/log").text


def test_both_queues_of_the_trainer_are_served(stack: Stack) -> None:
    (trainer,) = stack.containers("trainer")
    program = "import pathlib; print([p.read_bytes() for p in pathlib.Path('/proc').glob('[0-9]*/cmdline')])"
    processes = stack.execute(trainer["Id"], "python", "-c", program)
    for queue in ("training", "publishing"):
        assert f"trainer.jobs.runner\\x00{queue}" in processes


def test_a_model_that_the_world_overtakes_is_trained_again_by_itself(stack: Stack) -> None:
    command = [sys.executable, "-m", "modelgate.command", "demo", "--url", stack.url]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "the alarm begins a training" in ended.stdout and "7  Recovered" in ended.stdout
