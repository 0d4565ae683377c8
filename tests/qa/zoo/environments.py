"""Virtual environments with other libraries, under `.venv-zoo/`."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / ".venv-zoo"
EXTRA = FOLDER / "libraries"
"""The environment of this project, with more libraries."""

_LIBRARIES = (
    *("xgboost", "lightgbm", "catboost", "imbalanced-learn", "category_encoders", "statsmodels"),
    *("mlxtend", "feature-engine", "quantile-forest"),
)


def environment() -> str:
    """Return the Python of `EXTRA`. Makes the environment if there is none yet."""
    python = EXTRA / "bin/python"
    if not (EXTRA / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(EXTRA)], check=True)
        install(python, _LIBRARIES)
        (EXTRA / "complete").touch()
    paths = sysconfig.get_paths(vars={"base": str(EXTRA), "platbase": str(EXTRA)})
    # With the .pth files in that folder, one of which has the client.
    line = f"import site; site.addsitedir({sysconfig.get_paths()['purelib']!r})\n"
    Path(paths["purelib"], "project.pth").write_text(line)
    return str(python)


def install(python: Path, wanted: Sequence[str]) -> None:
    """Install packages into the environment of this Python."""
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
