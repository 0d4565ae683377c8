"""Makes docs/reference/command.md from the help of the command: `python -m tests.docs.command_page`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

import typer.main
from modelgate.command.application import app
from modelgate.command.exits import MEANINGS
from modelgate.command.session import PANEL

HEAD = """# The command

`modelgate` has the verbs of [HTTP](http-api.md) for a terminal, and starts servers on this machine. `pip install
modelgate` installs it, `pip install modelgate-client` without the server, and `make up` puts it into `.venv/bin`.
[How to use it](../how-to/use-the-command.md).

<!-- python -m tests.docs.command_page >docs/reference/command.md -->

It asks the address of `--url` or `--profile`, else `MODELGATE_URL` with `MODELGATE_API_KEY`, else the profile that
`MODELGATE_PROFILE` names or that was chosen, else the Modelgate that was started in this folder or with `modelgate up`,
else `http://127.0.0.1:8080`. Results go to standard output. Progress,
remarks and errors go to standard error; an error is one line. A terminal shows progress and colours; a file or another
program gets neither.

## Every command

"""


def page() -> str:
    """Return the page."""
    root: Any = typer.main.get_command(app)
    verbs = list(_verbs(root))
    shared = [option for option in verbs[0][1].params if option.rich_help_panel == PANEL]
    parts = [HEAD, *_table("option", map(_option, shared)), "\n## Exit codes\n\n"]
    parts += _table("code", ((f"{code:d}", meaning) for code, meaning in MEANINGS.items()))
    panel = None
    for name, command, group in verbs:
        if group != panel:
            parts.append(f"\n## {group}\n")
            panel = group
        parts += _verb(name, command)
    parts.append(f"\n## Completion\n\n{COMPLETION}")
    return "".join(parts)


COMPLETION = """`modelgate --install-completion` adds completion to your shell: bash, zsh, fish or PowerShell.
`--show-completion` prints it, for those who keep their files themselves.
"""


def _verbs(root: Any) -> Iterator[tuple[str, Any, str]]:
    """Yield each verb with its name and the heading that it stands under, in the order of the help."""
    order = list(dict.fromkeys(command.rich_help_panel for command in root.commands.values()))
    for name, command in sorted(root.commands.items(), key=lambda item: order.index(item[1].rich_help_panel)):
        inner = getattr(command, "commands", None)
        for verb, subcommand in inner.items() if inner else ((None, command),):
            yield f"{name} {verb}" if verb else name, subcommand, command.rich_help_panel


def _verb(name: str, command: Any) -> Iterator[str]:
    parameters = [
        parameter for parameter in command.params if parameter.rich_help_panel != PANEL and parameter.name != "help"
    ]
    arguments = [parameter for parameter in parameters if parameter.param_type_name == "argument"]
    usage = " ".join(parameter.metavar if parameter.required else f"[{parameter.metavar}]" for parameter in arguments)
    yield f"\n### `{' '.join(filter(None, ('modelgate', name, usage)))}`\n\n{inspect.cleandoc(command.help)}\n"
    if parameters:
        yield "\n"
        yield from _table("argument or option", map(_option, parameters))


def _option(parameter: Any) -> tuple[str, str]:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar}`", parameter.help or ""
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    value = "" if parameter.is_flag else f" `{_value(parameter)}`"
    default = parameter.default
    says = f" Default: `{default}`." if isinstance(default, str | int) and not isinstance(default, bool) else ""
    return names + value, f"{parameter.help}{says}"


def _value(parameter: Any) -> str:
    kind = parameter.type_descriptor.annotation
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return "|".join(kind)
    return parameter.metavar or {int: "N", float: "NUMBER"}.get(kind, "TEXT")


def _table(head: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f"| {head} | |\n|---|---|\n"
    for name, text in rows:
        yield f"| {name.replace('|', chr(92) + '|')} | {' '.join(text.split())} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
