"""Machines that share nothing but Redis and a bucket: what one publishes all serve, and no swap fails a request."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from redis import Redis

from broker.state.mirrors import mirror_reports
from contract.model.repository import Repository
from storage.objects import Objects
from tests.stacks.faulty_store import FaultyStore
from tests.stacks.gateways import Gateway, carried_out
from tests.stacks.mirrors import MirrorProcess
from tests.stacks.object_store import S3, s3_server
from tests.stacks.redis_process import RedisProcess
from tests.stacks.workers import Worker, WorkerCluster, worker_cluster
from tests.support import DEADLINE, PROJECT, SECRET, until

pytestmark = pytest.mark.waits

PATIENCE = 60
"""Seconds that promotions wait for mirrors and workers."""


@dataclass
class Machine:
    """A folder of its own, a mirror, and a route of its own to the store."""

    folder: Path
    store: FaultyStore
    settings: dict[str, str]
    mirror: MirrorProcess

    @property
    def models(self) -> Path:
        return self.mirror.models


@dataclass
class Machines:
    """Two with a gateway each, two with a worker each, one with a trainer."""

    s3: S3
    server: RedisProcess
    redis: Redis
    folder: Path
    stack: ExitStack
    url: str = ""
    named: dict[str, Machine] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.url, spool = self.s3.bucket(), self.s3.bucket()
        self.shared = {"TRAINER_SECRET": SECRET, "SPOOL_URL": spool, "WARMUP_TIMEOUT": str(PATIENCE)}
        self.gateways = [self._gateway(name) for name in ("gateway-a", "gateway-b")]
        for name in ("worker-a", "worker-b"):
            self._worker(name)
        self._trainer(self._machine("trainer-a"))

    def _machine(self, name: str) -> Machine:
        folder = self.folder / name
        folder.mkdir()
        store = FaultyStore(self.s3.port)
        self.stack.callback(store.close)
        options = self.s3.options(store.port)
        mirror = MirrorProcess(self.server.url, folder / "models", self.url, options, folder / "mirror.log", name)
        mirror.start()
        self.stack.callback(mirror.kill)
        settings = {**self.shared, "MODELS_URL": self.url, "STORE_OPTIONS_FILE": str(options)}
        settings |= {"SPOOL_DIR": str(folder / "spool"), "STATE_DIR": str(folder / "state")}
        self.named[name] = Machine(folder, store, settings, mirror)
        return self.named[name]

    def _gateway(self, name: str) -> Gateway:
        machine = self._machine(name)
        gateway = Gateway(self.server.url, machine.models, machine.folder / "log", machine.settings)
        self.stack.callback(gateway.stop)
        return gateway.start()

    def _worker(self, name: str) -> None:
        machine = self._machine(name)
        cluster: WorkerCluster = self.stack.enter_context(
            worker_cluster(self.server.url, machine.models, machine.folder)
        )
        until(lambda: Repository(machine.models).root.exists(), "the mirror's folder")
        self.workers[name] = cluster.start(name, **machine.settings).ready()

    def _trainer(self, machine: Machine, patience: int = PATIENCE) -> None:
        """Start the trainer, whose promotions wait for so many seconds."""
        environment = {**os.environ, **machine.settings, "REDIS_URL": self.server.url, "TRAIN_ON_START": "none"}
        environment |= {"MODELS_DIR": str(machine.models), "WARMUP_TIMEOUT": str(patience)}
        with (machine.folder / "trainer.log").open("ab") as log:
            command = [sys.executable, "-m", "trainer"]
            self.trainer = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
        self.stack.callback(self.trainer.wait, DEADLINE)
        self.stack.callback(self.trainer.terminate)
        until(lambda: self.redis.exists("mg:trainer:recipes"), "the trainer says which recipes there are")

    @contextmanager
    def impatient_trainer(self) -> Iterator[None]:
        """Have promotions wait for 10 s only within the block."""
        self._restart_trainer(10)
        try:
            yield
        finally:
            self._restart_trainer(PATIENCE)

    def _restart_trainer(self, patience: int) -> None:
        self.trainer.terminate()
        self.trainer.wait(DEADLINE)
        self._trainer(self.named["trainer-a"], patience)

    def kill_scorers(self, name: str) -> None:
        """Kill the scorers of a worker."""
        for pid in self.workers[name].scorers().values():
            os.kill(pid, signal.SIGKILL)

    def send(self, method: str, path: str, at: int = 0, **options: Any) -> requests.Response:
        return carried_out(method, self.gateways[at].address + path, **options)

    def train(self, at: int = 0) -> dict[str, Any]:
        """Train a version, and return the output of the job."""
        ended = self.ended(self.send("POST", "/v1/models/blobs/train", at).json()["id"], at)
        assert ended["status"] == "succeeded", ended
        output: dict[str, Any] = ended["output"]
        return output

    def ended(self, job: str, at: int = 0) -> dict[str, Any]:
        """Return a job once it has ended."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.send("GET", f"/v1/jobs/{job}?wait=10", at).json()
            return found if found["completed_at"] else None

        ended: dict[str, Any] = until(look, f"the end of {job}")
        return ended

    def done(self, job: str) -> int:
        """Return the rows of a file that are scored."""
        progress = self.send("GET", f"/v1/jobs/{job}").json()["progress"]
        return int(progress["done"] or 0) if progress else 0

    def example(self) -> Any:
        return self.send("GET", "/v1/models/blobs", at=1).json()["example"]


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder = tmp_path_factory.mktemp("machines")
    with ExitStack() as stack:
        server = stack.enter_context(RedisProcess(folder))
        redis = stack.enter_context(server.connect())
        yield Machines(stack.enter_context(s3_server(folder)), server, redis, folder, stack)


