"""Two processes find out whether they share a folder that can be MODELS_DIR."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from mirror.filesystem_check import CHECKS
from tests.support import DEADLINE, PROJECT, until

PATIENT = f"""
import os, sys
from mirror import filesystem_check as check

check.SEEN_WITHIN = check.ANSWER_WITHIN = {DEADLINE}
if sys.argv.pop(1) == "own":
    locked = check.locked_file
    check.locked_file = lambda file, *how: locked(file.with_name(f"{{file.name}}-{{os.getpid()}}"), *how)
sys.exit(check.main())
"""
"""What the command runs, on a machine that may be busy. With "own", each side locks a file of its own."""


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


def started(folder: Path, wait: int = 120) -> subprocess.Popen[str]:
    """Run the command of one machine."""
    check = ["repository", "check", "--filesystem", str(folder), "--wait", str(wait)]
    return run([str(PROJECT / ".venv/bin/modelgate"), *check])


def patient(folder: Path, locks: str = "shared") -> subprocess.Popen[str]:
    return run([sys.executable, "-c", PATIENT, locks, str(folder)])


def run(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Return the exit code and the lines, without those about waiting."""
    lines = process.communicate(timeout=300)[0].splitlines()
    assert lines[0].startswith("waiting for the same command on the second machine")
    return process.returncode, [line for line in lines if not line.startswith("waiting")]


def test_a_folder_of_one_machine_has_all_properties_and_nothing_is_left_there(shared: Path) -> None:
    for code, lines in map(ended, [patient(shared), patient(shared)]):
        assert [line.split(" (")[0] for line in lines] == [f"holds: {check.says}" for check in CHECKS]
        assert code == 0
    assert list(shared.iterdir()) == []


@pytest.mark.slow
def test_a_copy_of_the_folder_is_told_from_the_folder(shared: Path, tmp_path: Path) -> None:
    one = started(shared, wait=20)
    until(lambda: list(shared.glob("*/side-*")), "the first side waits")
    shutil.copytree(shared, tmp_path / "copy")
    for code, lines in map(ended, [one, started(tmp_path / "copy", wait=5)]):
        assert code == 1
        (line,) = lines
        assert line.startswith("does not hold: both machines see the same files in")
        assert "look whether both have mounted the same folder" in line


@pytest.mark.slow
def test_locks_that_exclude_nobody_are_found(shared: Path) -> None:
    for code, lines in map(ended, [patient(shared, "own"), patient(shared, "own")]):
        wrong = [line for line in lines if line.startswith("does not hold")]
        assert code == 1
        assert len(wrong) == 1
        assert "flock excludes the other machine: both sides had the lock at the same time; two trainers" in wrong[0]


@pytest.mark.slow
def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    process = started(tmp_path / "none")
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 1
    assert output.startswith(
        f"{tmp_path / 'none'} cannot be used (No such file or directory): name a folder that exists"
    )
