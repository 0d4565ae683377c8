"""Workers of rare models come and go as KEDA would have them, and no request is lost."""

from __future__ import annotations

import itertools
import logging
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contract.work.jobs import Status
from tests.deploy.kubernetes.manifests import FOLDER, Cluster, kustomize
from tests.flow import estimators
from tests.stacks.autoscaler import Autoscaler
from tests.stacks.gateways import Site, start_site
from tests.stacks.prometheus import prometheus_of
from tests.stacks.workers import Worker
from tests.support import InThreads, numbers, until, write_version

log = logging.getLogger(__name__)

SPEED = 15.0
"""Cool-down and stabilization of 300 s take 20 s here."""
JOBS, SECONDS = 400, 0.25
"""100 s of work for one scorer. The model sleeps, so that many workers fit on few processors."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is missing: apt-get install prometheus"),
]


class Pool:
    """The workers of a site; `scale` starts and stops some, the newest first."""

    def __init__(self, site: Site, models: str) -> None:
        self._site, self._models = site, models
        self._names = (f"rare-{number}" for number in itertools.count())
        self.running: list[Worker] = []
        self.stopping: list[Worker] = []

    def scale(self, count: int) -> None:
        while len(self.running) < count:
            settings = {"workers": 1, "worker_models": self._models, "stop_grace": 8}
            self.running.append(self._site.cluster.start(next(self._names), **settings))
        while len(self.running) > count:
            worker = self.running.pop()
            worker.process.send_signal(signal.SIGTERM)
            self.stopping.append(worker)


class Requests(InThreads):
    """A client that asks for one prediction after the other, and waits up to a minute for each. `statuses` has those of
    its answers, `ids` the jobs."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.statuses: list[int] = []
        self.ids: list[str] = []
        super().__init__(self._ask)

    def _ask(self) -> None:
        while not self._stop.wait(0.2):
            answer = self._site.gateway.post("blobs", {"a": 3}, wait=60)
            self.statuses.append(answer.status_code)
            self.ids.append(answer.json().get("id"))


def test_workers_of_rare_models_go_from_none_to_ten_and_back_without_a_lost_request(tmp_path: Path) -> None:
    spec = next(
        thing["spec"]
        for thing in Cluster(kustomize(FOLDER / "overlays" / "autoscaled")).of("ScaledObject")
        if thing["metadata"]["name"] == "worker-rare"
    )
    write_version(tmp_path / "models", "blobs", estimators.Slow(SECONDS), numbers("a"), by_value=True)
    with (
        start_site(tmp_path, tmp_path / "models", lease=10, spool_dir=tmp_path / "spool") as site,
        prometheus_of(site.gateway, tmp_path) as prometheus,
    ):

        def figure(query: str) -> float:
            return sum(float(series["value"][1]) for series in prometheus.series(query))

        pool = Pool(site, "blobs")
        scaler = Autoscaler(spec, figure, time.monotonic, SPEED)
        began, seen, most_waiting = time.monotonic(), [0], 0.0

        def step() -> int:
            nonlocal most_waiting
            count = scaler.step()
            most_waiting = max(most_waiting, scaler.figures[0])
            if count != seen[-1]:
                seen.append(count)
                log.info("%5.1f s: waiting %5.1f s, %d workers", time.monotonic() - began, scaler.figures[0], count)
                pool.scale(count)
            return count

        until(lambda: prometheus.series("modelgate_queue_oldest_seconds"), "Prometheus has asked the gateway")
        assert step() == 0, "nothing waits"
        values = [float(number) for number in range(JOBS)]
        with ThreadPoolExecutor(8) as clients:
            ids = [*clients.map(lambda value: str(site.gateway.post("blobs", {"a": value}).json()["id"]), values)]
        with Requests(site) as requests:
            until(lambda: step() == spec["maxReplicaCount"], "ten workers")
            until(lambda: step() and figure("sum(modelgate_queue_jobs)") == 0, "the queue is empty")
        until(lambda: step() == 0, "no worker")
        until(lambda: all(worker.process.poll() == 0 for worker in pool.stopping), "all workers have ended well")
        jobs = site.cluster.ended(ids)
        assert [job.output["predictions"] for job in jobs if job.output] == [[2 * value] for value in values]
        assert {*requests.statuses} <= {200, 202}, "all were accepted"
        assert {job.status for job in site.cluster.ended(requests.ids)} == {Status.SUCCEEDED}
        late = site.gateway.post("blobs", {"a": 4}).json()["id"]
        until(step, "a worker again")
        site.cluster.ended([late])
        log.info("workers: %s; longest wait %.0f s; %d jobs and %d requests answered, none lost",
                 " ".join(map(str, seen)), most_waiting, len(ids) + 1, len(requests.ids))  # fmt: skip
        assert seen[0] == 0 and max(seen) == 10 and seen[-2] == 0