@pytest.fixture(autouse=True)
def _routes_are_open(machines: Machines) -> Iterator[None]:
    yield
    for machine in machines.named.values():
        machine.store.choose = lambda _method, _path: ""
    until(lambda: not any(report.away for report in mirror_reports(machines.redis).values()), "all have the store")


class Callers:
    """Ask all gateways for answers of the current version, until they are stopped. They leave most of the processors to
    the trainings, which are last in line."""

    def __init__(self, gateways: list[Gateway], body: Any) -> None:
        self.answers: Counter[str] = Counter()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(gateway, body)) for gateway in gateways]
        for thread in self._threads:
            thread.start()

    def _ask(self, gateway: Gateway, body: Any) -> None:
        while not self._stop.wait(0.05):
            answer = gateway.post("blobs", body, wait=60)
            job = answer.json()
            self.answers[f"{answer.status_code} {job.get('status')} {job.get('model', {}).get('version')}"] += 1

    def stop(self) -> Counter[str]:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.answers


@pytest.mark.slow
def test_swaps_across_machines_fail_no_request_and_all_machines_show_them(machines: Machines) -> None:
    first = machines.train()
    assert first["promoted"]
    callers = Callers(machines.gateways, machines.example())
    try:
        for at in (1, 0):
            trained = machines.train(at)
            assert trained["promoted"], trained
            version = trained["version"]
            for other in (0, 1):
                shown = machines.send("GET", "/v1/models/blobs", other).json()["aliases"]
                assert shown["current"] == version, f"gateway {other}"
        moved = machines.send("POST", "/v1/models/blobs/rollback", at=0)
        assert moved.ok and machines.send("GET", "/v1/models/blobs", at=1).json()["version"] == version - 1
    finally:
        answers = callers.stop()
    assert {answer.rpartition(" ")[0] for answer in answers} == {"200 succeeded"}, answers
    assert {answer.rpartition(" ")[2] for answer in answers} == {str(first["version"] + more) for more in range(3)}


@pytest.mark.slow
@pytest.mark.replaces_parts
def test_no_alias_moves_while_a_worker_cannot_get_the_version_and_its_jobs_wait_for_another(
    machines: Machines,
) -> None:
    before = machines.train()["version"]
    cut_off = machines.named["worker-a"]
    cut_off.store.choose = lambda _method, _path: "unavailable"
    with machines.impatient_trainer():
        refused = machines.train()
    assert not refused["promoted"] and "worker-a" in refused["reason"], refused
    for number in range(10):
        answer = machines.gateways[number % 2].post(f"blobs@{before + 1}", machines.example(), wait=60).json()
        assert answer["status"] == "succeeded" and answer["model"]["version"] == before + 1, (number, answer)
    assert Repository(cut_off.models).versions("blobs")[-1] == before
    cut_off.store.choose = lambda _method, _path: ""
    until(lambda: Repository(cut_off.models).versions("blobs")[-1] == before + 1, "the version")
    moved = machines.send("PUT", "/v1/models/blobs/aliases/current", json={"version": before + 1})
    assert moved.status_code == 200, moved.text


