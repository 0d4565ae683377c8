"""`modelgate demo` on a running installation: the world changes, and the model is trained again by itself."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import requests

from tests.flow.conftest import MakeUp
from tests.support import PROJECT, until

pytestmark = pytest.mark.slow

PAGE = (PROJECT / "docs" / "how-to" / "keep-predictions.md").read_text()
(SHOWN,) = re.findall(r"^\$ modelgate demo\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def demo(modelgate: MakeUp) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modelgate.command", "demo", "--url", modelgate.address]
    return subprocess.run(command, capture_output=True, text=True, timeout=400)


def shares(text: str) -> list[int]:
    return [int(share) for share in re.findall(r"(\d+)% of the ", text)]


def test_a_model_that_the_world_overtakes_is_trained_again_as_often_as_one_looks(modelgate: MakeUp) -> None:
    # … stands for what differs each time; in a line of its own, for any number of lines.
    shown = SHOWN.replace("http://127.0.0.1:8080", modelgate.address).replace("    …\n", "…")
    shown = re.sub(r"(demo@|version[ =])\d", r"\1…", shown)  # the second demo makes the versions 3 and 4
    expected = ".*".join(map(re.escape, shown.split("…")))
    for _ in range(2):
        ended = demo(modelgate)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert re.fullmatch(expected, ended.stdout, re.DOTALL), ended.stdout
        morning, afternoon = ended.stdout.split("3  Noon")
        assert min(shares(morning)) > 70, morning
        assert min(shares(afternoon)) < 60 and shares(afternoon)[-1] > 75, afternoon
    url = f"{modelgate.address}/v1/models/demo"
    assert requests.get(f"{url}/schedule", timeout=60).json()["last_run"]["status"] == "succeeded"


def test_a_model_that_no_demo_has_made_stays(modelgate: MakeUp) -> None:
    url = f"{modelgate.address}/v1/models/demo"
    requests.delete(url, params={"confirm": "demo"}, timeout=60)
    made = requests.post(f"{url}/train", json={"recipe": "iris"}, timeout=60)
    job = f"{modelgate.address}/v1/jobs/{made.json()['id']}"
    until(lambda: requests.get(job, timeout=60).json()["status"] == "succeeded", "the model is trained")
    ended = demo(modelgate)
    assert ended.returncode == 1 and "there is a model demo that no demo has made" in ended.stderr
