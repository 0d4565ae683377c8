"""Machines on this one: network namespaces that reach the hub, which has Redis and the store, and not each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import PROJECT

HUB = "10.204.0.1"


def make_hub() -> None:
    """Make this process' network, which has to be its own, the hub. Needs root, and a mount namespace of its own."""
    Path("/run/netns").mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "netns", "/run/netns")  # `ip netns` keeps its names there
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "address", "add", f"{HUB}/32", "dev", "lo")


@dataclass
class Machine:
    """A namespace with a cable to the hub. `number` is its own; `folder` has all its files; `settings` are its
    services'."""

    name: str
    number: int
    folder: Path
    settings: Mapping[str, str]
    services: list[str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"10.204.{self.number}.2"

    @property
    def _cable(self) -> str:
        return f"to-{self.number}"

    def plug_in(self) -> None:
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", self._cable, "type", "veth", "peer", "name", "hub", "netns", self.name)
        _run("ip", "address", "add", f"10.204.{self.number}.1/24", "dev", self._cable)
        _run("ip", "link", "set", self._cable, "up")
        for command in (
            f"address add {self.address}/24 dev hub",
            "link set dev hub up",
            "link set dev lo up",
            f"route add default via 10.204.{self.number}.1",
        ):
            _run("ip", "-n", self.name, *command.split())

    def start(self) -> None:
        """Start the mirror and the services of this machine."""
        self.folder.mkdir(exist_ok=True)
        folders = {name: str(self.folder / name.lower()) for name in ("MODELS_DIR", "SPOOL_DIR", "STATE_DIR")}
        with (self.folder / "log").open("ab") as log:
            for service in ("mirror", *self.services):
                inside = ["ip", "netns", "exec", self.name, "unshare", "--uts", "sh", "-c"]
                command = [*inside, 'hostname "$0" && exec "$@"', self.name, sys.executable, "-m", service]
                environment = {**os.environ, **folders, **self.settings}
                started = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
                self.processes.append(started)

    def kill(self) -> None:
        """Kill everything on this machine, as when its power fails."""
        while pids := _run("ip", "netns", "pids", self.name).split():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            for process in self.processes:
                process.wait()
        self.processes.clear()

    def cut_off(self) -> None:
        _run("ip", "link", "set", self._cable, "down")

    def mend(self) -> None:
        _run("ip", "link", "set", self._cable, "up")


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
