"""Saves specimens in a folder, fitted by a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from runtime.limits import ONE_THREAD
from tests.qa.zoo.environments import FOLDER
from tests.qa.zoo.specimens import Specimen

_HERE = Path(__file__).parent


def saved(specimens: Iterable[Specimen]) -> Path:
    """Return the folder of the saved specimens. Fits those that are missing, or all if the code has changed since."""
    folder = FOLDER / "saved"
    folder.mkdir(parents=True, exist_ok=True)
    changed = max(file.stat().st_mtime for file in _HERE.glob("*.py"))
    old = [specimen.slug for specimen in specimens if not _newer(folder / f"{specimen.slug}.json", changed)]
    if old:
        for slug in old:
            for file in folder.glob(f"{slug}.*"):
                file.unlink()
        command = [sys.executable, "-m", "tests.qa.zoo.fit", str(folder), *old]
        # Some libraries print what they fit.
        subprocess.run(command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.DEVNULL, check=False)
    return folder


def _newer(file: Path, changed: float) -> bool:
    return file.exists() and file.stat().st_mtime > changed
