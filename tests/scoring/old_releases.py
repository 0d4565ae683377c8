"""Environments with older releases of scikit-learn, in which our code runs too."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from runtime.environments import Environments
from runtime.limits import ONE_THREAD
from tests.support import PROJECT

ENVIRONMENTS = ("sklearn-1.2", "sklearn-1.5")
"""The oldest one, and one whose trees and tags differ from both the oldest and today's."""


def variables(links: Path) -> dict[str, str]:
    """Return the variables of a process in an environment. Our packages are linked below the folder `links`."""
    return {**os.environ, **ONE_THREAD, **Environments(links).variables()}


def run(python: Path, links: Path, *arguments: str) -> str:
    """Run our code under the interpreter of an environment, and return what it prints."""
    command, env = [str(python), *arguments], variables(links)
    return subprocess.run(command, check=True, env=env, cwd=PROJECT, stdout=subprocess.PIPE, text=True).stdout
