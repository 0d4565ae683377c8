"""Removes an environment, unless a model is served with it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from contract.model.environments import ENVIRONMENT
from contract.model.repository import Repository, valid_name
from launcher.environments.failures import EnvironmentFailedError
from launcher.environments.generations import locked
from launcher.environments.installers import Say


def remove(folder: Path, models: Path, name: str, say: Say, *, force: bool = False) -> None:
    """Remove the environment `name` from `folder`.

    Unless `force`, it is refused while an alias in the model repository `models` names a version that is served with
    it. Raises `EnvironmentFailedError`, or `OSError`.
    """
    if not ENVIRONMENT.fullmatch(name) or not os.path.lexists(folder / name):
        raise EnvironmentFailedError(
            f"there is no environment {name[:80]!r} in {folder}; `modelgate environment list` names them"
        )
    if not force and (users := served_with(models, name)):
        raise EnvironmentFailedError(
            f"{', '.join(users)} {'is' if len(users) == 1 else 'are'} served with {name}: first move these aliases to"
            " other versions, or add --force, after which they cannot be served"
        )
    with locked(folder, say) as generations:
        used = generations.unlink(name)
    say(
        "removed"
        + ("; processes still run in it, so a later `modelgate environment` removes its files" if used else "")
    )


def served_with(models: Path, name: str) -> Sequence[str]:
    """Return what is served with an environment, such as `loan` or `loan@canary`."""
    repository = Repository(models)
    with suppress(FileNotFoundError):
        return [
            model if alias == "current" else f"{model}@{alias}"
            for model in sorted(filter(valid_name, os.listdir(models)))
            for alias, version in sorted(repository.aliases(model).items())
            if _environment(repository, model, version) == name
        ]
    return []


def _environment(repository: Repository, model: str, version: int) -> object:
    """Return the environment of a version; None if its manifest cannot be read, and it is not served."""
    with suppress(OSError, ValueError):
        manifest = json.loads(repository.files(model, version).manifest())
        return manifest.get("environment") if isinstance(manifest, dict) else None
    return None
