"""The verbs about a model repository for several machines: `repository push`, `pull`, `check`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Annotated

import typer

from modelgate import local
from modelgate.command.backup import Folder
from modelgate.command.exits import ExitCode
from modelgate.command.verbs import flag, option, verb

Store = Annotated[
    str,
    option(
        "The bucket: s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.",
        envvar="MODELS_URL",
        metavar="URL",
    ),
]
StoreOptions = Annotated[
    Path | None,
    option(
        "A file with what it takes to reach the bucket, as JSON: see STORE_OPTIONS_FILE.",
        envvar="STORE_OPTIONS_FILE",
        metavar="FILE",
    ),
]

group = typer.Typer(
    name="repository",
    help="Copy the models of a server on this machine to a bucket for several machines and back, or check them there.",
)


@verb(group)
def push(store: Store, folder: Folder = None, store_options: StoreOptions = None) -> None:
    """Put what the server has and the bucket lacks there, with the same numbers. It may be repeated.

    What is in the bucket stays as it is. The aliases of a model come along if the bucket had no version of it.
    """
    _transfer("push", store, folder, store_options)


@verb(group)
def pull(store: Store, folder: Folder = None, store_options: StoreOptions = None) -> None:
    """Make the models of the server as they are in the bucket, once. `python -m mirror` does it all the time."""
    _transfer("pull", store, folder, store_options)


@verb(group)
def check(
    store: Store,
    folder: Folder = None,
    store_options: StoreOptions = None,
    contents: Annotated[bool, flag("Read each file in the bucket, and not only its size.")] = False,
) -> None:
    """Say which files the bucket lacks, and which are damaged."""
    _transfer("check", store, folder, store_options, *(["--contents"] if contents else []))


def _transfer(action: str, store: str, folder: Path | None, store_options: Path | None, *more: str) -> None:
    """Have the server's own program do it, which says how it ended."""
    local.check_server()
    options = str(store_options.absolute()) if store_options else ""
    variables = local.environment(local.default_home(folder), {"MODELS_URL": store, "STORE_OPTIONS_FILE": options})
    if subprocess.run(local.program("mirror.transfer", action, *more), env=variables).returncode:  # noqa: S603
        raise typer.Exit(ExitCode.FAILED)
