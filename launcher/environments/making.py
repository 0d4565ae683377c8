"""Makes an environment: a new generation, which its name stands for once all of it is there and has been tried."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from launcher.environments.failures import EnvironmentFailedError
from launcher.environments.generations import hold, locked
from launcher.environments.installers import Installer, Say, uv
from launcher.environments.wanted import NEEDS, REQUIREMENTS, Wanted, needed_modules
from runtime.environments import DESCRIPTION, Environment, Environments

SHOWN = ("scikit-learn", "numpy", "pandas")
"""The libraries that a reader wants to know of."""

_TRIAL = """
import importlib, json, platform, sys
from importlib import metadata
for module in sys.argv[1:]:
    importlib.import_module(module)
libraries = {found.metadata["Name"]: found.version for found in metadata.distributions()}
print(json.dumps({"python": platform.python_version(), "libraries": libraries}))
"""


def make(folder: Path, wanted: Wanted, say: Say) -> Environment:
    """Make an environment in `folder`, unless it is there already; one with other requirements is replaced.

    A process that is killed meanwhile leaves the environment as it was. Raises `EnvironmentFailedError`, or `OSError`.
    """
    began = time.monotonic()
    with locked(folder, say) as generations:
        environment = Environments(folder).find(wanted.name)
        if environment and wanted.is_met_by(environment):
            say(f"already there, made at {environment.made_at}: {_shown(environment)}")
            return environment
        installer = Installer(uv(), generations.lock, say)
        with generations.new(wanted.name) as generation:
            say(f"making a virtual environment with Python {wanted.python}")
            installer.make(generation, wanted.python)
            hold(generation)
            say(f"installing {wanted.file.name}{' and what Modelgate needs' if wanted.needs else ''}")
            installer.install(generation, wanted.options, _what(wanted))
            say("trying it: the first import takes longest")
            environment = _tried(generation, wanted, installer)
            (generation / REQUIREMENTS).write_bytes(wanted.content)
            (generation / DESCRIPTION).write_text(environment.dumps())
            generations.link(wanted.name, generation)
    seconds = time.monotonic() - began
    size = f"{len(environment.libraries)} packages, {megabytes(environment.folder)} MB"
    say(f"ready after {seconds:.1f} s, {size}: {_shown(environment)}")
    return environment


def megabytes(folder: Path) -> int:
    """Return what the files in a folder take."""
    return sum(path.lstat().st_size for path in folder.rglob("*")) // 2**20


def _tried(generation: Path, wanted: Wanted, installer: Installer) -> Environment:
    """Import what our processes need, and return what there is."""
    command = [str(generation / "bin" / "python"), "-I", "-c", _TRIAL, *needed_modules()]
    code, lines = installer.run(command)
    if code:
        raise EnvironmentFailedError(
            f"{_what(wanted)} cannot be imported: {lines[-1] if lines else f'exit code {code}'}"
        )
    found: Mapping[str, Any] = json.loads(lines[-1])
    return Environment(
        name=wanted.name,
        folder=generation,
        python=found["python"],
        libraries={_normalized(name): found["libraries"][name] for name in sorted(found["libraries"], key=_normalized)},
        sha256=wanted.sha256,
        made_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _what(wanted: Wanted) -> str:
    if not wanted.needs:
        return str(wanted.file)
    return f"{wanted.file} together with what Modelgate needs ({', '.join(_lines(NEEDS))})"


def _lines(file: Path) -> Sequence[str]:
    return [line for line in file.read_text().splitlines() if line and not line.startswith("#")]


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _shown(environment: Environment) -> str:
    libraries = [f"{name} {environment.libraries[name]}" for name in SHOWN]
    return ", ".join([*libraries, f"Python {environment.python}"])
