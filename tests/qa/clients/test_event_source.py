"""A browser's own EventSource follows a training: its progress, its whole log, its end, and then it stops."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser

from tests.qa.clients.conftest import Modelgate, accepted_training, started

FOLLOW = """
address => new Promise((resolve, reject) => {
    const seen = [], events = new EventSource(address);
    for (const name of ["progress", "log", "end"])
        events.addEventListener(name, event => seen.push([name, event.lastEventId, event.data]));
    events.onerror = () => {
        if (events.readyState === EventSource.CLOSED) resolve(seen);  // it does not connect again
    };
    setTimeout(() => reject(new Error("no end: " + JSON.stringify(seen))), 600000);
})
"""


@pytest.fixture
def training(modelgate: Modelgate, tmp_path: Path) -> Iterator[Modelgate]:
    """One with a copy of the models: other tests expect that each has one version."""
    models = shutil.copytree(modelgate.models, tmp_path / "models")
    with started(tmp_path, models, TRAIN_ON_START="none") as running:
        yield running


def test_event_source_follows_a_training_and_stops_after_its_end(browser: Browser, training: Modelgate) -> None:
    page = browser.new_page()
    page.goto(f"{training.address}/docs")
    job = accepted_training(f"{training.address}/v1/models/iris/reset")
    seen: list[tuple[str, str, str]] = page.evaluate(FOLLOW, f"/v1/jobs/{job['id']}/events")
    page.close()
    states = [json.loads(data)["status"] for name, _, data in seen if name == "progress"]
    assert states[-1] == "running" and set(states) <= {"queued", "running"}
    log = "\n".join(data for name, _, data in seen if name == "log")
    assert log and log == requests.get(f"{training.address}/v1/jobs/{job['id']}/log", timeout=60).text.rstrip("\n")
    name, last_id, data = seen[-1]
    shown: dict[str, Any] = requests.get(f"{training.address}/v1/jobs/{job['id']}", timeout=60).json()
    assert (name, last_id, json.loads(data)) == ("end", "end", shown)
    assert shown["status"] == "succeeded"
