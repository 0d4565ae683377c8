"""The verbs about environments for older models: `environment make`, `list`, `remove`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from modelgate import local
from modelgate.command.exits import ExitCode
from modelgate.command.session import Session
from modelgate.command.terminal import moment, table
from modelgate.command.verbs import flag, option, verb

Home = Annotated[Path | None, option("Where the server keeps everything; see `modelgate up`.", metavar="FOLDER")]

group = typer.Typer(
    name="environment",
    help="Make, list and remove environments: the libraries that older models are served with, on this machine.",
)


@verb(group)
def make(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME…", help="sklearn-1.2 to sklearn-1.8; or one name of your own.")
    ],
    requirements: Annotated[
        Path | None, option("What an environment of your own holds, in pip's syntax.", metavar="FILE")
    ] = None,
    python: Annotated[
        str | None, option("Its Python, 3.11 or later; by default that of the server.", metavar="3.N")
    ] = None,
    home: Home = None,
) -> None:
    """Make environments, or bring them up to date after an upgrade.

    sklearn-1.2 holds scikit-learn 1.2 with the libraries of its time. It takes about 400 MB, and is installed by uv, or
    by pip where there is no uv, from the index that you have set up for it. What runs in an environment that is made
    anew goes on in the old one.
    """
    options = ["--requirements", str(requirements)] if requirements else []
    options += ["--python", python] if python else []
    _become(home, "make", *options, "--", *names)


@verb(group, "list")
def list_environments(session: Session, home: Home = None) -> None:
    """List the environments, and the releases of scikit-learn that can have one."""
    local.check_server()
    command, variables = _program(home, "list")
    ended = subprocess.run(command, env=variables, stdout=subprocess.PIPE)  # noqa: S603
    if ended.returncode:
        raise typer.Exit(ExitCode.FAILED)
    entries: list[Mapping[str, Any]] = json.loads(ended.stdout)
    heads = ("NAME", "STATE", "SCIKIT-LEARN", "NUMPY", "PANDAS", "PYTHON", "MADE", "MB", "WITHOUT SUPPORT SINCE")
    session.show(entries, lambda: [table(heads, map(_row, entries), numbers=("MB",))])
    if not session.as_json:
        for state in ("out of date", "not made"):
            if entry := next((entry for entry in entries if entry["state"] == state), None):
                session.note(f"{entry['name']} is {state}; to make it: modelgate {entry['make']}")


@verb(group)
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of an environment.")],
    force: Annotated[bool, flag("Also if models are served with it, which then cannot be served.", "--force")] = False,
    home: Home = None,
) -> None:
    """Remove an environment that no model is served with."""
    _become(home, "remove", *(["--force"] if force else []), "--", name)


def _become(home: Path | None, *arguments: str) -> NoReturn:
    """Have the server's own program do it in this process, so that Ctrl-C lets it remove what it has begun."""
    local.check_server()
    os.execve(sys.executable, *_program(home, *arguments))  # noqa: S606


def _program(home: Path | None, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return the command line of the server's program, and its variables."""
    variables = local.environment(local.default_home(home), {})
    return local.program("launcher.environments", *arguments), variables


def _row(entry: Mapping[str, Any]) -> Sequence[object]:
    libraries = [entry[name] or "-" for name in ("scikit_learn", "numpy", "pandas", "python")]
    size, ended = entry["megabytes"] or "-", entry["support_ended"] or "-"
    return entry["name"], entry["state"], *libraries, moment(entry["made_at"]), size, ended