@pytest.mark.slow
def test_without_the_store_predictions_go_on_and_changes_say_why_they_fail(machines: Machines) -> None:
    version, example = machines.train()["version"], machines.example()
    for machine in machines.named.values():
        machine.store.choose = lambda _method, _path: "unavailable"
    moved = machines.send("PUT", "/v1/models/blobs/aliases/canary", json={"version": version})
    assert (moved.status_code, moved.json()["code"]) == (503, "store_away"), moved.text
    csv = {"data": "a\n1\n", "headers": {"Content-Type": "text/csv"}}
    refused = machines.send("POST", "/v1/models/blobs/predict-file", **csv)
    assert (refused.status_code, refused.json()["code"]) == (503, "store_away"), refused.text
    for gateway in machines.gateways:
        assert gateway.post("blobs", example, wait=60).json()["status"] == "succeeded"


@pytest.mark.slow
def test_a_file_waits_for_the_store_and_predictions_do_not(machines: Machines) -> None:
    machines.train()
    for name in machines.workers:
        machines.named[name].store.choose = lambda _method, _path: "unavailable"
    answer = machines.send("POST", "/v1/models/blobs/predict-file", **_file(machines, 100))
    waits = "the object store does not answer"
    until(lambda: any(waits in worker.log for worker in machines.workers.values()), "a worker says so")
    for gateway in machines.gateways:
        assert gateway.post("blobs", machines.example(), wait=60).json()["status"] == "succeeded"
    for name in machines.workers:
        machines.named[name].store.choose = lambda _method, _path: ""
    ended = machines.ended(answer.json()["id"])
    assert ended["status"] == "succeeded" and ended["output"]["rows"] == 100, ended


def _file(machines: Machines, rows: int) -> dict[str, Any]:
    """Return what sends a file of so many rows."""
    columns = [field["name"] for field in machines.send("GET", "/v1/models/blobs").json()["signature"]["inputs"]]
    lines = (",".join(str((row * 7 + place) % 100 / 10) for place in range(len(columns))) for row in range(rows))
    return {"data": "\n".join([",".join(columns), *lines, ""]), "headers": {"Content-Type": "text/csv"}}


ROWS = 30_000


def test_files_are_received_scored_and_fetched_on_different_machines_while_a_worker_is_killed(
    machines: Machines,
) -> None:
    machines.train()
    file, outputs = _file(machines, ROWS), []
    for kill in (False, True):
        job: str = machines.send("POST", "/v1/models/blobs/predict-file", **file).json()["id"]
        if kill:
            until(lambda job=job: machines.done(job), "it has begun")  # type: ignore[misc]
            machines.kill_scorers("worker-a")
        ended = machines.ended(job)
        assert ended["status"] == "succeeded" and ended["output"]["rows"] == ROWS, ended
        whole = machines.send("GET", f"/v1/jobs/{job}/output", at=1)
        part = machines.send("GET", f"/v1/jobs/{job}/output", at=0, headers={"Range": "bytes=1000-1999"})
        assert part.status_code == 206 and part.content == whole.content[1000:2000]
        outputs.append(whole.content)
    assert outputs[0] == outputs[1] and outputs[0].count(b"\n") == ROWS + 1


@pytest.mark.slow
def test_a_training_reads_the_file_that_a_gateway_of_another_machine_received(machines: Machines) -> None:
    csv = "x,y\n" + "".join(f"{number % 50},{3 * (number % 50)}\n" for number in range(200))
    form = {"target": "y"}
    job = machines.send("POST", "/v1/models/line/train", data=form, files={"file": ("line.csv", csv)}).json()
    ended = machines.ended(job["id"], at=1)
    assert ended["status"] == "succeeded", ended
    answer = machines.gateways[1].post("line", {"x": 10}, wait=60).json()
    assert abs(answer["output"]["predictions"][0] - 30) < 5
    spool = Objects.at("SPOOL_URL", machines.shared["SPOOL_URL"], machines.s3.options())
    until(lambda: not [entry for entry in spool.entries("") if entry.key.endswith(".upload")], "the upload is removed")
