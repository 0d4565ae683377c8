"""The Lua scripts beside this file, as callables of a Redis connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis import Redis

BELL = "mg:bell"
"""Holds a token while there may be work: a hint, never the truth."""


def script(connection: Redis, name: str) -> Any:
    """The script `<name>.lua`; call it with `args=[…]`."""
    return connection.register_script((Path(__file__).parent / f"{name}.lua").read_text())
