"""A real Prometheus on a real gateway."""

from __future__ import annotations

import logging
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.stacks.gateways import Gateway
from tests.stacks.ports import free_port
from tests.support import PROJECT, until

log = logging.getLogger(__name__)


@dataclass
class Prometheus:
    """A Prometheus that scrapes one gateway each second, with rules that wait a second instead of minutes."""

    address: str

    def ask(self, path: str, **parameters: str) -> Any:
        answer = requests.get(f"{self.address}/api/v1/{path}", params=parameters, timeout=60).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def series(self, expression: str) -> list[Any]:
        series: list[Any] = self.ask("query", query=expression.replace("$__rate_interval", "10s"))["result"]
        return series

    def firing(self) -> set[str]:
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"}

    def fires(self, name: str, fault: str, since: float) -> None:
        until(lambda: name in self.firing(), f"{name} fires")
        log.info("alert | %s | %s | %.0f s", name, fault, time.monotonic() - since)

    def ends(self, name: str) -> None:
        until(lambda: name not in self.firing(), f"{name} ends")


@contextmanager
def prometheus_of(gateway: Gateway, folder: Path) -> Iterator[Prometheus]:
    rules = (PROJECT / "monitoring" / "alerts.yml").read_text()
    # As the published ones, but for times: a second instead of minutes, and 2 s of waiting instead of 30 or 60.
    rules = re.sub(r"for: \d+[ms]", "for: 1s", rules).replace("[5m]", "[10s]")
    rules = re.sub(r"seconds > \d+", "seconds > 2", rules)
    (folder / "alerts.yml").write_text(rules)
    config = (PROJECT / "monitoring" / "prometheus.yml").read_text()
    config = re.sub(r"_interval: \d+s", "_interval: 1s", config)
    config = config.replace("gateways:8080", f"127.0.0.1:{gateway.port}").replace("/etc/prometheus", str(folder))
    (folder / "prometheus.yml").write_text(config)
    (folder / "key").touch()  # without keys, compose mounts an empty one
    port = free_port()
    process = subprocess.Popen(
        [
            *("prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"),
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=(folder / "prometheus.log").open("wb"),
    )
    prometheus = Prometheus(f"http://127.0.0.1:{port}")

    def ready() -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{prometheus.address}/-/ready", timeout=1).ok
        return False

    try:
        until(ready, "Prometheus is ready")
        yield prometheus
    finally:
        process.terminate()
        process.wait(60)
