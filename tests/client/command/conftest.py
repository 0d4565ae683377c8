"""The command `modelgate` against real gateways, with profiles of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from modelgate.command.application import run

from tests.stacks.gateways import Site, start_site
from tests.support import PROJECT, Sum, numbers, write_version

ADMIN_KEY = "a" * 40


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit code, its output, and its lines for people."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Modelgate = Callable[..., Ended]


@pytest.fixture
def modelgate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Modelgate:
    """Run the command in this process; environment variables are set before it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("MODELGATE_URL", "MODELGATE_API_KEY", "MODELGATE_PROFILE"):
        monkeypatch.delenv(name, raising=False)

    def ended(*arguments: object, **environment: str) -> Ended:
        with monkeypatch.context() as changed:
            for name, value in environment.items():
                changed.setenv(name, value)
            capsys.readouterr()
            code = run([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.err)

    return ended


@pytest.fixture(scope="session")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with the model `sum`, which adds its inputs `a` and `b`."""
    folder = tmp_path_factory.mktemp("sums")
    write_version(folder, "sum", Sum(), numbers("a", "b"), by_value=True)
    return folder


@pytest.fixture(scope="module")
def closed(sums: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Redis and a gateway that needs keys; neither workers nor a trainer."""
    with start_site(tmp_path_factory.mktemp("closed"), sums, admin_key=ADMIN_KEY) as site:
        yield site


@pytest.fixture
def admin(closed: Site, modelgate: Modelgate) -> Modelgate:
    """The command with the key of an admin."""
    address = {"MODELGATE_URL": closed.gateway.address, "MODELGATE_API_KEY": ADMIN_KEY}
    return lambda *arguments, **changes: modelgate(*arguments, **{**address, **changes})


def process(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "modelgate.command", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "client/src"), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
