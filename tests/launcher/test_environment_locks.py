"""The locks of environments hold what our processes need, with hashes, and name no index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from contract.model.environments import SUPPORT_ENDED, environment_of
from launcher.environments.wanted import LOCKS, NEEDS
from tests.support import PROJECT

LIBRARIES = {"numpy", "pandas", "scikit-learn", "scipy"}
"""What differs between the environments."""
PIN = re.compile(
    r"^([a-z0-9.-]+)==([^ ;]+)(?: ;[^\\]+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)
NEEDED = [line for line in NEEDS.read_text().splitlines() if not line.startswith("#")]
GROUPS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]


def pins(lock: Path) -> dict[str, str]:
    return {name: version for name, version, _ in PIN.findall(lock.read_text())}


def names(lines: list[str]) -> dict[str, str]:
    return {re.split(r"[\[<>=]", line)[0]: line for line in lines}


def test_each_release_has_a_lock() -> None:
    assert {file.stem for file in LOCKS.glob("*.txt")} == set(SUPPORT_ENDED)


def test_the_needs_are_those_of_the_groups_with_older_libraries() -> None:
    asked = [
        line for group in ("scoring", "broker", "storage", "worker") for line in GROUPS[group] if isinstance(line, str)
    ]
    assert names(NEEDED).keys() == names(asked).keys()
    different = {name for name, line in names(NEEDED).items() if line != names(asked)[name]}
    assert different == {"joblib", "numpy", "pandas", "scikit-learn"}


@pytest.mark.parametrize("name", SUPPORT_ENDED)
def test_a_lock_is_hashed_names_no_index_and_holds_its_release(name: str) -> None:
    lock = LOCKS / f"{name}.txt"
    text = "".join(line for line in lock.read_text().splitlines(keepends=True) if not line.startswith("#"))
    assert PIN.sub("", text) == ""
    assert "://" not in text
    held = pins(lock)
    assert environment_of(held["scikit-learn"]) == name
    assert names(NEEDED).keys() <= held.keys()
    today = pins(PROJECT / "requirements/dev.txt")
    others = {package: version for package, version in held.items() if package not in LIBRARIES and package in today}
    assert others == {package: today[package] for package in others}
