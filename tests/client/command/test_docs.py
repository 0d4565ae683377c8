"""`modelgate docs` shows the site that comes with the server, on this machine alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.stacks.ports import free_port
from tests.support import DEADLINE, PROJECT


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """The folder of an installed server, whose site has one page."""
    folder = tmp_path / "packages" / "modelgate_server"
    (folder / "site" / "pictures").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "secret.txt").write_text("secret")
    (folder / "site" / "index.html").write_text("<h1>Modelgate</h1>")
    return folder


@contextmanager
def started(server: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    path = os.pathsep.join(map(str, (server.parent, PROJECT / "client" / "src")))
    process = subprocess.Popen(
        [sys.executable, "-P", "-u", "-m", "modelgate.command", "docs", "--no-open", *options],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_it_answers_with_the_files_of_the_site_and_nothing_else_until_ctrl_c(server: Path) -> None:
    with started(server) as process:
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+/", first_line(process))
        assert requests.get(url, timeout=60).text == "<h1>Modelgate</h1>"
        for path in ("pictures/", "nothing", "..%2fsecret.txt", "%2e%2e/secret.txt"):
            assert requests.get(url + path, timeout=60).status_code == 404, path
        assert requests.post(url, timeout=60).status_code == 501
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0


@pytest.mark.slow
def test_a_port_that_is_taken_is_named(server: Path) -> None:
    port = str(free_port())
    with started(server, "--port", port) as first, started(server, "--port", port) as second:
        taken = first if port not in first_line(first) else second
        _, said = taken.communicate(timeout=DEADLINE)
        assert re.fullmatch(rf"modelgate: cannot listen on port {port}: .*; leave out --port\n", said)


def test_a_checkout_without_a_site_says_how_to_build_it(server: Path) -> None:
    (server / "site" / "index.html").unlink()
    with started(server) as process:
        _, said = process.communicate(timeout=DEADLINE)
        assert process.returncode == 1
        assert said == f"modelgate: {server.parent} has no documentation yet; make docs builds it\n"
