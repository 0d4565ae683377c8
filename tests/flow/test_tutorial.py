"""The tutorial's commands work in order, as pasted, on the files that it ships."""

from __future__ import annotations

import csv
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.flow.conftest import MakeUp
from tests.support import PROJECT

FOLDER = PROJECT / "docs" / "tutorial"
PAGE = (FOLDER / "README.md").read_text()
STARTED = "make up"


def steps(page: str) -> list[tuple[str, str]]:
    """The commands of a page in order, each with the output that the page shows for it."""
    blocks = re.findall(r"^```console\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    pairs = [step for block in blocks for step in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)]
    return [(command, shown.strip()) for command, shown in pairs]


def pattern(shown: str) -> str:
    """What an output has to match: … stands for anything, a number with decimals for any such number."""
    escaped = re.escape(shown).replace("…", ".+")
    return re.sub(r"\d+\\\.\d+", lambda _: r"\d+\.\d+", escaped)


def test_the_script_makes_the_files_byte_for_byte(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_churn", FOLDER / "make_churn.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.write(tmp_path)
    for name, rows in script.FILES.items():
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name
        with (FOLDER / name).open() as file:
            assert len(list(csv.DictReader(file))) == rows


def test_the_files_of_the_readme_are_those_of_the_tutorial() -> None:
    commands = {command for command, _ in steps(PAGE)}
    readme = (PROJECT / "README.md").read_text()
    trained = re.findall(r"^\$ (\.venv/bin/modelgate train .*\.csv .*)$", readme, re.MULTILINE)
    assert trained
    assert set(trained) <= commands


@pytest.mark.slow
def test_the_tutorial_works_as_pasted(modelgate: MakeUp, tmp_path: Path) -> None:
    for name in (".venv", "docs"):
        (tmp_path / name).symlink_to(PROJECT / name)
    # The example models are there, so that the start does not train them again.
    started = MakeUp(tmp_path, shutil.copytree(modelgate.models, tmp_path / "models"))
    first, *others = steps(PAGE)
    assert first == (STARTED, "")
    started.start()
    try:
        for command, shown in others:
            pasted = command.replace("http://127.0.0.1:8080", started.address)
            done = subprocess.run(
                ["sh", "-c", pasted],
                cwd=tmp_path,
                env={**started.environment(), "MODELGATE_URL": started.address},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=300,
            )
            output = done.stdout.strip().replace(started.address, "http://127.0.0.1:8080")
            assert done.returncode == 0, (command, output)
            assert re.fullmatch(pattern(shown), output, re.DOTALL), (command, output)
    finally:
        started.stop()
    assert not (tmp_path / "churn.csv").exists()
