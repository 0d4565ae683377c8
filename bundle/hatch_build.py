"""Pins client and server to the release of the bundle."""

from __future__ import annotations

from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Dependencies(MetadataHookInterface):
    """Sets `dependencies` and `optional-dependencies`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in `metadata`, the table `project` of pyproject.toml."""
        release = metadata["version"]
        metadata["dependencies"] = [f"modelgate-client=={release}", f"modelgate-server=={release}"]
        extras = ("cluster", "examples", "grpc", "opentelemetry")
        metadata["optional-dependencies"] = {extra: [f"modelgate-server[{extra}]=={release}"] for extra in extras}
