"""The verb `upgrade`, for Modelgate in containers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from modelgate.command.exits import ExitCode, Failed

_SCRIPT = Path(__file__).with_suffix(".sh")


def upgrade(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where `.env` and the file of docker compose are.")
    ] = Path(),
) -> None:
    """Replace the containers of docker compose by those of another release, without a failed request.

    It gets the images that the file of docker compose names, or builds them, and replaces one service after the other.
    COMPOSE_FILE in `.env` names that file; MODELGATE_VERSION names the release, to go back to the one before.
    """
    for program in ("docker", "sh"):
        if not shutil.which(program):
            raise Failed(
                f"upgrade needs {program}; without containers: pip install --upgrade modelgate", ExitCode.USAGE
            )
    if subprocess.run(["docker", "compose", "config", "--quiet"], cwd=folder).returncode:  # noqa: S607
        raise Failed(f"in {folder.resolve()}, COMPOSE_FILE in .env must name the file of Modelgate", ExitCode.USAGE)
    if subprocess.run(["sh", str(_SCRIPT)], cwd=folder).returncode:  # noqa: S603, S607
        raise typer.Exit(ExitCode.FAILED)
