"""Many files are dropped into the inbox at once while a model serves."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from broker.state.load_status import load_statuses
from contract.model.environments import TODAY
from contract.model.repository import Repository
from tests.flow import estimators
from tests.flow.clients import Clients
from tests.stacks.gateways import Site, start_site
from tests.support import PROJECT, numbers, outside_of_make, until, write_version

COUNT = 40
X = np.arange(40.0).reshape(20, 2)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    models = tmp_path / "models"
    write_version(models, "quick", estimators.Slow(0), numbers("a"), by_value=True)
    (models / "inbox").mkdir()
    with start_site(tmp_path, models) as site:
        site.cluster.start("first").ready()
        yield site


def drop(inbox: Path, number: int) -> None:
    """Drop one of forty files; every fifth is refused."""
    model = LinearRegression() if number % 2 else DecisionTreeRegressor(max_depth=3)
    data = pickle.dumps(model.fit(X, np.arange(20) * number))
    part = inbox / f"m{number:02}.pkl.part"
    part.write_bytes(data[: len(data) // 2] if number % 5 == 0 else data)
    part.rename(inbox / f"m{number:02}.pkl")


@pytest.mark.slow
def test_all_files_of_many_end_and_a_served_model_goes_on(site: Site, tmp_path: Path) -> None:
    models, inbox = site.gateway.models, site.gateway.models / "inbox"
    for number in range(COUNT):
        drop(inbox, number)
    environment = {**outside_of_make(), "MODELS_DIR": str(models), "REDIS_URL": site.server.url}
    command = [sys.executable, "-m", "trainer.importing.inbox.inbox"]
    with (tmp_path / "log").open("wb") as log, Clients(site.gateway.address, ["quick"]) as clients:
        trainer = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log)
        try:
            until(lambda: not list(inbox.glob("*.pkl")), "all files have left the inbox", 240)
            clients.until_more(20, "the model still serves")
        finally:
            trainer.terminate()
            trainer.wait(30)
    assert trainer.returncode == 0
    assert all(answer.right for answer in clients.answers), clients.statuses()

    good = [f"m{number:02}" for number in range(COUNT) if number % 5]
    refused = [f"m{number:02}.pkl" for number in range(COUNT) if number % 5 == 0]
    assert sorted(path.name for path in (inbox / "done").iterdir()) == [f"{name}@1.pkl" for name in good]
    assert sorted(path.name for path in (inbox / "rejected").glob("*.pkl")) == refused
    assert all((inbox / "rejected" / f"{name}.reason.txt").read_text() for name in refused)
    lines = re.findall(rf"inbox: (\d+) of {COUNT}: (?:rejected: )?'?(m\d\d)\b", (tmp_path / "log").read_text())
    assert sorted(lines) == sorted((str(number + 1), f"m{number:02}") for number in range(COUNT))
    assert [Repository(models).aliases(name) for name in good] == [{"current": 1}] * len(good)
    jobs = {name: site.gateway.post(name, [[2, 3]], wait=30).json() for name in good}
    assert {job["status"] for job in jobs.values()} == {"succeeded"}
    for number in (1, 3, 7):
        (prediction,) = jobs[f"m{number:02}"]["output"]["predictions"]
        assert prediction == pytest.approx(number)
    assert all(status.refused == {} for status in load_statuses(site.cluster.redis, "m01", TODAY).values())
