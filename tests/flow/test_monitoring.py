"""A real Prometheus on a real gateway: each query of the dashboard has series, and each alert fires by its fault."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from contract.model.experiments import Experiment, ExperimentKind, ExperimentPlan
from contract.model.model_settings import LOGGING, Logging
from storage.models.repository_writer import RepositoryWriter
from tests.flow import estimators
from tests.stacks.gateways import Site, start_site
from tests.stacks.observer_process import ObserverProcess
from tests.stacks.prometheus import Prometheus, prometheus_of
from tests.stacks.receiver import receiver
from tests.stacks.sender import WEBHOOKS, Sender
from tests.stacks.trainer_process import trainer_process
from tests.support import PROJECT, numbers, until, write_version
from trainer.publishing.aliases import change_settings
from trainer.publishing.experiment_states import put

log = logging.getLogger(__name__)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is missing: apt-get install prometheus"),
]

DASHBOARD = json.loads((PROJECT / "monitoring" / "grafana" / "dashboards" / "modelgate.json").read_text())
EXPRESSIONS = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
CSV = "a,b\n" + "".join(f"{number % 6},{number % 6 // 3}\n" for number in range(60))


@dataclass
class MonitoredSite(Site):
    """A site with a worker, and a trainer, a sender of webhooks, an observer and Prometheus: all that is expected.
    Predictions of the model `quick` are logged."""

    models: Path
    sender: Sender
    observer: ObserverProcess
    prometheus: Prometheus

    def train(self, csv: str) -> None:
        answer = requests.post(
            f"{self.gateway.address}/v1/models/churn/train",
            files={"file": ("churn.csv", csv)},
            data={"target": "b"},
            timeout=60,
        )
        assert answer.status_code == 202, answer.text


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MonitoredSite]:
    folder = tmp_path_factory.mktemp("monitored")
    (models := folder / "models").mkdir()
    write_version(models, "quick", estimators.Slow(0.001), numbers("a"), by_value=True)
    write_version(models, "faulty", estimators.Faulty(), numbers("a"), by_value=True)
    change_settings(RepositoryWriter(models), "quick", {LOGGING: Logging(1).to_json()})
    settings = {
        "SPOOL_DIR": str(folder / "spool"),
        "STATE_DIR": str(folder),
        "MAX_QUEUE_ROWS": "50",
        "GATEWAY_PROCESSES": "2",
        **WEBHOOKS,
    }
    with start_site(folder, models, redis_options=["--maxmemory", "500mb"], **settings) as site:
        sender = Sender(site.server.url, models, folder / "events.log")
        observer = ObserverProcess(site.server.url, models, folder, folder / "observer")
        with trainer_process(site.server, models, {**settings, "PORT": str(site.gateway.port)}):
            sender.start()
            observer.start()
            try:
                site.cluster.start(spool_dir=folder / "spool").ready()
                with prometheus_of(site.gateway, folder) as prometheus:
                    yield MonitoredSite(site.server, site.gateway, site.cluster, models, sender, observer, prometheus)
            finally:
                observer.stop()
                sender.kill()


@contextmanager
def load(site: MonitoredSite, *, faulty: bool = False) -> Iterator[None]:
    """Send predictions, of which some are unusual, and if `faulty`, some are refused and others fail; files, and
    requests for explanations."""
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            site.gateway.post("quick", [{"a": 1}, {"a": 2}], wait=10)
            site.gateway.post("quick", {"wrong" if faulty else "a": 1})
            site.gateway.post("churn", {"a": 1e6}, wait=10)
            site.gateway.post("faulty", {"a": estimators.RAISES if faulty else 1}, wait=10)

    def send_files() -> None:
        address, headers = f"{site.gateway.address}/v1/models/quick/predict-file", {"Content-Type": "text/csv"}
        rows = "a\n" + "1\n1\n2\n" * 67 + "one\n"  # the values of the requests, as the rows of a file are watched, too
        while not stop.wait(0.2):
            answer = requests.post(address, data=rows, headers=headers, timeout=60)
            assert answer.status_code == 202, answer.text
            job = f"{site.gateway.address}{answer.headers['Location']}"
            # One after the other: files share their time, so of more than a busy machine can score none would end.
            while requests.get(job, timeout=60).json()["status"] in ("queued", "running") and not stop.wait(0.1):
                pass

    def ask_why() -> None:
        address, headers = f"{site.gateway.address}/v1/models/churn/explain", {"Prefer": "wait=10"}
        while not stop.wait(0.05):
            answer = requests.post(address, json=[{"a": 1}] * 10, headers=headers, timeout=60)
            assert answer.status_code in (200, 202, 404, 503), answer.text  # 404 until it is trained

    threads = [threading.Thread(target=run) for run in (send, send, send, send, send_files, ask_why)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_no_alert_fires_while_all_is_well(site: MonitoredSite) -> None:
    site.train(CSV)
    trained = 'modelgate_trainer_jobs_total{queue="training", status="succeeded"} > 0'
    with load(site):
        until(lambda: site.prometheus.series(trained), "the training succeeds")
        until(lambda: site.prometheus.series("rate(modelgate_jobs_total[10s]) > 0"), "jobs end")
        rules = site.prometheus.ask("rules")["groups"][0]["rules"]
        evaluated = max(rule["lastEvaluation"] for rule in rules)
        until(
            lambda: min(r["lastEvaluation"] for r in site.prometheus.ask("rules")["groups"][0]["rules"]) > evaluated,
            "the rules are evaluated again",
        )
        assert site.prometheus.firing() == set()


def test_each_query_of_the_dashboard_has_series_under_load(site: MonitoredSite) -> None:
    site.train(CSV)
    write_version(site.models, "quick", estimators.Slow(0.001), numbers("a"), by_value=True, version=2, current=False)
    begun, later = "2026-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"
    shadow = Experiment("x1", 1, 2, ExperimentPlan(ExperimentKind.SHADOW), begun, later, 1.0, begun)
    RepositoryWriter(site.models).change("quick", lambda state: put(state, shadow))
    with load(site, faulty=True):
        for title, expression in EXPRESSIONS:
            series = until(lambda e=expression: site.prometheus.series(e), f"{title}: {expression}")
            log.info("query | %s | %s | %d series", title, expression, len(series))


@pytest.mark.replaces_parts
def test_each_alert_fires_by_its_fault(site: MonitoredSite) -> None:
    prometheus, redis = site.prometheus, site.server.connect()

    since = time.monotonic()
    for _ in range(4):  # more than those that have succeeded
        site.train("a,b\n1,2\n")
    prometheus.fires("TrainingsFailing", "trainings with one row", since)

    since = time.monotonic()
    write_version(site.models, "broken", estimators.Slow(0.001), numbers("a"), by_value=True)
    (site.models / "broken" / "versions" / "1" / "model.cloudpickle").write_bytes(b"x")
    for name in ("ModelNotLoaded", "CurrentNotLoaded"):
        prometheus.fires(name, "an artifact is overwritten", since)
    shutil.rmtree(site.models / "broken")
    for name in ("ModelNotLoaded", "CurrentNotLoaded", "JobsFailing", "MostJobsFailing"):
        prometheus.ends(name)

    since = time.monotonic()
    with load(site, faulty=True):
        for name in ("JobsFailing", "MostJobsFailing"):
            prometheus.fires(name, "a model raises", since)

    redis.setrange("ballast", 200_000_000, "x")  # delivered results make room, and this does not
    for name, share in (("Redis70Percent", 0.75), ("Redis90Percent", 0.95)):
        since = time.monotonic()
        redis.config_set("maxmemory", int(redis.info("memory")["used_memory"] / share))
        prometheus.fires(name, f"Redis uses {share:.0%} of its memory", since)
        redis.config_set("maxmemory", "500mb")
        prometheus.ends(name)
    redis.delete("ballast")

    since = time.monotonic()
    with site.server.disk_full():
        prometheus.fires("AofFailing", "the disk of Redis is full", since)
    prometheus.ends("AofFailing")

    since = time.monotonic()
    site.cluster.workers[-1].kill()
    prometheus.fires("NoWorker", "the only worker is killed", since)

    since = time.monotonic()
    assert site.gateway.post("quick", {"a": 1}).status_code == 202
    prometheus.fires("QueueAge", "a prediction waits and no worker is alive", since)

    since = time.monotonic()
    until(lambda: site.gateway.post("quick", [{"a": 1}] * 10).status_code == 503, "the queue is full")
    stop = threading.Event()
    refused = threading.Thread(
        target=lambda: [site.gateway.post("quick", [{"a": 1}] * 10) for _ in iter(stop.is_set, True)]
    )
    refused.start()
    try:
        prometheus.fires("Refusals", "the queue of a model is full", since)
    finally:
        stop.set()
        refused.join()
    site.cluster.start().ready()
    for name in ("NoWorker", "QueueAge", "Refusals"):
        prometheus.ends(name)

    with receiver() as hook:
        hook.answers = [(410, {})]
        since = time.monotonic()
        site.sender.kill()
        site.gateway.post("quick", {"a": 1}, webhook=hook.url)
        for name in ("WebhooksLate", "Missing"):
            prometheus.fires(name, "nobody sends webhooks", since)
        since = time.monotonic()
        site.sender.start()
        for name in ("WebhooksLate", "Missing"):
            prometheus.ends(name)
        prometheus.fires("WebhooksFailing", "a receiver answers 410", since)

    def unhealthy() -> bool:
        assert site.gateway.post("quick", {"wrong": 1}).status_code == 422
        return "ModelUnhealthy" in prometheus.firing()

    until(unhealthy, "ModelUnhealthy fires: a caller misspells a field")

    since = time.monotonic()
    site.observer.kill()
    redis.set("mg:logged:bytes", 64 * 2**20)  # no more records may wait for it
    assert site.gateway.post("quick", {"a": 1}, wait=10).status_code == 200
    for name in ("LogDropped", "Missing"):
        prometheus.fires(name, "nobody takes what is logged", since)
    site.observer.start()
    prometheus.ends("Missing")

    since = time.monotonic()
    site.server.stop()
    prometheus.fires("RedisDown", "Redis is stopped", since)
    site.server.start()
    prometheus.ends("RedisDown")

    since = time.monotonic()
    site.gateway.stop()
    prometheus.fires("GatewayDown", "the gateway is stopped", since)
    site.gateway.start()
    prometheus.ends("GatewayDown")
