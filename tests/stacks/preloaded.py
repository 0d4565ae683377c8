"""Lets a test change the time of day, and the time that a sync of the disk takes, for the processes that it starts."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Changeable:
    """A number in a file. Processes that are started with `settings` read it."""

    file: Path
    settings: dict[str, str]

    def set(self, number: int) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(str(number))
        new.replace(self.file)


def build_clock(folder: Path) -> Changeable | None:
    """Seconds by which the clock is ahead. None: there is no C compiler."""
    return _build("clock.c", "CLOCK_SHIFT", folder)


def build_disk(folder: Path) -> Changeable | None:
    """Milliseconds that each sync takes longer. None: there is no C compiler."""
    return _build("disk.c", "SYNC_TAKES", folder)


def _build(source: str, variable: str, folder: Path) -> Changeable | None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        assert not os.environ.get("CI"), "there is no C compiler"
        return None
    library, file = folder / f"{source}.so", folder / variable
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", library, Path(__file__).with_name(source), "-ldl"]
    subprocess.run(command, check=True)
    changeable = Changeable(file, {"LD_PRELOAD": str(library), variable: str(file)})
    changeable.set(0)
    return changeable
