"""The environments of this machine: a virtual environment each, below STATE_DIR, with other libraries than today's.

The operator makes them (`launcher/environments/`). Worker and trainer start processes with their interpreters; a
process finds its own environment beside its interpreter.

`sklearn-1.2` is a link to the folder `.sklearn-1.2.<random>`. An environment that is made anew is another such folder,
so a running process keeps its files; the old folder is removed once no interpreter of it runs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from contract.model.environments import ENVIRONMENT, TODAY

DESCRIPTION = "environment.json"
"""The file that describes a finished environment, in its folder; without it there is none."""

_HOUSE = Path(__file__).resolve().parents[1]
_LINKS, _PYTHON = ".today", "python"
"""The folder beside the environments with links to what they need of today's, and that to its interpreter."""
_PACKAGES = ("modelgate_artifacts", "modelgate_kernels")
"""What processes of ours import besides the rooms."""


@dataclass(frozen=True)
class Environment:
    """A finished environment. `python` is the version of its interpreter; `libraries` maps a distribution to its
    version; `sha256`, in hex, is that of the requirements that were installed; `made_at` is RFC 3339 in UTC."""

    name: str
    folder: Path
    python: str
    libraries: Mapping[str, str] = field(hash=False)
    sha256: str
    made_at: str

    @property
    def interpreter(self) -> Path:
        return self.folder / "bin" / "python"

    def dumps(self) -> str:
        """Return the text of `DESCRIPTION`."""
        entries = {"name": self.name, "made_at": self.made_at, "python": self.python, "sha256": self.sha256}
        return json.dumps({**entries, "libraries": dict(self.libraries)}, indent=2) + "\n"


class Environments:
    """The environments in one folder. Reads it each time: the operator may make and remove some at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Return the names of the finished ones, in order."""
        with suppress(OSError):
            return sorted(name for name in os.listdir(self.folder) if self.find(name))
        return []

    def find(self, name: str) -> Environment | None:
        """Return the environment, or None if there is no finished one of this name."""
        if not ENVIRONMENT.fullmatch(name):
            return None
        with suppress(OSError, RuntimeError):  # RuntimeError: a link to itself
            folder = (self.folder / name).resolve(strict=True)
            if folder.parent == self.folder.resolve() and folder.name.startswith(f".{name}."):
                environment = _read(folder)
                return environment if environment and environment.name == name else None
        return None

    def interpreter(self, name: str) -> str | None:
        """Return the path of the interpreter of an environment, also of today's; None without one."""
        if name == environment_here():
            return sys.executable
        if name == TODAY:
            with suppress(OSError):
                return str((self.folder.resolve() / _LINKS / _PYTHON).readlink())
            return None
        environment = self.find(name)
        return str(environment.interpreter) if environment else None

    def variables(self) -> Mapping[str, str]:
        """Return the variables with which an interpreter of any of them finds our code. Raises OSError.

        Its PYTHONPATH must not name the site-packages of this interpreter, so what lies there is linked.
        """
        links, paths = self.folder.resolve() / _LINKS, [str(_HOUSE)]
        if environment_here() == TODAY:
            _link(links / _PYTHON, Path(sys.executable))
        for name in _PACKAGES:
            spec = find_spec(name)
            package = Path(*((spec and spec.submodule_search_locations) or ())[:1])
            if package.parent != _HOUSE:
                _link(links / name, package)
                paths[1:] = [str(links)]
        return {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}


def _read(folder: Path) -> Environment | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        entries: Mapping[str, Any] = json.loads((folder / DESCRIPTION).read_text())
        names = ("name", "python", "libraries", "sha256", "made_at")
        return Environment(folder=folder, **{name: entries[name] for name in names})
    return None


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    new = link.with_name(f"{link.name}.{os.getpid()}")
    new.unlink(missing_ok=True)  # of a process that was killed here
    new.symlink_to(target)
    new.replace(link)


@cache
def environment_here() -> str:
    """Return the environment of this process; `TODAY` if it is none of those that operators make."""
    environment = _read(Path(sys.prefix))
    return environment.name if environment else TODAY
