"""The file `.env.example`: every setting, and every variable of the compose files, with its documentation.

`python -m contract.env_example` prints it.
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

from contract.setting_fields import SERVICES
from contract.settings import Settings

COMPOSE = Path(__file__).with_name("compose.env.example").read_text()
"""Variables that only the compose files read, with documentation and default, as `.env.example` has them."""


def example() -> str:
    """Return the text of `.env.example`: each variable with its documentation and its default."""
    lines = [
        "# Every setting with its default. Copy to .env for docker compose, or export what you change.",
        "# One MB is 2**20 bytes. A secret may be in a file instead, which its variable with _FILE names.",
        "",
    ]
    for section, entries in itertools.groupby(dataclasses.fields(Settings), lambda entry: entry.metadata["section"]):
        lines += [] if section == SERVICES else [f"# {section}:", ""]
        for entry in entries:
            lines += _lines(entry)
    return "\n".join(lines) + "\n" + COMPOSE


def _lines(entry: dataclasses.Field[Any]) -> list[str]:
    name, default = entry.name.upper(), entry.default
    if isinstance(default, tuple):
        default = ",".join(default)
    file = [f"# {name}_FILE="] if entry.metadata["secret"] else []
    return [f"# {entry.metadata['doc']}", f"# {name}={'' if default is None else default}", *file, ""]


if __name__ == "__main__":
    print(example(), end="")
