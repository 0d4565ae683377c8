"""Gives the distribution of the services the dependencies of their groups in pyproject.toml, where each stands once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

GROUPS = ("broker", "storage", "gateway", "scoring", "events", "mirror", "observer", "worker", "trainer", "own-redis")


class Dependencies(MetadataHookInterface):
    """Sets `dependencies` and, for what only clusters, examples, gRPC and traces need, `optional-dependencies`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in `metadata`, the table `project` of pyproject.toml."""
        groups = tomllib.loads(Path(self.root, "pyproject.toml").read_text())["dependency-groups"]
        kernels = f"modelgate-kernels=={metadata['version']}"
        metadata["dependencies"] = sorted({kernels, *(name for group in GROUPS for name in _named(groups[group]))})
        metadata["optional-dependencies"] = {
            extra: _named(groups[extra]) for extra in ("cluster", "examples", "grpc", "opentelemetry")
        }


def _named(group: list[Any]) -> list[str]:
    """Return the packages that a group names itself, without those of the groups that it includes."""
    return [entry for entry in group if isinstance(entry, str)]
