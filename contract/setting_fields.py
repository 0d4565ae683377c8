"""What a setting declares beside its default, and how its variable is read."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

from contract.errors import SettingsError

SERVICES = "Settings of the services"
SEVERAL_MACHINES = "Services on several machines"
ENVIRONMENTS = "Environments of older releases"
PREDICTION_LOG = "The prediction log"
CONTAINERS = "Only docker compose"
OWN_REDIS = "The Redis that `make up` and docker compose start"
OPENTELEMETRY = "Read by OpenTelemetry"
"""The sections of the documentation."""


def setting(
    default: Any,
    doc: str,
    least: int = 0,
    most: float = float("inf"),
    choices: tuple[str, ...] = (),
    *,
    secret: bool = False,
    section: str = SERVICES,
) -> Any:
    """Return the field of a setting. `least`, `most`: of a number. `choices`: of a text. `secret`: it may be in a file,
    and is never shown."""
    limits = {"least": least, "most": most, "choices": choices}
    return dataclasses.field(
        default=default, metadata={"doc": doc, "secret": secret, "section": section, **limits}, repr=not secret
    )


def parsed(entry: dataclasses.Field[Any], text: str) -> object:
    """Return the value of a field of `Settings` that a variable writes so. Raises `SettingsError`."""
    name, kind = entry.name.upper(), entry.type
    if kind == "int":
        least, most = entry.metadata["least"], entry.metadata["most"]
        try:
            number = int(text)
        except ValueError:
            raise SettingsError(f"{name}={text!r} is not a whole number") from None
        if number < least:
            raise SettingsError(f"{name}={number} is too small; the least is {least}")
        if number > most:
            raise SettingsError(f"{name}={number} is too large; the most is {most}")
        return number
    if kind == "float":
        most = entry.metadata["most"]
        try:
            share = float(text)
        except ValueError:
            share = math.nan
        if not 0 < share <= most:
            raise SettingsError(f"{name}={text!r} is not a number above 0 and up to {most:g}")
        return share
    if kind == "bool | None":
        if text.lower() not in ("0", "1", "true", "false"):
            raise SettingsError(f"{name}={text!r} is neither 1 nor 0")
        return text.lower() in ("1", "true")
    if kind == "tuple[str, ...]":
        return () if text == "none" else tuple(part.strip() for part in text.split(",") if part.strip())
    choices = entry.metadata["choices"]
    if choices and text not in choices:
        raise SettingsError(f"{name}={text!r} is not one of {', '.join(choices)}")
    if name == "REDIS_MAXMEMORY" and not re.fullmatch(r"\d{1,15}([kmg]b?|b)?", text, re.IGNORECASE):
        raise SettingsError(f"{name}={text!r} is not a size; write one as 512mb or 2gb")
    return Path(text) if "Path" in str(kind) else text
