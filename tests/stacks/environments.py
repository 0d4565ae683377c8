"""Environments for tests: those of `make .venv-environments/environments.stamp`, and the maker with tiny packages."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtime.environments import Environment, Environments
from tests.support import DEADLINE, PROJECT

MADE = Path(os.environ.get("ENVIRONMENTS_FOR_TESTS", PROJECT / ".venv-environments" / "environments"))
"""The folder of real ones. A server in a test has them if its STATE_DIR links to it: `environments`."""

TINY = {"numpy": "numpy", "pandas": "pandas", "scikit-learn": "sklearn"}
"""The distributions of a tiny environment, with their modules."""
_WAIT = """
import os, time
waits = os.environ.get("WAIT_WHILE", "")
while os.path.exists(waits):
    open(f"{waits}.now", "w").close()
    time.sleep(0.01)
"""


def environment_for_tests(name: str) -> Environment:
    """Return a real environment. Without one, the test is skipped, or fails in CI."""
    environment = Environments(MADE).find(name)
    if environment is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"there is no {name} in {MADE}: make environments-test")
    return environment


def wheel(folder: Path, name: str, version: str, module: str, code: str = "", size: int = 0) -> Path:
    """Write a wheel with a module, and with a file of `size` random bytes."""
    written = name.replace("-", "_")
    path, info = folder / f"{written}-{version}-py3-none-any.whl", f"{written}-{version}.dist-info"
    files = {
        f"{module}/__init__.py": f"__version__ = {version!r}\n{code}".encode(),
        f"{module}/late.py": f"version = {version!r}\n".encode(),
        f"{module}/data.bin": os.urandom(size),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}\n"
        for file, data in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for file, data in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}.items():
            archive.writestr(file, data)
    return path


@dataclass
class Maker:
    """The rooms that make environments, with needs, locks and an index of wheels of a few bytes."""

    house: Path
    python: str
    folder: Path
    index: Path
    models: Path

    @classmethod
    def in_folder(cls, folder: Path, python: str = sys.executable) -> Maker:
        """Copy the rooms below `folder`, with the locks of 1.2 and 1.3."""
        house = folder / "house"
        for room in ("contract", "runtime", "launcher"):
            shutil.copytree(PROJECT / room, house / room, ignore=shutil.ignore_patterns("__pycache__"))
        (house / "requirements/environments").mkdir(parents=True)
        maker = cls(house, python, folder / "state/environments", folder / "index", folder / "models")
        maker.index.mkdir()
        maker.needs.write_text("".join(f"{name}>=1.2\n" for name in TINY))
        maker.lock("sklearn-1.2", "1.2.2")
        maker.lock("sklearn-1.3", "1.3.2")
        return maker

    @property
    def needs(self) -> Path:
        return self.house / "requirements/environments/needs.in"

    def lock_of(self, name: str) -> Path:
        return self.house / f"requirements/environments/{name}.txt"

    def lock(self, name: str, version: str, size: int = 0) -> None:
        """Put all tiny packages of this version into the index, and lock them."""
        lines = []
        for distribution, module in TINY.items():
            last = distribution == "scikit-learn"
            file = wheel(self.index, distribution, version, module, _WAIT if last else "", size)
            lines.append(
                f"{distribution}=={version} \\\n    --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"
            )
        self.lock_of(name).write_text("".join(lines))

    def start(self, *arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
        """Start `python -m launcher.environments` with `arguments`."""
        return subprocess.Popen(
            [self.python, "-m", "launcher.environments", *arguments],
            cwd=self.house,
            env={**self.variables, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **variables)
        out, err = process.communicate(timeout=DEADLINE)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    @property
    def variables(self) -> Mapping[str, str]:
        find_links = str(self.index)
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))},
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(self.house),
            "STATE_DIR": str(self.folder.parent),
            "MODELS_DIR": str(self.models),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": find_links,
            "PIP_NO_CACHE_DIR": "1",
            "UV_OFFLINE": "1",
            "UV_FIND_LINKS": find_links,
            "UV_NO_CONFIG": "1",
            "UV_CACHE_DIR": str(self.house / "cache"),
        }

    def find(self, name: str) -> Environment | None:
        return Environments(self.folder).find(name)

    def made(self, name: str) -> Environment:
        environment = self.find(name)
        assert environment is not None, self.files()
        return environment

    def listed(self) -> dict[str, Mapping[str, Any]]:
        """Return what `list` prints, by name."""
        ended = self.run("list")
        assert ended.returncode == 0, ended.stderr
        return {entry["name"]: entry for entry in json.loads(ended.stdout)}

    def files(self) -> list[str]:
        """Return the names in the folder, but for the lock of makers."""
        return sorted(name for name in os.listdir(self.folder) if name != ".lock") if self.folder.exists() else []
