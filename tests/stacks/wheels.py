"""The wheels of this tree, and environments in which they are installed."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from tests.support import DEADLINE, PROJECT

FOLDERS = ("client", "kernels", ".", "bundle")


def build_wheels(folder: Path, names: Sequence[str] = FOLDERS) -> list[Path]:
    """Build the wheels of these folders of the project into `folder`."""
    for name in names:
        command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder)]
        subprocess.run([*command, str(PROJECT / name)], check=True, capture_output=True, timeout=DEADLINE)
    return sorted(folder.glob("*.whl"))


def environment_with(wheels: Sequence[Path], folder: Path) -> Path:
    """Make an environment in `folder` with these wheels and the libraries of this one; return its `bin`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=DEADLINE)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--offline", "--python", python]
    subprocess.run([*install, *wheels], check=True, timeout=DEADLINE)
    (site,) = folder.glob("lib/python*/site-packages")
    # A folder that a .pth file names comes last, and its own .pth files do not count: nothing of the checkout is found.
    (site / "libraries.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")
    return python.parent


def metadata_of(wheels: Sequence[Path]) -> dict[str, Any]:
    """Return the metadata of each wheel by the name of its distribution."""
    made = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = HeaderParser().parsestr(archive.read(name).decode())
            made[metadata["Name"]] = metadata
    return made
