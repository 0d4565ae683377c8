"""The verb `backup`, and the half of `restore` that unpacks one."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Annotated

import typer

from modelgate import local
from modelgate.command.exits import ExitCode

Folder = Annotated[
    Path | None,
    typer.Argument(metavar="FOLDER", show_default=False, help="Where it keeps everything; see `modelgate up`."),
]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, such as backup.tar.gz.")],
    folder: Folder = None,
) -> None:
    """Save models, jobs and keys of a server on this machine to one file. It may run meanwhile.

    Keep the file as secret as a password. It is signed where SIGNING_KEY names a key. Files to score, and those that
    were scored, are not in it. `restore` unpacks it.
    """
    save_or_restore("save", file, folder)


def save_or_restore(action: str, file: Path, folder: Path | None) -> None:
    """Have the server's own program do it, which says how it ended."""
    local.check_server()
    command = local.program("launcher.backup", action, str(file))
    variables = local.environment(local.default_home(folder), {"REDIS_URL": ""})
    if subprocess.run(command, env=variables).returncode:  # noqa: S603
        raise typer.Exit(ExitCode.FAILED)
