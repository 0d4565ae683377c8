"""`EXTRA_PACKAGES`: packages that models need besides, beside the versions of the lock."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_make_installs_extra_packages_and_keeps_the_versions_of_the_lock(tmp_path: Path) -> None:
    locked = re.findall(r"^joblib==([\d.]+)", (ROOT / "requirements/up.txt").read_text(), re.MULTILINE)[0]
    _wheel(tmp_path, "trees", "2.0", "joblib")
    _wheel(tmp_path, "trees", "1.0", "joblib")
    _wheel(tmp_path, "joblib", locked)
    _wheel(tmp_path, "joblib", "99.0")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    (venv / "up.stamp").touch()

    assert "installing trees<2" in _make(tmp_path, venv, "trees<2")
    assert {"trees-1.0.dist-info", f"joblib-{locked}.dist-info"} <= _installed(venv)
    assert _make(tmp_path, venv, "trees<2") == ""  # nothing is left to do
    assert "installing trees" in _make(tmp_path, venv, "trees>=2")
    assert {"trees-2.0.dist-info", f"joblib-{locked}.dist-info"} <= _installed(venv)


def _make(wheels: Path, venv: Path, packages: str) -> str:
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "EXTRA_PACKAGES": packages}
    command = ["make", "--no-print-directory", "extra", f"VENV={venv}"]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


def _wheel(folder: Path, name: str, version: str, needs: str | None = None) -> None:
    about = f"{name}-{version}.dist-info"
    requires = f"Requires-Dist: {needs}\n" if needs else ""
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")


def _installed(venv: Path) -> set[str]:
    return {path.name for path in venv.glob("lib/python*/site-packages/*.dist-info")}
