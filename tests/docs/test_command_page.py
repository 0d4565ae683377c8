"""The documentation of the command is that of its help."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer.main
from modelgate.command.application import app

from tests.docs.command_page import page
from tests.docs.test_pages import CURRENT
from tests.support import PROJECT

COMMANDS = sorted(
    {
        command
        for file in CURRENT
        if file.name != "command.md"
        for block in re.findall(r"^```(?:console|sh)\n(.*?)^```", file.read_text(), re.DOTALL | re.MULTILINE)
        for command in re.findall(r"(?:^|[$(|] ?)((?:\.venv/bin/)?modelgate [^|)\n]+)", block, re.MULTILINE)
    }
)


def test_the_reference_is_generated_from_the_help() -> None:
    how = "python -m tests.docs.command_page >docs/reference/command.md"
    assert (PROJECT / "docs/reference/command.md").read_text() == page(), how


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_a_page_has_a_verb_and_options_that_exist(command: str) -> None:
    _, *words = shlex.split(command)
    command_found: Any = typer.main.get_command(app)
    while words and hasattr(command_found, "commands"):
        if words[0].startswith("-"):
            break
        command_found = command_found.commands[words.pop(0)]
    known = {name for option in command_found.params for name in (*option.opts, *option.secondary_opts)}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known
