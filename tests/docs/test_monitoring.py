"""Alert rules, dashboard and the compose profile fit the metrics and each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest

from broker.metrics.table import METRICS, Type
from tests.support import PROJECT

MONITORING = PROJECT / "monitoring"
RULES = (MONITORING / "alerts.yml").read_text()
ALERTS = re.findall(r"- alert: (\w+)$", RULES, re.MULTILINE)
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana" / "dashboards" / "modelgate.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is missing: apt-get install prometheus"
)


def exposed() -> set[str]:
    """The names of all series."""
    names = set()
    for metric in METRICS:
        suffixes = ("_bucket", "_count", "_sum") if metric.type is Type.HISTOGRAM else ("",)
        names |= {metric.name + suffix for suffix in suffixes}
    return names


def test_rules_and_panels_name_metrics_that_exist() -> None:
    expressions = [target["expr"] for panel in PANELS for target in panel["targets"]]
    named = {name for text in (RULES, *expressions) for name in re.findall(r"\bmodelgate_\w+", text)}
    assert named <= exposed()


def test_the_dashboard_shows_every_metric() -> None:
    shown = {name for panel in PANELS for target in panel["targets"] for name in re.findall(r"\w+", target["expr"])}
    assert {metric.name for metric in METRICS if not shown & {metric.name, f"{metric.name}_bucket"}} == {
        "modelgate_redis_up",
        "modelgate_keys_expiring",
        "modelgate_mirrors",
        "modelgate_model_findings",
        "modelgate_model_not_loaded",
        "modelgate_model_timed_out",
        "modelgate_schedule_failed",
        "modelgate_stuck_processes",
    }, "some of them are alerts alone"


def test_prometheus_reads_its_key_where_compose_mounts_it() -> None:
    (file,) = re.findall(r"credentials_file: (\S+)", (MONITORING / "prometheus.yml").read_text())
    mount = f'source: "${{PROMETHEUS_KEY:-/dev/null}}", target: {file} }}'
    assert mount in (PROJECT / "docker-compose.yml").read_text()


def test_each_alert_says_how_bad_it_is_and_where_to_read_on() -> None:
    blocks = RULES.split("- alert: ")[1:]
    for name, block in zip(ALERTS, blocks, strict=True):
        kebab = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[a-z])(?=\d)", "-", name).lower()
        assert re.search(r"severity: (warning|critical) ", block), name
        assert re.search(r"summary: .+\.'?$", block, re.MULTILINE), name
        assert f"runbook: docs/runbook.md#{kebab}\n" in block, name


@needs_promtool
def test_the_alert_rules_pass_their_unit_tests() -> None:
    ran = subprocess.run(["promtool", "test", "rules", MONITORING / "alerts_test.yml"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_each_alert_has_a_unit_test() -> None:
    assert {*re.findall(r"alertname: (\w+)", (MONITORING / "alerts_test.yml").read_text())} == {*ALERTS}


@needs_promtool
def test_the_configuration_of_prometheus_is_valid() -> None:
    command = ["promtool", "check", "config", "--syntax-only", MONITORING / "prometheus.yml"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_panels_of_the_dashboard_fit_together() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not taken & cells, panel["title"]
        taken |= cells
    assert all(target["datasource"]["uid"] == "modelgate" for panel in PANELS for target in panel["targets"])
    sources = (MONITORING / "grafana" / "provisioning" / "datasources" / "modelgate.yml").read_text()
    assert "uid: modelgate\n" in sources


def test_what_the_compose_profile_mounts_exists() -> None:
    compose = (PROJECT / "docker-compose.yml").read_text()
    mounted = re.findall(r"- \./(monitoring/[\w./]+):", compose)
    assert len(mounted) == 5
    assert [path for path in mounted if not (PROJECT / path).exists()] == []
