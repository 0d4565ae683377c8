"""What an environment is to hold: the lock of a release of scikit-learn, or the requirements of the operator."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from contract.model.environments import ENVIRONMENT, SUPPORT_ENDED, TODAY_WRITTEN
from launcher.environments.failures import EnvironmentFailedError
from runtime.environments import Environment

REQUIREMENTS = "requirements.txt"
"""The copy of the requirements, in the folder of the environment."""

LOCKS = Path(__file__).resolve().parents[2] / "requirements" / "environments"
"""The locks of all releases: in a checkout, or in the package of the server."""
NEEDS = LOCKS / "needs.in"
"""What processes of ours need in every environment."""

_LEAST_PYTHON = (3, 11)
_PYTHON_OF_LOCKS = "3.11"
_DISTRIBUTION = re.compile(r"^[a-z0-9-]+", re.MULTILINE)
_MODULES = {"scikit-learn": "sklearn"}
"""Modules that are not named as their distribution."""


@dataclass(frozen=True)
class Wanted:
    """An environment to make. `python` is a minor version, such as `3.11`; `file` has its requirements, and `options`
    are those with which pip or uv installs them."""

    name: str
    python: str
    file: Path
    options: tuple[str, ...]
    content: bytes
    needs: bytes = b""
    """What our processes need, unless `content` has that, too."""

    @cached_property
    def sha256(self) -> str:
        """The hash, in hex, of all that was asked for."""
        return hashlib.sha256(self.needs + self.content).hexdigest()

    def is_met_by(self, environment: Environment | None) -> bool:
        """Whether this is what the environment holds, and its Python is still there."""
        return (
            environment is not None
            and environment.sha256 == self.sha256
            and environment.python.startswith(f"{self.python}.")
            and environment.interpreter.exists()
        )


def release(name: str) -> Wanted:
    """Return the environment of a release, such as `sklearn-1.2`. Raises `EnvironmentFailedError`."""
    if name not in SUPPORT_ENDED:
        raise EnvironmentFailedError(
            f"there is no environment {name!r}; there are {', '.join(SUPPORT_ENDED)}, and those that you name and make"
            " of your own requirements: modelgate environment make ENVIRONMENT --requirements FILE"
        )
    lock = LOCKS / f"{name}.txt"
    options = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement", str(lock))
    return Wanted(name, _PYTHON_OF_LOCKS, lock, options, lock.read_bytes())


def own(name: str, file: Path, python: str) -> Wanted:
    """Return an environment of the requirements in `file`. Raises `EnvironmentFailedError`, or `OSError`."""
    if name.startswith("sklearn-") or name == TODAY_WRITTEN:
        raise EnvironmentFailedError(
            f"{name!r} is a name of ours; name yours otherwise, without sklearn- at its beginning"
        )
    if not ENVIRONMENT.fullmatch(name):
        raise EnvironmentFailedError(
            f"{name[:80]!r} is no name: one has 1 to 64 of the characters a-z, 0-9, _ and -, and begins with a"
            " letter or a digit"
        )
    minor = re.fullmatch(r"3\.([0-9]{1,3})", python, re.ASCII)
    if not minor or (3, int(minor[1])) < _LEAST_PYTHON:
        least = ".".join(map(str, _LEAST_PYTHON))
        raise EnvironmentFailedError(
            f"--python {python[:20]} is not supported: Modelgate runs in the environment, too, and needs {least} or"
            " later"
        )
    options = ("--requirement", str(file), "--requirement", str(NEEDS))
    return Wanted(name, python, file, options, file.read_bytes(), NEEDS.read_bytes())


def of(environment: Environment) -> Wanted:
    """Return what would be made now where `environment` is. Raises `OSError`."""
    if environment.name in SUPPORT_ENDED:
        return release(environment.name)
    return own(environment.name, environment.folder / REQUIREMENTS, environment.python.rpartition(".")[0])


def needed_modules() -> list[str]:
    """Return the modules that every environment has to have."""
    return [_MODULES.get(name, name) for name in _DISTRIBUTION.findall(NEEDS.read_text())]
