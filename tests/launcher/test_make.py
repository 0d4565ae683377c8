"""`make` hands its variables on to what they are for; a refusal is one sentence and a failure."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import DEADLINE, PROJECT, outside_of_make

FAILED = 2
"""With what make ends if a command fails."""


def test_the_command_is_part_of_the_virtual_environment(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "v"], check=True, timeout=DEADLINE)
    source = tmp_path / "client"
    (source / "modelgate/command").mkdir(parents=True)
    (source / "modelgate/command/__main__.py").write_text("import sys; print(sys.argv[1:])")
    code = f"from pathlib import Path; from launcher.install import install; install(Path({str(source)!r}))"
    subprocess.run([tmp_path / "v/bin/python", "-c", code], check=True, cwd=PROJECT, timeout=DEADLINE)
    said = subprocess.run(
        [tmp_path / "v/bin/modelgate", "a b"], capture_output=True, text=True, cwd="/", timeout=DEADLINE
    )
    assert said.stdout == "['a b']\n"


def test_a_refusal_to_start_is_one_sentence() -> None:
    ended = made("up", PORT="0")
    assert sentences(ended) == ["modelgate: PORT=0 is too small; the least is 1"]
    assert ended.returncode == FAILED


@pytest.mark.slow
def test_a_taken_port_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = made("up", f"VENV={tmp_path}/v", PORT=str(taken.getsockname()[1]))
    (said,) = sentences(ended)
    assert "cannot listen on 127.0.0.1:" in said and "set another port" in said
    assert not (tmp_path / "v/up.stamp").exists()


def sentences(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines of a command that failed, without the one that make adds."""
    lines = (ended.stdout + ended.stderr).splitlines()
    assert lines.pop().startswith("make: *** ")
    return lines


def made(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--old-file", ".venv/up.stamp", *arguments],
        cwd=PROJECT,
        env={**outside_of_make(), "PORT": "1", "PYTHONPATH": str(PROJECT / "client/src"), **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
