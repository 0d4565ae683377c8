"""The release of Modelgate that this is. Containers have no `pyproject.toml`, so that file reads it from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

VERSION = "1.0.0"


def known(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of `data` for fields of `kind`, a dataclass: the next release may write others, too."""
    return {field.name: data[field.name] for field in fields(kind) if field.name in data}
