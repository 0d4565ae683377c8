"""uv, or pip where uv is missing or trusts no proxy: makes virtual environments and installs requirements into them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from launcher.environments.failures import EnvironmentFailedError

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The minor version of this Python."""

_DOWNLOAD = re.compile(r"\s*Downloading (\S+)(?: \((.+)\))?")
_CONNECTION = re.compile(
    r"connect|network|resolve host|dns error|timed out|temporary failure|offline|from versions: none"
    r"|not found in the (package registry|provided package locations)",
    re.IGNORECASE,
)
_HASHES = re.compile(r"hash mismatch|do not match the hashes", re.IGNORECASE)
_CERTIFICATE = re.compile(r"certificate", re.IGNORECASE)
_FAILURE = re.compile(r"\s*(×|error:|could not fetch url)", re.IGNORECASE)
_NOISE = re.compile(
    r"[×│╰─▶├┬]|\berror:|\(from versions: [^)]+\)|(Expected (sha256|or) )?(sha256:)?\b[0-9a-f]{64}\b", re.IGNORECASE
)
_LONGEST_REASON = 10_000
_SYSTEM_CERTIFICATES = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}
"""Has uv trust what the system trusts (by its new name and its old one), where it has certificates of its own."""

_OURS = {"PYTHONPATH", "VIRTUAL_ENV"}
"""Variables that name our rooms, of which pip, and uv's choice of an environment, know nothing."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Installer:
    """A program that installs. `lock` is a descriptor that its processes inherit: what they hold ends with them."""

    uv: Sequence[str]
    """The command line of uv; empty where there is none."""
    lock: int
    say: Say

    def make(self, folder: Path, python: str) -> None:
        """Make a virtual environment with this minor version of Python in an empty folder. Raises
        `EnvironmentFailedError`."""
        if self.uv:
            # An interpreter of its own choice, or one that it downloads, if this one is another.
            chosen = sys.executable if python == HERE else python
            command = [*self.uv, "venv", "--python", chosen, "--allow-existing", str(folder)]
        else:
            command = [_interpreter(python), "-I", "-m", "venv", "--without-pip", str(folder)]
        code, lines = self.run(command)
        if code and (pip := self._pip_for(lines)):
            pip.make(folder, python)
        elif code:
            raise EnvironmentFailedError(
                f"cannot make a virtual environment with Python {python}: {_reason(lines)}"
                f"{self._advice(' '.join(lines)) or f'; install python{python} and put it on PATH'}"
            )

    def install(self, folder: Path, options: Sequence[str], what: str) -> None:
        """Install into the environment in `folder`; `what` names that in messages. Raises `EnvironmentFailedError`."""
        python = str(folder / "bin" / "python")
        if self.uv:
            command = [*self.uv, "pip", "install", "--python", python]
        else:
            command = [sys.executable, "-I", "-m", "pip", "--python", python, "--disable-pip-version-check"]
            command += ["install", "--no-compile"]
        code, lines = self.run([*command, *options])
        if code and (pip := self._pip_for(lines)):
            pip.install(folder, options, what)
        elif code:
            raise EnvironmentFailedError(f"cannot install {what}: {_reason(lines)}{self._advice(' '.join(lines))}")

    def run(self, command: Sequence[str]) -> tuple[int, list[str]]:
        """Run a program and return its exit code and its output; says what it downloads meanwhile."""
        lines = []
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=(self.lock,),
            env=_SYSTEM_CERTIFICATES | {name: os.environ[name] for name in os.environ.keys() - _OURS},
        ) as process:
            assert process.stdout  # noqa: S101
            for line in process.stdout:
                lines.append(line.rstrip())
                if download := _DOWNLOAD.match(line):
                    self.say(f"downloading {download[1]}" + (f", {download[2]}" if download[2] else ""))
        return process.returncode, lines

    def _pip_for(self, lines: Sequence[str]) -> Installer | None:
        """Return pip if uv has failed because it does not trust a certificate: pip may be set up to do so."""
        can_pip = self.uv and find_spec("pip")
        return replace(self, uv=()) if can_pip and _CERTIFICATE.search(" ".join(lines)) else None

    def _advice(self, text: str) -> str:
        if "No space left on device" in text:
            return "; free some space, an environment takes about 400 MB"
        if _HASHES.search(text):
            return "; a package is not the one that this release of Modelgate was made with, so none is installed"
        if _CERTIFICATE.search(text):
            return "; name the file with the certificates of your network in SSL_CERT_FILE for uv, in PIP_CERT for pip"
        if _CONNECTION.search(text):
            variables = "UV_OFFLINE=1 UV_FIND_LINKS=FOLDER" if self.uv else "PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER"
            return f"; without the network, put the wheels into a folder and set {variables}"
        return ""


def uv() -> list[str]:
    """Return the command line of the uv that is on PATH or in this environment; empty if there is only pip. Raises
    `EnvironmentFailedError`."""
    if path := shutil.which("uv"):
        return [path]
    if find_spec("uv"):
        return [sys.executable, "-I", "-m", "uv"]
    if find_spec("pip"):
        return []
    raise EnvironmentFailedError(f"neither uv nor pip is here; install uv, or run {sys.executable} -m ensurepip")


def _interpreter(python: str) -> str:
    """Return the path of a Python of this minor version that can make environments."""
    for path in (sys.executable, shutil.which(f"python{python}")):
        code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
        if path and subprocess.run([path, "-I", "-c", code], capture_output=True, text=True).stdout.strip() == python:
            return path
    raise EnvironmentFailedError(
        f"there is no Python {python} with the module venv here: install python{python}, or uv, which gets one: pip"
        " install uv"
    )


def _reason(lines: Sequence[str]) -> str:
    """Return what a program has said of its failure, as one line without hashes and lists of versions."""
    first = next((number for number, line in enumerate(lines) if _FAILURE.match(line)), 0)
    text = " ".join(line for line in lines[first:] if "Ignored the following versions" not in line)
    return " ".join(_NOISE.sub(" ", text).split())[:_LONGEST_REASON].rstrip(".") or "it does not say why"
