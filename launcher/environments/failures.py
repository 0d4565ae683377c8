"""How making, listing or removing an environment fails."""

from __future__ import annotations


class EnvironmentFailedError(Exception):
    """Nothing was made or removed; the message says in one sentence why, and what to do."""
