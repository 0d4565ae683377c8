"""What `modelgate environment list` shows: those that are made, and the releases that could be."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from contract.model.environments import SUPPORT_ENDED, TODAY_WRITTEN, environment_of
from launcher.environments.failures import EnvironmentFailedError
from launcher.environments.making import SHOWN, megabytes
from launcher.environments.wanted import of
from runtime.environments import Environment, Environments

READY, OUT_OF_DATE, NOT_MADE = "ready", "out of date", "not made"


def listed(folder: Path) -> list[Mapping[str, Any]]:
    """Return an entry for each environment in `folder` and each release, sorted by name, and one for today's.

    `state` is `ready`, `out of date` or `not made`, and `make` then the arguments of `modelgate` that make it.
    """
    environments = Environments(folder)
    names = sorted({*SUPPORT_ENDED, *environments.names()})
    return [*(_entry(name, environments.find(name)) for name in names), _today()]


def _today() -> Mapping[str, Any]:
    """Return the entry of the environment that this installation brings."""
    here = {found.name.lower(): found.version for found in metadata.distributions()}
    libraries = {library.replace("-", "_"): here.get(library) for library in SHOWN}
    entry = dict.fromkeys(("made_at", "megabytes", "support_ended", "make"))
    return {"name": TODAY_WRITTEN, "state": READY, **libraries, "python": platform.python_version(), **entry}


def _entry(name: str, environment: Environment | None) -> Mapping[str, Any]:
    libraries = environment.libraries if environment else {}
    release = environment_of(libraries["scikit-learn"]) if "scikit-learn" in libraries else name
    state = _state(environment)
    options = "" if name in SUPPORT_ENDED else " --requirements FILE"
    return {
        "name": name,
        "state": state,
        **{library.replace("-", "_"): libraries.get(library) for library in SHOWN},
        "python": environment.python if environment else None,
        "made_at": environment.made_at if environment else None,
        "megabytes": megabytes(environment.folder) if environment else None,
        "support_ended": SUPPORT_ENDED.get(release or name),
        "make": None if state == READY else f"environment make {name}{options}",
    }


def _state(environment: Environment | None) -> str:
    if environment is None:
        return NOT_MADE
    with suppress(EnvironmentFailedError, OSError):  # of a release that this one does not know; its file is gone
        if of(environment).is_met_by(environment):
            return READY
    return OUT_OF_DATE
