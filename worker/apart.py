"""Keeps what the code of a model changes of its process from other models and requests (docs/adr/0094)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from contract.model.manifest import ModelManifest
from scoring.process_state import ProcessState

_LONGEST = 1.0
"""Seconds that a changed process goes on while jobs of its version wait. Others may wait, too."""


class Apart:
    """Puts back what versions change of this process. `version`: the only one that it may score from then on, and
    `changes` what the version has changed that its import had not found."""

    def __init__(self) -> None:
        self.version: tuple[str, int] | None = None
        self.changes: set[str] = set()
        self._until = 0.0

    @property
    def over(self) -> bool:
        """Whether the process has gone on for long enough after it was changed."""
        return self.version is not None and time.monotonic() > self._until

    @property
    def why_it_ends(self) -> str:
        """Why this process ends although nobody asks it to, for the log; empty if it does not."""
        what = " and ".join(sorted(self.changes)) or "its process"
        return f"{self.version[0]}@{self.version[1]} changes {what}" if self.version else ""

    @contextmanager
    def watching(self, manifest: ModelManifest, changed: bool) -> Iterator[None]:
        """Put back what changes in a block that asks the version. `changed`: loading it has changed this process."""
        state = ProcessState()
        try:
            yield
        finally:
            known, changes = manifest.artifact.changes, state.put_back()
            if not state.imported:  # a library, which may have changed something
                self.changes |= {*changes} - {*known}
            if (changed or known or self.changes) and self.version is None:
                self.version, self._until = (manifest.name, manifest.version), time.monotonic() + _LONGEST
