"""Prometheus asks the gateways once, however many it discovers: each answers for the whole system."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.deploy.kubernetes.manifests import FOLDER, Object
from tests.stacks.ports import free_port
from tests.support import until

needs_prometheus = pytest.mark.skipif(
    not shutil.which("prometheus"), reason="prometheus is missing: apt-get install prometheus"
)


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    """A Prometheus that discovers two gateways as in a cluster, from a file; returns its URL."""
    (monitor,) = yaml.safe_load_all((FOLDER / "components" / "monitoring" / "monitor.yaml").read_text())
    (endpoint,) = monitor["spec"]["endpoints"]
    discovered = [{"targets": [f"10.0.0.{n}:8080"], "labels": _labels(n)} for n in (1, 2)]
    (tmp_path / "gateways.json").write_text(json.dumps(discovered))
    job = {
        "job_name": "serviceMonitor/modelgate/gateway/0",
        "file_sd_configs": [{"files": [str(tmp_path / "gateways.json")]}],
        "relabel_configs": [*_of_the_operator(), *map(_snake, endpoint["relabelings"])],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    port = free_port()
    command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _labels(number: int) -> dict[str, str]:
    """Return labels that Prometheus gives what it discovers in a cluster; a file may set labels of this form, too."""
    return {
        "__meta_kubernetes_namespace": "modelgate",
        "__meta_kubernetes_pod_name": f"gateway-{number}",
        "__meta_kubernetes_pod_container_name": "gateway",
        "__meta_kubernetes_endpoint_node_name": f"node-{number}",
        "__meta_kubernetes_service_name": "gateway",
        "__meta_kubernetes_service_label_app_kubernetes_io_part_of": "modelgate",
    }


def _of_the_operator() -> list[Object]:
    """Return what the Prometheus operator does before our relabelings: the labels of a target."""
    sources = {
        "namespace": "__meta_kubernetes_namespace",
        "service": "__meta_kubernetes_service_name",
        "pod": "__meta_kubernetes_pod_name",
        "container": "__meta_kubernetes_pod_container_name",
        "node": "__meta_kubernetes_endpoint_node_name",
        "job": "__meta_kubernetes_service_label_app_kubernetes_io_part_of",
    }
    named = [{"source_labels": [source], "target_label": label} for label, source in sources.items()]
    return [*named, {"target_label": "endpoint", "replacement": "http"}]


def _snake(relabeling: Object) -> Object:
    """Return a relabeling of a ServiceMonitor in the words of Prometheus."""
    return {re.sub("([A-Z])", r"_\1", name).lower(): value for name, value in relabeling.items()}


@pytest.mark.slow
@needs_prometheus
def test_two_gateways_are_one_target_with_the_address_of_the_service(prometheus: str) -> None:
    def targets() -> list[dict[str, Any]]:
        try:
            answer = requests.get(f"{prometheus}/api/v1/targets?state=active", timeout=30)
        except requests.ConnectionError:
            return []
        return list(answer.json()["data"]["activeTargets"]) if answer.ok else []

    (target,) = until(targets, "Prometheus has discovered the gateways")
    assert target["scrapeUrl"] == "http://gateway.modelgate.svc:80/metrics"
    labels = {"job": "modelgate", "namespace": "modelgate", "service": "gateway"}
    assert target["labels"] == {**labels, "instance": "gateway.modelgate.svc:80"}
