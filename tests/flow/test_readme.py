"""The README's commands give the answers that it shows."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.flow.conftest import Modelgate
from tests.support import PROJECT

README = (PROJECT / "README.md").read_text()
CONSOLE = [
    (command, answer.strip())
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for command, answer in re.findall(r"^\$ (.*?)$\n?([^$]*)", block, re.MULTILINE)
]
REQUESTS = [(command, answer) for command, answer in CONSOLE if command.startswith("curl")]


@pytest.mark.parametrize(("command", "answer"), REQUESTS)
def test_a_request_of_the_readme_is_answered_as_it_says(modelgate: Modelgate, command: str, answer: str) -> None:
    ended = subprocess.run(
        ["sh", "-c", command.replace("http://127.0.0.1:8080", modelgate.address)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    # … stands for what differs each time.
    expected = ".+".join(re.escape(part) for part in answer.split("…"))
    assert re.fullmatch(expected, ended.stdout.strip()), ended.stdout


def test_the_python_example_of_the_documentation_works(modelgate: Modelgate) -> None:
    text = (PROJECT / "docs" / "reference" / "http-api.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = code.replace("http://127.0.0.1:8080", modelgate.address)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout == "[2]\n", ended.stderr


def test_every_make_command_of_the_readme_exists() -> None:
    assert len(REQUESTS) >= 3
    makes = {command.split()[1] for command, _ in CONSOLE if command.startswith("make")}
    assert {"up", "test"} <= makes
    for verb in makes:
        subprocess.run(["make", "--dry-run", verb], cwd=PROJECT, check=True, capture_output=True)
