"""An experiment with all its processes: who gets the candidate, and what becomes of decisions, whatever is killed.

The observer is the test: it says what is found.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from broker.access.audit_log import AuditLog
from broker.state.boards import ExperimentBoard
from broker.state.load_status import load_statuses
from contract.model.environments import TODAY
from contract.model.experiments import Decision, Experiment, ExperimentFindings, ExperimentKind, ExperimentPlan
from contract.model.manifest import ColumnProfile, DataProfile
from contract.model.repository import Repository
from storage.models.repository_writer import RepositoryWriter
from tests.flow import estimators
from tests.stacks.gateways import Gateway, Site, start_site
from tests.stacks.trainer_process import trainer_process
from tests.support import InThreads, command_line, gone, numbers, state_dir, until, write_version
from trainer.publishing.experiment_states import put

MODEL = "quick"
IDS = 4_000
BEGUN, LATER = "2026-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"
CANARY = Experiment("x1", 1, 2, ExperimentPlan(ExperimentKind.CANARY, share=0.25), BEGUN, LATER, 0.05, BEGUN)

pytestmark = pytest.mark.waits


@pytest.fixture
def models(models: Path) -> Path:
    """A model with four versions, the first of which is current; an answer shows the version."""
    profile = DataProfile(10, (), (ColumnProfile(0, (1.0, 4.0), counts=(10,)),))
    for version in (4, 3, 2, 1):
        estimator = estimators.Versioned(version, 0)
        more: Any = {"by_value": True, "current": version == 1, "id_field": "id", "profile": profile}
        write_version(models, MODEL, estimator, numbers("a"), version=version, **more)
    return models


def versions(gateway: Gateway, ids: list[int]) -> dict[int, int]:
    """Return the version to which the job of each id is pinned. No worker takes them."""

    def ask(numbers: list[int]) -> dict[int, int]:
        with requests.Session() as session:
            url = f"{gateway.address}/v1/models/{MODEL}/predict"
            answers = {number: session.post(url, json={"a": 1, "id": number}, timeout=60) for number in numbers}
            return {number: answer.json()["model"]["version"] for number, answer in answers.items()}

    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(ask, [ids[start::4] for start in range(4)])
        return {number: version for part in parts for number, version in part.items()}


@pytest.mark.slow
def test_one_id_has_one_version_in_each_gateway_after_a_restart_and_as_the_share_rises(
    tmp_path: Path, models: Path
) -> None:
    repository = RepositoryWriter(models)
    repository.change(MODEL, lambda state: put(state, CANARY))
    ids = list(range(IDS))
    (tmp_path / "second").mkdir()
    with start_site(tmp_path, models, gateway_processes=2) as site:
        other = Gateway(site.server.url, models, tmp_path / "second" / "gateway.log")
        try:
            other.start()
            first = versions(site.gateway, ids)
            taken = {number for number, version in first.items() if version == 2}
            # 5 % of 4,000, and five standard deviations: 200 ± 69.
            assert 131 <= len(taken) <= 269
            assert taken == {number for number in ids if CANARY.takes(str(number))}
            some = [*sorted(taken)[:50], *ids[:200]]
            assert versions(other, some) == {number: first[number] for number in some}
            site.gateway.stop()
            site.gateway.start()
            assert versions(site.gateway, some) == {number: first[number] for number in some}
            repository.change(MODEL, lambda state: put(state, replace(CANARY, share=0.25)))
            for gateway in (site.gateway, other):
                assert {number for number, version in versions(gateway, some).items() if version == 2} > taken & {*some}
        finally:
            other.stop()


@dataclass
class Stack:
    site: Site
    models: Path
    log_file: Path

    def send(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """Return the answer, once a trainer that was killed is back."""

        def ask() -> dict[str, Any] | None:
            url = f"{self.site.gateway.address}/v1/models/{MODEL}{path}"
            answer = requests.request(method, url, json=body or None, timeout=90)
            assert answer.ok or answer.status_code == 503, answer.text
            return answer.json() if answer.ok else None

        answered: dict[str, Any] = until(ask, f"the answer to {method} {path}")
        return answered

    def say(self, experiment: dict[str, Any], decision: Decision) -> None:
        findings = ExperimentFindings(
            experiment["id"], decision, "the evidence is there", "", LATER, {"share": experiment["share"]}
        )
        with self.site.server.connect() as redis:
            ExperimentBoard(redis).say(MODEL, findings)

    def ended(self, experiment: dict[str, Any]) -> dict[str, Any]:
        """Return the experiment, once it has ended."""

        def look() -> dict[str, Any] | None:
            found = self.send("GET", f"/experiments/{experiment['id']}")
            return found if found["ending"] else None

        found: dict[str, Any] = until(look, f"the end of {experiment['id']}")
        return found

    def aliases(self) -> dict[str, int]:
        return dict(Repository(self.models).aliases(MODEL))

    def loaded(self) -> list[set[str]]:
        """Return the versions that the scorers of each worker have."""
        with self.site.server.connect() as redis:
            return [set(status.loaded) for status in load_statuses(redis, MODEL, TODAY).values()]

    def processes(self, *modules: str) -> list[psutil.Process]:
        """Return the processes of the trainer that run one of these modules."""
        family = psutil.Process().children(recursive=True)
        return [one for one in family if any(module in " ".join(command_line(one)) for module in modules)]


@pytest.fixture
def stack(tmp_path: Path, models: Path) -> Iterator[Stack]:
    settings = {"STATE_DIR": str(state_dir(tmp_path)), "SPOOL_DIR": str(tmp_path / "spool")}
    with (
        start_site(tmp_path, models, spool_dir=tmp_path / "spool") as site,
        trainer_process(site.server, models, settings) as log_file,
    ):
        site.cluster.start().ready()
        stack = Stack(site, models, log_file)
        assert stack.send("PUT", "/logging", share=1)["share"] == 1
        yield stack


class Callers(InThreads):
    """Ask for predictions without a pause, and keep the versions that have answered, and what was wrong."""

    def __init__(self, address: str) -> None:
        self.answered: Counter[int] = Counter()
        self.wrong: list[str] = []
        self._url, self._values = f"{address}/v1/models/{MODEL}/predict", count()
        super().__init__(self._run, self._run)

    def _run(self) -> None:
        with requests.Session() as session:
            while not self._stop.is_set():
                value = next(self._values)
                answer = session.post(self._url, json={"a": value}, headers={"Prefer": "wait=30"}, timeout=60)
                job = answer.json()
                version = job.get("model", {}).get("version", 0)
                if job.get("output", {}).get("predictions") == [2.0 * value + version]:
                    self.answered[version] += 1
                else:
                    self.wrong.append(answer.text)


@pytest.mark.slow
def test_what_is_found_decides(stack: Stack) -> None:
    with Callers(stack.site.gateway.address) as callers:
        shadow = stack.send("POST", "/experiments", candidate=2, kind="shadow")
        stack.say(shadow, Decision.PROMOTE)
        assert stack.ended(shadow)["ending"] == "promoted"
        assert stack.aliases() == {"current": 2, "previous": 1}
        callers.answered.clear()
        canary = stack.send("POST", "/experiments", candidate=3, kind="canary", share=0.5, steps=[0.1])
        until(lambda: callers.answered[3], "some callers get the candidate")
        stack.site.cluster.start("later").ready()
        until(lambda: stack.loaded() == [{f"{MODEL}@{number}" for number in (1, 2, 3)}] * 2, "workers keep it loaded")
        stack.say(canary, Decision.STEP)
        until(lambda: stack.send("GET", "/experiments")["items"][0]["share"] == 0.5, "the share rises")
        stack.say(canary, Decision.ROLL_BACK)
        rolled_back = stack.ended(canary)
        assert (rolled_back["ending"], rolled_back["figures"]) == ("rolled_back", {"share": 0.1})
        assert stack.aliases() == {"current": 2, "previous": 1}
        seen = callers.answered[2]
        callers.answered.clear()
        until(lambda: callers.answered[2] > seen, "the version before answers them all")
        assert callers.answered[3] <= 2, "those that were under way"
        overtaken = stack.send("POST", "/experiments", candidate=3, kind="shadow")
        stack.send("PUT", "/aliases/current", version=4)
        assert stack.ended(overtaken)["reason"] == "version 4 was made current meanwhile"
    assert callers.wrong == []
    with stack.site.server.connect() as redis:
        items = AuditLog(redis, 90).page({"actor": "experiment"}, 9, None).items
    done = ["experiment_promoted", "experiment_step", "experiment_rolled_back"]
    assert [item["action"] for item in reversed(items)] == done


@pytest.mark.slow
def test_a_trainer_that_is_killed_again_and_again_decides_each_once(stack: Stack) -> None:
    """No request fails meanwhile."""
    chance, history = random.Random(31), [1]
    with Callers(stack.site.gateway.address) as callers:
        for turn in range(6):
            candidate = 1 + (history[-1] % 4)
            begun = stack.send("POST", "/experiments", candidate=candidate, kind="canary", share=0.2)
            stack.say(begun, Decision.PROMOTE)
            for _ in range(chance.randint(1, 3)):
                asked = callers.answered.total() + chance.randint(20, 600)
                until(lambda asked=asked: callers.answered.total() > asked, "some requests are answered")
                killed = stack.processes("trainer.jobs.scheduler", "trainer.jobs.runner publishing")
                for process in killed:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
                until(lambda killed=killed: gone(killed), "they are gone")
            assert stack.ended(begun)["ending"] == "promoted", turn
            assert stack.aliases() == {"current": candidate, "previous": history[-1]}
            history.append(candidate)
    assert callers.wrong == []
    endings = [one["ending"] for one in stack.send("GET", "/experiments")["items"]]
    assert endings == ["promoted"] * 6
