"""Java, Node and what `npm ci` installs in client-js/: without them a test is skipped, or fails in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.qa.clients.conftest import PROJECT

PACKAGE = PROJECT / "client-js"
_PROGRAMS = PACKAGE / "node_modules" / ".bin"


def _lack(what: str) -> None:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


def run(command: list[str | Path], folder: Path, **variables: str) -> str:
    """Return what a command prints, its warnings too. Fails with that unless the command succeeds."""
    environment: Mapping[str, str] = {**os.environ, **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def node(folder: Path, program: str | Path, *arguments: str | Path, **variables: str) -> str:
    """Run a program with Node: a script, or one of client-js/node_modules by its name."""
    if shutil.which("node") is None or not _PROGRAMS.is_dir():
        _lack("there is no Node, or no client-js/node_modules: make .venv-clients/clients.stamp")
    script = program if isinstance(program, Path) else _PROGRAMS / program
    return run(["node", script, *arguments], folder, **variables)


def openapi_generator(folder: Path, generator: str, *options: str) -> str:
    """Generate a client of folder/openapi.json into folder/client."""
    if shutil.which("java") is None:
        _lack("there is no Java, which openapi-generator needs")
    command = [Path(sys.executable).with_name("openapi-generator-cli"), "generate", "-i", "openapi.json"]
    return run([*command, "-g", generator, "-o", "client", *options], folder)
