"""Experiments in a whole Modelgate whose processes are killed at random: each is decided once, and no request fails."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from modelgate import Client

from contract.model.signature import Output, OutputKind
from tests.flow.conftest import MakeUp
from tests.support import InThreads, numbers, until, write_version

MODEL = "parity"
WRONG = {1: 20, 2: 0, 3: 50, 4: 0}
"""Of each hundred numbers, how many a version answers wrongly."""
PROGRAMS = (
    "redis",
    "-m gateway",
    "-m worker",
    "worker.template",
    "-m trainer",
    "trainer.jobs.scheduler",
    "trainer.jobs.runner publishing",
    "-m observer",
)
KILLS = 12
"""Of each experiment."""

pytestmark = pytest.mark.slow


class Parity:
    """Says whether a number is odd, but not for the first ones of each hundred."""

    def __init__(self, wrong: int) -> None:
        self.wrong = wrong

    def predict(self, rows: Any) -> Any:
        numbers = np.asarray(rows)[:, 0].astype(int)
        return (numbers % 2) ^ (numbers % 100 < self.wrong)


@pytest.fixture
def whole(tmp_path: Path, models: Path) -> Iterator[MakeUp]:
    labels = Output(OutputKind.CLASS, labels=(0, 1))
    for version in (4, 3, 2, 1):
        known = {"version": version, "current": version == 1, "id_field": "id"}
        write_version(models, MODEL, Parity(WRONG[version]), numbers("a"), labels, by_value=True, **known)
    settings = {"TRAIN_ON_START": "none", "WORKERS": "2", "GATEWAY_PROCESSES": "2"}
    whole = MakeUp(tmp_path, models, settings=settings)
    try:
        whole.start()
        yield whole
    finally:
        whole.stop()


class Callers(InThreads):
    """Ask for predictions with the client, which repeats what is not answered, and send the outcome of each."""

    def __init__(self, address: str) -> None:
        self.answered: Counter[int] = Counter()
        self.wrong: list[object] = []
        self._address, self._numbers = address, count()
        super().__init__(*[self._run] * 3)

    def _run(self) -> None:
        model = Client(self._address, timeout=60).model(MODEL)
        while not self._stop.is_set():
            number = next(self._numbers)
            try:
                row = json.dumps({"a": number, "id": f"{number}"}).encode()
                job = model._predicted(MODEL, "predict", "application/json", row)
                version = job["model"]["version"]
                if job["output"]["predictions"] != [(number % 2) ^ (number % 100 < WRONG[version])]:
                    self.wrong.append(job)
                model.add_outcomes([{"id": f"{number}", "outcome": number % 2}])
                self.answered[version] += 1
            except Exception as error:
                self.wrong.append(error)


class Killer:
    """Kills processes of the programs, each the first one or one that it has started, while experiments run."""

    def __init__(self, whole: MakeUp, callers: Callers) -> None:
        self.killed: Counter[str] = Counter()
        self._whole, self._callers, self._chance = whole, callers, random.Random(4)

    def until_ended(self, experiment: dict[str, Any]) -> str:
        """Return how the experiment has ended."""
        model, callers = Client(self._whole.address, timeout=60).model(MODEL), self._callers
        most, after = self.killed.total() + KILLS, callers.answered.total()

        def look() -> str | None:
            nonlocal after
            if self.killed.total() < most and callers.answered.total() >= after:
                after = callers.answered.total() + self._chance.randint(0, 60)
                self._kill()
            ending: str | None = model.experiment(experiment["id"])["ending"]
            return ending

        what = f"the end of {experiment['id']}: {callers.answered}, {self.killed}, {callers.wrong[:3]}"
        ended: str = until(look, what, 240)
        return ended

    def _kill(self) -> None:
        program = self._chance.choice(PROGRAMS)
        with suppress(psutil.NoSuchProcess):
            matching = self._whole.children(program)
            matching += [child for one in matching for child in one.children()]
            if matching:
                self._chance.choice(matching).kill()
                self.killed[program] += 1


def test_processes_that_are_killed_lose_no_request_and_no_decision(whole: MakeUp) -> None:
    client = Client(whole.address, timeout=60)
    client.request("PUT", f"/v1/models/{MODEL}/logging", json={"share": 1})
    model, callers = client.model(MODEL), Callers(whole.address)
    killer = Killer(whole, callers)
    with callers:
        shadow = model.start_experiment(2, "shadow", require="better")
        assert killer.until_ended(shadow) == "promoted"
        worse = model.start_experiment(3, "canary", share=0.5, margin=0.1)
        assert killer.until_ended(worse) == "rolled_back"
        equal = model.start_experiment(4, "canary", share=0.5, steps=[0.2], margin=0.1)
        assert killer.until_ended(equal) == "promoted"
    assert callers.wrong == []
    assert model.version == 4
    assert [one["id"] for one in model.experiments()] == [equal["id"], worse["id"], shadow["id"]]
    items = client.request("GET", "/v1/audit", params={"actor": "experiment"})["items"]
    decided = Counter((item["action"].removeprefix("experiment_"), item["version"]) for item in items)
    assert decided.keys() <= {("promoted", 2), ("rolled_back", 3), ("step", 4), ("promoted", 4)}
    assert set(decided.values()) == {1}
    assert len(killer.killed) == len(PROGRAMS), killer.killed
