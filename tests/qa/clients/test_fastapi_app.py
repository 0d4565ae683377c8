"""The FastAPI app of the examples answers as before once it asks Modelgate."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from tests.qa.clients.conftest import PROJECT, START, Modelgate
from tests.stacks.ports import free_port

FOLDER = PROJECT / "examples" / "fastapi-app"
ROWS = [[5.1, 3.5, 1.4, 0.2], [5.9, 3.0, 5.1, 1.8]]


@contextmanager
def serving(address: str) -> Iterator[str]:
    """Run the app; yields its address."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(FOLDER), "after:app", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "client" / "src"), "MODELGATE_URL": address}
    process = subprocess.Popen(command, env=environment)
    try:
        url, end = f"http://127.0.0.1:{port}", time.monotonic() + START
        while True:
            try:
                requests.get(f"{url}/openapi.json", timeout=5).raise_for_status()
                break
            except (requests.ConnectionError, requests.Timeout):
                assert process.poll() is None and time.monotonic() < end
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def test_the_app_answers_as_the_estimator_does(modelgate: Modelgate) -> None:
    with serving(modelgate.address) as url:
        assert requests.post(f"{url}/predict", json=ROWS, timeout=60).json() == {"prediction": [0, 2]}
        refused = requests.post(f"{url}/predict", json=[[5.1, 3.5, 1.4]], timeout=60)
        assert refused.status_code == 422 and "petal_width" in refused.json()["error"]
