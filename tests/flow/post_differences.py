"""Where Modelgate does not do what a post's service does, on purpose, and why."""

from __future__ import annotations

from collections.abc import Mapping

EXPLAINED: Mapping[str, Mapping[str, str]] = {}
