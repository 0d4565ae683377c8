"""What the mirror of this machine notes in the folder that it keeps; readers of these need no library for stores."""

from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from pathlib import Path

from contract.model.repository import valid_name
from contract.settings import Settings
from storage.disk import write

NOTES = ".heads"
_COMPLETE = ".complete"

_LOOK_EVERY = 0.1


class MirrorNotes:
    """The notes in the model repository `root`: of each model, which head the folder is like."""

    def __init__(self, root: Path) -> None:
        self._folder = root / NOTES

    def is_complete(self) -> bool:
        """Whether the folder has had all models since it was made."""
        return (self._folder / _COMPLETE).exists()

    def set_complete(self) -> None:
        self._folder.mkdir(exist_ok=True)
        (self._folder / _COMPLETE).touch()

    def head(self, model: str) -> tuple[list[str | None], int] | None:
        """Return the tag of the head, and the last number that a version was given then; None if there is no note."""
        with suppress(OSError, ValueError, TypeError):
            *tag, last = json.loads((self._folder / model).read_bytes())
            return tag, int(last)
        return None

    def set_head(self, model: str, tag: tuple[str | None, ...], last: int) -> None:
        """Raises OSError."""
        self._folder.mkdir(exist_ok=True)
        write(self._folder / f"{model}.new", json.dumps([*tag, last]).encode())
        (self._folder / f"{model}.new").replace(self._folder / model)

    def may_come(self, model: str, version: int) -> bool:
        """Whether a version that is not in the folder may be in the store: it is younger than what was noted last."""
        known = self.head(model) if valid_name(model) else None
        return known is None or version > known[1]


def wait_for_mirror(settings: Settings, log: logging.Logger) -> None:
    """Return once MODELS_DIR has all models: at once, unless a mirror fills it for the first time. What begins before
    would take a model for unknown that the others have."""
    notes = MirrorNotes(settings.models_dir)
    if not settings.models_url or notes.is_complete():
        return
    log.info("waiting until the mirror (python -m mirror) has fetched all models into %s", settings.models_dir)
    while not notes.is_complete():
        time.sleep(_LOOK_EVERY)
